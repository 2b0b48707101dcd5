//! What changed between two times: who is new, who is gone, what is refused that was not.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::Address;
use flowlog_core::rollup::{PortKey, Ranked, RejectedSource, Tally};
use serde_json::{Value, json};

use super::{Material, Period};
use crate::report::unlisted_bytes;
use flowlog_core::rollup::{ActionTotals, Weigh as _};

/// What two times differ in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Exact sums of the earlier time.
    pub before: ActionTotals,
    /// Exact sums of the later time.
    pub after: ActionTotals,
    /// Talkers of the later time only, by bytes.
    pub new_talkers: Vec<(Address, u64)>,
    /// Talkers of the earlier time only, by bytes then.
    pub gone_talkers: Vec<(Address, u64)>,
    /// Sources refused in the later time only, by records.
    pub new_sources: Vec<(Address, u64)>,
    /// Ports refused in the later time only, by records.
    pub new_ports: Vec<(PortKey, u64)>,
    /// Interfaces of the later time only.
    pub new_interfaces: Vec<String>,
    /// Interfaces of the earlier time only.
    pub gone_interfaces: Vec<String>,
    /// Bytes that a talker who is called new may have had before, unlisted; and one called gone, after.
    pub talkers_error: (u64, u64),
    /// Records that a source called new may have had before.
    pub sources_error: u64,
    /// Records that a port called new may have had before.
    pub ports_error: u64,
}

/// The lists of one time.
#[derive(Default)]
struct Lists {
    totals: ActionTotals,
    talkers: BTreeMap<Address, u64>,
    talkers_error: u64,
    sources: Ranked<Address, RejectedSource>,
    ports: Ranked<PortKey, Tally>,
    interfaces: BTreeSet<String>,
}

impl Lists {
    fn of(material: &Material) -> Self {
        let mut lists = Self::default();
        for (id, answer) in &material.answers {
            let folded = answer.fold();
            lists.interfaces.insert(id.clone());
            lists.totals.add(&answer.totals().totals);
            lists.talkers_error = lists.talkers_error.saturating_add(unlisted_bytes(&folded));
            for (key, talker) in folded.talkers.iter() {
                let bytes = lists.talkers.entry(key.remote).or_default();
                *bytes = bytes.saturating_add(talker.bytes());
            }
            lists.sources.merge(&folded.rejected_sources);
            lists.ports.merge(&folded.rejected_ports);
        }
        lists
    }
}

/// What is in the later material and not in the earlier one, and the other way round.
pub fn diff(earlier: &Material, later: &Material, most: usize) -> Diff {
    let (before, after) = (Lists::of(earlier), Lists::of(later));
    let talkers = |here: &Lists, there: &Lists| {
        let only = here.talkers.iter().filter(|(address, _)| !there.talkers.contains_key(address));
        heaviest(only.map(|(address, bytes)| (*address, *bytes)), most)
    };
    let sources = after.sources.iter().filter(|(key, _)| before.sources.get(key).is_none());
    let ports = after.ports.iter().filter(|(key, _)| before.ports.get(key).is_none());
    let only = |a: &Lists, b: &Lists| a.interfaces.difference(&b.interfaces).cloned().collect();
    Diff {
        before: before.totals,
        after: after.totals,
        new_talkers: talkers(&after, &before),
        gone_talkers: talkers(&before, &after),
        new_sources: heaviest(sources.map(|(key, source)| (*key, source.weight())), most),
        new_ports: heaviest(ports.map(|(key, tally)| (*key, tally.0)), most),
        new_interfaces: only(&after, &before),
        gone_interfaces: only(&before, &after),
        talkers_error: (before.talkers_error, after.talkers_error),
        sources_error: before.sources.error(),
        ports_error: before.ports.error(),
    }
}

fn heaviest<K: Ord>(items: impl Iterator<Item = (K, u64)>, most: usize) -> Vec<(K, u64)> {
    let mut items: Vec<(K, u64)> = items.collect();
    items.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    items.truncate(most);
    items
}

/// The time just before a period, and as long.
pub fn before(period: Period) -> Period {
    let windows = (period.to.end() - period.from.start()) / 300;
    Period { from: period.from.back(windows), to: period.from.back(1) }
}

impl Diff {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let sums = |t: &ActionTotals| json!({ "accepted": t.accept, "rejected": t.reject, "other": t.other });
        let list = |list: &[(Address, u64)], unit: &str| -> Vec<Value> {
            list.iter().map(|(a, n)| json!({ "address": a.to_string(), unit: n })).collect()
        };
        json!({
            "before": sums(&self.before),
            "after": sums(&self.after),
            "new_talkers": list(&self.new_talkers, "bytes"),
            "gone_talkers": list(&self.gone_talkers, "bytes"),
            "new_sources": list(&self.new_sources, "records"),
            "new_ports": self.new_ports.iter().map(|(key, n)| json!({
                "protocol": key.protocol, "port": key.port, "records": n,
            })).collect::<Vec<_>>(),
            "new_interfaces": self.new_interfaces,
            "gone_interfaces": self.gone_interfaces,
            "error_bounds": {
                "new_talkers_bytes": self.talkers_error.0, "gone_talkers_bytes": self.talkers_error.1,
                "new_sources_records": self.sources_error, "new_ports_records": self.ports_error,
            },
        })
    }
}
