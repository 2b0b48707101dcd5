//! One record on its way into the sums, and what of it is counted where.

use super::{CONTACTS, Contact, Evidence, Lacking, RejectedSource, Rollup, scope_of};
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

pub(super) fn describe(rollup: &mut Rollup, record: &Record<'_>, lacking: Lacking) {
    rollup.lacking.add(lacking);
    if rollup.account_id.is_empty()
        && let Some(account) = record.account_id
    {
        account.clone_into(&mut rollup.account_id);
    }
    if rollup.vpc_id.is_empty()
        && let Some(vpc) = record.vpc_id
    {
        vpc.clone_into(&mut rollup.vpc_id);
    }
}

/// Who the interface is, since mapping version 2.
pub(super) fn introduce(rollup: &mut Rollup, record: &Record<'_>) {
    rollup.about.learn(record.subnet_id, record.instance_id, record.tag);
}

/// Counts the optional fields; how many different values there can be is bounded.
pub(super) fn tally_fields(rollup: &mut Rollup, record: &Record<'_>) {
    const KNOWN_REASONS: usize = 8;
    let Record { tcp_flags, traffic_path, encryption_status, bytes, .. } = *record;
    tally_numbers(rollup, tcp_flags, traffic_path.map(|path| (path, bytes)), encryption_status);
    if let Some(reason) = record.reject_reason {
        let known = rollup.reject_reasons.len() < KNOWN_REASONS
            || rollup.reject_reasons.contains_key(reason);
        let reason = if known { reason } else { "other" };
        *rollup.reject_reasons.entry(reason.to_owned()).or_default() += 1;
    }
    for (mine, theirs) in rollup.packets_lost.iter_mut().zip(record.packets_lost) {
        *mine = mine.saturating_add(theirs);
    }
}

/// The same of those fields that are numbers; the path with the bytes that went it.
#[inline]
pub(super) fn tally_numbers(
    rollup: &mut Rollup,
    tcp_flags: Option<u8>,
    path: Option<(u8, u64)>,
    encryption_status: Option<u8>,
) {
    const OTHER_FLAGS: u8 = u8::MAX;
    if let Some(flags) = tcp_flags {
        *rollup.tcp_flags.entry(if flags < 32 { flags } else { OTHER_FLAGS }).or_default() += 1;
    }
    if let Some((path, more)) = path {
        *rollup.traffic_path.entry(path.min(15)).or_default() += 1;
        let bytes = rollup.path_bytes.entry(path.min(15)).or_default();
        *bytes = bytes.saturating_add(more);
    }
    if let Some(status) = encryption_status {
        *rollup.encryption_status.entry(status.min(15)).or_default() += 1;
    }
}
