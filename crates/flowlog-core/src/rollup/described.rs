//! What is kept of an interface and window beside sums and lists, while records are added.
//!
//! A stranger can make tens of thousands of these, and most hold little: rows of the default format
//! have nothing but an account. So what other formats have stands in a box of its own, in few parts.

use std::collections::BTreeMap;

use super::{About, Lacking, Rollup};
use crate::record::{LogStatus, Record};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Described {
    account_id: Box<str>,
    lacking: Lacking,
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    vpc_id: Box<str>,
    about: About,
    nodata: u64,
    skipdata: u64,
    packets_lost: [u64; 4],
    /// Sorted by [`key`].
    tallies: Vec<(u16, u64)>,
    reject_reasons: BTreeMap<Box<str>, u64>,
}

/// What is counted by a small number.
#[derive(Debug, Clone, Copy)]
enum Tallied {
    TcpFlags,
    TrafficPath,
    PathBytes,
    EncryptionStatus,
}

impl Described {
    /// Takes in what a record says, of a format that lacks this; `introduces` whose interface it is.
    pub(super) fn add(&mut self, record: &Record<'_>, lacking: Lacking, introduces: bool) {
        self.lacking.add(lacking);
        if self.account_id.is_empty()
            && let Some(account) = record.account_id
        {
            self.account_id = account.into();
        }
        if let Some(vpc) = record.vpc_id {
            let rest = self.rest();
            if rest.vpc_id.is_empty() {
                rest.vpc_id = vpc.into();
            }
        }
        let (subnet, instance, tag) = (record.subnet_id, record.instance_id, record.tag);
        if introduces && subnet.or(instance).or(tag).is_some() {
            self.rest().about.learn(subnet, instance, tag);
        }
        match record.log_status {
            LogStatus::NoData => self.rest().nodata += 1,
            LogStatus::SkipData => self.rest().skipdata += 1,
            LogStatus::Ok => self.tally(record),
        }
    }

    /// Counts the optional fields; how many different values there can be is bounded.
    fn tally(&mut self, record: &Record<'_>) {
        const KNOWN_REASONS: usize = 8;
        let Record { tcp_flags, traffic_path, encryption_status, bytes, .. } = *record;
        self.tally_numbers(tcp_flags, traffic_path.map(|path| (path, bytes)), encryption_status);
        if let Some(reason) = record.reject_reason {
            let reasons = &mut self.rest().reject_reasons;
            let known = reasons.len() < KNOWN_REASONS || reasons.contains_key(reason);
            let reason = if known { reason } else { "other" };
            match reasons.get_mut(reason) {
                Some(records) => *records += 1,
                None => _ = reasons.insert(reason.into(), 1),
            }
        }
        if record.packets_lost != [0; 4] {
            for (mine, theirs) in self.rest().packets_lost.iter_mut().zip(record.packets_lost) {
                *mine = mine.saturating_add(theirs);
            }
        }
    }

    /// The same of those fields that are numbers; the path with the bytes that went it.
    #[inline]
    pub(super) fn tally_numbers(
        &mut self,
        tcp_flags: Option<u8>,
        path: Option<(u8, u64)>,
        encryption_status: Option<u8>,
    ) {
        const OTHER_FLAGS: u8 = u8::MAX;
        if let Some(flags) = tcp_flags {
            let flags = if flags < 32 { flags } else { OTHER_FLAGS };
            self.rest().count(Tallied::TcpFlags, flags, 1);
        }
        if let Some((path, bytes)) = path {
            self.rest().count(Tallied::TrafficPath, path.min(15), 1);
            self.rest().count(Tallied::PathBytes, path.min(15), bytes);
        }
        if let Some(status) = encryption_status {
            self.rest().count(Tallied::EncryptionStatus, status.min(15), 1);
        }
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// A roll-up that has this and neither sums nor lists.
    pub(super) fn into_rollup(self) -> Rollup {
        let Self { account_id, lacking, rest } = self;
        let rest = rest.map_or_else(Rest::default, |rest| *rest);
        let of = |what| {
            let these = rest.tallies.iter().filter(move |(key, _)| key >> 8 == what as u16);
            these.map(|(key, n)| (key.to_le_bytes()[0], *n)).collect::<BTreeMap<u8, u64>>()
        };
        Rollup {
            account_id: account_id.into(),
            tcp_flags: of(Tallied::TcpFlags),
            traffic_path: of(Tallied::TrafficPath),
            path_bytes: of(Tallied::PathBytes),
            encryption_status: of(Tallied::EncryptionStatus),
            lacking,
            vpc_id: rest.vpc_id.into(),
            about: rest.about,
            nodata: rest.nodata,
            skipdata: rest.skipdata,
            packets_lost: rest.packets_lost,
            reject_reasons: rest.reject_reasons.into_iter().map(|(k, n)| (k.into(), n)).collect(),
            ..Rollup::default()
        }
    }
}

impl Rest {
    #[inline]
    fn count(&mut self, what: Tallied, value: u8, n: u64) {
        let key = key(what, value);
        match self.tallies.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => self.tallies[at].1 = self.tallies[at].1.saturating_add(n),
            Err(at) => self.tallies.insert(at, (key, n)),
        }
    }
}

/// What is counted, above the value.
fn key(what: Tallied, value: u8) -> u16 {
    (what as u16) << 8 | u16::from(value)
}
