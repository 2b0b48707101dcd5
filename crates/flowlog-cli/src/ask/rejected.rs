//! What is refused.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::Address;
use flowlog_core::rollup::{PortKey, Ranked, RejectedSource, Sums, Tally};
use serde_json::{Value, json};

use super::Material;

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
    /// What was not refused the day before; `None` if nothing is known of that day.
    pub new: Option<New>,
}

/// What of an answer is new since the day before it. Lists of that day are cut at the heaviest too, so
/// somebody who was refused very little then may be called new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct New {
    /// Of the listed sources.
    pub sources: BTreeSet<Address>,
    /// Of the listed ports.
    pub ports: BTreeSet<PortKey>,
}

/// What was refused, and what of it is new since the time before.
pub fn rejected(material: &Material, before: Option<&Material>, most: usize) -> Rejected {
    let mut answer = Rejected::default();
    for (id, part) in &material.answers {
        let sums = part.totals().totals.reject;
        answer.total.add(&sums);
        if !sums.is_zero() {
            answer.by_subject.push((id.clone(), sums));
        }
        for (reason, n) in part.fold().reject_reasons {
            *answer.reasons.entry(reason).or_default() += n;
        }
    }
    answer.by_subject.sort_by(|a, b| b.1.records.cmp(&a.1.records).then(a.0.cmp(&b.0)));
    answer.by_subject.truncate(most);
    let (sources, ports) = lists(material);
    answer.sources_error = sources.error();
    answer.ports_error = ports.error();
    let heaviest = sources.heaviest().into_iter().take(most);
    answer.sources = heaviest.map(|(address, source)| (*address, source.clone())).collect();
    let heaviest = ports.heaviest().into_iter().take(most);
    answer.ports = heaviest.map(|(key, tally)| (*key, tally.0)).collect();
    if let Some(before) = before.filter(|material| !material.answers.is_empty()) {
        let (sources, ports) = lists(before);
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

fn lists(material: &Material) -> Lists {
    let mut lists = Lists::default();
    for (_, part) in &material.answers {
        let folded = part.fold();
        lists.0.merge(&folded.rejected_sources);
        lists.1.merge(&folded.rejected_ports);
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
