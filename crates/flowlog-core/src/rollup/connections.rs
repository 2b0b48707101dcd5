//! What is known of connections: refused ones between private addresses with what became of either
//! direction, and accepted ones to ports that are watched.
//!
//! Since mapping version 2. Both lists are bounded; what they leave out is in their error bounds.

use serde::{Deserialize, Serialize};

use super::flow::Flow;
use super::{Rollup, Talker, TalkerKey, Weigh};
use crate::record::{Address, Direction, Scope};

/// A connection between two private addresses, as far as records tell who opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tuple {
    /// Who opened it.
    pub client: Address,
    /// Who was to answer.
    pub server: Address,
    /// The server's port, 0 for ICMP.
    pub port: u16,
    /// IANA protocol number, 255 where the format has none.
    pub protocol: u8,
}

/// What became of a refused tuple's two directions at one interface.
///
/// Accepted packets come from the list of talkers, so they are a lower bound where that is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Rejected records, client to server.
    pub rejected_forward: u64,
    /// Rejected records, server to client.
    pub rejected_back: u64,
    /// Accepted packets, client to server.
    pub accepted_forward: u64,
    /// Accepted packets, server to client.
    pub accepted_back: u64,
    /// Earliest start of a rejected record (epoch seconds).
    pub first: i64,
    /// Latest end of a rejected record (epoch seconds).
    pub last: i64,
}

impl Weigh for Verdicts {
    fn weight(&self) -> u64 {
        self.rejected_forward.saturating_add(self.rejected_back)
    }

    fn absorb(&mut self, other: &Self) {
        self.rejected_forward = self.rejected_forward.saturating_add(other.rejected_forward);
        self.rejected_back = self.rejected_back.saturating_add(other.rejected_back);
        self.accepted_forward = self.accepted_forward.saturating_add(other.accepted_forward);
        self.accepted_back = self.accepted_back.saturating_add(other.accepted_back);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Tuple {
    /// The refused connection between private addresses that a flow is of, and whether the flow
    /// goes from client to server. `None` unless both addresses are private.
    pub(super) fn of(flow: &Flow) -> Option<(Self, bool)> {
        let (src, dst) = (flow.src?, flow.dst?);
        if src.scope() != Scope::Private || dst.scope() != Scope::Private {
            return None;
        }
        let row = &flow.evidence;
        let forward = flow.is_from_client();
        let (client, server, port) =
            if forward { (src, dst, row.dstport) } else { (dst, src, row.srcport) };
        Some((Self { client, server, port, protocol: row.protocol }, forward))
    }

    /// Adds what the interface exchanged with the other side of the tuple.
    pub(super) fn add_accepted(
        &self,
        verdicts: &mut Verdicts,
        talker: impl Fn(TalkerKey) -> Option<Talker>,
    ) {
        let of = |remote| talker(TalkerKey { remote, port: self.port, protocol: self.protocol });
        if let Some(client) = of(self.client) {
            verdicts.accepted_forward = client.packets_in;
            verdicts.accepted_back = client.packets_out;
        } else if let Some(server) = of(self.server) {
            verdicts.accepted_forward = server.packets_out;
            verdicts.accepted_back = server.packets_in;
        }
    }
}

impl Rollup {
    /// What became of a refused connection. What was written of it knows only the talkers of its own
    /// delivery; folded deliveries know those of each other, so that an answer does not depend on
    /// how they were cut.
    pub fn verdicts(&self, tuple: &Tuple) -> Option<Verdicts> {
        let mut verdicts = *self.rejected_tuples.get(tuple)?;
        let mut folded = Verdicts::default();
        tuple.add_accepted(&mut folded, |key| self.talkers.get(&key).copied());
        verdicts.accepted_forward = verdicts.accepted_forward.max(folded.accepted_forward);
        verdicts.accepted_back = verdicts.accepted_back.max(folded.accepted_back);
        Some(verdicts)
    }
}

/// What a remote address used at an interface: accepted traffic to a watched port, or to any port
/// from a source that the interface also refused in the same window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Accepted records towards the interface.
    pub flows: u64,
    /// Of these, records of at most [`SHORT_FLOW_PACKETS`] packets.
    pub short_flows: u64,
    /// Bytes towards the interface.
    pub bytes_in: u64,
    /// Bytes from the interface.
    pub bytes_out: u64,
}

/// A record of at most so many packets is a short flow: a failed log-in, not a session.
pub const SHORT_FLOW_PACKETS: u64 = 30;

impl Weigh for Service {
    fn weight(&self) -> u64 {
        self.flows
    }

    fn absorb(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.short_flows = self.short_flows.saturating_add(other.short_flows);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

/// Ports of remote administration, databases, file sharing and unauthenticated services, sorted:
/// what nobody opens to strangers on purpose. Part of the mapping version.
pub const WATCHED_PORTS: [u16; 33] = [
    21, 22, 23, 111, 135, 139, 389, 445, 512, 513, 514, 873, 1433, 1521, 2049, 2375, 2376, 2379,
    3306, 3389, 5432, 5900, 5985, 5986, 6379, 6443, 8020, 9042, 9200, 10250, 11211, 27017, 50070,
];

/// Whether a port is one of [`WATCHED_PORTS`].
#[inline]
pub fn is_watched(port: u16) -> bool {
    WATCHED_BITS[usize::from(port / 64)] >> (port % 64) & 1 != 0
}

/// [`WATCHED_PORTS`] as a set: every accepted record asks.
static WATCHED_BITS: [u64; 1024] = {
    let mut bits = [0; 1024];
    let mut at = 0;
    while at < WATCHED_PORTS.len() {
        let port = WATCHED_PORTS[at];
        bits[(port / 64) as usize] |= 1 << (port % 64);
        at += 1;
    }
    bits
};

/// The watched service of the interface's own that an accepted flow uses, and what it adds.
pub(super) fn service_of(flow: &Flow, direction: Direction) -> Option<(TalkerKey, Service)> {
    let row = &flow.evidence;
    let (remote, port) = match direction {
        Direction::Egress => (flow.dst?, row.srcport),
        Direction::Ingress | Direction::Unknown => (flow.src?, row.dstport),
    };
    let key = TalkerKey { remote, port, protocol: row.protocol };
    is_watched(port).then(|| (key, served(direction, row.packets, row.bytes)))
}

/// What one accepted record adds to the service that it uses.
#[inline]
pub(super) fn served(direction: Direction, packets: u64, bytes: u64) -> Service {
    match direction {
        Direction::Egress => Service { bytes_out: bytes, ..Service::default() },
        Direction::Ingress | Direction::Unknown => {
            let short_flows = u64::from(packets <= SHORT_FLOW_PACKETS);
            Service { flows: 1, short_flows, bytes_in: bytes, bytes_out: 0 }
        }
    }
}

impl Talker {
    /// What a refused source exchanged all the same. Flows of both directions are one number here.
    pub(super) fn as_service(&self) -> Service {
        Service {
            flows: self.records,
            short_flows: 0,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }
}

/// Whose interface it is, as far as the format says. Free text that strangers may choose: never
/// part of a key, and to be escaped wherever a person sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `subnet-…`.
    pub subnet_id: String,
    /// `i-…`.
    pub instance_id: String,
    /// Value of the interface's (else the instance's) first tag, percent-encoded as AWS writes it,
    /// at most [`NAME_LIMIT`] bytes.
    pub name: String,
}

/// Most bytes of a name that are kept.
pub const NAME_LIMIT: usize = 128;

impl About {
    /// Fills in what is not known yet.
    pub(super) fn learn(
        &mut self,
        subnet: Option<&str>,
        instance: Option<&str>,
        tag: Option<&str>,
    ) {
        for (mine, theirs) in [
            (&mut self.subnet_id, subnet),
            (&mut self.instance_id, instance),
            (&mut self.name, tag),
        ] {
            if mine.is_empty()
                && let Some(text) = theirs
            {
                text[..text.floor_char_boundary(NAME_LIMIT)].clone_into(mine);
            }
        }
    }

    /// Fills in what another knows.
    pub(super) fn merge(&mut self, other: &Self) {
        let known = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let (subnet, instance, name) =
            (known(&other.subnet_id), known(&other.instance_id), known(&other.name));
        self.learn(subnet.as_deref(), instance.as_deref(), name.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watched_ports_are_sorted() {
        assert!(WATCHED_PORTS.is_sorted());
        assert!(is_watched(22) && is_watched(27017) && !is_watched(443));
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        let mut about = About::default();
        let tag = format!("{}é", "x".repeat(NAME_LIMIT - 1));
        about.learn(None, Some("i-1"), Some(&tag));
        assert_eq!(about.name.len(), NAME_LIMIT - 1);
        about.learn(Some("subnet-1"), Some("i-2"), Some("other"));
        assert_eq!((about.subnet_id.as_str(), about.instance_id.as_str()), ("subnet-1", "i-1"));
    }
}
