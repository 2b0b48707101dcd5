//! A flat table by interface, window and remote address: what every accepted record is added to.
//!
//! An entry of talkers is one cache line. The entries stand in the order in which they came; beside
//! them are slots of eight bytes, half a hash and the place of an entry, so that a look-up touches one
//! slot and one entry, and growing moves slots only. The hash is seeded per process, because strangers
//! choose the addresses; nothing that leaves the table depends on it.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::TalkerKey;
use crate::decode::Spelled;
use crate::record::Scope;

/// Cell, remote address as it is spelled, port and protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    remote: [u64; 2],
    /// From the top: cell, port, protocol, [`PUBLIC`], family.
    rest: u64,
}

/// Of a stored key: the remote address is public. No part of what keys are compared by.
const PUBLIC: u64 = 1 << 7;

impl Key {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
    pub(super) fn new(cell: u32, remote: Spelled, port: u16, protocol: u8) -> Self {
        let rest = u64::from(cell) << 32
            | u64::from(port) << 16
            | u64::from(protocol) << 8
            | u64::from(remote.family);
        Self { remote: [remote.bits as u64, (remote.bits >> 64) as u64], rest }
    }

    /// The same key with the scope of its address, to be stored.
    pub(super) fn scoped(mut self, scope: Scope) -> Self {
        if scope == Scope::Public {
            self.rest |= PUBLIC;
        }
        self
    }

    #[inline]
    fn is(&self, other: &Self) -> bool {
        self.remote == other.remote && (self.rest ^ other.rest) & !PUBLIC == 0
    }

    #[inline]
    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((self.remote, self.rest & !PUBLIC))
    }

    /// The key of a talker, however the row was read.
    pub(super) fn of(cell: u32, key: &TalkerKey) -> Self {
        Self::new(cell, Spelled::of(key.remote), key.port, key.protocol).scoped(key.remote.scope())
    }

    /// Cell and talker. `None` never: only addresses become keys.
    #[expect(clippy::cast_possible_truncation, reason = "parts of a number")]
    pub(super) fn parts(&self) -> Option<(u32, TalkerKey)> {
        let bits = u128::from(self.remote[0]) | u128::from(self.remote[1]) << 64;
        let remote = Spelled { bits, family: (self.rest & (PUBLIC - 1)) as u8 }.address()?;
        let key =
            TalkerKey { remote, port: (self.rest >> 16) as u16, protocol: (self.rest >> 8) as u8 };
        Some(((self.rest >> 32) as u32, key))
    }
}

/// A look-up to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) key: Key,
    hash: u64,
    /// Where the entry may be; only a hint.
    place: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Table<V> {
    /// Upper half of the hash, place of the entry plus one; zero is empty. A power of two, at least
    /// twice as many as entries.
    slots: Vec<u64>,
    entries: Vec<(Key, V)>,
    hasher: RandomState,
}

/// How many slots there are at first.
const FEWEST: usize = 256;

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), entries: Vec::new(), hasher: RandomState::default() }
    }

    /// Where to look for a key.
    #[inline]
    pub(super) fn probe(&self, key: Key) -> Probe {
        Probe { hash: key.hash(&self.hasher), key, place: usize::MAX }
    }

    /// Brings what several look-ups need into the cache. Each step is taken for all of them before
    /// the next, so that they wait for memory together.
    pub(super) fn touch<A>(&self, ahead: &mut [(A, Probe)]) {
        let mask = self.slots.len().wrapping_sub(1);
        for (_, probe) in &mut *ahead {
            let slot = self.slots.get(home(probe.hash, mask)).copied().unwrap_or_default();
            probe.place = ((slot & 0xffff_ffff) as usize).wrapping_sub(1);
        }
        let mut seen = 0;
        for (_, probe) in ahead {
            seen ^= self.entries.get(probe.place).map_or(0, |(key, _)| key.rest);
        }
        std::hint::black_box(seen);
    }

    /// The value of a key, and the scope of its address.
    #[inline]
    pub(super) fn get_mut(&mut self, probe: &Probe) -> Option<(Scope, &mut V)> {
        let foreseen = self.entries.get(probe.place).is_some_and(|(key, _)| key.is(&probe.key));
        let place = if foreseen { probe.place } else { self.find(&probe.key, probe.hash)? };
        let (key, value) = self.entries.get_mut(place)?;
        let scope = if key.rest & PUBLIC == 0 { Scope::Private } else { Scope::Public };
        Some((scope, value))
    }

    /// The value of a key that is not there yet.
    pub(super) fn insert(&mut self, key: Key, value: V) -> &mut V {
        if (self.entries.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![0; (self.slots.len() * 2).max(FEWEST)];
            self.index();
        }
        let place = self.entries.len();
        place_at(&mut self.slots, key.hash(&self.hasher), place);
        self.entries.push((key, value));
        &mut self.entries[place].1
    }

    pub(super) fn entry(&mut self, key: Key, new: impl FnOnce() -> V) -> &mut V {
        match self.find(&key, key.hash(&self.hasher)) {
            Some(at) => &mut self.entries[at].1,
            None => self.insert(key, new()),
        }
    }

    /// Every entry; the table is empty afterwards.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, TalkerKey, V)> {
        self.slots.fill(0);
        self.entries.drain(..).filter_map(|(key, value)| {
            let (cell, key) = key.parts()?;
            Some((cell, key, value))
        })
    }

    /// The entries with what they are kept under.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, TalkerKey, &V)> {
        self.entries.iter().filter_map(|(key, value)| {
            let (cell, key) = key.parts()?;
            Some((cell, key, value))
        })
    }

    /// Keeps the entries for which `keep` says so, asked in the order of [`Table::iter`].
    pub(super) fn retain(&mut self, mut keep: impl FnMut() -> bool) {
        self.entries.retain(|_| keep());
        self.slots.fill(0);
        self.index();
    }

    #[inline]
    fn find(&self, key: &Key, hash: u64) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = home(hash, mask);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if (slot ^ hash) >> 32 == 0 {
                let place = (slot & 0xffff_ffff) as usize - 1;
                if self.entries.get(place)?.0.is(key) {
                    return Some(place);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Fills the slots, which are empty, from the entries.
    fn index(&mut self) {
        for (place, (key, _)) in self.entries.iter().enumerate() {
            place_at(&mut self.slots, key.hash(&self.hasher), place);
        }
    }
}

/// The first slot to look at.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
fn home(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Puts an entry's place into the first free slot.
fn place_at(slots: &mut [u64], hash: u64, place: usize) {
    let mask = slots.len() - 1;
    let mut at = home(hash, mask);
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = hash & 0xffff_ffff_0000_0000 | (place as u64 + 1);
}
