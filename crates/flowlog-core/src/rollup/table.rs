//! A flat table by interface, window and remote address: talkers, services and refused sources.
//!
//! An entry of talkers is one cache line and stands at the beginning of one. The entries stand in the
//! order in which they came, in memory that is reserved once and touched as it is needed; beside them
//! are slots of four bytes, part of a hash and the place of an entry, so that a look-up touches one
//! group of slots and one entry, and growing moves slots only. The hash is seeded per process, because
//! strangers choose the addresses; nothing that leaves the table depends on it.

use std::ops::Range;

use foldhash::fast::RandomState;
use wide::u32x8;

use self::key::Order;
pub(super) use self::key::{Key, Ordered};
use super::TalkerKey;
use crate::record::{Address, Scope};

mod key;

/// A look-up to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) key: Key,
    hash: u64,
    /// Where the entry is, or may be.
    place: u32,
}

impl Probe {
    /// A look-up of a key.
    #[inline]
    pub(super) fn new(key: Key, hasher: &RandomState) -> Self {
        Self { hash: key.hash(hasher), key, place: u32::MAX }
    }
}

/// A key and what is kept under it.
#[derive(Debug)]
#[repr(align(64))]
struct Entry<V> {
    key: Key,
    value: V,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Table<V> {
    /// A power of two.
    groups: Vec<Group>,
    entries: Vec<Entry<V>>,
    /// The IPv4 addresses of the entries as numbers, so that their text is read once; 0 of others.
    numbers: Vec<u32>,
    /// How many entries to reserve memory for.
    room: usize,
    hasher: RandomState,
}

/// An entry that is there.
#[derive(Debug)]
pub(super) struct Located<'a, V> {
    key: &'a Key,
    /// Those of all entries: hardly anybody asks for this one's.
    numbers: &'a [u32],
    place: u32,
    pub(super) value: &'a mut V,
}

impl<V> Located<'_, V> {
    /// The scope of its address.
    #[inline]
    pub(super) fn scope(&self) -> Scope {
        self.key.scope()
    }

    /// Its address.
    pub(super) fn address(&self) -> Option<Address> {
        self.key.remote(*self.numbers.get(self.place as usize)?)
    }
}

/// Places of entries in the order of the ranks of their cells.
#[derive(Debug)]
pub(super) struct Ranks {
    ends: Vec<u32>,
    places: Vec<u32>,
}

impl Ranks {
    /// Where those of one rank are.
    fn range(&self, rank: u32) -> Range<usize> {
        let rank = rank as usize;
        let first = rank.checked_sub(1).map_or(0, |before| self.ends[before]);
        first as usize..self.ends[rank] as usize
    }
}

/// Slots that are looked at together, which takes no branch: nearly always the group that a hash names, and
/// beyond it as many of the next ones as were full. A slot is the place of an entry plus one, in as many
/// bits as it takes to number all slots, and above them bits of the hash; zero is empty.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Group([u32; LANES]);

const LANES: usize = 8;

impl Group {
    const EMPTY: Self = Self([0; LANES]);

    /// Which slots keep the same bits of a hash, those beside `low`; the first one is the lowest bit.
    #[inline]
    fn hits(&self, tag: u32, low: u32) -> u32 {
        let differing = (u32x8::new(self.0) ^ u32x8::splat(tag)) & u32x8::splat(!low);
        differing.simd_eq(u32x8::ZERO).to_bitmask()
    }

    /// The place of the entry of the lowest of some hits; any place if there is none.
    #[inline]
    fn place(&self, hits: u32, low: u32) -> u32 {
        (self.0[hits.trailing_zeros() as usize % LANES] & low).wrapping_sub(1)
    }
}

/// How many groups there are at first, and the most that there can be.
const FEWEST: usize = 32;
const MOST: usize = (1 << 31) / LANES;
/// The most entries that memory is reserved for.
const ROOM: usize = 1 << 20;

impl<V> Table<V> {
    /// An empty table that will hold `room` entries or fewer, as far as can be foreseen. Tables of one
    /// hasher share their probes.
    pub(super) fn new(room: usize, hasher: RandomState) -> Self {
        Self {
            groups: Vec::new(),
            entries: Vec::new(),
            numbers: Vec::new(),
            room: room.min(ROOM),
            hasher,
        }
    }

    /// Reads a slot where a probe begins, so that its group is in the cache when it is needed.
    #[inline]
    pub(super) fn touch_slots(&self, probe: &Probe) -> u64 {
        self.groups.get(home(probe.hash, self.groups.len())).map_or(0, |group| group.0[0].into())
    }

    /// Where the entry of a probe probably is, if there is one: reads its slots, not the entry.
    #[inline]
    pub(super) fn foresee(&self, probe: &mut Probe) {
        let Some(group) = self.groups.get(home(probe.hash, self.groups.len())) else { return };
        let low = low(self.groups.len());
        probe.place = group.place(group.hits(tag(probe.hash), low), low);
    }

    /// Reads a word of the entry that was foreseen, so that it is in the cache when it is needed.
    #[inline]
    pub(super) fn touch(&self, probe: &Probe) -> u64 {
        let place = (probe.place as usize).min(self.entries.len().wrapping_sub(1));
        self.entries.get(place).map_or(0, |entry| entry.key.cell().into())
    }

    /// What is kept under a key, if it is where it was foreseen.
    #[inline]
    pub(super) fn foreseen(&self, probe: &Probe) -> Option<&V> {
        let entry = self.entries.get(probe.place as usize)?;
        entry.key.is(&probe.key).then_some(&entry.value)
    }

    /// Whether the entry that was foreseen is the one that is looked for.
    #[inline]
    pub(super) fn is_foreseen(&self, probe: &Probe) -> bool {
        self.entries.get(probe.place as usize).is_some_and(|entry| entry.key.is(&probe.key))
    }

    /// Foresees the entry of a probe for certain; whether there is one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    pub(super) fn locate(&self, probe: &mut Probe) -> bool {
        if self.is_foreseen(probe) {
            return true;
        }
        let found = self.find(&probe.key, probe.hash);
        probe.place = found.map_or(u32::MAX, |place| place as u32);
        found.is_some()
    }

    /// Foresees the entry of a probe for certain, which `new` makes if there is none. `None` if what is looked for
    /// is no address.
    #[inline]
    pub(super) fn locate_or_insert(
        &mut self,
        probe: &mut Probe,
        new: impl FnOnce() -> V,
    ) -> Option<Located<'_, V>> {
        if !self.locate(probe) {
            probe.place = self.insert(probe.key, probe.key.address()?, new());
        }
        self.located(probe)
    }

    /// The entry that was foreseen for certain.
    #[inline]
    pub(super) fn located(&mut self, probe: &Probe) -> Option<Located<'_, V>> {
        let Entry { key, value } = self.entries.get_mut(probe.place as usize)?;
        Some(Located { key, numbers: &self.numbers, place: probe.place, value })
    }

    /// Puts a key that is not there yet, whose address this is; returns the place of its entry.
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    fn insert(&mut self, key: Key, address: Address, value: V) -> u32 {
        // Five entries or fewer in a group, on average: one in eight is full then.
        if self.entries.len() + 1 > self.groups.len() * 5 && self.groups.len() < MOST {
            self.groups = vec![Group::EMPTY; (self.groups.len() * 2).max(FEWEST)];
            self.entries.reserve(self.room.saturating_sub(self.entries.len()));
            self.numbers.reserve(self.room.saturating_sub(self.numbers.len()));
            self.index();
        }
        let place = self.entries.len();
        place_at(&mut self.groups, key.hash(&self.hasher), place);
        self.entries.push(Entry { key: key.scoped(address.scope()), value });
        self.numbers.push(if let Address::V4(v4) = address { v4.to_bits() } else { 0 });
        place as u32
    }

    /// The value of a key whose address this is, put there by `new` if there is none.
    pub(super) fn entry(&mut self, key: Key, address: Address, new: impl FnOnce() -> V) -> &mut V {
        let place = match self.find(&key, key.hash(&self.hasher)) {
            Some(at) => at,
            None => self.insert(key, address, new()) as usize,
        };
        &mut self.entries[place].value
    }

    /// The places of all entries in the order of the ranks of their cells.
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    pub(super) fn by_rank(&self, ranks: &[u32]) -> Ranks {
        let rank = |key: &Key| ranks[key.cell() as usize] as usize;
        // Of each rank, where the next of its entries goes: at last, where they end.
        let mut ends = vec![0; ranks.len() + 1];
        self.keys().for_each(|key| ends[rank(key) + 1] += 1);
        (1..ends.len()).for_each(|at| ends[at] += ends[at - 1]);
        let mut places = vec![0; self.entries.len()];
        for (place, key) in self.keys().enumerate() {
            let next = &mut ends[rank(key)];
            places[*next as usize] = place as u32;
            *next += 1;
        }
        Ranks { ends, places }
    }

    /// Takes out what the cell of a rank has, in the order of talkers; each value with a key that is made
    /// of its talker.
    pub(super) fn take<K>(
        &mut self,
        ranks: &Ranks,
        rank: u32,
        key: impl Fn(TalkerKey) -> K,
    ) -> Vec<(K, V)>
    where
        V: Default,
    {
        let places = &ranks.places[ranks.range(rank)];
        // Compared as numbers, which is much quicker than as what they are. One cell may have nearly all entries, so
        // no memory is kept for the next.
        let (mut v4, mut others) = (Vec::with_capacity(places.len()), Vec::new());
        for place in places {
            let (entry, number) = (&self.entries[*place as usize], self.numbers[*place as usize]);
            match entry.key.order(number, *place) {
                Order::V4(order) => v4.push((order, *place)),
                Order::Other(other) => others.push(other),
            }
        }
        v4.sort_unstable_by_key(|(order, _)| *order);
        others.sort_unstable();
        let sorted = v4.iter().map(|(_, place)| *place);
        let sorted = sorted.chain(others.iter().map(|other| other.place));
        let mut taken = Vec::with_capacity(v4.len() + others.len());
        taken.extend(sorted.filter_map(|place| {
            let of = key(self.talker(place as usize)?);
            Some((of, std::mem::take(&mut self.entries.get_mut(place as usize)?.value)))
        }));
        taken
    }

    /// Forgets every entry.
    pub(super) fn clear(&mut self) {
        self.groups.fill(Group::EMPTY);
        self.entries.clear();
        self.numbers.clear();
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries' places, ordered within each cell as talkers are, with their cells and values; in the order in
    /// which they came.
    pub(super) fn ordered(&self) -> impl Iterator<Item = (u32, Ordered, &V)> {
        let numbered = (0..).zip(self.entries.iter().zip(&self.numbers));
        numbered.map(|(place, (entry, v4))| {
            (entry.key.cell(), entry.key.ordered(*v4, place), &entry.value)
        })
    }

    /// The keys, in the order in which they came.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The values, in the order of the keys.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// The same, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }

    /// Whom the entry at a place in that order is of.
    pub(super) fn talker(&self, place: usize) -> Option<TalkerKey> {
        self.entries.get(place)?.key.talker(*self.numbers.get(place)?)
    }

    /// The value at a place in that order.
    pub(super) fn value(&self, place: usize) -> Option<&V> {
        self.entries.get(place).map(|entry| &entry.value)
    }

    /// Keeps the entries for which `keep` says so, in the order of the keys.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        let mut places = keep.iter();
        self.entries.retain(|_| places.next() == Some(&true));
        let mut places = keep.iter();
        self.numbers.retain(|_| places.next() == Some(&true));
        self.groups.fill(Group::EMPTY);
        self.index();
    }

    #[inline]
    fn find(&self, key: &Key, hash: u64) -> Option<usize> {
        let low = low(self.groups.len());
        let mut at = home(hash, self.groups.len());
        loop {
            let group = self.groups.get(at)?;
            let mut hits = group.hits(tag(hash), low);
            while hits != 0 {
                let place = group.place(hits, low) as usize;
                if self.entries.get(place).is_some_and(|entry| entry.key.is(key)) {
                    return Some(place);
                }
                hits &= hits - 1;
            }
            if group.0.contains(&0) {
                return None;
            }
            at = (at + 1) % self.groups.len();
        }
    }

    /// Fills the slots, which are empty, from the entries.
    fn index(&mut self) {
        for (place, Entry { key, .. }) in self.entries.iter().enumerate() {
            place_at(&mut self.groups, key.hash(&self.hasher), place);
        }
    }
}

/// The first group to look at.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
fn home(hash: u64, groups: usize) -> usize {
    hash as usize & groups.wrapping_sub(1)
}

/// The bits of a slot that are a place.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are at most 2^31 slots")]
fn low(groups: usize) -> u32 {
    (groups * LANES).wrapping_sub(1) as u32
}

/// The bits of a hash that a slot keeps some of.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Puts an entry's place into the first free slot.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer entries than slots")]
fn place_at(groups: &mut [Group], hash: u64, place: usize) {
    let low = low(groups.len());
    let mut at = home(hash, groups.len());
    loop {
        if let Some(slot) = groups[at].0.iter_mut().find(|slot| **slot == 0) {
            *slot = tag(hash) & !low | (place as u32 + 1);
            return;
        }
        at = (at + 1) % groups.len();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::decode::Spelled;

    /// Lists are merged and searched as they leave the table.
    #[test]
    fn entries_leave_in_the_order_of_talkers_whatever_they_are_of() {
        let hasher = RandomState::default();
        let mut table = Table::new(10, hasher);
        let mut expected = Vec::new();
        for n in 0..900_u32 {
            let bits = n.wrapping_mul(0x9e37_79b9);
            let high = u128::from(bits) << 96 | u128::from(n % 3);
            let remote = [
                Address::V4(Ipv4Addr::from_bits(bits)),
                Address::V6((high | 1 << 64).into()),
                Address::Mac([
                    2,
                    bits.to_be_bytes()[0],
                    0,
                    0,
                    n.to_be_bytes()[2],
                    n.to_be_bytes()[3],
                ]),
            ];
            for remote in remote {
                let port = bits.to_be_bytes()[1].into();
                let talker = TalkerKey { remote, port, protocol: n.to_be_bytes()[3] % 2 };
                *table.entry(Key::of(n % 2, &talker), remote, || 0) = n;
                expected.push((n % 2, talker, n));
            }
        }
        expected.sort_unstable();
        let mut ordered: Vec<_> =
            table.ordered().map(|(cell, entry, n)| (cell, entry, *n)).collect();
        ordered.sort_unstable_by_key(|(cell, entry, _)| (*cell, *entry));
        let ordered = ordered
            .into_iter()
            .map(|(cell, entry, n)| (cell, table.talker(entry.place as usize).unwrap(), n));
        assert_eq!(ordered.collect::<Vec<_>>(), expected);
        let ranks = table.by_rank(&[0, 1]);
        let mut taken = Vec::new();
        for rank in 0..2 {
            let of_cell = table.take(&ranks, rank, |talker| talker);
            taken.extend(of_cell.into_iter().map(|(talker, n)| (rank, talker, n)));
        }
        assert_eq!(taken, expected);
    }

    /// Groups are filled to the brim here and there, and entries stand in the ones behind them.
    #[test]
    fn every_key_has_one_entry() {
        let key = |n: u32| {
            let address = Address::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9)));
            (Key::new(n % 7, Spelled::of(address), 443, 6), address)
        };
        let hasher = RandomState::default();
        let mut table = Table::new(10, hasher.clone());
        for n in 0..40_000 {
            let (key, address) = key(n);
            let mut probe = Probe::new(key, &hasher);
            table.foresee(&mut probe);
            assert!(!table.locate(&mut probe));
            *table.entry(key, address, || 0) += n;
        }
        let mut foreseen = 0;
        for n in 0..40_000 {
            let (key, address) = key(n);
            let mut probe = Probe::new(key, &hasher);
            table.foresee(&mut probe);
            foreseen += u32::from(table.is_foreseen(&probe));
            assert!(table.locate(&mut probe));
            let located = table.located(&probe).unwrap();
            assert_eq!((located.address(), located.scope()), (Some(address), address.scope()));
            assert_eq!(*located.value, n);
            assert_eq!(*table.entry(key, address, || 0), n);
        }
        assert_eq!(table.len(), 40_000);
        assert!((30_000..40_000).contains(&foreseen), "{foreseen} in the first group they name");
    }
}
