//! Everything that is known of one address.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, Direction, Window};
use flowlog_core::rollup::{
    RejectedSource, Rollup, Talker, TalkerKey, Tuple, Verdicts, Weigh as _,
};
use serde_json::{Value, json};

use flowlog_core::store::reader::Answer;

use super::Material;
use crate::report::unlisted_bytes;

/// What one interface (or scope) knows of the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The interface or scope.
    pub subject: String,
    /// Accepted exchange, by port and protocol.
    pub talked: Vec<(TalkerKey, Talker)>,
    /// What was refused to it as a source.
    pub refused: Option<RejectedSource>,
    /// Refused connections between private addresses that it took part in.
    pub tuples: Vec<(Tuple, Verdicts)>,
    /// The first and last window (or hour, for old data) in which it shows.
    pub windows: Option<(Window, Window)>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Who.
    pub address: Address,
    /// One for each interface that saw it, sorted.
    pub seen: Vec<Seen>,
    /// Interfaces that refused packets of the address or for it: they have it, among others perhaps, or pass on for who
    /// has it. What they recorded of it as their own is no part of `seen`.
    pub refused_by: BTreeSet<String>,
    /// What others recorded of it and may not show: lists are cut at the heaviest.
    pub unlisted: Unlisted,
}

/// The most that an address may have had in lists that are cut, without standing in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// Bytes that others exchanged with it.
    pub bytes: u64,
    /// Records that were refused to it as a source.
    pub refused: u64,
    /// Refused records of any one connection between private addresses.
    pub connections: u64,
}

impl Unlisted {
    /// Whether every list is whole.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, rollup: &Rollup) {
        self.bytes = self.bytes.saturating_add(unlisted_bytes(rollup));
        self.refused = self.refused.saturating_add(rollup.rejected_sources.error());
        self.connections = self.connections.saturating_add(rollup.rejected_tuples.error());
    }
}

/// Whether an interface refused packets that the address sent from its side, or was to get there. Where records have the
/// packet's addresses, roll-ups do: so it may be one that passes on, or have other addresses, too.
fn refuses_for(rollup: &Rollup, address: Address) -> bool {
    rollup.rejected_sources.iter().any(|(source, refused)| match refused.direction {
        Direction::Ingress => refused.contacts.iter().any(|contact| contact.host == address),
        Direction::Egress => *source == address,
        Direction::Unknown => false,
    })
}

/// What is known of an address.
pub fn who(material: &Material, address: Address) -> Who {
    let mut who = Who::of(address);
    for (id, answer) in &material.answers {
        who.add(id, answer);
    }
    who
}

impl Who {
    /// Nothing yet.
    pub(super) fn of(address: Address) -> Self {
        let unlisted = Unlisted::default();
        Self { address, seen: Vec::new(), refused_by: BTreeSet::new(), unlisted }
    }

    /// Adds what one interface (or scope) knows.
    pub(super) fn add(&mut self, id: &str, answer: &Answer) {
        let address = self.address;
        let mut talked: BTreeMap<TalkerKey, Talker> = BTreeMap::new();
        let mut tuples: BTreeMap<Tuple, Verdicts> = BTreeMap::new();
        let mut refused: Option<RejectedSource> = None;
        let mut windows: Option<(Window, Window)> = None;
        for (window, rollup) in answer.rollups() {
            self.unlisted.add(rollup);
            if refuses_for(rollup, address) && !self.refused_by.contains(id) {
                self.refused_by.insert(id.to_owned());
            }
            let mut shows = false;
            for (key, talker) in rollup.talkers.iter().filter(|(key, _)| key.remote == address) {
                talked.entry(*key).or_default().absorb(talker);
                shows = true;
            }
            if let Some(source) = rollup.rejected_sources.get(&address) {
                match &mut refused {
                    Some(refused) => refused.absorb(source),
                    None => refused = Some(source.clone()),
                }
                shows = true;
            }
            for (tuple, _) in rollup.rejected_tuples.iter() {
                if (tuple.client == address || tuple.server == address)
                    && let Some(verdicts) = rollup.verdicts(tuple)
                {
                    let known = tuples.entry(*tuple).and_modify(|known| known.absorb(&verdicts));
                    known.or_insert(verdicts);
                    shows = true;
                }
            }
            if shows {
                let (first, last) = windows.unwrap_or((*window, *window));
                windows = Some((first.min(*window), last.max(*window)));
            }
        }
        if talked.is_empty() && refused.is_none() && tuples.is_empty() {
            return;
        }
        self.seen.push(Seen {
            subject: id.to_owned(),
            talked: talked.into_iter().collect(),
            refused,
            tuples: tuples.into_iter().collect(),
            windows,
        });
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "address": self.address.to_string(),
            "seen": self.seen.iter().map(Seen::to_json).collect::<Vec<_>>(),
            "refused_by": self.refused_by,
            "error_bound_bytes": self.unlisted.bytes,
            "error_bounds": {
                "refused_records": self.unlisted.refused,
                "connection_records": self.unlisted.connections,
            },
        })
    }
}

impl Seen {
    fn to_json(&self) -> Value {
        json!({
            "subject": self.subject,
            "first_window": self.windows.map(|(first, _)| first.start()),
            "last_window": self.windows.map(|(_, last)| last.start()),
            "talked": self.talked.iter().map(|(key, t)| json!({
                "port": key.port, "protocol": key.protocol, "records": t.records,
                "bytes_in": t.bytes_in, "bytes_out": t.bytes_out,
            })).collect::<Vec<_>>(),
            "refused": self.refused.as_ref().map(|s| json!({
                "records": s.records, "packets": s.packets, "bytes": s.bytes,
                "contacts": s.contact_count, "first": s.first, "last": s.last,
            })),
            "connections": self.tuples.iter().map(|(tuple, v)| json!({
                "client": tuple.client.to_string(), "server": tuple.server.to_string(),
                "port": tuple.port, "protocol": tuple.protocol,
                "rejected_forward": v.rejected_forward, "rejected_back": v.rejected_back,
                "accepted_packets_forward": v.accepted_forward,
                "accepted_packets_back": v.accepted_back,
            })).collect::<Vec<_>>(),
        })
    }
}
