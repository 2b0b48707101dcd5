//! What entries are kept under.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::Ipv4Addr;

use foldhash::fast::RandomState;

use crate::decode::Spelled;
use crate::record::{Address, Scope};
use crate::rollup::TalkerKey;

/// Cell, remote address as it is spelled, port and protocol.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollup) struct Key {
    remote: [u64; 2],
    /// From the top: cell, port, protocol, [`PUBLIC`], family.
    rest: u64,
}

/// Of a stored key: the remote address is public. No part of what keys are compared by.
const PUBLIC: u64 = 1 << 7;

impl Key {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
    pub(in crate::rollup) fn new(cell: u32, remote: Spelled, port: u16, protocol: u8) -> Self {
        let rest = u64::from(cell) << 32
            | u64::from(port) << 16
            | u64::from(protocol) << 8
            | u64::from(remote.family);
        Self { remote: [remote.bits as u64, (remote.bits >> 64) as u64], rest }
    }

    /// The key of a refused source.
    #[inline]
    pub(in crate::rollup) fn source(cell: u32, address: Spelled) -> Self {
        Self::new(cell, address, 0, 0)
    }

    /// The key of the same address and protocol at another port.
    pub(in crate::rollup) fn of_port(mut self, port: u16) -> Self {
        self.rest = self.rest & !(0xffff << 16) | u64::from(port) << 16;
        self
    }

    /// The same key with the scope of its address, to be stored.
    pub(super) fn scoped(mut self, scope: Scope) -> Self {
        if scope == Scope::Public {
            self.rest |= PUBLIC;
        }
        self
    }

    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.remote == other.remote && (self.rest ^ other.rest) & !PUBLIC == 0
    }

    #[inline]
    pub(super) fn hash(&self, hasher: &RandomState) -> u64 {
        let mut hasher = hasher.build_hasher();
        hasher.write_u128(self.bits());
        hasher.write_u64(self.rest & !PUBLIC);
        hasher.finish()
    }

    /// The key of a talker, however the row was read.
    pub(in crate::rollup) fn of(cell: u32, key: &TalkerKey) -> Self {
        Self::new(cell, Spelled::of(key.remote), key.port, key.protocol)
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
    fn family(&self) -> u8 {
        (self.rest & (PUBLIC - 1)) as u8
    }

    /// The address, if it is one.
    #[inline]
    pub(in crate::rollup) fn address(&self) -> Option<Address> {
        Spelled { bits: self.bits(), family: self.family() }.address()
    }

    /// Of a stored key: the scope of its address.
    #[inline]
    pub(super) fn scope(&self) -> Scope {
        if self.rest & PUBLIC == 0 { Scope::Private } else { Scope::Public }
    }

    /// Of a stored key: its address, without reading text; `v4` is its number, if it is of IPv4. `None` never, since
    /// only addresses are stored.
    pub(super) fn remote(&self, v4: u32) -> Option<Address> {
        match self.family() {
            Spelled::V4 => Some(Address::V4(Ipv4Addr::from_bits(v4))),
            _ => self.address(),
        }
    }

    /// Of a stored key: the talker, as [`Key::remote`].
    pub(super) fn talker(&self, v4: u32) -> Option<TalkerKey> {
        let (port, protocol) = self.service();
        Some(TalkerKey { remote: self.remote(v4)?, port, protocol })
    }

    /// How the entry at a place is ordered; `v4` is the number of its address, if it is of IPv4.
    pub(super) fn order(&self, v4: u32, place: u32) -> Order {
        match self.family() {
            // Port and protocol follow one another in the key.
            Spelled::V4 => Order::V4(u64::from(v4) << 24 | self.rest >> 8 & 0xff_ffff),
            _ => Order::Other(self.ordered(v4, place)),
        }
    }

    /// The same, of whatever family it is.
    pub(super) fn ordered(&self, v4: u32, place: u32) -> Ordered {
        let family = self.family();
        let address =
            if family == Spelled::V4 { [v4.into(), 0] } else { [self.remote[1], self.remote[0]] };
        let (port, protocol) = self.service();
        Ordered { family, address, port, protocol, place }
    }

    #[expect(clippy::cast_possible_truncation, reason = "parts of a number")]
    fn service(&self) -> (u16, u8) {
        ((self.rest >> 16) as u16, (self.rest >> 8) as u8)
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
