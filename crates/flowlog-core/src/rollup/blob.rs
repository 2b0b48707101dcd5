//! A roll-up as bytes: `postcard` behind a version byte, never more than [`BLOB_LIMIT`].

use super::{CONTACTS, EVIDENCE, LISTED, Rollup};

/// Most bytes of an encoded roll-up.
pub const BLOB_LIMIT: usize = 8 * 1024;

/// The version of the encoding.
const VERSION: u8 = 1;

/// Why bytes are no roll-up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nothing, or more than a roll-up can be.
    #[error("a roll-up of {0} bytes, expected 1 to {BLOB_LIMIT}")]
    Length(usize),
    /// Written by a version of flowlog that this one does not know.
    #[error("encoding version {0} is not known, only {VERSION} is")]
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
        let mut stored = self.clone();
        for squeeze in 0..=8 {
            stored.shorten(squeeze);
            // Writing to a Vec fails only for types that postcard cannot represent; none is here.
            let bytes = postcard::to_extend(&stored, vec![VERSION]).unwrap_or_default();
            if bytes.len() <= BLOB_LIMIT {
                return bytes;
            }
        }
        Vec::new()
    }

    /// Decodes what [`Rollup::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        if bytes.len() > BLOB_LIMIT {
            return Err(BlobError::Length(bytes.len()));
        }
        let (version, rest) = bytes.split_first().ok_or(BlobError::Length(0))?;
        if *version != VERSION {
            return Err(BlobError::Version(*version));
        }
        let (rollup, left) = postcard::take_from_bytes(rest)
            .map_err(|error| BlobError::Malformed(error.to_string()))?;
        if left.is_empty() { Ok(rollup) } else { Err(BlobError::Trailing(left.len())) }
    }

    /// One step of shortening: `squeeze` 0 is the usual length, 8 keeps no list at all.
    fn shorten(&mut self, squeeze: usize) {
        let listed = [LISTED, LISTED, 24, 16, 12, 8, 4, 2, 0][squeeze];
        let contacts = [12 * CONTACTS, 8 * CONTACTS, 256, 192, 128, 96, 64, 16, 0][squeeze];
        // A count that rests on its list must be taken before the list loses an entry.
        if self.talkers.len() > listed {
            self.distinct_talkers = self.talkers_seen();
        }
        if self.rejected_sources.len() > listed {
            self.distinct_rejected_sources = self.rejected_sources_seen();
        }
        if self.rejected_ports.len() > listed {
            self.distinct_rejected_ports = self.rejected_ports_seen();
        }
        self.talkers.cap(listed);
        self.rejected_sources.cap(listed);
        self.rejected_ports.cap(listed);
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
