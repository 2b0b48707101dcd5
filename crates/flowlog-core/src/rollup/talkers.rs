//! Who talked: a table of IPv4 talkers, two of which share a cache line, and one of all others.
//!
//! There are more talkers than anything else, and hardly one exchanges as much as 4 GiB in one window. One that
//! does goes on under its place in a table of the few.

use foldhash::fast::RandomState;

use super::lists::{Listed, Map};
use super::table::{Entry, Key, NarrowKey, Ordered, Probe, Ranks, Table, Wide};
use super::{Talker, TalkerKey, Weigh as _};
use crate::record::{Direction, Scope};

/// Approximate bytes of state of a talker, of whatever family and size.
pub(super) const TALKER_COST: usize = 96;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Talkers {
    pub(super) v4: Table<Narrow>,
    pub(super) others: Table<Wide<Talker>>,
    /// By the place of an IPv4 talker: what its entry has no room for.
    large: Map<u32, Talker>,
    /// What an entry of IPv4 is charged; one that is large is charged [`TALKER_COST`].
    narrow_cost: usize,
}

/// An IPv4 talker.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Narrow {
    key: NarrowKey,
    records: u32,
    /// Packets and bytes: from the interface (or of unknown direction), then towards it.
    counts: [[u32; 2]; 2],
}

const _: () = assert!(size_of::<Narrow>() == 32);

impl Entry for Narrow {
    type Key = NarrowKey;

    #[inline]
    fn key(&self) -> NarrowKey {
        self.key
    }

    #[inline]
    fn is(&self, key: &NarrowKey) -> bool {
        self.key.is(key)
    }

    #[inline]
    fn wide_key(&self) -> Key {
        self.key.widen()
    }

    #[inline]
    fn cell(&self) -> u32 {
        self.key.cell()
    }
}

impl Narrow {
    /// One that has exchanged nothing yet.
    fn new(key: NarrowKey) -> Self {
        Self { key: key.scoped(), records: 0, counts: [[0; 2]; 2] }
    }

    /// The scope of its address.
    #[inline]
    pub(super) fn scope(&self) -> Scope {
        self.key.scope()
    }

    /// Adds a record, if there is room for its numbers.
    #[inline]
    pub(super) fn add(&mut self, direction: Direction, packets: u64, bytes: u64) -> bool {
        let [of_packets, of_bytes] = &mut self.counts[usize::from(direction == Direction::Ingress)];
        let packets = u32::try_from(u64::from(*of_packets).saturating_add(packets));
        let bytes = u32::try_from(u64::from(*of_bytes).saturating_add(bytes));
        let records = self.records.checked_add(1);
        let (Ok(packets), Ok(bytes), Some(records)) = (packets, bytes, records) else {
            return false;
        };
        (*of_packets, *of_bytes, self.records) = (packets, bytes, records);
        true
    }

    fn value(&self) -> Talker {
        let [[packets_out, bytes_out], [packets_in, bytes_in]] = self.counts;
        Talker {
            records: self.records.into(),
            packets_in: packets_in.into(),
            bytes_in: bytes_in.into(),
            packets_out: packets_out.into(),
            bytes_out: bytes_out.into(),
        }
    }
}

impl Talkers {
    /// None yet. Of `state_bytes`, an entry of IPv4 takes `narrow_cost` at least.
    pub(super) fn new(state_bytes: usize, narrow_cost: usize, hasher: &RandomState) -> Self {
        Self {
            v4: Table::new(state_bytes / narrow_cost.max(1) + 1, hasher.clone()),
            others: Table::new(state_bytes / TALKER_COST + 1, hasher.clone()),
            large: Map::default(),
            narrow_cost,
        }
    }

    /// Adds a record of a talker; returns the state that it costs.
    pub(super) fn add(
        &mut self,
        cell: u32,
        talker: &TalkerKey,
        direction: Direction,
        (packets, bytes): (u64, u64),
    ) -> usize {
        let key = Key::of(cell, talker);
        if key.is_v4() {
            let mut probe = Probe::new(key.narrow(), self.v4.hasher());
            let new = if self.v4.locate(&mut probe) { 0 } else { self.meet(&mut probe) };
            return new + self.add_narrow(&probe, direction, (packets, bytes));
        }
        let mut cost = 0;
        let entry = self.others.entry(key, |key| {
            cost = TALKER_COST;
            Wide::new(key, Talker::default())
        });
        entry.value.add(direction, packets, bytes);
        cost
    }

    /// Makes the IPv4 talker of a look-up, if there is none; returns the state that it costs.
    #[cold]
    pub(super) fn meet(&mut self, probe: &mut Probe<NarrowKey>) -> usize {
        let before = self.v4.len();
        self.v4.locate_or_insert(probe, Narrow::new);
        (self.v4.len() - before) * self.narrow_cost
    }

    /// Adds a record of an IPv4 talker that was located; returns the state that it costs.
    #[inline]
    pub(super) fn add_narrow(
        &mut self,
        probe: &Probe<NarrowKey>,
        direction: Direction,
        (packets, bytes): (u64, u64),
    ) -> usize {
        let Some(talker) = self.v4.located(probe) else { return 0 };
        if talker.add(direction, packets, bytes) {
            return 0;
        }
        self.outgrow(probe.place, direction, (packets, bytes))
    }

    /// Adds a record whose numbers there is no room for in the entry of its talker.
    #[cold]
    pub(super) fn outgrow(
        &mut self,
        place: u32,
        direction: Direction,
        (packets, bytes): (u64, u64),
    ) -> usize {
        let before = self.large.len();
        self.large.entry(place).or_default().add(direction, packets, bytes);
        (self.large.len() - before) * TALKER_COST.saturating_sub(self.narrow_cost)
    }

    /// Forgets every one.
    pub(super) fn clear(&mut self) {
        self.v4.clear();
        self.others.clear();
        self.large.clear();
    }

    /// The places of all in the order of the ranks of their cells.
    pub(super) fn by_rank(&self, ranks: &[u32]) -> [Ranks; 2] {
        [self.v4.by_rank(ranks), self.others.by_rank(ranks)]
    }

    /// Takes out what the cell of a rank has, in order.
    pub(super) fn take(
        &mut self,
        [v4, others]: &[Ranks; 2],
        rank: u32,
    ) -> Vec<(TalkerKey, Talker)> {
        let large = &self.large;
        let mut taken = self.v4.take(v4, rank, |key, place, one| (key, value(large, place, one)));
        // Those of IPv4 come first.
        let others =
            self.others.take(others, rank, |key, _, one| (key, std::mem::take(&mut one.value)));
        if !others.is_empty() {
            taken.extend(others);
        }
        taken
    }
}

/// What an IPv4 talker at a place has exchanged.
fn value(large: &Map<u32, Talker>, place: u32, narrow: &Narrow) -> Talker {
    let mut talker = narrow.value();
    if let Some(more) = large.get(&place) {
        talker.absorb(more);
    }
    talker
}

/// Those of IPv4 come first.
impl Listed for Talkers {
    fn len(&self) -> usize {
        self.v4.len() + self.others.len()
    }

    fn cells(&self) -> impl Iterator<Item = u32> {
        self.v4.cells().chain(self.others.cells())
    }

    fn ordered(&self) -> impl Iterator<Item = (u32, Ordered, u64)> {
        let v4 = (0..).zip(self.v4.iter()).map(|(place, one)| {
            let weight = value(&self.large, place, one).weight();
            (one.cell(), one.wide_key().ordered(place), weight)
        });
        let first = u32::try_from(self.v4.len()).unwrap_or(u32::MAX);
        let others = (first..).zip(self.others.iter());
        v4.chain(
            others.map(|(place, one)| {
                (one.cell(), one.wide_key().ordered(place), one.value.weight())
            }),
        )
    }

    fn key(&self, place: u32) -> Option<Key> {
        let place = place as usize;
        match place.checked_sub(self.v4.len()) {
            None => self.v4.get(place).map(Entry::wide_key),
            Some(place) => self.others.get(place).map(Entry::wide_key),
        }
    }

    fn cost(&self, place: u32) -> usize {
        let is_narrow = (place as usize) < self.v4.len() && !self.large.contains_key(&place);
        if is_narrow { self.narrow_cost } else { TALKER_COST }
    }

    fn retain(&mut self, keep: &[bool]) {
        let (v4, others) = keep.split_at(self.v4.len());
        if !self.large.is_empty() {
            let stays = (0..).zip(v4).filter(|(_, stays)| **stays);
            self.large = (0..)
                .zip(stays)
                .filter_map(|(to, (from, _))| Some((to, self.large.remove(&from)?)))
                .collect();
        }
        self.v4.retain(v4);
        self.others.retain(others);
    }
}
