//! One record on its way into the sums, and what of it is counted where.

use super::{CONTACTS, Contact, Evidence, Mapping, RejectedSource, scope_of};
use crate::decode::QuickRow;
use crate::record::{Address, Direction, Record, Scope};

/// What is needed of a record once its interface and window are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) src: Option<Address>,
    pub(super) dst: Option<Address>,
    pub(super) evidence: Evidence,
    tcp_flags: Option<u8>,
}

impl Flow {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self {
            src: record.pkt_srcaddr.or(record.srcaddr),
            dst: record.pkt_dstaddr.or(record.dstaddr),
            evidence: Evidence::of(record),
            tcp_flags: record.tcp_flags,
        }
    }

    /// A quick row with what its addresses are.
    pub(super) fn of_quick(row: &QuickRow, src: Address, dst: Address) -> Self {
        let evidence = Evidence {
            start: row.start,
            end: row.end,
            srcaddr: Some(src),
            dstaddr: Some(dst),
            srcport: row.srcport,
            dstport: row.dstport,
            protocol: row.protocol,
            packets: row.packets,
            bytes: row.bytes,
            action: row.action,
        };
        Self { src: Some(src), dst: Some(dst), evidence, tcp_flags: row.tcp_flags }
    }

    /// The other side's address; where the direction is unknown, the public one or the source.
    pub(super) fn remote(&self, direction: Direction) -> Option<Address> {
        match direction {
            Direction::Ingress => self.src,
            Direction::Egress => self.dst,
            Direction::Unknown => match (scope_of(self.src), scope_of(self.dst)) {
                (Scope::Private, Scope::Public) => self.dst,
                _ => self.src.or(self.dst),
            },
        }
    }

    /// Whether the source opened the connection, as far as flags, else ports, tell.
    pub(super) fn is_from_client(&self) -> bool {
        opened_by_source(self.tcp_flags, self.evidence.srcport, self.evidence.dstport)
    }

    /// Whether this reads as a late reply, of a connection that has begun elsewhere or is forgotten. Such a row is no
    /// attempt to reach a port.
    #[inline]
    pub(super) fn is_reply(&self, mapping: Mapping) -> bool {
        let Evidence { srcport, dstport, protocol, .. } = self.evidence;
        let is_from_service = (1..1024).contains(&srcport) && dstport >= 32_768;
        if !mapping.knows_attempts() {
            return is_from_service && self.tcp_flags != Some(SYN);
        }
        match self.tcp_flags {
            // Ports that a client may be given begin at 1024: AWS's load balancers, NAT gateways and functions use all
            // of them. Whoever feels for ports without a SYN does it from a high one.
            Some(flags) if protocol == TCP => {
                let is_downwards = (1..dstport).contains(&srcport) && dstport >= 1024;
                is_downwards && (flags & SYN == 0 || flags & ACK != 0)
            }
            _ => is_from_service,
        }
    }
}

/// TCP's number.
const TCP: u8 = 6;
/// Bits of `tcp-flags`; ACK is kept of a SYN-ACK only, the responder's side.
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Whether a record's source opened the connection, as far as flags, else ports, tell.
pub(crate) fn opened_by_source(tcp_flags: Option<u8>, srcport: u16, dstport: u16) -> bool {
    match tcp_flags {
        Some(flags) if flags & ACK != 0 => false,
        Some(flags) if flags & SYN != 0 => true,
        // The service's port is the lower one.
        _ => srcport == 0 || srcport >= dstport,
    }
}

/// Which of an interface's own addresses: it may have one of each family.
pub(super) fn family(address: Address) -> usize {
    match address {
        Address::V4(_) => 0,
        Address::V6(_) => 1,
        Address::Mac(_) => 2,
    }
}

/// Approximate bytes of state of one contact.
pub(super) const CONTACT_COST: usize = 24;

/// Adds a contact and returns the state it costs.
pub(super) fn note_contact(totals: &mut RejectedSource, contact: Contact) -> usize {
    // Most sources try the same few doors again and again.
    const FEW: usize = 8;
    if totals.contacts.len() <= FEW && totals.contacts.contains(&contact) {
        return 0;
    }
    match totals.contacts.binary_search(&contact) {
        Ok(_) => 0,
        Err(at) if totals.contacts.len() < CONTACTS => {
            // Most sources have one.
            totals.contacts.reserve_exact(usize::from(totals.contacts.is_empty()));
            totals.contacts.insert(at, contact);
            totals.contact_count += 1;
            CONTACT_COST
        }
        // The list is full: one more is certain, and kept as the lower bound.
        Err(_) => {
            totals.contact_count = totals.contact_count.max(full_list() + 1);
            0
        }
    }
}

fn full_list() -> u32 {
    u32::try_from(CONTACTS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_reply_is_known_by_its_flags_and_else_by_its_ports() {
        let is_reply = |mapping, (srcport, dstport, protocol, tcp_flags)| {
            let record = Record {
                srcport: Some(srcport),
                dstport: Some(dstport),
                protocol: Some(protocol),
                tcp_flags,
                ..Record::empty()
            };
            Flow::of(&record).is_reply(mapping)
        };
        // A row, and what the second version and the third say of it.
        let rows = [
            ((443, 50_000, 6, None), true, true),
            ((443, 50_000, 6, Some(4)), true, true),
            ((443, 50_000, 6, Some(2)), false, false),
            // It opens a connection, and ended it in the same record.
            ((443, 50_000, 6, Some(3)), true, false),
            ((53, 50_000, 17, Some(0)), true, true),
            // A load balancer's port.
            ((443, 2_000, 6, None), false, false),
            ((443, 2_000, 6, Some(4)), false, true),
            ((8_080, 40_000, 6, Some(4)), false, true),
            ((8_080, 40_000, 6, Some(18)), false, true),
            ((8_080, 40_000, 6, Some(2)), false, false),
            ((8_080, 40_000, 6, None), false, false),
            // What a client leaves behind, or feels for.
            ((40_000, 5_432, 6, Some(4)), false, false),
            ((40_000, 22, 6, Some(0)), false, false),
            ((20, 443, 6, Some(0)), false, false),
            ((0, 40_000, 6, Some(0)), false, false),
        ];
        for (row, second, third) in rows {
            assert_eq!(is_reply(Mapping::V2, row), second, "{row:?}");
            assert_eq!(is_reply(Mapping::V3, row), third, "{row:?}");
        }
    }
}
