//! A delivery's identity ([`BatchId`]) and the identity of what delivers ([`Source`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The unit of idempotency: one S3 object or one CloudWatch Logs payload. 16 bytes of SHA-256,
/// written as 22 characters of unpadded URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId([u8; 16]);

impl BatchId {
    /// The id of an S3 object. Where AWS's own file name parses
    /// (`account_vpcflowlogs_region_fl-id_time_hash…`), the id is made of that name, so that a
    /// replicated or copied object is the same delivery; else of bucket and key.
    pub fn of_object(bucket: &str, key: &str) -> Self {
        let name = key.rsplit('/').next().unwrap_or(key);
        match DeliveryName::parse(name) {
            Some(delivery) => Self::hash(&["s3-name", delivery.stem]),
            None => Self::hash(&["s3-key", bucket, key]),
        }
    }

    /// The id of a CloudWatch Logs payload: owner, log group, log stream and all event ids in order.
    pub fn of_log_events<'a>(
        owner: &'a str,
        group: &'a str,
        stream: &'a str,
        event_ids: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut parts = vec!["logs", owner, group, stream];
        parts.extend(event_ids);
        Self::hash(&parts)
    }

    /// The id of these 16 bytes, as they are stored in summaries.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the 22 characters back.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Each part is preceded by its length, so that no two lists of parts hash alike.
    fn hash(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What delivers records: a flow log (`fl-…`, from the object's key) or a log group (`cw-` and 16
/// hex digits). Part of every key, so two flow logs that see the same traffic are never added up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(String);

impl Source {
    /// The source of an S3 object: its flow log id where AWS's file name has one, else `s3-` and a
    /// hash of the bucket and the key's folder.
    pub fn of_object(bucket: &str, key: &str) -> Self {
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        match DeliveryName::parse(name) {
            Some(delivery) => Self(delivery.flow_log_id.to_owned()),
            None => Self::hashed("s3", &[bucket, folder]),
        }
    }

    /// The source of a CloudWatch Logs payload: a hash of owner and log group.
    pub fn of_log_group(owner: &str, group: &str) -> Self {
        Self::hashed("cw", &[owner, group])
    }

    /// Whether it is a log group of CloudWatch Logs.
    pub fn is_log_group(&self) -> bool {
        self.0.starts_with("cw-")
    }

    /// Which of several sources speaks for what they all see, lowest first: a flow log in S3 before
    /// other objects before log groups (which often carry rejected traffic only). Two sources are
    /// never added up.
    pub fn authority(&self) -> u8 {
        if self.0.starts_with("fl-") {
            0
        } else if self.is_log_group() {
            2
        } else {
            1
        }
    }

    /// Accepts what [`fmt::Display`] writes: letters, digits and hyphens, at most 64.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        ok.then(|| Self(text.to_owned()))
    }

    fn hashed(prefix: &str, parts: &[&str]) -> Self {
        let id = BatchId::hash(parts);
        let mut first = [0; 8];
        first.copy_from_slice(&id.0[..8]);
        Self(format!("{prefix}-{:016x}", u64::from_be_bytes(first)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// AWS's file name `{account}_vpcflowlogs_{region}_{fl-id}_{yyyymmddThhmmZ}_{hash}.log.gz`.
struct DeliveryName<'a> {
    /// The name without its extensions.
    stem: &'a str,
    flow_log_id: &'a str,
}

impl<'a> DeliveryName<'a> {
    /// A region may have three or four parts with hyphens, never an underscore.
    fn parse(name: &'a str) -> Option<Self> {
        let stem = name.split('.').next()?;
        let parts: Vec<&str> = stem.split('_').collect();
        let [account, service, region, flow_log_id, time, hash] = parts[..] else { return None };
        let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric());
        let ok = account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && service == "vpcflowlogs"
            && !region.is_empty()
            && flow_log_id.strip_prefix("fl-").is_some_and(|id| word(id) && id.len() <= 40)
            && time.len() == 14
            && time.ends_with('Z')
            && word(hash);
        ok.then_some(Self { stem, flow_log_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "p/AWSLogs/123456789012/vpcflowlogs/us-gov-east-1/2026/11/01/123456789012_vpcflowlogs_us-gov-east-1_fl-0123456789abcdef0_20261101T0000Z_1a2b3c4d.log.gz";

    #[test]
    fn a_copied_object_is_the_same_delivery() {
        let copy = KEY.replace("p/AWSLogs", "replica");
        assert_eq!(BatchId::of_object("a", KEY), BatchId::of_object("b", &copy));
        assert_ne!(BatchId::of_object("a", "x.gz"), BatchId::of_object("b", "x.gz"));
        assert_eq!(Source::of_object("a", KEY).to_string(), "fl-0123456789abcdef0");
        assert!(Source::of_object("a", "some/x.gz").to_string().starts_with("s3-"));
    }

    #[test]
    fn ids_round_trip_and_do_not_run_together() {
        let id = BatchId::of_log_events("o", "g", "s", ["1", "2"].into_iter());
        assert_eq!(BatchId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 22);
        assert_ne!(id, BatchId::of_log_events("o", "g", "s", ["12"].into_iter()));
        assert_eq!(BatchId::parse("short"), None);
        assert_eq!(Source::parse("fl-1#x"), None);
    }
}
