//! One record on its way into the sums, and what of it is counted where.

use super::{CONTACTS, Contact, Evidence, RejectedSource, scope_of};
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

    /// Whether this reads as a late reply. Such a row is no attempt to reach a port.
    pub(super) fn is_reply(&self) -> bool {
        is_late_reply(self.evidence.srcport, self.evidence.dstport, self.tcp_flags)
    }
}

/// Whether a record reads as a late reply: from a service port to a high one, and not opening a
/// connection, as far as the flags tell.
#[inline]
pub(super) fn is_late_reply(srcport: u16, dstport: u16, tcp_flags: Option<u8>) -> bool {
    const SYN_ONLY: u8 = 2;
    (1..1024).contains(&srcport) && dstport >= 32_768 && tcp_flags != Some(SYN_ONLY)
}

/// Whether a record's source opened the connection, as far as flags, else ports, tell.
pub(crate) fn opened_by_source(tcp_flags: Option<u8>, srcport: u16, dstport: u16) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    match tcp_flags {
        // ACK is kept of a SYN-ACK only: the responder's side.
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
