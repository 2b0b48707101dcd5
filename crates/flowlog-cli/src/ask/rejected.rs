//! What is refused.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, WINDOWS_PER_DAY, Window};
use flowlog_core::rollup::{PortKey, Ranked, RejectedSource, Sums, Tally};
use serde_json::{Value, json};

use super::{Material, Period};

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Rejected records, packets and bytes, exact.
    pub total: Sums,
    /// The same by interface (or scope), exact, heaviest first.
    pub by_subject: Vec<(String, Sums)>,
    /// Sources, heaviest first.
    pub sources: Vec<(Address, RejectedSource)>,
    /// Records that a source which is not listed may have.
    pub sources_error: u64,
    /// Destination ports, heaviest first.
    pub ports: Vec<(PortKey, u64)>,
    /// Records that a port which is not listed may have.
    pub ports_error: u64,
    /// Records by reject-reason, where the format has it.
    pub reasons: BTreeMap<String, u64>,
    /// What was not refused before the last day ([`yesterday`]); `None` if nothing is known of that time.
    pub new: Option<New>,
}

/// What of an answer is new since yesterday. Lists of the time before are cut at the heaviest too, so
/// somebody who was refused very little then may be called new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct New {
    /// Of the listed sources.
    pub sources: BTreeSet<Address>,
    /// Of the listed ports.
    pub ports: BTreeSet<PortKey>,
}

/// From which window on what was not refused before is new: the last day of what is there, up to `last`. And
/// the time before the period that has to be read, too, for a day to compare with.
pub fn yesterday(last: Window, period: Period) -> (Window, Option<Period>) {
    let new = period.from.max(last.back(WINDOWS_PER_DAY - 1));
    let (from, to) = (new.back(WINDOWS_PER_DAY), period.from.back(1));
    (new, (from <= to).then_some(Period { from, to }))
}

/// What was refused. What of it is new is told if it is given since when, and what there was before
/// `material` (nothing, if that goes back far enough).
pub fn rejected(material: &Material, new: Option<(Window, &Material)>, most: usize) -> Rejected {
    let mut answer = Rejected::default();
    for (id, part) in &material.answers {
        let sums = part.totals().totals.reject;
        answer.total.add(&sums);
        if !sums.is_zero() {
            answer.by_subject.push((id.clone(), sums));
        }
        for (reason, n) in part.rollups().flat_map(|(_, rollup)| &rollup.reject_reasons) {
            *answer.reasons.entry(reason.clone()).or_default() += n;
        }
    }
    answer.by_subject.sort_by(|a, b| b.1.records.cmp(&a.1.records).then(a.0.cmp(&b.0)));
    answer.by_subject.truncate(most);
    let (sources, ports) = lists(material, None);
    answer.sources_error = sources.error();
    answer.ports_error = ports.error();
    let heaviest = sources.heaviest().into_iter().take(most);
    answer.sources = heaviest.map(|(address, source)| (*address, source.clone())).collect();
    let heaviest = ports.heaviest().into_iter().take(most);
    answer.ports = heaviest.map(|(key, tally)| (*key, tally.0)).collect();
    let known = |(since, before): &(Window, &Material)| {
        let mut windows = material.answers.iter().flat_map(|(_, answer)| answer.windows.keys());
        !before.answers.is_empty() || windows.any(|window| window < since)
    };
    if let Some((since, before)) = new.filter(known) {
        let (mut sources, mut ports) = lists(before, None);
        let earlier = lists(material, Some(since));
        sources.merge(&earlier.0);
        ports.merge(&earlier.1);
        let new = |address: &&Address| sources.get(address).is_none();
        answer.new = Some(New {
            sources: answer
                .sources
                .iter()
                .map(|(address, _)| address)
                .filter(new)
                .copied()
                .collect(),
            ports: answer
                .ports
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| ports.get(key).is_none())
                .collect(),
        });
    }
    answer
}

type Lists = (Ranked<Address, RejectedSource>, Ranked<PortKey, Tally>);

/// The lists of all of it, or of what was before a window.
fn lists(material: &Material, before: Option<Window>) -> Lists {
    let mut lists = Lists::default();
    for (_, part) in &material.answers {
        let is_in = |window: &Window| before.is_none_or(|before| *window < before);
        let parts = part.rollups().filter(|(window, _)| is_in(window));
        let mut folded = Lists::default();
        for (_, rollup) in parts {
            folded.0.merge(&rollup.rejected_sources);
            folded.1.merge(&rollup.rejected_ports);
        }
        lists.0.merge(&folded.0);
        lists.1.merge(&folded.1);
    }
    lists
}

impl Rejected {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let sums =
            |s: &Sums| json!({ "records": s.records, "packets": s.packets, "bytes": s.bytes });
        json!({
            "total": sums(&self.total),
            "subjects": self.by_subject.iter().map(|(id, s)| json!({
                "subject": id, "records": s.records, "packets": s.packets, "bytes": s.bytes,
            })).collect::<Vec<_>>(),
            "sources": self.sources.iter().map(|(address, s)| json!({
                "source": address.to_string(), "records": s.records, "packets": s.packets,
                "bytes": s.bytes, "contacts": s.contact_count, "first": s.first, "last": s.last,
                "new": self.new.as_ref().map(|new| new.sources.contains(address)),
            })).collect::<Vec<_>>(),
            "ports": self.ports.iter().map(|(key, n)| json!({
                "protocol": key.protocol, "port": key.port, "records": n,
                "new": self.new.as_ref().map(|new| new.ports.contains(key)),
            })).collect::<Vec<_>>(),
            "reasons": self.reasons,
            "error_bounds": {
                "sources_records": self.sources_error, "ports_records": self.ports_error,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use flowlog_core::decode::{Fallback, Limits, ObjectDecoder};
    use flowlog_core::rollup::{Accumulator, Budget};
    use flowlog_core::store::reader::Answer;

    use super::*;

    const MIDNIGHT: i64 = 1_793_491_200;

    /// What was refused by `eni-1`: source, port and when, in hours after midnight.
    fn refused(records: &[(&str, u16, i64)]) -> Material {
        let lines: Vec<String> = records
            .iter()
            .map(|(source, port, hour)| {
                let at = MIDNIGHT + hour * 3600;
                format!(
                    "2 1 eni-1 {source} 10.0.0.5 50000 {port} 6 1 40 {at} {} REJECT OK\n",
                    at + 5
                )
            })
            .collect();
        let sink = Accumulator::new(Budget::default(), None);
        let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
        decoder.push(lines.concat().as_bytes()).unwrap();
        let mut answer = Answer::default();
        for (_, window, rollup) in decoder.finish().unwrap().sink.finish().into_iter().flatten() {
            answer.windows.entry(window).or_default().totals.add(&rollup.totals());
            answer.detailed.entry(window).or_default().merge(&rollup);
        }
        Material { answers: vec![("eni-1".to_owned(), answer)], ..Material::default() }
    }

    fn period(from: i64, to: i64) -> Period {
        let at = |hour| Window::of(MIDNIGHT + hour * 3600).unwrap();
        Period { from: at(from), to: at(to).back(1) }
    }

    #[test]
    fn what_was_not_refused_before_the_last_day_is_new() {
        let records = [
            ("203.0.113.1", 22, 1),
            ("203.0.113.1", 22, 40),
            ("203.0.113.2", 23, 41),
            ("203.0.113.3", 24, 2),
        ];
        let two_days = refused(&records);
        let (since, before) = yesterday(two_days.last_window().unwrap(), period(0, 48));
        assert_eq!(
            since.start(),
            MIDNIGHT + 41 * 3600 + 300 - 86_400,
            "a day up to the last record"
        );
        // Before the two days there may have been something within a day of that, too.
        assert_eq!(before.map(|before| before.to), Some(period(0, 1).from.back(1)));
        let nothing = Material::default();
        let found = rejected(&two_days, Some((since, &nothing)), 10).new.unwrap();
        let addresses = |new: &New| new.sources.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses(&found), ["203.0.113.2"]);
        assert_eq!(found.ports.iter().map(|key| key.port).collect::<Vec<_>>(), [23]);

        // The last hours only: what to compare with is read apart.
        let last = refused(&records[1..3]);
        let (since, before) = yesterday(last.last_window().unwrap(), period(40, 48));
        assert_eq!(since, period(40, 48).from);
        assert_eq!(before, Some(period(16, 40)));
        assert_eq!(rejected(&last, Some((since, &nothing)), 10).new, None, "nothing is known");
        let earlier = refused(&[("203.0.113.1", 9, 20)]);
        let found = rejected(&last, Some((since, &earlier)), 10).new.unwrap();
        assert_eq!(addresses(&found), ["203.0.113.2"]);
        assert_eq!(found.ports.len(), 2, "22 and 23");
    }
}
