//! The lists of one interface and window: pruned when the budget is spent, gathered when a chunk is
//! cut.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::Range;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use indexmap::IndexMap;

use super::distinct::Token;
use super::samples::{Places, Samples};
use super::table::{Entry, Key, Ordered, Table, Wide};
use super::{
    Distinct, EVIDENCE, Evidence, Mapping, PortKey, Ranked, RejectedSource, Rollup, Service,
    Talker, TalkerKey, Tally, Tuple, Verdicts, Weigh,
};
use crate::record::{Address, Direction};

/// A hash map whose order is never let out: what leaves it is sorted.
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

/// Refused tuples by cell. Their entries stand side by side and are sorted where they are: taken out of a hash table they
/// would be there twice.
pub(super) type Tuples = IndexMap<(u32, Tuple), Verdicts, RandomState>;

#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) talkers: Lost,
    pub(super) sources: Lost,
    pub(super) ports: Lost,
    pub(super) tuples: Lost,
    pub(super) services: Lost,
}

/// A sketch of what was dropped from one list, where that is counted, and the bound on its weight.
#[derive(Debug, Default)]
pub(super) struct Lost {
    seen: Distinct,
    error: u64,
}

impl Lost {
    /// Adds what was dropped once more.
    pub(super) fn add(&mut self, loss: &Loss) {
        self.error = self.error.saturating_add(loss.error);
        if loss.seen.is_sketch() {
            self.seen = Distinct::union(&self.seen, &loss.seen);
        }
    }

    /// The count of these together with those that are listed still.
    fn with(&self, listed: impl Iterator<Item = Token>) -> Distinct {
        Distinct::union(&self.seen, &Distinct::of(listed))
    }
}

/// A refused source, and where its first records are.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) totals: RejectedSource,
    pub(super) samples: Places,
}

impl Default for Source {
    fn default() -> Self {
        Self::first(0, 0, Direction::Unknown)
    }
}

impl Source {
    /// A source of which nothing has been added yet; its first record is from `first` to `last`.
    pub(super) fn first(first: i64, last: i64, direction: Direction) -> Self {
        let totals = RejectedSource {
            records: 0,
            packets: 0,
            bytes: 0,
            replies: 0,
            first,
            last,
            direction,
            contacts: Vec::new(),
            contact_count: 0,
        };
        Self { totals, samples: Places::default() }
    }

    /// Adds what a record counts.
    pub(super) fn add(
        &mut self,
        direction: Direction,
        packets: u64,
        bytes: u64,
        (start, end): (i64, i64),
    ) {
        let totals = &mut self.totals;
        totals.records += 1;
        totals.packets = totals.packets.saturating_add(packets);
        totals.bytes = totals.bytes.saturating_add(bytes);
        totals.first = totals.first.min(start);
        totals.last = totals.last.max(end);
        if totals.direction != direction {
            totals.direction = Direction::Unknown;
        }
    }
}

/// The lists of one cell, out of the state and on their way into its roll-up, each sorted by key.
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
        samples: &Samples,
        dropped: Option<Box<Dropped>>,
        mapping: Mapping,
    ) -> Rollup {
        let dropped = dropped.map(|d| *d).unwrap_or_default();
        rollup.evidence = evidence(&self.sources, samples);
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
            rollup.distinct_talkers = dropped.talkers.with(rollup.talker_tokens());
        }
        if dropped.sources.error > 0 {
            rollup.distinct_rejected_sources = dropped.sources.with(rollup.source_tokens());
        }
        if dropped.ports.error > 0 {
            rollup.distinct_rejected_ports = dropped.ports.with(rollup.port_tokens());
        }
        rollup
    }
}

/// What sources that were refused exchanged all the same, beyond the services listed already.
fn of_refused(rollup: &Rollup, listed: &[(TalkerKey, Service)]) -> Vec<(TalkerKey, Service)> {
    // All are sorted by address.
    let mut sources = rollup.rejected_sources.iter().map(|(address, _)| address).peekable();
    let mut found = Vec::new();
    for (key, talker) in rollup.talkers.iter() {
        while sources.next_if(|address| **address < key.remote).is_some() {}
        let Some(next) = sources.peek() else { break };
        if **next == key.remote && listed.binary_search_by_key(key, |(key, _)| *key).is_err() {
            found.push((*key, talker.as_service()));
        }
    }
    found
}

/// A record of each of the heaviest sources, then the second of each, and so on: many sources are
/// shown by one record each, a lone scanner by several.
fn evidence(sources: &[(Address, Source)], samples: &Samples) -> Vec<Evidence> {
    let heavier = |a: &&(Address, Source), b: &&(Address, Source)| {
        b.1.totals.records.cmp(&a.1.totals.records).then(a.0.cmp(&b.0))
    };
    let mut heaviest: Vec<_> = sources.iter().collect();
    if heaviest.len() > EVIDENCE {
        heaviest.select_nth_unstable_by(EVIDENCE, heavier);
        heaviest.truncate(EVIDENCE);
    }
    heaviest.sort_unstable_by(heavier);
    let most = heaviest.iter().map(|(_, source)| source.samples.len()).max().unwrap_or(0);
    let mut rows: Vec<Evidence> = (0..most)
        .flat_map(|nth| heaviest.iter().filter_map(move |(_, s)| samples.nth(&s.samples, nth)))
        .take(EVIDENCE)
        .collect();
    rows.sort_unstable();
    rows
}

/// What pruning took from one cell's list.
pub(super) struct Loss {
    /// A sketch, where what the list has is counted.
    seen: Distinct,
    error: u64,
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

/// Keeps the `keep` heaviest entries of every cell. `token` is what is counted of those that go, if anything.
pub(super) fn prune<K: Ord + Copy + Hash, V: Weigh>(
    map: &mut Map<(u32, K), V>,
    keep: usize,
    cost: impl Fn(&V) -> usize,
    token: impl Fn(&K) -> Option<Token>,
) -> BTreeMap<u32, Loss> {
    let mut ranked = Crowds::of(map.keys().map(|(cell, _)| *cell), keep);
    for ((cell, key), value) in &*map {
        ranked.add(*cell, value.weight(), *key);
    }
    ranked.losses(keep, token, |cell, key| map.remove(&(cell, *key)).map_or(0, |v| cost(&v)))
}

/// As [`prune`], for tuples, each of which costs the same and which are not counted.
pub(super) fn prune_tuples(tuples: &mut Tuples, keep: usize, cost: usize) -> BTreeMap<u32, Loss> {
    let mut ranked = Crowds::of(tuples.keys().map(|(cell, _)| *cell), keep);
    for ((cell, key), value) in &*tuples {
        ranked.add(*cell, value.weight(), *key);
    }
    let remove = |cell, key: &Tuple| tuples.swap_remove(&(cell, *key)).map_or(0, |_| cost);
    ranked.losses(keep, |_| None, remove)
}

/// A list by address: of every cell the entries stand among those of others, in the order in which they came.
pub(super) trait Listed {
    /// How many entries there are.
    fn len(&self) -> usize;

    /// Their cells.
    fn cells(&self) -> impl Iterator<Item = u32>;

    /// Their cells, their order within the cell, with their places, and what they weigh.
    fn ordered(&self) -> impl Iterator<Item = (u32, Ordered, u64)>;

    /// What the one at a place is kept under.
    fn key(&self, place: u32) -> Option<Key>;

    /// What the one at a place is charged.
    fn cost(&self, place: u32) -> usize;

    /// Keeps the entries for which `keep` says so.
    fn retain(&mut self, keep: &[bool]);
}

/// A value of a table, which costs state.
pub(super) trait Charged: Weigh {
    fn cost(&self) -> usize;
}

impl<V: Charged> Listed for Table<Wide<V>> {
    fn len(&self) -> usize {
        self.len()
    }

    fn cells(&self) -> impl Iterator<Item = u32> {
        self.cells()
    }

    fn ordered(&self) -> impl Iterator<Item = (u32, Ordered, u64)> {
        (0..)
            .zip(self.iter())
            .map(|(place, one)| (one.cell(), one.key().ordered(place), one.value.weight()))
    }

    fn key(&self, place: u32) -> Option<Key> {
        self.get(place as usize).map(Entry::key)
    }

    fn cost(&self, place: u32) -> usize {
        self.get(place as usize).map_or(0, |one| one.value.cost())
    }

    fn retain(&mut self, keep: &[bool]) {
        self.retain(keep);
    }
}

/// As [`prune`], for a list by address.
pub(super) fn prune_listed(
    list: &mut impl Listed,
    keep: usize,
    token: impl Fn(&Address) -> Option<Token>,
) -> BTreeMap<u32, Loss> {
    let mut ranked = Crowds::of(list.cells(), keep);
    for (cell, ordered, weight) in list.ordered() {
        ranked.add(cell, weight, ordered);
    }
    let mut kept = vec![true; list.len()];
    let losses = ranked.losses(
        keep,
        |ordered| token(&list.key(ordered.place)?.remote()),
        |_, ordered| {
            kept[ordered.place as usize] = false;
            list.cost(ordered.place)
        },
    );
    if !losses.is_empty() {
        list.retain(&kept);
    }
    losses
}

/// The entries of those cells that have too many, side by side.
struct Crowds<K> {
    /// By cell: where its next entry goes.
    next: Vec<u32>,
    /// Cell and the places of its entries.
    places: Vec<(u32, Range<usize>)>,
    /// Weight and key; as many as there are places once the first is in.
    entries: Vec<(u64, K)>,
    length: usize,
}

/// In [`Crowds::next`], of a cell that has few enough.
const FEW: u32 = u32::MAX;

impl<K: Ord + Copy> Crowds<K> {
    /// Counts the entries of every cell and makes room for those of cells with more than `keep`.
    fn of(cells: impl Iterator<Item = u32>, keep: usize) -> Self {
        let mut next: Vec<u32> = Vec::new();
        for cell in cells {
            let cell = cell as usize;
            if cell >= next.len() {
                next.resize(cell + 1, 0);
            }
            next[cell] += 1;
        }
        let (mut places, mut length) = (Vec::new(), 0);
        for (cell, count) in (0u32..).zip(&mut next) {
            let many = *count as usize;
            if many <= keep {
                *count = FEW;
                continue;
            }
            *count = u32::try_from(length).unwrap_or(FEW);
            places.push((cell, length..length + many));
            length += many;
        }
        Self { next, places, entries: Vec::new(), length }
    }

    /// Adds an entry, if its cell has too many. All that were counted must be added.
    fn add(&mut self, cell: u32, weight: u64, key: K) {
        let next = &mut self.next[cell as usize];
        if *next != FEW {
            if self.entries.is_empty() {
                self.entries = vec![(weight, key); self.length];
            }
            self.entries[*next as usize] = (weight, key);
            *next += 1;
        }
    }

    /// Finds the entries of every cell beyond the `keep` heaviest and has them removed; `remove`
    /// returns the state that frees.
    fn losses(
        mut self,
        keep: usize,
        token: impl Fn(&K) -> Option<Token>,
        mut remove: impl FnMut(u32, &K) -> usize,
    ) -> BTreeMap<u32, Loss> {
        let mut losses = BTreeMap::new();
        for (cell, places) in self.places {
            let of_cell = &mut self.entries[places];
            // The heaviest first; of equal weights, the least key.
            let heavier = |a: &(u64, K), b: &(u64, K)| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1));
            let (_, (heaviest, _), _) = of_cell.select_nth_unstable_by(keep, heavier);
            // Never nothing: without an error the list would say that it is complete.
            let error = (*heaviest).max(1);
            let light = &mut of_cell[keep..];
            let freed = light.iter().map(|(_, key)| remove(cell, key)).sum();
            let seen = if light.first().is_some_and(|(_, key)| token(key).is_some()) {
                // Keys are ordered as what is counted of them is.
                light.sort_unstable_by_key(|(_, key)| *key);
                Distinct::of(light.iter().filter_map(|(_, key)| token(key)))
            } else {
                Distinct::default()
            };
            losses.insert(cell, Loss { seen, error, freed });
        }
        losses
    }
}
