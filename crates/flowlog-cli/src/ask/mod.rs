//! Questions to a store: who talks most, who is refused, what is known of one address, how complete
//! all of it is.
//!
//! Each window of an interface (or VPC, or account) is read from one source, the one with the most
//! [authority]; sources that see the same traffic are never added up. Every answer says what it rests
//! on.

mod alerts;
mod changes_text;
mod command;
mod compliance;
mod coverage;
mod csv;
mod diff;
mod rejected;
mod report;
mod serve;
mod source;
mod text;
mod top;
mod who;

pub use alerts::{AlertsArgs, ResolveArgs, SilenceArgs, alerts, resolve, silence};
pub use command::{
    AskError, ComplianceArgs, CoverageArgs, DiffArgs, Question, RejectedArgs, TopArgs, WhoArgs,
    WhyArgs, ask,
};
pub use compliance::{Compliance, Exposure, Recorded, compliance};
pub(crate) use coverage::holes;
use coverage::{GAP, gaps, gaps_json, missing};
pub use coverage::{Hour, Hours, hours};
pub use diff::{Diff, before, diff};
pub use rejected::{New, Rejected, rejected, yesterday};
pub use report::{ReportArgs, report};
pub use serve::{ServeArgs, serve};
pub use source::{AskArgs, StoreArgs};
pub(crate) use source::{Times, a_time, in_order, moment, parser_config, tables_of};
use text::footer;
pub use text::{coverage_text, rejected_text, top_text, who_text};
pub use top::{By, Top, top};
pub use who::{Seen, Unlisted, Who, who};

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flowlog_aws::{DynamoDbStore, env};
use flowlog_core::record::{Address, Source, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window};
use flowlog_core::rollup::Rollup;
use flowlog_core::store::authority::{self, SeenBy, Spoken};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::reader::{Answer, Coverage, Deliveries, Detail, Pieces};
use flowlog_core::store::{
    AggregateReader, LedgerEntry, LedgerReader, Quarantine, Series, SeriesItems, StoreError, View,
};
use flowlog_core::why::Evidence;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::analyze::counting;
use crate::embedded::FileReader;
use crate::input::delivered_at;
use crate::report::{printable, time};
use crate::why::FromRollups;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every interface.
    Everything,
    /// One interface, or transit gateway attachment.
    Interface(String),
    /// One VPC or account.
    Scope(String),
}

impl Subject {
    /// Whether a material has this VPC or account as one, not by interface: its records name none.
    fn is_summed(&self, material: &Material) -> bool {
        let is_it = |id: &str| matches!(self, Self::Scope(scope) if scope == id);
        material.answers.iter().any(|(id, _)| is_it(id))
    }

    /// That the one that was named is not there.
    fn missing(&self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Interface(id) => Some(format!("no interface {id} in this time")),
            Self::Scope(id) => Some(format!("no VPC or account {id} in this time")),
        }
    }
}

/// The windows that are asked about, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first.
    pub from: Window,
    /// The last.
    pub to: Window,
}

impl Period {
    /// Its part of the time that begins with `first` and has so many windows.
    fn within(self, first: Window, windows: i64) -> Self {
        Self { from: first.max(self.from), to: first.forward(windows - 1).min(self.to) }
    }
}

/// When, by which version and from which store an answer was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Epoch seconds.
    pub made: i64,
    /// Of flowlog.
    pub version: &'static str,
    /// A file, a stack, or the name of the table of roll-ups.
    pub store: String,
}

impl Made {
    /// Now, from this store.
    fn now(store: String) -> Self {
        Self { made: env::now(), version: env!("CARGO_PKG_VERSION"), store }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, version, store } = self;
        write!(f, "Made {} UTC by flowlog {version} from {}", time(*made), printable(store))
    }
}

/// What the store has on the subject.
#[derive(Debug, Default)]
pub struct Material {
    /// One answer for each interface, sorted by id; one for a VPC or account whose records name none.
    pub answers: Vec<(String, Answer)>,
    /// What all of them rest on, each delivery once, however many interfaces it was of.
    pub deliveries: Deliveries,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// Times of an hour or more of which nothing is on record, not even NODATA: first second, and the one after
    /// the last. Those before the first record and after the last one are in it once it is [bounded](Self::bound).
    pub gaps: Vec<(i64, i64)>,
    /// What was asked for and the store has no days of, in words.
    pub lacks: Option<String>,
    /// What else is not, or may not be, in the answer, a sentence for each reason.
    pub unsure: Vec<String>,
}

impl Material {
    /// How complete it is.
    pub fn coverage(&self) -> Coverage {
        Coverage::of(&self.deliveries)
    }

    /// The last window that there is.
    pub fn last_window(&self) -> Option<Window> {
        self.answers
            .iter()
            .filter_map(|(_, answer)| answer.windows.keys().next_back())
            .max()
            .copied()
    }

    /// The first window that there is.
    pub fn first_window(&self) -> Option<Window> {
        let windows = self.answers.iter().filter_map(|(_, answer)| answer.windows.keys().next());
        windows.min().copied()
    }

    /// Nothing on record from `from` (where somebody asked for that) to the first record, or from the last one to `to`,
    /// is a gap, too; both are epoch seconds. Where nothing is on record at all, that is said by itself.
    pub fn bound(&mut self, from: Option<i64>, to: i64) {
        let (Some(first), Some(last)) = (self.first_window(), self.last_window()) else { return };
        if let Some(from) = from
            && first.start() - from >= GAP
        {
            self.gaps.insert(0, (from, first.start()));
        }
        if to - last.end() >= GAP {
            self.gaps.push((last.end(), to));
        }
    }

    /// SKIPDATA records: AWS lost records in their capture windows.
    pub fn skipdata(&self) -> u64 {
        self.answers.iter().map(|(_, answer)| answer.totals().skipdata).sum()
    }

    /// Whether there is anything, and nothing is known to be missing.
    pub fn is_complete(&self) -> bool {
        !self.answers.is_empty() && self.incomplete().is_empty()
    }

    /// Why what there is is not complete, a sentence for each reason.
    pub fn incomplete(&self) -> Vec<String> {
        let mut why = Vec::new();
        if !self.coverage().is_complete() {
            why.push(OPEN.to_owned());
        }
        if self.skipdata() > 0 {
            why.push(SKIPPED.to_owned());
        }
        why.extend(self.gaps.iter().take(GAPS).map(|(from, to)| {
            format!("nothing is on record from {} to {}, not even NODATA.", time(*from), time(*to))
        }));
        if self.gaps.len() > GAPS {
            let more = self.gaps.len() - GAPS;
            why.push(format!("there are {more} more such times of an hour or longer."));
        }
        why.extend(self.lacks.clone());
        why.extend(self.unsure.iter().cloned());
        why
    }

    /// The notes, and one if nothing is there: no answer then says that there was nothing.
    pub fn all_notes(&self) -> Vec<String> {
        let nothing = self.answers.is_empty().then(|| NOTHING.to_owned());
        nothing.into_iter().chain(self.notes.iter().cloned()).collect()
    }

    /// What every answer ends with, for scripts.
    pub fn to_json(&self) -> Value {
        let coverage = self.coverage();
        json!({
            "complete": self.is_complete(),
            "deliveries": {
                "done": coverage.done,
                "in_progress": coverage.in_progress,
                "quarantined": coverage.quarantined,
                "ledger_expired": coverage.expired,
            },
            "skipdata": self.skipdata(),
            "gaps": gaps_json(&self.gaps),
            "incomplete": self.incomplete(),
            "notes": self.all_notes(),
        })
    }
}

/// What an answer says that rests on nothing.
const NOTHING: &str = "nothing is on record of what was asked about: not even that it was silent";
const OPEN: &str = "what is in progress may add to it, what is quarantined is left out.";
const SKIPPED: &str = "AWS skipped records; `flowlog coverage` says in which hours.";
/// Times without any record that are named.
const GAPS: usize = 10;

/// The period that a store has data of, by whole days; `None` if it has none.
pub async fn whole_period<S: AggregateReader>(store: &S) -> Result<Option<Period>, StoreError> {
    let days: Vec<String> =
        store.sources("00000000", "99999999").await?.into_iter().map(|(day, _)| day).collect();
    let start = |day: Option<&String>| day.and_then(|d| Window::of(Window::day_start(d)?));
    let ends = start(days.first()).zip(start(days.last()));
    Ok(ends.map(|(from, last)| Period { from, to: last.forward(287) }))
}

/// The end of the last window that a store has anything of, in epoch seconds. It looks back from the
/// end of its last day, or from `now` if that is earlier: an hour, then twice as far, and so on.
pub async fn end_of_data<S: AggregateReader>(
    store: &S,
    whole: Period,
    now: i64,
) -> Result<i64, StoreError> {
    let day = whole.to.day();
    let mut series: Vec<Series> = Vec::new();
    for (_, source) in store.sources(&day, &day).await? {
        for subject in store.subjects(&source, View::Interface, &day).await? {
            series.push(Series::interface(source.clone(), subject));
        }
    }
    let first = whole.to.back(WINDOWS_PER_DAY - 1);
    let mut to = Window::of(now).map_or(whole.to, |now| whole.to.min(now).max(first));
    let mut windows = 12;
    loop {
        let from = to.back(windows - 1).max(first);
        let mut last: Option<Window> = None;
        for series in &series {
            // Only what is later than what was found: for most of them that is next to nothing.
            let after = last.map_or(from, |last| last.forward(1));
            if after > to {
                break;
            }
            let SeriesItems { partials, summaries } = store.items(series, after, to).await?;
            let folded =
                summaries.iter().flat_map(|summary| summary.windows.iter().map(|(w, _)| w));
            let windows = folded.chain(partials.iter().map(|p| &p.window));
            last = last.max(windows.filter(|window| **window <= to).max().copied());
        }
        if let Some(last) = last {
            return Ok(last.end());
        }
        if from == first {
            return Ok(whole.to.end());
        }
        (to, windows) = (from.back(1), windows * 2);
    }
}

/// A store that can be asked.
pub trait Asked: AggregateReader + LedgerReader + Quarantine {
    /// Who reads the same in this process's other threads, if that is a file.
    fn file(&self) -> Option<FileReader> {
        None
    }
}

impl Asked for DynamoDbStore {}

impl Asked for MemoryStore {}

/// Subjects that are read at once, at most.
const AT_ONCE: usize = 4;

/// Reads what the store has on a subject in a period.
pub async fn read<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
) -> Result<Material, StoreError> {
    read_in_pieces(store, subject, period, Detail::WINDOWS).await
}

/// The same, folded as far as `detail` allows.
pub async fn read_in_pieces<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
    detail: Detail,
) -> Result<Material, StoreError> {
    let found = find(store, subject, period).await?;
    let mut material = read_with(store, &found, period, detail, |_, answer| answer).await?;
    add_unusable(store, &mut material.deliveries, period).await?;
    material.gaps = gaps(&material);
    Ok(material)
}

/// The same without what no item leads to; of what is read of each, what `take` returns is kept.
async fn read_with<S: Asked>(
    store: &S,
    found: &Found,
    period: Period,
    detail: Detail,
    mut take: impl FnMut(&str, Answer) -> Answer,
) -> Result<Material, StoreError> {
    let mut material = Material::default();
    let left_out = read_found(store, found, period, detail, &mut |id, mut spoken| {
        material.notes.extend(spoken.notes(&id));
        // Of interfaces, what another source saw is the same traffic. Of sums nobody knows.
        if found.view == View::Scope && !spoken.not_added.is_empty() {
            material.unsure.push(format!(
                "other flow logs of {id} are not in it: its records name no interface, so that nothing tells what they have in common."
            ));
        }
        if !spoken.answer.windows.is_empty() {
            material.deliveries.append(&mut spoken.answer.deliveries);
            let kept = take(&id, spoken.answer);
            material.answers.push((id, kept));
        }
    })
    .await?;
    material.unsure.extend(left_out);
    Ok(material)
}

/// Adds the quarantined deliveries that may have had records of a period. Most wrote nothing, so that no item
/// leads to them; whose records they had nobody knows.
pub(crate) async fn add_unusable<S: Asked>(
    store: &S,
    deliveries: &mut Deliveries,
    period: Period,
) -> Result<(), StoreError> {
    const LOGS: &str = "logs:";
    // Where S3 has the traffic, what CloudWatch Logs could not deliver is not missing.
    let rests_on_logs =
        deliveries.values().flatten().any(|delivery| delivery.origin.starts_with(LOGS));
    let may_have_had = |entry: &LedgerEntry| {
        if entry.origin.starts_with(LOGS) {
            return rests_on_logs;
        }
        // A name that tells no time may be of any.
        delivered_at(Path::new(&entry.origin)).is_none_or(|at| {
            period.from.start() - NAMED_AFTER < at && at < period.to.end() + DELIVERED_WITHIN
        })
    };
    let unusable = store.quarantined().await?.into_iter();
    let unusable = unusable.filter(|(_, entry)| may_have_had(entry));
    deliveries.extend(unusable.map(|(batch, entry)| (batch, Some(Arc::new(entry)))));
    Ok(())
}

/// How long after the time in an object's name records in it may begin, and how long before it they may have
/// ended, in seconds: AWS promises neither, and delivers within minutes.
const NAMED_AFTER: i64 = 900;
const DELIVERED_WITHIN: i64 = 3600;

/// Reads what is known of an address. Hours are read whole, and those in which it shows first and last
/// window by window.
pub async fn read_who<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
    address: Address,
) -> Result<(Material, Who), StoreError> {
    let mut known = Who::of(address);
    let hours = Detail::of(Pieces::Hours);
    let found = find(store, subject, period).await?;
    let mut material = read_with(store, &found, period, hours, |id, answer| {
        known.add(id, &answer);
        Answer { windows: answer.windows, ..Answer::default() }
    })
    .await?;
    add_unusable(store, &mut material.deliveries, period).await?;
    material.gaps = gaps(&material);
    let mut ledger = material.deliveries.clone();
    for seen in &mut known.seen {
        let Some((first, last)) = seen.windows else { continue };
        let (mut ends, mut hours) = (Vec::new(), vec![first.hour(), last.hour()]);
        hours.dedup();
        for hour in hours {
            let hour = period.within(hour, WINDOWS_PER_HOUR);
            let mut of_hour = Who::of(address);
            of_hour
                .add(&seen.subject, &found.again(store, &mut ledger, &seen.subject, hour).await?);
            let windows = of_hour.seen.into_iter().filter_map(|seen| seen.windows);
            ends.extend(windows.flat_map(|(first, last)| [first, last]));
        }
        seen.windows = ends.iter().min().copied().zip(ends.iter().max().copied());
    }
    Ok((material, known))
}

/// Reads what the roll-ups say of a path. Hours are read whole, and those in which something was both accepted and
/// refused window by window, of the interfaces that are its ends.
pub async fn read_why<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
    path: flowlog_core::why::Path,
) -> Result<(Material, Evidence), StoreError> {
    let mut known = FromRollups::new(path);
    let found = find(store, subject, period).await?;
    let mut material = read_with(store, &found, period, Detail::of(Pieces::Hours), |id, answer| {
        known.add(id, &answer);
        Answer { windows: answer.windows, ..Answer::default() }
    })
    .await?;
    add_unusable(store, &mut material.deliveries, period).await?;
    material.gaps = gaps(&material);
    let ends: Vec<String> = known.known().map(str::to_owned).collect();
    let mut ledger = material.deliveries.clone();
    for hour in known.unclear() {
        let within = period.within(hour, WINDOWS_PER_HOUR);
        for id in &ends {
            let answer = found.again(store, &mut ledger, id, within).await?;
            if !answer.windows.is_empty() {
                known.refine(id, hour, &answer);
            }
        }
    }
    Ok((material, known.finish()))
}

/// The last window that a store has anything on a subject of in a period.
async fn last_window<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
) -> Result<Option<Window>, StoreError> {
    for day in period.from.days_to(period.to).into_iter().rev() {
        let Some(first) = Window::day_start(&day).and_then(Window::of) else { continue };
        let (day, totals) = (period.within(first, WINDOWS_PER_DAY), Detail::of(Pieces::Totals));
        let found = find(store, subject, day).await?;
        let material = read_with(store, &found, day, totals, |_, answer| answer).await?;
        let last = material.last_window();
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// The subjects of a question, and who saw them.
struct Found {
    view: View,
    seen: BTreeMap<String, SeenBy>,
    /// The VPC or account whose interfaces are among these.
    scope: Option<String>,
    /// Sources whose records of a VPC or account name no interface, so that they are not among these.
    nameless: Vec<Source>,
}

impl Found {
    /// Reads one of them again, window by window. A directory that was read for a period knows each part of it.
    async fn again<S: Asked>(
        &self,
        store: &S,
        ledger: &mut Deliveries,
        id: &str,
        Period { from, to }: Period,
    ) -> Result<Answer, StoreError> {
        let Some(seen) = self.seen.get(id) else { return Ok(Answer::default()) };
        let (of, detail) = ((self.view, id), Detail::WINDOWS);
        Ok(authority::read(store, ledger, of, seen, (from, to), detail).await?.answer)
    }
}

/// What records that name no interface are kept under.
const NAMELESS: &str = "-";

/// Interfaces that may be of the subject. Of a VPC or an account they are those of sources that saw something of it, and of
/// log groups, whose deliveries do not tell; who reads them finds out.
async fn find<S: Asked>(store: &S, subject: &Subject, period: Period) -> Result<Found, StoreError> {
    let scope = match subject {
        Subject::Scope(scope) => Some(scope.clone()),
        Subject::Everything | Subject::Interface(_) => None,
    };
    let (view, seen, nameless) = (View::Interface, BTreeMap::new(), Vec::new());
    let mut found = Found { view, seen, scope, nameless };
    let (mut of_scope, mut are_named) = (SeenBy::default(), false);
    for (day, source) in store.sources(&period.from.day(), &period.to.day()).await? {
        let saw = match subject {
            Subject::Scope(scope) => {
                store.subjects(&source, View::Scope, &day).await?.contains(scope)
            }
            Subject::Everything | Subject::Interface(_) => true,
        };
        if saw {
            of_scope.insert(&day, source.clone());
        }
        for id in store.subjects(&source, View::Interface, &day).await? {
            let is_wanted = match subject {
                Subject::Interface(name) => *name == id,
                Subject::Scope(_) if id == NAMELESS => {
                    if saw && !found.nameless.contains(&source) {
                        found.nameless.push(source.clone());
                    }
                    false
                }
                Subject::Everything | Subject::Scope(_) => true,
            };
            if is_wanted {
                are_named |= saw;
                // Another one may not know VPCs, and would speak for those that it shares with who does.
                if saw || source.is_log_group() {
                    found.seen.entry(id).or_default().insert(&day, source.clone());
                }
            }
        }
    }
    if let Subject::Scope(scope) = subject
        && !are_named
        && !found.nameless.is_empty()
    {
        found = Found {
            view: View::Scope,
            seen: BTreeMap::from([(scope.clone(), of_scope)]),
            scope: None,
            nameless: Vec::new(),
        };
    }
    Ok(found)
}

/// Whether an interface is of a VPC or an account.
fn is_of(answer: &Answer, scope: &str) -> bool {
    answer.rollups().any(|(_, rollup)| rollup.vpc_id == scope || rollup.account_id == scope)
}

/// Reads a subject; of an interface that is not of the VPC or account that is asked about, no more than shows that.
async fn read_one<R: AggregateReader + LedgerReader>(
    reader: &R,
    ledger: &mut Deliveries,
    of: (View, &str),
    seen: &SeenBy,
    within: (Window, Window),
    (detail, scope): (Detail, Option<&str>),
) -> Result<Spoken, StoreError> {
    let (from, to) = within;
    let last = to.back(WINDOWS_PER_HOUR - 1).hour();
    // An attachment of a transit gateway may be of several.
    if let Some(scope) = scope
        && of.1.starts_with("eni-")
        && from < last
    {
        let one = Detail::of(Pieces::One);
        let known = authority::read(reader, ledger, of, seen, (last, to), one).await?.answer;
        if is_elsewhere(&known, scope) {
            return Ok(Spoken::default());
        }
    }
    authority::read(reader, ledger, of, seen, within, detail).await
}

/// Whether a part of what an interface has tells that nothing of it is of a VPC or an account: it is in one as long as it
/// lives. NODATA records name no VPC, and those of what AWS manages may name no account.
fn is_elsewhere(answer: &Answer, scope: &str) -> bool {
    let of_another = |rollup: &Rollup| {
        let (vpc, account) = (&rollup.vpc_id, &rollup.account_id);
        if is_account(scope) { is_account(account) } else { is_vpc(scope) && is_vpc(vpc) }
    };
    !is_of(answer, scope) && answer.rollups().any(|(_, rollup)| of_another(rollup))
}

fn is_vpc(id: &str) -> bool {
    id.starts_with("vpc-")
}

fn is_account(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// The same as [`read_in_pieces`], one interface (or VPC, or account) after the other, sorted by id: no more
/// than a few are held. Returns what is not in it, a sentence for each reason.
pub async fn read_each<S: Asked>(
    store: &S,
    subject: &Subject,
    period: Period,
    detail: Detail,
    take: &mut dyn FnMut(String, Spoken),
) -> Result<Vec<String>, StoreError> {
    read_found(store, &find(store, subject, period).await?, period, detail, take).await
}

/// The same of who was found.
async fn read_found<S: Asked>(
    store: &S,
    found: &Found,
    period: Period,
    detail: Detail,
    take: &mut dyn FnMut(String, Spoken),
) -> Result<Vec<String>, StoreError> {
    let left_out: Vec<String> = found
        .nameless
        .iter()
        .map(|source| format!("{source} has records that name no interface: they are not in it."))
        .collect();
    let (view, scope) = (found.view, found.scope.as_deref());
    // Totals do not tell whose they are.
    let is_bare = scope.is_some() && detail.pieces == Pieces::Totals;
    let detail = if is_bare { Detail::of(Pieces::One) } else { detail };
    let mut take = |id: String, mut spoken: Spoken| {
        if scope.is_none_or(|scope| is_of(&spoken.answer, scope)) {
            if is_bare {
                (spoken.answer.hours, spoken.answer.detailed) = Default::default();
            }
            take(id, spoken);
        }
    };
    let within = (period.from, period.to);
    let progress = Progress::of(found.seen.len());
    let mut subjects = found.seen.iter();
    let mut ledger = Deliveries::default();
    if let Some((id, seen)) = subjects.next() {
        let of = (view, id.as_str());
        let spoken = read_one(store, &mut ledger, of, seen, within, (detail, scope)).await?;
        take(id.clone(), spoken);
        progress.step();
    }
    // Most deliveries are of every interface: what the ledger said for the first one is known to the others,
    // which are read some at once: on threads of their own, or so that the store works while this works.
    let ledger = Arc::new(ledger);
    let file = store.file();
    let at_once = file.as_ref().map_or(AT_ONCE, |_| {
        std::thread::available_parallelism().map_or(1, |n| n.get().min(AT_ONCE))
    });
    let mut others = stream::iter(subjects)
        .map(|(id, seen)| {
            let (ledger, file) = (Arc::clone(&ledger), file.clone());
            async move {
                let Some(file) = file else {
                    let (mut ledger, of) = (Deliveries::clone(&ledger), (view, id.as_str()));
                    let wanted = (detail, scope);
                    let spoken = read_one(store, &mut ledger, of, seen, within, wanted);
                    return Ok((id.clone(), spoken.await?));
                };
                let (id, seen, runtime) = (id.clone(), seen.clone(), Handle::current());
                let scope = found.scope.clone();
                let read = spawn_blocking(move || {
                    let (mut ledger, of) = (Deliveries::clone(&ledger), (view, id.as_str()));
                    let wanted = (detail, scope.as_deref());
                    let spoken = read_one(&file, &mut ledger, of, &seen, within, wanted);
                    let spoken = runtime.block_on(spoken)?;
                    Ok((id, spoken))
                });
                read.await.map_err(|error| StoreError::Permanent(Box::new(error)))?
            }
        })
        .buffered(at_once);
    while let Some((id, spoken)) = others.try_next().await? {
        take(id, spoken);
        progress.step();
    }
    Ok(left_out)
}

/// How far reading has come: shown from a second on, where standard error is a terminal.
struct Progress(ProgressBar);

impl Progress {
    fn of(subjects: usize) -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(subjects as u64), ProgressDrawTarget::hidden());
        Self(bar.with_style(counting("read")))
    }

    fn step(&self) {
        self.0.inc(1);
        if self.0.is_hidden() && self.0.elapsed() > Duration::from_secs(1) {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
