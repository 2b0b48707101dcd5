//! A flat table by interface, window and remote address: talkers, services and refused sources.
//!
//! An entry of an IPv4 talker is half a cache line ([`super::talkers`]), others take 56 bytes or more. The entries stand in the
//! order in which they came, in memory that is reserved once and touched as it is needed; beside them
//! are slots of four bytes, part of a hash and the place of an entry, so that a look-up touches one
//! group of slots and one entry, and growing moves slots only. The hash is seeded per process, because
//! strangers choose the addresses; nothing that leaves the table depends on it.

use std::ops::Range;

use foldhash::fast::RandomState;
use wide::u32x8;

use self::key::{Hashed, Order};
pub(super) use self::key::{Key, NarrowKey, Ordered};
use super::TalkerKey;
use crate::prefetch::prefetch;

mod key;

/// A look-up to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe<K> {
    pub(super) key: K,
    hash: u64,
    /// Where the entry is, or may be.
    place: u32,
}

impl<K: Hashed> Probe<K> {
    /// A look-up of a key.
    #[inline]
    pub(super) fn new(key: K, hasher: &RandomState) -> Self {
        Self { hash: key.hash(hasher), key, place: u32::MAX }
    }
}

/// A key and what is kept under it.
pub(super) trait Entry {
    /// What it is looked up by.
    type Key: Hashed;

    /// What it is kept under.
    fn key(&self) -> Self::Key;

    /// Whether it is the one of a key.
    fn is(&self, key: &Self::Key) -> bool;

    /// What it is kept under, of whatever family.
    fn wide_key(&self) -> Key;

    /// Its interface and window.
    fn cell(&self) -> u32;
}

/// An entry of any family.
#[derive(Debug)]
pub(super) struct Wide<V> {
    key: Key,
    pub(super) value: V,
}

impl<V> Wide<V> {
    /// An entry.
    pub(super) fn new(key: Key, value: V) -> Self {
        Self { key, value }
    }
}

impl<V> Entry for Wide<V> {
    type Key = Key;

    #[inline]
    fn key(&self) -> Key {
        self.key
    }

    #[inline]
    fn is(&self, key: &Key) -> bool {
        self.key == *key
    }

    #[inline]
    fn wide_key(&self) -> Key {
        self.key
    }

    #[inline]
    fn cell(&self) -> u32 {
        self.key.cell()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Table<E> {
    /// A power of two.
    groups: Vec<Group>,
    entries: Vec<E>,
    /// How many entries to reserve memory for.
    room: usize,
    hasher: RandomState,
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
/// How many entries before it is needed one is asked of memory.
const AHEAD: usize = 16;
/// The most entries that memory is reserved for.
const ROOM: usize = 1 << 20;

impl<E: Entry> Table<E> {
    /// An empty table that will hold `room` entries or fewer, as far as can be foreseen. Tables of one
    /// hasher share their probes.
    pub(super) fn new(room: usize, hasher: RandomState) -> Self {
        Self { groups: Vec::new(), entries: Vec::new(), room: room.min(ROOM), hasher }
    }

    /// A look-up to come; asks memory for the slots where it begins.
    #[inline]
    pub(super) fn probe(&self, key: E::Key) -> Probe<E::Key> {
        let probe = Probe::new(key, &self.hasher);
        if let Some(group) = self.groups.get(home(probe.hash, self.groups.len())) {
            prefetch(group, |group| group.0[0].into());
        }
        probe
    }

    /// Finds out from the slots of each probe where its entry probably is, if there is one, and asks memory for that.
    #[inline]
    pub(super) fn foresee(&self, probes: &mut [Probe<E::Key>]) {
        let low = low(self.groups.len());
        for probe in probes {
            let Some(group) = self.groups.get(home(probe.hash, self.groups.len())) else { break };
            probe.place = group.place(group.hits(tag(probe.hash), low), low);
            self.touch(probe.place);
        }
    }

    /// Asks memory for the entry at a place.
    #[inline]
    fn touch(&self, place: u32) {
        if let Some(entry) = self.entries.get(place as usize) {
            prefetch(entry, |entry| entry.cell().into());
        }
    }

    /// The entry, if it is where it was foreseen.
    #[inline]
    pub(super) fn foreseen(&self, probe: &Probe<E::Key>) -> Option<&E> {
        self.entries.get(probe.place as usize).filter(|entry| entry.is(&probe.key))
    }

    /// Foresees the entry of a probe for certain; whether there is one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    pub(super) fn locate(&self, probe: &mut Probe<E::Key>) -> bool {
        if self.foreseen(probe).is_some() {
            return true;
        }
        let found = self.find(&probe.key, probe.hash);
        probe.place = found.map_or(u32::MAX, |place| place as u32);
        found.is_some()
    }

    /// Foresees the entry of a probe for certain, which `new` makes if there is none.
    #[inline]
    pub(super) fn locate_or_insert(
        &mut self,
        probe: &mut Probe<E::Key>,
        new: impl FnOnce(E::Key) -> E,
    ) -> &mut E {
        if !self.locate(probe) {
            self.insert(probe, new(probe.key));
        }
        &mut self.entries[probe.place as usize]
    }

    /// The entry that was foreseen for certain.
    #[inline]
    pub(super) fn located(&mut self, probe: &Probe<E::Key>) -> Option<&mut E> {
        self.entries.get_mut(probe.place as usize)
    }

    /// Puts the entry of a probe that has none yet.
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    pub(super) fn insert(&mut self, probe: &mut Probe<E::Key>, entry: E) {
        // Five entries or fewer in a group, on average: one in eight is full then.
        if self.entries.len() + 1 > self.groups.len() * 5 && self.groups.len() < MOST {
            self.groups = vec![Group::EMPTY; (self.groups.len() * 2).max(FEWEST)];
            self.entries.reserve(self.room.saturating_sub(self.entries.len()));
            self.index();
        }
        let place = self.entries.len();
        place_at(&mut self.groups, probe.hash, place);
        self.entries.push(entry);
        probe.place = place as u32;
    }

    /// The entry of a key, put there by `new` if there is none.
    pub(super) fn entry(&mut self, key: E::Key, new: impl FnOnce(E::Key) -> E) -> &mut E {
        let mut probe = Probe::new(key, &self.hasher);
        self.locate_or_insert(&mut probe, new)
    }

    /// The places of all entries in the order of the ranks of their cells.
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than slots can number")]
    pub(super) fn by_rank(&self, ranks: &[u32]) -> Ranks {
        let rank = |entry: &E| ranks[entry.cell() as usize] as usize;
        // Of each rank, where the next of its entries goes: at last, where they end.
        let mut ends = vec![0; ranks.len() + 1];
        self.entries.iter().for_each(|entry| ends[rank(entry) + 1] += 1);
        (1..ends.len()).for_each(|at| ends[at] += ends[at - 1]);
        let mut places = vec![0; self.entries.len()];
        for (place, entry) in self.entries.iter().enumerate() {
            let next = &mut ends[rank(entry)];
            places[*next as usize] = place as u32;
            *next += 1;
        }
        Ranks { ends, places }
    }

    /// Takes out what the cell of a rank has, in the order of talkers, as `take` makes it of talker and entry.
    pub(super) fn take<T>(
        &mut self,
        ranks: &Ranks,
        rank: u32,
        mut take: impl FnMut(TalkerKey, &mut E) -> T,
    ) -> Vec<T> {
        let places = &ranks.places[ranks.range(rank)];
        // Compared as numbers, which is much quicker than as what they are. One cell may have nearly all entries, so
        // no memory is kept for the next.
        let (mut v4, mut others) = (Vec::with_capacity(places.len()), Vec::new());
        for (at, place) in places.iter().enumerate() {
            // They stand among those of other cells.
            if let Some(later) = places.get(at + AHEAD) {
                self.touch(*later);
            }
            match self.entries[*place as usize].wide_key().order(*place) {
                Order::V4(order) => v4.push((order, *place)),
                Order::Other(other) => others.push(other),
            }
        }
        v4.sort_unstable_by_key(|(order, _)| *order);
        others.sort_unstable();
        let sorted = v4.iter().map(|(_, place)| *place);
        let sorted = sorted.chain(others.iter().map(|other| other.place));
        let mut taken = Vec::with_capacity(v4.len() + others.len());
        taken.extend(sorted.map(|place| {
            let entry = &mut self.entries[place as usize];
            take(entry.wide_key().talker(), entry)
        }));
        taken
    }

    /// Forgets every entry.
    pub(super) fn clear(&mut self) {
        self.groups.fill(Group::EMPTY);
        self.entries.clear();
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What keys are hashed by.
    pub(super) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// The cells of the entries, in the order in which they came.
    pub(super) fn cells(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(E::cell)
    }

    /// The entries in that order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries.iter()
    }

    /// The same, to be changed; not what they are kept under.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.entries.iter_mut()
    }

    /// The entry at a place in that order.
    pub(super) fn get(&self, place: usize) -> Option<&E> {
        self.entries.get(place)
    }

    /// Keeps the entries for which `keep` says so, in their order.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        let mut places = keep.iter();
        self.entries.retain(|_| places.next() == Some(&true));
        self.groups.fill(Group::EMPTY);
        self.index();
    }

    #[inline]
    fn find(&self, key: &E::Key, hash: u64) -> Option<usize> {
        let low = low(self.groups.len());
        let mut at = home(hash, self.groups.len());
        loop {
            let group = self.groups.get(at)?;
            let mut hits = group.hits(tag(hash), low);
            while hits != 0 {
                let place = group.place(hits, low) as usize;
                if self.entries.get(place).is_some_and(|entry| entry.is(key)) {
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
        for (place, entry) in self.entries.iter().enumerate() {
            place_at(&mut self.groups, entry.key().hash(&self.hasher), place);
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
    use crate::record::Address;

    /// Lists are merged and searched as they leave the table.
    #[test]
    fn entries_leave_in_the_order_of_talkers_whatever_they_are_of() {
        let mut table = Table::new(10, RandomState::default());
        let mut expected = Vec::new();
        for n in 0..900_u32 {
            let bits = n.wrapping_mul(0x9e37_79b9);
            let high = u128::from(bits) << 96 | u128::from(n % 3);
            let [ends, .., port] = bits.to_be_bytes();
            let [.., a, b] = n.to_be_bytes();
            let remote = [
                Address::V4(Ipv4Addr::from_bits(bits)),
                Address::V6((high | 1 << 64).into()),
                Address::Mac([2, ends, 0, 0, a, b]),
            ];
            for remote in remote {
                let talker = TalkerKey { remote, port: port.into(), protocol: b % 2 };
                table.entry(Key::of(n % 2, &talker), |key| Wide::new(key, n));
                expected.push((n % 2, talker, n));
            }
        }
        expected.sort_unstable();
        let mut ordered: Vec<_> = (0..)
            .zip(table.iter())
            .map(|(place, entry)| (entry.cell(), entry.key().ordered(place), entry))
            .collect();
        ordered.sort_unstable_by_key(|(cell, order, _)| (*cell, *order));
        let ordered = ordered.into_iter().map(|(cell, _, e)| (cell, e.key().talker(), e.value));
        assert_eq!(ordered.collect::<Vec<_>>(), expected);
        let ranks = table.by_rank(&[0, 1]);
        let mut taken = Vec::new();
        for rank in 0..2 {
            taken.extend(table.take(&ranks, rank, |talker, entry| (rank, talker, entry.value)));
        }
        assert_eq!(taken, expected);
    }

    /// Groups are filled to the brim here and there, and entries stand in the ones behind them.
    #[test]
    fn every_key_has_one_entry() {
        let key = |n: u32| {
            let remote = Address::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9)));
            Key::of(n % 7, &TalkerKey { remote, port: 443, protocol: 6 })
        };
        let hasher = RandomState::default();
        let mut table = Table::new(10, hasher.clone());
        for n in 0..40_000 {
            let mut probe = Probe::new(key(n), &hasher);
            table.foresee(std::slice::from_mut(&mut probe));
            assert!(!table.locate(&mut probe));
            table.entry(key(n), |key| Wide::new(key, n));
        }
        let mut foreseen = 0;
        for n in 0..40_000 {
            let mut probe = Probe::new(key(n), &hasher);
            table.foresee(std::slice::from_mut(&mut probe));
            foreseen += u32::from(table.foreseen(&probe).is_some());
            assert!(table.locate(&mut probe));
            let located = table.located(&probe).unwrap();
            assert_eq!((located.key(), located.value), (key(n), n));
            assert_eq!(table.entry(key(n), |key| Wide::new(key, 0)).value, n);
        }
        assert_eq!(table.len(), 40_000);
        assert!((30_000..40_000).contains(&foreseen), "{foreseen} in the first group they name");
    }
}
