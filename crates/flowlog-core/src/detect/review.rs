//! A whole recording judged as the deployed function would judge it window by window: what
//! `flowlog analyze`, `flowlog replay` and the evaluation rest on.
//!
//! What is held of a recording depends on how far back the rules look and on [`ACROSS`], never on how
//! long it is or how many interfaces a stranger invents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::baseline::GAP;
use super::data_gap::is_news;
use super::{Baseline, Finding, History, Known, OPEN, RuleSet, Rules, Severity};
use crate::record::{HOUR_SECONDS, Window};
use crate::rollup::Rollup;

/// How many windows of an interface are kept: those that the rules look at from any window of the
/// hour that a day's rules look at, and those that the baseline has yet to learn.
const KEPT: i64 = Rules::DAY_OF_HOUR + Rules::LOOKBACK + OPEN;

/// About how many bytes of the last hour are looked at across interfaces, each by itself.
pub const ACROSS: usize = 32 << 20;

/// Everything that is found on one interface, whose windows come in order; its day is looked at at
/// the end of each hour and at the end of the recording. An error of the windows ends it.
pub fn of_interface<E>(
    rules: &RuleSet,
    interface_id: &str,
    windows: impl IntoIterator<Item = Result<(Window, Rollup), E>>,
) -> Result<Vec<Finding>, E> {
    let mut history = History { interface_id: interface_id.to_owned(), ..History::default() };
    let mut usual = Baseline::default();
    let mut findings = Vec::new();
    let mut windows = windows.into_iter();
    let mut next = windows.next().transpose()?;
    let mut of_day: Vec<Finding> = Vec::new();
    while let Some((window, rollup)) = next {
        history.windows.insert(window, Arc::new(rollup));
        next = windows.next().transpose()?;
        usual.advance(&history, window.back(OPEN));
        findings.extend(rules.evaluate(&history, &usual, window));
        let ends_hour =
            next.as_ref().is_none_or(|(n, _)| n.end() / HOUR_SECONDS > window.end() / HOUR_SECONDS);
        if ends_hour {
            // The last look may be at some of the hour before once more.
            let found = rules.evaluate_day(&history, &usual, window);
            findings
                .extend(found.iter().filter(|f| !of_day.iter().any(|b| is_same(f, b))).cloned());
            of_day = found;
        }
        history.forget(window.back(KEPT));
    }
    Ok(findings)
}

/// Whether two looks at one interface have found the same.
fn is_same(a: &Finding, b: &Finding) -> bool {
    let of = |f: &Finding| (f.rule, f.window, f.source, f.target);
    of(a) == of(b)
}

/// What is found across interfaces; it is shown one window after the other.
#[derive(Debug)]
pub struct AcrossInterfaces {
    /// The last hour of each interface, by account.
    accounts: BTreeMap<String, BTreeMap<String, History>>,
    /// What is known of each interface, for the rule about silence.
    known: BTreeMap<String, Known>,
    /// Silences that were reported, by place and first window: each is one finding.
    silent: BTreeSet<(String, Window)>,
    /// Whether one that somebody is told of is a finding in each window as long as it lasts.
    lasting: bool,
    /// About how many bytes the hours take, and how many they may.
    used: usize,
    most: usize,
    /// Interface-windows that were let go before their hour was over.
    left_out: u64,
}

impl AcrossInterfaces {
    /// One that has seen nothing, and room for about so many bytes.
    pub fn within(most: usize) -> Self {
        Self {
            accounts: BTreeMap::new(),
            known: BTreeMap::new(),
            silent: BTreeSet::new(),
            lasting: false,
            used: 0,
            most,
            left_out: 0,
        }
    }

    /// A silence that somebody is told of is to be a finding in each window as long as it lasts, as it is for the
    /// function, so that its alert goes on.
    #[must_use]
    pub fn with_lasting_silence(self, lasting: bool) -> Self {
        Self { lasting, ..self }
    }

    /// Takes in the roll-ups of one window, and judges the hour that ends with it.
    pub fn step(
        &mut self,
        rules: &RuleSet,
        at: Window,
        rollups: impl IntoIterator<Item = (String, Rollup)>,
    ) -> Vec<Finding> {
        for (interface_id, rollup) in rollups {
            self.note(&interface_id, at, &rollup);
            let rollup = across(rollup);
            let cost = cost(&rollup);
            if self.used + cost > self.most {
                self.shed();
            }
            self.used += cost;
            let account = self.accounts.entry(rollup.account_id.clone()).or_default();
            let history = account
                .entry(interface_id.clone())
                .or_insert_with(|| History { interface_id, ..History::default() });
            history.windows.insert(at, Arc::new(rollup));
        }
        let oldest = at.back(Rules::LOOKBACK - 1);
        // One that has been silent for longer than that is as good as new when it comes back.
        self.known.retain(|_, known| is_news(known, at.end()));
        let waiting = self.known.values().filter(|known| rules.waits_for(known, at.end()));
        let mut findings = rules.evaluate_silence(&waiting.cloned().collect::<Vec<_>>(), at.end());
        findings.retain(|f| {
            let first = self.silent.insert((f.interface_id.clone(), f.since()));
            first || (self.lasting && f.severity >= Severity::Notify)
        });
        self.used = 0;
        for (account, interfaces) in &mut self.accounts {
            interfaces.retain(|_, history| {
                history.forget(oldest);
                self.used += history.windows.values().map(|rollup| cost(rollup)).sum::<usize>();
                !history.windows.is_empty()
            });
            let scope: Vec<History> = interfaces.values().cloned().collect();
            let place = if account.is_empty() { "account" } else { account };
            findings.extend(rules.evaluate_scope(&scope, place, at));
        }
        self.accounts.retain(|_, interfaces| !interfaces.is_empty());
        findings
    }

    /// Whether a window without records, after `at`, could show anything: the last hour of an
    /// interface, or the silence of one.
    pub fn waits(&self, rules: &RuleSet, at: Window) -> bool {
        !self.accounts.is_empty()
            || self.known.values().any(|known| rules.waits_for(known, at.forward(1).end()))
    }

    /// How many interface-windows were let go, the lightest first, before the hours that they belong
    /// to had been judged to their end.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Silence is counted from the last window; the function's baseline lags behind by the open ones.
    fn note(&mut self, interface_id: &str, at: Window, rollup: &Rollup) {
        let known = self.known.entry(interface_id.to_owned()).or_insert_with(|| Known {
            interface_id: interface_id.to_owned(),
            vpc_id: rollup.vpc_id.clone(),
            account_id: rollup.account_id.clone(),
            baseline: Baseline::default(),
            authority: u8::MAX,
        });
        let last = at.back(OPEN);
        let follows = known.baseline.last.is_some_and(|before| before.forward(GAP) >= last);
        known.baseline.streak = if follows { known.baseline.streak.saturating_add(1) } else { 1 };
        known.baseline.last = Some(last);
    }

    /// Lets go of the interfaces that refused least, until half of the bytes are free.
    fn shed(&mut self) {
        let hour = |history: &History| {
            let rollups = history.windows.values();
            rollups.map(|r| r.totals().reject.records).fold(0, u64::saturating_add)
        };
        let mut weights: Vec<u64> =
            self.accounts.values().flat_map(BTreeMap::values).map(hour).collect();
        weights.sort_unstable();
        let bar = weights.get(weights.len() / 2).copied().unwrap_or(0);
        let left_out = &mut self.left_out;
        let mut used = 0;
        for interfaces in self.accounts.values_mut() {
            interfaces.retain(|_, history| {
                // Among equals the ones that come first stay, up to half.
                let bytes: usize = history.windows.values().map(|rollup| cost(rollup)).sum();
                let weight = hour(history);
                let stays = weight > bar || (weight == bar && used + bytes <= self.most / 2);
                if stays {
                    used += bytes;
                } else {
                    *left_out += history.windows.len() as u64;
                }
                stays
            });
        }
        self.used = used;
    }
}

/// The last hour of the interfaces of one scope, for [`RuleSet::evaluate_scope`]: each by itself as long as they
/// take [`ACROSS`] bytes or fewer, those beyond folded into one, whose lists are bounded.
#[derive(Debug, Default)]
pub struct Scope {
    histories: Vec<History>,
    others: History,
    used: usize,
}

impl Scope {
    /// Takes in the hour of an interface.
    pub fn add(&mut self, hour: History) {
        let of = |rollup| Arc::new(across(Arc::unwrap_or_clone(rollup)));
        let windows: BTreeMap<Window, Arc<Rollup>> =
            hour.windows.into_iter().map(|(window, rollup)| (window, of(rollup))).collect();
        let cost: usize = windows.values().map(|rollup| cost(rollup)).sum();
        if self.used + cost > ACROSS {
            for (window, rollup) in &windows {
                self.others.add(*window, rollup);
            }
        } else {
            self.used += cost;
            self.histories.push(History { interface_id: hour.interface_id, windows });
        }
    }

    /// All of them.
    pub fn histories(mut self) -> Vec<History> {
        if !self.others.windows.is_empty() {
            self.histories.push(self.others);
        }
        self.histories
    }
}

/// What the rules across interfaces look at. Who folds several roll-ups into one may take it of each before, which
/// gives the same and spares folding the rest.
pub fn across(rollup: Rollup) -> Rollup {
    Rollup {
        account_id: rollup.account_id,
        vpc_id: rollup.vpc_id,
        breakdown: rollup.breakdown,
        skipdata: rollup.skipdata,
        rejected_sources: rollup.rejected_sources,
        reject_reasons: rollup.reject_reasons,
        evidence: rollup.evidence,
        ..Rollup::default()
    }
}

/// About how many bytes an interface-window takes here, and again when it is judged.
fn cost(rollup: &Rollup) -> usize {
    let sources = rollup.rejected_sources.iter();
    let sources = sources.map(|(_, source)| 256 + source.contacts.len() * 64);
    size_of::<Rollup>() + 512 + sources.sum::<usize>() + rollup.evidence.len() * 96
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::super::tests::{rejects, sent, window};
    use super::*;

    fn refused(n: u32) -> Rollup {
        let source = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
        rejects([(source, 22)].into_iter())
    }

    #[test]
    fn an_hour_of_invented_interfaces_is_bounded() {
        let (rules, mut across) = (RuleSet::default(), AcrossInterfaces::within(ACROSS));
        let heavy = rejects((1..=40).map(|port| ("10.9.9.9".to_owned(), port)));
        let forged = (0..30_000).map(|n| (format!("eni-{n}"), refused(n)));
        across.step(&rules, window(0), forged.chain([("eni-heavy".to_owned(), heavy)]));
        assert!(across.used <= ACROSS);
        let held: usize = across.accounts.values().map(BTreeMap::len).sum();
        assert_eq!(held as u64 + across.left_out(), 30_001);
        assert!(held > 5_000, "{held} are held");
        assert!(across.accounts.values().any(|account| account.contains_key("eni-heavy")));
        // An hour later nothing of it is left.
        across.step(&rules, window(12), []);
        assert_eq!((across.used, across.accounts.len()), (0, 0));
    }

    #[test]
    fn what_two_looks_at_a_day_see_is_one_finding() {
        let shut = |port| rejects([("203.0.113.9".to_owned(), port)].into_iter());
        let windows = [(6, 22), (7, 23), (8, 25), (9, 110), (11, 0), (15, 0)].map(|(n, port)| {
            let quiet = || sent("198.51.100.1", 9);
            Ok::<_, ()>((window(n), if port > 0 { shut(port) } else { quiet() }))
        });
        let found = of_interface(&RuleSet::default(), "eni-1", windows).unwrap();
        let scans: Vec<_> = found.iter().filter(|f| f.rule == Rule::SlowScan).collect();
        assert_eq!(scans.len(), 1, "{scans:?}");
        assert_eq!((scans[0].since(), scans[0].window), (window(6), window(9)));
    }

    #[test]
    fn a_silence_is_one_finding_or_one_of_each_window() {
        let found = |lasting: bool| {
            let across = AcrossInterfaces::within(ACROSS);
            let (rules, mut across) = (RuleSet::default(), across.with_lasting_silence(lasting));
            let heard = |n: i64| if n < 40 { &["eni-1", "eni-2"][..] } else { &[] };
            let found = (0..60).flat_map(|n| {
                let rollups = heard(n).iter().map(|eni| ((*eni).to_owned(), sent("8.8.8.8", 9)));
                across.step(&rules, window(n), rollups)
            });
            found.map(|f| (f.since(), f.window)).collect::<Vec<_>>()
        };
        let each: Vec<_> = (45..60).map(|n| (window(40), window(n))).collect();
        assert_eq!((found(false), found(true)), (each[..1].to_vec(), each));
    }

    /// Findings and steps over three recorded spells with days between them.
    fn spells(skipping: bool) -> (Vec<Finding>, usize) {
        let (rules, mut across) = (RuleSet::default(), AcrossInterfaces::within(ACROSS));
        let spells = [0..40, 700..740, 5_000..5_001];
        let recorded: BTreeSet<Window> = spells.into_iter().flatten().map(window).collect();
        let (mut found, mut steps, mut next) = (Vec::new(), 0, recorded.first().copied());
        while let Some(at) = next {
            let rollup = recorded.contains(&at).then(|| ("eni-1".to_owned(), sent("8.8.8.8", 9)));
            found.extend(across.step(&rules, at, rollup));
            steps += 1;
            let later = recorded.range(at.forward(1)..).next().copied();
            let waits = !skipping || across.waits(&rules, at);
            next = later.map(|later| if waits { at.forward(1) } else { later });
        }
        (found, steps)
    }

    #[test]
    fn windows_that_can_show_nothing_are_passed_over() {
        let (found, steps) = spells(true);
        assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::DataGap; 2]);
        assert_eq!((spells(false).0, spells(false).1), (found, 5_001));
        assert!(steps < 700, "{steps} steps");
    }
}
