//! The lists of one interface and window: pruned when the budget is spent, gathered when a chunk is
//! cut.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::distinct::Token;
use super::table::Table;
use super::{
    Distinct, EVIDENCE, Evidence, Mapping, PortKey, Ranked, RejectedSource, Rollup, Service,
    Talker, TalkerKey, Tally, Tuple, Verdicts, Weigh,
};
use crate::record::Address;

/// A hash map whose order is never let out: what leaves it is sorted.
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) talkers: Lost,
    pub(super) sources: Lost,
    pub(super) ports: Lost,
    pub(super) tuples: Lost,
    pub(super) services: Lost,
}

/// A sketch of what was dropped from one list, and the bound on its weight.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) seen: Distinct,
    pub(super) error: u64,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) totals: RejectedSource,
    /// Its first few records.
    pub(super) samples: Vec<Evidence>,
}

/// The lists of one cell while a chunk is cut.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) talkers: Vec<(TalkerKey, Talker)>,
    pub(super) sources: Vec<(Address, Source)>,
    pub(super) ports: Vec<(PortKey, Tally)>,
    pub(super) tuples: Vec<(Tuple, Verdicts)>,
    pub(super) services: Vec<(TalkerKey, Service)>,
}

impl Lists {
    pub(super) fn into_rollup(
        mut self,
        mut rollup: Rollup,
        dropped: Option<Box<Dropped>>,
        mapping: Mapping,
    ) -> Rollup {
        let dropped = dropped.map(|d| *d).unwrap_or_default();
        self.sources.sort_unstable_by_key(|(address, _)| *address);
        rollup.evidence = evidence(&self.sources);
        rollup.talkers = Ranked::new(self.talkers, dropped.talkers.error);
        let sources = self.sources.into_iter().map(|(address, s)| (address, s.totals)).collect();
        rollup.rejected_sources = Ranked::new(sources, dropped.sources.error);
        rollup.rejected_ports = Ranked::new(self.ports, dropped.ports.error);
        if mapping.has_connections() {
            let talker = |key| rollup.talkers.get(&key).copied();
            for (tuple, verdicts) in &mut self.tuples {
                tuple.add_accepted(verdicts, talker);
            }
            rollup.rejected_tuples = Ranked::new(self.tuples, dropped.tuples.error);
            self.services.extend(of_refused(&rollup, &self.services));
            rollup.services = Ranked::new(self.services, dropped.services.error);
        }
        // Where something was dropped the count rests on sketches; else on the complete lists.
        if dropped.talkers.error > 0 {
            rollup.distinct_talkers =
                Distinct::union(&dropped.talkers.seen, &rollup.talkers_seen());
        }
        if dropped.sources.error > 0 {
            rollup.distinct_rejected_sources =
                Distinct::union(&dropped.sources.seen, &rollup.rejected_sources_seen());
        }
        if dropped.ports.error > 0 {
            rollup.distinct_rejected_ports =
                Distinct::union(&dropped.ports.seen, &rollup.rejected_ports_seen());
        }
        rollup
    }
}

/// What sources that were refused exchanged all the same, beyond the services listed already.
fn of_refused(rollup: &Rollup, listed: &[(TalkerKey, Service)]) -> Vec<(TalkerKey, Service)> {
    let listed: BTreeSet<&TalkerKey> = listed.iter().map(|(key, _)| key).collect();
    let refused = rollup.talkers.iter().filter(|(key, _)| {
        rollup.rejected_sources.get(&key.remote).is_some() && !listed.contains(key)
    });
    refused.map(|(key, talker)| (*key, talker.as_service())).collect()
}

/// A record of each of the heaviest sources, then the second of each, and so on: many sources are
/// shown by one record each, a lone scanner by several.
fn evidence(sources: &[(Address, Source)]) -> Vec<Evidence> {
    let mut heaviest: Vec<_> = sources.iter().collect();
    heaviest.sort_by(|a, b| b.1.totals.records.cmp(&a.1.totals.records).then(a.0.cmp(&b.0)));
    heaviest.truncate(EVIDENCE);
    let most = heaviest.iter().map(|(_, source)| source.samples.len()).max().unwrap_or(0);
    let mut rows: Vec<Evidence> = (0..most)
        .flat_map(|nth| heaviest.iter().filter_map(move |(_, source)| source.samples.get(nth)))
        .take(EVIDENCE)
        .copied()
        .collect();
    rows.sort_unstable();
    rows
}

/// What pruning took from one cell's list.
pub(super) struct Loss {
    pub(super) seen: Distinct,
    pub(super) error: u64,
    pub(super) freed: usize,
}

impl Weigh for Source {
    fn weight(&self) -> u64 {
        self.totals.weight()
    }

    fn absorb(&mut self, other: &Self) {
        self.totals.absorb(&other.totals);
    }
}

/// Keeps the `keep` heaviest entries of every cell.
pub(super) fn prune<K: Ord + Copy + Hash, V: Weigh>(
    map: &mut Map<(u32, K), V>,
    keep: usize,
    cost: impl Fn(&V) -> usize,
    token: impl Fn(&K) -> Token,
) -> BTreeMap<u32, Loss> {
    let ranked = map.iter().map(|((cell, key), v)| (*cell, v.weight(), *key)).collect();
    losses(ranked, keep, token, |cell, key| map.remove(&(cell, *key)).map_or(0, |v| cost(&v)))
}

/// As [`prune`], for a table whose entries cost the same each.
pub(super) fn prune_table<V: Weigh>(
    table: &mut Table<V>,
    keep: usize,
    cost: usize,
) -> BTreeMap<u32, Loss> {
    let entries = table.iter().enumerate();
    let ranked: Vec<_> =
        entries.map(|(place, (cell, key, v))| (cell, v.weight(), (key, place))).collect();
    let mut kept = vec![true; ranked.len()];
    let token = |(key, _): &(TalkerKey, usize)| Distinct::address(&key.remote);
    let losses = losses(ranked, keep, token, |_, (_, place)| {
        kept[*place] = false;
        cost
    });
    let mut kept = kept.into_iter();
    table.retain(|| kept.next() == Some(true));
    losses
}

/// Finds the entries of every cell beyond the `keep` heaviest and has them removed; `remove` returns
/// the state that frees.
fn losses<K: Ord>(
    mut ranked: Vec<(u32, u64, K)>,
    keep: usize,
    token: impl Fn(&K) -> Token,
    mut remove: impl FnMut(u32, &K) -> usize,
) -> BTreeMap<u32, Loss> {
    ranked.sort_unstable_by_key(|(cell, ..)| *cell);
    let mut losses = BTreeMap::new();
    for of_cell in ranked.chunk_by_mut(|a, b| a.0 == b.0) {
        if of_cell.len() <= keep {
            continue;
        }
        let heavier =
            |a: &(u32, u64, K), b: &(u32, u64, K)| b.1.cmp(&a.1).then_with(|| a.2.cmp(&b.2));
        let (_, heaviest, _) = of_cell.select_nth_unstable_by(keep, heavier);
        let (cell, error) = (heaviest.0, heaviest.1.max(1));
        let light = &of_cell[keep..];
        let mut tokens: Vec<_> = light.iter().map(|(_, _, key)| token(key)).collect();
        // As the bytes are ordered, but compared as numbers.
        tokens.sort_unstable_by_key(|[kind, value @ ..]| (*kind, u128::from_be_bytes(*value)));
        let freed = light.iter().map(|(cell, _, key)| remove(*cell, key)).sum();
        losses.insert(cell, Loss { seen: Distinct::of(tokens.into_iter()), error, freed });
    }
    losses
}
