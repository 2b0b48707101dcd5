//! The heaviest entries over everything, in bounded memory.

use std::hash::{BuildHasher as _, Hash};
use std::mem::take;

use flowlog_core::prefetch::prefetch;
use flowlog_core::rollup::Weigh;
use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// How many rows a list of the report has.
const ROWS: usize = 20;

/// The heaviest entries over everything. Of millions that come, nearly each one is met again, and anywhere.
#[derive(Debug)]
pub(super) struct Tops<K, V> {
    entries: Pages<(K, V)>,
    slots: HashTable<Slot>,
    hasher: RandomState,
    /// What an entry that is not there, or listed too low, may weigh.
    pub(super) error: u64,
}

/// Where an entry is, and bits of its key's hash: few enough that all slots stay in the cache.
#[derive(Debug, Clone, Copy)]
struct Slot {
    bits: u32,
    place: u32,
}

impl Slot {
    /// The hash that it stands under.
    fn hash(self) -> u64 {
        spread(self.bits)
    }
}

/// One that the table can use both ends of.
fn spread(bits: u32) -> u64 {
    u64::from(bits) << 32 | u64::from(bits)
}

impl<K, V> Default for Tops<K, V> {
    fn default() -> Self {
        Self {
            entries: Pages::default(),
            slots: HashTable::new(),
            hasher: RandomState::default(),
            error: 0,
        }
    }
}

/// How many entries are kept; twice as many are held before the lightest half is let go: nearly as many as
/// a table of 65,536 slots takes before it doubles.
const KEPT: usize = 27_200;

/// The place of no entry.
const NOWHERE: u32 = u32::MAX;

/// How many entries are looked up together.
const TOGETHER: usize = 32;

impl<K: Ord + Copy + Hash, V: Weigh + Clone> Tops<K, V> {
    /// Adds entries to those of the same keys. Where each of the next ones probably is, is asked of memory before the first of
    /// them is added.
    pub(super) fn add(&mut self, entries: impl Iterator<Item = (K, V)>) {
        let mut entries = entries.peekable();
        let mut next = Vec::with_capacity(TOGETHER);
        while entries.peek().is_some() {
            next.extend(entries.by_ref().take(TOGETHER).map(|(key, value)| {
                let (bits, place) = self.foresee(&key);
                (key, value, bits, place)
            }));
            for (key, value, bits, place) in next.drain(..) {
                self.add_one(key, value, bits, place);
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "so many bits are enough")]
    fn bits(&self, key: &K) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// The bits of a key's hash, and where its entry probably is, if there is one.
    fn foresee(&self, key: &K) -> (u32, u32) {
        let bits = self.bits(key);
        let found = self.slots.find(spread(bits), |slot| slot.bits == bits);
        let place = found.map_or(NOWHERE, |slot| slot.place);
        if let Some(entry) = self.entries.get(place) {
            prefetch(entry, |(_, value)| value.weight());
        }
        (bits, place)
    }

    /// Adds one, which may be where it was foreseen.
    fn add_one(&mut self, key: K, value: V, bits: u32, place: u32) {
        let foreseen = self.entries.get_mut(place).filter(|(known, _)| *known == key);
        if let Some((_, known)) = foreseen {
            known.absorb(&value);
            return;
        }
        let is = |slot: &Slot| {
            slot.bits == bits
                && self.entries.get(slot.place).is_some_and(|(known, _)| *known == key)
        };
        if let Some(Slot { place, .. }) = self.slots.find(spread(bits), is) {
            if let Some((_, known)) = self.entries.get_mut(*place) {
                known.absorb(&value);
            }
            return;
        }
        let slot = Slot { bits, place: self.entries.push((key, value)) };
        self.slots.insert_unique(slot.hash(), slot, |slot| slot.hash());
        if self.entries.len() >= 2 * KEPT {
            self.shed();
        }
    }

    /// Adds all that another has.
    pub(super) fn absorb(&mut self, other: Self) {
        let error = self.error.saturating_add(other.error);
        if self.entries.len() == 0 {
            *self = Self { error, ..other };
            return;
        }
        self.error = error;
        // In order, since it decides what is let go when.
        let mut entries = Vec::with_capacity(other.entries.len());
        entries.extend(other.entries.into_iter());
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.add(entries.into_iter());
    }

    /// Lets go of the lightest half.
    fn shed(&mut self) {
        let mut weights: Vec<u64> = self.entries.iter().map(|(_, value)| value.weight()).collect();
        let (_, bar, _) = weights.select_nth_unstable_by(KEPT, |a, b| b.cmp(a));
        self.slots.clear();
        for (key, value) in take(&mut self.entries).into_iter() {
            if value.weight() > *bar {
                let bits = self.bits(&key);
                let slot = Slot { bits, place: self.entries.push((key, value)) };
                self.slots.insert_unique(slot.hash(), slot, |slot| slot.hash());
            }
        }
        self.error = self.error.saturating_add(*bar);
    }

    /// The rows of the report.
    pub(super) fn heaviest(self) -> Vec<(K, V)> {
        let heavier =
            |a: &&(K, V), b: &&(K, V)| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0));
        let mut heaviest: Vec<_> = self.entries.iter().collect();
        if heaviest.len() > ROWS {
            heaviest.select_nth_unstable_by(ROWS, heavier);
            heaviest.truncate(ROWS);
        }
        heaviest.sort_unstable_by(heavier);
        heaviest.into_iter().cloned().collect()
    }
}

/// Entries that never move, in pages: memory of one piece would be there twice while it grows, and leave holes.
#[derive(Debug)]
struct Pages<T>(Vec<Vec<T>>);

/// How many entries a page has.
const PAGE: usize = 1_024;

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pages<T> {
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PAGE + last.len())
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.0.get(place as usize / PAGE)?.get(place as usize % PAGE)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.0.get_mut(place as usize / PAGE)?.get_mut(place as usize % PAGE)
    }

    /// Puts one behind the others, and returns its place.
    fn push(&mut self, entry: T) -> u32 {
        let place = u32::try_from(self.len()).unwrap_or(NOWHERE);
        if self.0.last().is_none_or(|last| last.len() == PAGE) {
            self.0.push(Vec::with_capacity(PAGE));
        }
        if let Some(last) = self.0.last_mut() {
            last.push(entry);
        }
        place
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    fn into_iter(self) -> impl Iterator<Item = T> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    use flowlog_core::rollup::Tally;

    use super::*;

    /// However they come: what is known of a key is at most the error below what it weighs, and with few keys all of it.
    #[test]
    fn what_is_kept_is_right_within_the_error() {
        // First key, how many, and the least that each weighs.
        let few = [(0, 54_399, 1), (30_000, 10_000, 5), (7, 1, 9)];
        let many = [(0, 70_000, 1), (60_000, 30_000, 8), (10, 3, 200_000), (0, 90_000, 2)];
        for (pieces, is_whole) in [(&few[..], true), (&many[..], false)] {
            let (mut tops, mut expected) = (Tops::default(), BTreeMap::<u32, u64>::new());
            for (from, count, least) in pieces.iter().copied() {
                let piece =
                    || (from..from + count).map(|key| (key, Tally(least + u64::from(key % 7))));
                // Each key twice in a row: the second time before the first has a place.
                tops.add(piece().flat_map(|entry| [entry, entry]));
                piece().for_each(|(key, tally)| *expected.entry(key).or_default() += 2 * tally.0);
                assert!(tops.entries.len() < 2 * KEPT);
            }
            assert_eq!(tops.error == 0, is_whole);
            let kept: BTreeMap<_, _> =
                tops.entries.iter().map(|(key, tally)| (*key, tally.0)).collect();
            assert_eq!(kept.len(), tops.entries.len());
            for (key, weight) in expected {
                let known = kept.get(&key).copied().unwrap_or(0);
                assert!(
                    known <= weight && weight - known <= tops.error,
                    "{key}: {known}, {weight}"
                );
            }
            let mut heaviest: Vec<_> = kept.into_iter().collect();
            heaviest.sort_by_key(|(key, weight)| (Reverse(*weight), *key));
            heaviest.truncate(ROWS);
            let found: Vec<_> = tops.heaviest().into_iter().map(|(key, n)| (key, n.0)).collect();
            assert_eq!(found, heaviest);
        }
    }
}
