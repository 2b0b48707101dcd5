//! The lists of the page that can be filtered: each by interface, bounded, with the heaviest overall and of each one.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, Scope};
use flowlog_core::rollup::{PortKey, Rollup, Tuple, Weigh as _};

use super::add;
use super::model::{Page, Port, Refused, Source, Talker};
use crate::ask::Material;
use crate::report::unlisted_bytes;

/// How many talkers, sources and ports are listed overall …
const OVERALL: usize = 40;
/// … and of each interface beyond those.
const EACH: usize = 3;

impl Page {
    pub(super) fn list_talkers(&mut self, folded: &[Rollup], index: &BTreeMap<usize, usize>) {
        let mut by: BTreeMap<Address, BTreeMap<usize, [u64; 3]>> = BTreeMap::new();
        for (nth, rollup) in folded.iter().enumerate() {
            self.talkers_error = self.talkers_error.saturating_add(unlisted_bytes(rollup));
            for (key, talker) in rollup.talkers.iter() {
                let cell = by.entry(key.remote).or_default().entry(index[&nth]).or_default();
                let values = [talker.records, talker.bytes_out, talker.bytes_in];
                cell.iter_mut().zip(values).for_each(|(sum, value)| add(sum, value));
            }
        }
        let heaviest = heaviest(&by, |[_, out, back]| out.saturating_add(*back));
        self.talkers = heaviest
            .into_iter()
            .map(|address| Talker {
                address: address.to_string(),
                public: address.scope() == Scope::Public,
                by: by[&address].iter().map(|(at, [n, o, i])| [*at as u64, *n, *o, *i]).collect(),
            })
            .collect();
    }

    pub(super) fn list_sources(&mut self, folded: &[Rollup], index: &BTreeMap<usize, usize>) {
        let mut by: BTreeMap<Address, BTreeMap<usize, [u64; 2]>> = BTreeMap::new();
        let mut times: BTreeMap<Address, (i64, i64)> = BTreeMap::new();
        for (nth, rollup) in folded.iter().enumerate() {
            self.sources_error = self.sources_error.saturating_add(rollup.rejected_sources.error());
            for (address, source) in rollup.rejected_sources.iter() {
                let cell = by.entry(*address).or_default().entry(index[&nth]).or_default();
                add(&mut cell[0], source.records);
                add(&mut cell[1], u64::from(source.contact_count));
                let time = times.entry(*address).or_insert((source.first, source.last));
                *time = (time.0.min(source.first), time.1.max(source.last));
            }
        }
        self.sources = heaviest(&by, |[records, _]| *records)
            .into_iter()
            .map(|address| Source {
                address: address.to_string(),
                public: address.scope() == Scope::Public,
                first: times[&address].0,
                last: times[&address].1,
                by: by[&address].iter().map(|(at, [n, c])| [*at as u64, *n, *c]).collect(),
            })
            .collect();
    }

    pub(super) fn list_refused(&mut self, folded: &[Rollup], index: &BTreeMap<usize, usize>) {
        let mut by: BTreeMap<Tuple, BTreeMap<usize, [u64; 1]>> = BTreeMap::new();
        for (nth, rollup) in folded.iter().enumerate() {
            self.refused_error = self.refused_error.saturating_add(rollup.rejected_tuples.error());
            for (tuple, verdicts) in rollup.rejected_tuples.iter() {
                let cell = by.entry(*tuple).or_default().entry(index[&nth]).or_default();
                add(&mut cell[0], verdicts.weight());
            }
        }
        self.refused = heaviest(&by, |[records]| *records)
            .into_iter()
            .map(|tuple| Refused {
                client: tuple.client.to_string(),
                server: tuple.server.to_string(),
                port: tuple.port,
                protocol: tuple.protocol,
                by: by[&tuple].iter().map(|(at, [n])| [*at as u64, *n]).collect(),
            })
            .collect();
    }

    pub(super) fn list_ports(
        &mut self,
        material: &Material,
        folded: &[Rollup],
        index: &BTreeMap<usize, usize>,
    ) {
        let mut by: BTreeMap<PortKey, BTreeMap<usize, [u64; 1]>> = BTreeMap::new();
        for (nth, rollup) in folded.iter().enumerate() {
            self.ports_error = self.ports_error.saturating_add(rollup.rejected_ports.error());
            for (key, tally) in rollup.rejected_ports.iter() {
                let cell = by.entry(*key).or_default().entry(index[&nth]).or_default();
                add(&mut cell[0], tally.0);
            }
        }
        let listed = heaviest(&by, |[records]| *records);
        let wanted: BTreeSet<PortKey> = listed.iter().copied().collect();
        let mut cells: BTreeMap<PortKey, BTreeMap<(u64, u64), u64>> = BTreeMap::new();
        for (nth, (_, answer)) in material.answers.iter().enumerate() {
            for (window, rollup) in answer.hours.iter().chain(&answer.detailed) {
                let at = (index[&nth] as u64, self.column_of(*window));
                let ports = rollup.rejected_ports.iter().filter(|(key, _)| wanted.contains(key));
                for (key, tally) in ports {
                    add(cells.entry(*key).or_default().entry(at).or_default(), tally.0);
                }
            }
        }
        self.ports = listed
            .into_iter()
            .map(|key| Port {
                protocol: key.protocol,
                port: key.port,
                by: cells
                    .get(&key)
                    .into_iter()
                    .flatten()
                    .map(|((interface, column), n)| [*interface, *column, *n])
                    .collect(),
            })
            .collect();
    }
}

/// The keys with the most weight overall, and of each interface, heaviest first.
fn heaviest<K: Ord + Copy, const N: usize>(
    by: &BTreeMap<K, BTreeMap<usize, [u64; N]>>,
    weight: impl Fn(&[u64; N]) -> u64,
) -> Vec<K> {
    let total = |key: &K| by[key].values().map(&weight).fold(0, u64::saturating_add);
    let mut all: Vec<(u64, K)> = by.keys().map(|key| (total(key), *key)).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut each: BTreeMap<usize, usize> = BTreeMap::new();
    let mut listed = Vec::new();
    for (nth, (_, key)) in all.into_iter().enumerate() {
        let mut wanted = nth < OVERALL;
        for interface in by[&key].keys() {
            let count = each.entry(*interface).or_default();
            *count += 1;
            wanted |= *count <= EACH;
        }
        if wanted {
            listed.push(key);
        }
    }
    listed
}
