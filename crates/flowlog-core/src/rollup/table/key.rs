//! What entries are kept under.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::Ipv4Addr;

use foldhash::fast::RandomState;

use crate::decode::Spelled;
use crate::record::{Address, Scope};
use crate::rollup::TalkerKey;

/// Cell, remote address, port and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rollup) struct Key {
    /// The address as a number, its lower half first.
    remote: [u64; 2],
    /// From the top: cell, port, protocol, family.
    rest: u64,
}

/// The same in half of that, if the address is of IPv4.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollup) struct NarrowKey {
    cell: u32,
    remote: u32,
    /// From the top: port, protocol, [`PUBLIC`] and [`LARGE`].
    service: u32,
}

/// Of a stored key: the address is public; the entry is large. No part of what keys are compared by.
const PUBLIC: u32 = 1;
const LARGE: u32 = 2;
const MARKS: u32 = PUBLIC | LARGE;

/// A key that a table looks up.
pub(in crate::rollup) trait Hashed: Copy {
    /// Seeded: strangers choose the addresses.
    fn hash(&self, hasher: &RandomState) -> u64;
}

impl Hashed for Key {
    #[inline]
    fn hash(&self, hasher: &RandomState) -> u64 {
        let mut hasher = hasher.build_hasher();
        hasher.write_u128(self.bits());
        hasher.write_u64(self.rest);
        hasher.finish()
    }
}

impl Hashed for NarrowKey {
    #[inline]
    fn hash(&self, hasher: &RandomState) -> u64 {
        let mut hasher = hasher.build_hasher();
        hasher.write_u64(u64::from(self.cell) << 32 | u64::from(self.remote));
        hasher.write_u32(self.service & !MARKS);
        hasher.finish()
    }
}

impl Key {
    /// The key of a talker.
    #[inline]
    pub(in crate::rollup) fn of(cell: u32, talker: &TalkerKey) -> Self {
        let (family, bits) = talker.remote.number();
        Self::new(cell, bits, family, talker.port, talker.protocol)
    }

    /// The key of an address that is a number of this family.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
    pub(in crate::rollup) fn new(
        cell: u32,
        remote: u128,
        family: u8,
        port: u16,
        protocol: u8,
    ) -> Self {
        let rest = u64::from(cell) << 32
            | u64::from(port) << 16
            | u64::from(protocol) << 8
            | u64::from(family);
        Self { remote: [remote as u64, (remote >> 64) as u64], rest }
    }

    /// The key of a refused source.
    #[inline]
    pub(in crate::rollup) fn source(cell: u32, remote: Address) -> Self {
        Self::of(cell, &TalkerKey { remote, port: 0, protocol: 0 })
    }

    /// The key of the same address and protocol at another port.
    pub(in crate::rollup) fn of_port(mut self, port: u16) -> Self {
        self.rest = self.rest & !(0xffff << 16) | u64::from(port) << 16;
        self
    }

    /// The same in less; of an address of IPv4.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number of an IPv4 address, and parts of a number"
    )]
    pub(in crate::rollup) fn narrow(&self) -> NarrowKey {
        let service = self.rest as u32 & 0xffff_ff00;
        NarrowKey { cell: self.cell(), remote: self.remote[0] as u32, service }
    }

    /// Whether the address is of IPv4.
    #[inline]
    pub(in crate::rollup) fn is_v4(&self) -> bool {
        self.family() == Spelled::V4
    }

    /// The cell.
    #[inline]
    pub(in crate::rollup) fn cell(&self) -> u32 {
        (self.rest >> 32) as u32
    }

    #[inline]
    fn bits(&self) -> u128 {
        u128::from(self.remote[0]) | u128::from(self.remote[1]) << 64
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "part of a number")]
    fn family(&self) -> u8 {
        self.rest as u8
    }

    /// The address.
    #[inline]
    pub(in crate::rollup) fn remote(&self) -> Address {
        Address::of_number(self.family(), self.bits())
    }

    /// The talker.
    pub(in crate::rollup) fn talker(&self) -> TalkerKey {
        let (port, protocol) = self.service();
        TalkerKey { remote: self.remote(), port, protocol }
    }

    /// How the entry at a place is ordered.
    pub(super) fn order(&self, place: u32) -> Order {
        match self.family() {
            // Port and protocol follow one another in the key.
            Spelled::V4 => Order::V4(self.remote[0] << 24 | self.rest >> 8 & 0xff_ffff),
            _ => Order::Other(self.ordered(place)),
        }
    }

    /// The same, of whatever family it is.
    pub(in crate::rollup) fn ordered(&self, place: u32) -> Ordered {
        let address = [self.remote[1], self.remote[0]];
        let (port, protocol) = self.service();
        Ordered { family: self.family(), address, port, protocol, place }
    }

    #[expect(clippy::cast_possible_truncation, reason = "parts of a number")]
    fn service(&self) -> (u16, u8) {
        ((self.rest >> 16) as u16, (self.rest >> 8) as u8)
    }
}

impl NarrowKey {
    /// The same as it is kept of every family.
    #[inline]
    pub(in crate::rollup) fn widen(&self) -> Key {
        let service = self.service & !MARKS;
        let rest = u64::from(self.cell) << 32 | u64::from(service) | u64::from(Spelled::V4);
        Key { remote: [self.remote.into(), 0], rest }
    }

    /// The same key with the scope of its address, to be stored.
    pub(in crate::rollup) fn scoped(mut self) -> Self {
        if Address::V4(Ipv4Addr::from_bits(self.remote)).scope() == Scope::Public {
            self.service |= PUBLIC;
        }
        self
    }

    /// Of a stored key: the scope of its address.
    #[inline]
    pub(in crate::rollup) fn scope(&self) -> Scope {
        if self.service & PUBLIC == 0 { Scope::Private } else { Scope::Public }
    }

    /// Of a stored key: whether its entry was marked as large.
    #[inline]
    pub(in crate::rollup) fn is_large(&self) -> bool {
        self.service & LARGE != 0
    }

    /// Marks the entry of a stored key.
    pub(in crate::rollup) fn mark_large(&mut self) {
        self.service |= LARGE;
    }

    #[inline]
    pub(in crate::rollup) fn is(&self, other: &Self) -> bool {
        let differing = (self.service ^ other.service) & !MARKS;
        (self.cell ^ other.cell) | (self.remote ^ other.remote) | differing == 0
    }

    /// The cell.
    #[inline]
    pub(in crate::rollup) fn cell(&self) -> u32 {
        self.cell
    }
}

/// How a key is ordered among those of its cell, as its talker is: those of IPv4 come first.
#[derive(Debug)]
pub(super) enum Order {
    V4(u64),
    Other(Ordered),
}

/// The place of an entry, ordered among those of its cell as its talker is. When state is pruned there are as many
/// of them as entries, and that is when most memory is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rollup) struct Ordered {
    family: u8,
    /// As a number, the upper half first.
    address: [u64; 2],
    port: u16,
    protocol: u8,
    pub(in crate::rollup) place: u32,
}

const _: () = assert!(size_of::<Ordered>() == 24);
