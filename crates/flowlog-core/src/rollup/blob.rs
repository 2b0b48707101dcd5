//! A roll-up as bytes: `postcard` behind a version byte, never more than [`BLOB_LIMIT`].
//!
//! Version 1 is the roll-up without what mapping version 2 added; version 2 appends that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    About, CONTACTS, EVIDENCE, LISTED, Mapping, Ranked, Rollup, Service, TUPLES, TalkerKey, Tuple,
    Verdicts,
};

/// Most bytes of an encoded roll-up.
pub const BLOB_LIMIT: usize = 8 * 1024;

/// What mapping version 2 appends, in this order.
#[derive(Serialize)]
struct Appended<'a> {
    rejected_tuples: &'a Ranked<Tuple, Verdicts>,
    services: &'a Ranked<TalkerKey, Service>,
    path_bytes: &'a BTreeMap<u8, u64>,
    about: &'a About,
}

/// [`Appended`], read back.
#[derive(Deserialize)]
struct Taken {
    rejected_tuples: Ranked<Tuple, Verdicts>,
    services: Ranked<TalkerKey, Service>,
    path_bytes: BTreeMap<u8, u64>,
    about: About,
}

/// Why bytes are no roll-up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nothing, or more than a roll-up can be.
    #[error("a roll-up of {0} bytes, expected 1 to {BLOB_LIMIT}")]
    Length(usize),
    /// Written by a version of flowlog that this one does not know.
    #[error("encoding version {0} is not known")]
    Version(u8),
    /// Damaged.
    #[error("the bytes are no roll-up: {0}")]
    Malformed(String),
    /// More bytes than the roll-up has.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

impl Rollup {
    /// Encodes, keeping the heaviest [`LISTED`] entries of each list and fewer where even that is
    /// too long: totals are never touched, lists get shorter and their error bounds say so.
    /// Equal roll-ups give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_as(Mapping::CURRENT)
    }

    /// Encodes everything, if that is no longer than what [`Rollup::encode`] may write.
    pub fn encode_whole(&self) -> Option<Vec<u8>> {
        self.bytes(Mapping::CURRENT)
    }

    /// Encodes as a mapping version does; version 1 leaves out what it did not know.
    pub fn encode_as(&self, mapping: Mapping) -> Vec<u8> {
        self.clone().into_encoded(mapping)
    }

    /// As [`Rollup::encode_as`], without a copy of the lists.
    pub fn into_encoded(mut self, mapping: Mapping) -> Vec<u8> {
        for squeeze in 0..=8 {
            self.shorten(squeeze);
            if let Some(bytes) = self.bytes(mapping) {
                return bytes;
            }
        }
        Vec::new()
    }

    /// All of it, if that is no longer than the mapping allows.
    fn bytes(&self, mapping: Mapping) -> Option<Vec<u8>> {
        let mut room = [0; BLOB_LIMIT];
        let (version, rest) = room.get_mut(..mapping.blob_limit())?.split_first_mut()?;
        *version = mapping.encoding();
        let Self { rejected_tuples, services, path_bytes, about, .. } = self;
        let appended = Appended { rejected_tuples, services, path_bytes, about };
        // Writing fails only where there is no room left: postcard can represent every type here, and writes a
        // tuple as its parts, one after the other.
        let written = match mapping {
            Mapping::V1 => postcard::to_slice(self, rest),
            Mapping::V2 | Mapping::V3 => postcard::to_slice(&(self, appended), rest),
        };
        let length = written.ok()?.len();
        room.get(..=length).map(<[u8]>::to_vec)
    }

    /// Decodes what [`Rollup::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        if bytes.len() > BLOB_LIMIT {
            return Err(BlobError::Length(bytes.len()));
        }
        let (version, rest) = bytes.split_first().ok_or(BlobError::Length(0))?;
        let is_longer = match *version {
            1 => false,
            2 => true,
            other => return Err(BlobError::Version(other)),
        };
        let malformed = |error: postcard::Error| BlobError::Malformed(error.to_string());
        let (mut rollup, mut left): (Self, _) =
            postcard::take_from_bytes(rest).map_err(malformed)?;
        if is_longer {
            let appended: Taken;
            (appended, left) = postcard::take_from_bytes(left).map_err(malformed)?;
            rollup.rejected_tuples = appended.rejected_tuples;
            rollup.services = appended.services;
            rollup.path_bytes = appended.path_bytes;
            rollup.about = appended.about;
        }
        if left.is_empty() { Ok(rollup) } else { Err(BlobError::Trailing(left.len())) }
    }

    /// One step of shortening: `squeeze` 0 is the usual length, 8 keeps no list at all.
    fn shorten(&mut self, squeeze: usize) {
        let listed = [LISTED, LISTED, 24, 16, 12, 8, 4, 2, 0][squeeze];
        let contacts = [12 * CONTACTS, 8 * CONTACTS, 256, 192, 128, 96, 64, 16, 0][squeeze];
        self.cap_lists(listed);
        self.rejected_tuples.cap(listed.min(TUPLES));
        self.share_contacts(contacts);
        self.evidence.truncate(EVIDENCE.min(listed));
    }

    /// Lists at most `pool` contacts over all sources; the heaviest source is served first.
    fn share_contacts(&mut self, pool: usize) {
        let total: usize = self.rejected_sources.iter().map(|(_, s)| s.contacts.len()).sum();
        if total <= pool {
            return;
        }
        // (records, place in the list, contacts listed)
        let mut order: Vec<(u64, usize, usize)> = self
            .rejected_sources
            .iter()
            .enumerate()
            .map(|(at, (_, source))| (source.records, at, source.contacts.len()))
            .collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut left = pool;
        let mut room = vec![0; order.len()];
        for (_, at, listed) in order {
            room[at] = left.min(listed);
            left -= room[at];
        }
        for (source, room) in self.rejected_sources.values_mut().zip(room) {
            source.contacts.truncate(room);
        }
    }
}
