//! Who talked: a table of IPv4 talkers, two of which share a cache line, and one of all others.
//!
//! There are more talkers than anything else, and hardly one exchanges as much as 4 GiB in one window. What one
//! that does has exchanged stands in a list of the few.

use foldhash::fast::RandomState;

use super::lists::Listed;
use super::table::{Entry, Key, NarrowKey, Ordered, Probe, Ranks, Table, Wide};
use super::{Talker, TalkerKey, Weigh as _};
use crate::record::{Direction, Scope};

/// Approximate bytes of state of a talker that is large, or not of IPv4; the most that one is charged.
pub(super) const TALKER_COST: usize = 96;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Talkers {
    pub(super) v4: Table<Narrow>,
    pub(super) others: Table<Wide<Talker>>,
    /// What the large ones of IPv4 have exchanged.
    large: Vec<Talker>,
    /// What one of IPv4 is charged that is not large.
    narrow_cost: usize,
}

/// An IPv4 talker.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Narrow {
    key: NarrowKey,
    /// How many records; of a large one, its place among those.
    records: u32,
    /// Packets and bytes: from the interface (or of unknown direction), then towards it. Of a large one nothing.
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

    /// Adds a record, if there is room for its numbers; in a large one there is none.
    #[inline]
    fn add(&mut self, direction: Direction, packets: u64, bytes: u64) -> bool {
        let [of_packets, of_bytes] = &mut self.counts[usize::from(direction == Direction::Ingress)];
        let packets = u32::try_from(u64::from(*of_packets).saturating_add(packets));
        let bytes = u32::try_from(u64::from(*of_bytes).saturating_add(bytes));
        let records = self.records.checked_add(1).filter(|_| !self.key.is_large());
        let (Ok(packets), Ok(bytes), Some(records)) = (packets, bytes, records) else {
            return false;
        };
        (*of_packets, *of_bytes, self.records) = (packets, bytes, records);
        true
    }

    /// What it has exchanged.
    fn value(&self, large: &[Talker]) -> Talker {
        if self.key.is_large() {
            return large.get(self.records as usize).copied().unwrap_or_default();
        }
        let [[packets_out, bytes_out], [packets_in, bytes_in]] = self.counts;
        Talker {
            records: self.records.into(),
            packets_in: packets_in.into(),
            bytes_in: bytes_in.into(),
            packets_out: packets_out.into(),
            bytes_out: bytes_out.into(),
        }
    }

    /// Moves it to the large ones.
    fn grow(&mut self, large: &mut Vec<Talker>) {
        let talker = self.value(large);
        self.records = u32::try_from(large.len()).unwrap_or(u32::MAX);
        self.key.mark_large();
        large.push(talker);
    }
}

impl Talkers {
    /// None yet. Of `state_bytes` one of IPv4 is charged `narrow_cost`, at most [`TALKER_COST`].
    pub(super) fn new(state_bytes: usize, narrow_cost: usize, hasher: &RandomState) -> Self {
        let narrow_cost = narrow_cost.clamp(1, TALKER_COST);
        Self {
            v4: Table::new(state_bytes / narrow_cost + 1, hasher.clone()),
            others: Table::new(state_bytes / TALKER_COST + 1, hasher.clone()),
            large: Vec::new(),
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
            let added = self.add_located(&probe, direction, (packets, bytes));
            return new + added.map_or(0, |(_, cost)| cost);
        }
        let mut cost = 0;
        let entry = self.others.entry(key, |key| {
            cost = TALKER_COST;
            Wide::new(key, Talker::default())
        });
        entry.value.add(direction, packets, bytes);
        cost
    }

    /// Makes the IPv4 talker of a look-up that has none; returns the state that it costs.
    #[cold]
    pub(super) fn meet(&mut self, probe: &mut Probe<NarrowKey>) -> usize {
        self.v4.insert(probe, Narrow::new(probe.key));
        self.narrow_cost
    }

    /// Adds a record of an IPv4 talker that was located; returns the scope of its address and the state that it costs.
    #[inline]
    pub(super) fn add_located(
        &mut self,
        probe: &Probe<NarrowKey>,
        direction: Direction,
        (packets, bytes): (u64, u64),
    ) -> Option<(Scope, usize)> {
        let talker = self.v4.located(probe)?;
        let scope = talker.key.scope();
        if talker.add(direction, packets, bytes) {
            return Some((scope, 0));
        }
        Some((scope, self.add_large(probe, direction, (packets, bytes))))
    }

    /// Adds a record of an IPv4 talker whose numbers its entry has no room for.
    #[cold]
    fn add_large(
        &mut self,
        probe: &Probe<NarrowKey>,
        direction: Direction,
        (packets, bytes): (u64, u64),
    ) -> usize {
        let Some(talker) = self.v4.located(probe) else { return 0 };
        let grows = !talker.key.is_large();
        if grows {
            talker.grow(&mut self.large);
        }
        if let Some(large) = self.large.get_mut(talker.records as usize) {
            large.add(direction, packets, bytes);
        }
        if grows { TALKER_COST - self.narrow_cost } else { 0 }
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
        let mut taken = self.v4.take(v4, rank, |key, one| (key, one.value(large)));
        // Those of IPv4 come first.
        let others = self.others.take(others, rank, |key, one| (key, one.value));
        taken.reserve_exact(others.len());
        taken.extend(others);
        taken
    }
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
            let weight = one.value(&self.large).weight();
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
        let narrow = self.v4.get(place as usize).filter(|one| !one.key.is_large());
        narrow.map_or(TALKER_COST, |_| self.narrow_cost)
    }

    fn retain(&mut self, keep: &[bool]) {
        let (v4, others) = keep.split_at(self.v4.len());
        self.v4.retain(v4);
        self.others.retain(others);
        let large = std::mem::take(&mut self.large);
        for one in self.v4.iter_mut().filter(|one| one.key.is_large()) {
            let talker = one.value(&large);
            one.records = u32::try_from(self.large.len()).unwrap_or(u32::MAX);
            self.large.push(talker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::record::Address;

    #[derive(Debug, Clone)]
    enum Step {
        Add(u32, TalkerKey, Direction, (u64, u64)),
        /// Every talker whose place has a bit that is not set goes.
        Retain(u64),
    }

    fn address() -> impl Strategy<Value = Address> {
        prop_oneof![
            4 => (0..9_u8).prop_map(|n| Address::V4([[10, 0, 0, n], [198, 51, 100, n]][usize::from(n % 2)].into())),
            2 => (0..4_u128).prop_map(|n| Address::V6((0x2001_0db8 << 96 | n).into())),
            1 => (0..2_u8).prop_map(|n| Address::Mac([2, 0, 0, 0, 0, n])),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = (address(), 0..3_u16, 0..2_u8).prop_map(|(remote, port, protocol)| TalkerKey {
            remote,
            port,
            protocol,
        });
        let direction = prop_oneof![
            Just(Direction::Ingress),
            Just(Direction::Egress),
            Just(Direction::Unknown)
        ];
        // Of 32 bits and of 64 the ends, and what is small.
        let number = || {
            prop_oneof![
                8 => 0..10_000_u64,
                2 => (1 << 32) - 2..(1 << 32) + 2_u64,
                1 => u64::MAX - 2..=u64::MAX,
            ]
        };
        let add = (0..3_u32, key, direction, (number(), number()));
        let add = add.prop_map(|(cell, key, way, numbers)| Step::Add(cell, key, way, numbers));
        let step = prop_oneof![40 => add, 1 => any::<u64>().prop_map(Step::Retain)];
        proptest::collection::vec(step, 0..300)
    }

    proptest! {
        /// What went in comes out, in order, whoever grows large and whichever go meanwhile; and so does what they
        /// are charged.
        #[test]
        fn talkers_come_out_as_they_went_in(steps in steps()) {
            const NARROW: usize = 40;
            let mut talkers = Talkers::new(1000, NARROW, &RandomState::default());
            let mut expected: BTreeMap<(u32, TalkerKey), Talker> = BTreeMap::new();
            let mut charged = 0;
            for step in steps {
                match step {
                    Step::Add(cell, key, direction, (packets, bytes)) => {
                        charged += talkers.add(cell, &key, direction, (packets, bytes));
                        let talker = expected.entry((cell, key)).or_default();
                        talker.add(direction, packets, bytes);
                    }
                    Step::Retain(kept) => {
                        let keep: Vec<bool> =
                            (0..talkers.len()).map(|place| kept >> (place % 64) & 1 == 1).collect();
                        for ((cell, ordered, weight), keep) in talkers.ordered().zip(&keep) {
                            let key = talkers.key(ordered.place).unwrap();
                            let talker = expected.get(&(cell, key.talker())).unwrap();
                            prop_assert_eq!(talker.weight(), weight);
                            if !keep {
                                expected.remove(&(cell, key.talker()));
                                charged -= talkers.cost(ordered.place);
                            }
                        }
                        talkers.retain(&keep);
                    }
                }
            }
            prop_assert_eq!(talkers.len(), expected.len());
            let places = 0..u32::try_from(talkers.len()).unwrap();
            prop_assert_eq!(places.map(|place| talkers.cost(place)).sum::<usize>(), charged);
            let small = |(_, key): &(u32, TalkerKey), talker: &Talker| {
                matches!(key.remote, Address::V4(_)) && talker.bytes_in.max(talker.bytes_out) < 1 << 32
                    && talker.packets_in.max(talker.packets_out) < 1 << 32
            };
            let narrow = expected.iter().filter(|(key, talker)| small(key, talker)).count();
            prop_assert_eq!(charged, narrow * NARROW + (expected.len() - narrow) * TALKER_COST);
            let ranks = talkers.by_rank(&[2, 0, 1]);
            let mut taken = BTreeMap::new();
            for (rank, cell) in [(0, 1), (1, 2), (2, 0)] {
                let of_cell = talkers.take(&ranks, rank);
                prop_assert!(of_cell.is_sorted_by_key(|(key, _)| *key));
                taken.extend(of_cell.into_iter().map(|(key, talker)| ((cell, key), talker)));
            }
            prop_assert_eq!(taken, expected);
        }
    }
}
