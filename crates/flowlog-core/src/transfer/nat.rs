//! What went through NAT gateways.
//!
//! At a gateway's interface the private leg of a connection shows the gateway's own
//! address in `dstaddr` (or `srcaddr`, of the answer) and the far end in `pkt-dstaddr` (`pkt-srcaddr`).
//! A pod's address behind its node's differs from it, too, but is private. Whatever else hands packets
//! on, a transit gateway's attachment or a firewall, looks the same on that leg. A gateway gives packets
//! an address of its own, so only there a record shows the same private address as sender and as the
//! packet's source, towards a public one ([`Transfer::nat`]). A gateway without a flow log shows neither
//! leg; what its clients' packets pass meanwhile stands for it.

use std::collections::{BTreeMap, BTreeSet};

use super::{ADDRESSES, Bytes, INTERNET, Services, Transfer, keep};
use crate::record::{Address, Record, Scope};

/// Services that are kept apart for each client: AWS names some twenty.
const SERVICES: usize = 64;

/// What went through NAT gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nat {
    /// By private client.
    pub clients: BTreeMap<Address, Services>,
    /// Beyond [`ADDRESSES`] clients (of each gateway), at whatever they passed.
    pub other_clients: Bytes,
    /// Of `clients`, those of whom no record shows a gateway's public side: their bytes at every
    /// interface that they passed.
    pub presumed: u64,
    /// Not in `clients`: what those with a gateway had at other interfaces on the way.
    pub on_the_way: u64,
}

/// What an interface is that a client's packets passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    Gateway,
    /// It may be one, since nothing else on that client's way is known for one.
    Presumed,
    OnTheWay,
}

impl Transfer {
    /// What went through NAT gateways, each byte once: where a client's packets also passed other
    /// interfaces, only at the gateway.
    pub fn nat(&self) -> Nat {
        let mut nat = Nat { other_clients: self.other_hops, ..Nat::default() };
        for ((client, _), services, passed) in self.passed() {
            let sum = services.values().map(Bytes::sum).fold(0, u64::saturating_add);
            match passed {
                Passed::OnTheWay => {
                    nat.on_the_way = nat.on_the_way.saturating_add(sum);
                    continue;
                }
                Passed::Presumed => nat.presumed = nat.presumed.saturating_add(sum),
                Passed::Gateway => {}
            }
            let known = nat.clients.entry(client).or_default();
            for (service, bytes) in services {
                known.entry(service.clone()).or_default().add(*bytes);
            }
        }
        nat
    }

    /// Every hop, and what it is.
    pub(super) fn passed(&self) -> impl Iterator<Item = ((Address, Address), &Services, Passed)> {
        let is_gateway =
            |hop: &(Address, Address)| self.ends.contains(&hop.1) && !self.handed_on.contains(hop);
        let behind: BTreeSet<Address> =
            self.hops.keys().filter(|hop| is_gateway(hop)).map(|(client, _)| *client).collect();
        self.hops.iter().map(move |(hop, services)| {
            let passed = match (is_gateway(hop), behind.contains(&hop.0)) {
                (true, _) => Passed::Gateway,
                (false, true) => Passed::OnTheWay,
                (false, false) => Passed::Presumed,
            };
            (*hop, services, passed)
        })
    }

    pub(super) fn hop(&mut self, hop: (Address, Address), service: &str, bytes: Bytes) {
        if self.hops.len() >= ADDRESSES && !self.hops.contains_key(&hop) {
            self.other_hops.add(bytes);
            return;
        }
        let services = self.hops.entry(hop).or_default();
        let full = services.len() >= SERVICES && !services.contains_key(service);
        services.entry(if full { "other" } else { service }.to_owned()).or_default().add(bytes);
    }

    /// Whether the record is of a leg between a private client and what hands on its packets.
    pub(super) fn through_nat(&mut self, record: &Record<'_>) -> bool {
        let (Some(src), Some(dst), Some(pkt_src), Some(pkt_dst)) =
            (record.srcaddr, record.dstaddr, record.pkt_srcaddr, record.pkt_dstaddr)
        else {
            self.without_nat += 1;
            return false;
        };
        let private = |address: Address| address.scope() == Scope::Private;
        let public = |address: Address| address.scope() == Scope::Public;
        let (via, hop, service, bytes) = if pkt_dst != dst && public(pkt_dst) && private(src) {
            let bytes = Bytes { sent: record.bytes, received: 0 };
            (dst, (src, dst), record.pkt_dst_aws_service, bytes)
        } else if pkt_src != src && public(pkt_src) && private(dst) {
            let bytes = Bytes { sent: 0, received: record.bytes };
            (src, (dst, src), record.pkt_src_aws_service, bytes)
        } else {
            if pkt_dst == dst && public(dst) && private(src) {
                if pkt_src == src {
                    keep(&mut self.ends, src);
                } else {
                    keep(&mut self.handed_on, (pkt_src, src));
                }
            }
            return false;
        };
        // A regional NAT gateway has no interface, and its id stands in the record.
        if record.resource_id.is_some_and(|id| id.starts_with("nat-")) {
            keep(&mut self.ends, via);
        }
        self.hop(hop, service.unwrap_or(INTERNET), bytes);
        true
    }
}
