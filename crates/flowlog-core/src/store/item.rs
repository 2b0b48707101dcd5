//! The items of the two tables as values, and their keys. This is the only place that spells a key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::summary::Part;
use crate::decode::Counts;
use crate::record::{BatchId, DAY_SECONDS, Source, Window};
use crate::rollup::ActionTotals;

/// Seconds in a day.
/// Partials outlive the horizon (30 days), so that a late redelivery finds what it repeats.
pub const PARTIAL_TTL: i64 = 35 * DAY_SECONDS;
/// Ledger entries outlive partials: a redelivery that still finds partials finds its pin too.
pub const LEDGER_TTL: i64 = 40 * DAY_SECONDS;
/// Summaries are the history.
pub const SUMMARY_TTL: i64 = 400 * DAY_SECONDS;

/// What a series of items is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// One network interface (or transit gateway attachment).
    Interface,
    /// A VPC or an account: everything that a source saw of it.
    Scope,
}

/// All items of one subject from one source: a partition per day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The flow log or log group that delivered it.
    pub source: Source,
    /// Interface, or scope.
    pub view: View,
    /// Interface id (`-` where the format names none), or VPC or account id.
    pub subject: String,
}

impl Series {
    /// The series of an interface.
    pub fn interface(source: Source, id: impl Into<String>) -> Self {
        Self { source, view: View::Interface, subject: id.into() }
    }

    /// The series of a VPC or an account.
    pub fn scope(source: Source, id: impl Into<String>) -> Self {
        Self { source, view: View::Scope, subject: id.into() }
    }

    /// `E#<source>#<interface-id>#<yyyymmdd>` or `V#<source>#<vpc or account>#<yyyymmdd>`.
    pub fn pk(&self, window: Window) -> String {
        let kind = match self.view {
            View::Interface => 'E',
            View::Scope => 'V',
        };
        format!("{kind}#{}#{}#{}", self.source, self.subject, window.day())
    }

    /// The series and the day that a partition key names, `None` if it is none of a series.
    pub fn parse_pk(pk: &str) -> Option<(Self, &str)> {
        let (view, rest) = match pk.split_at_checked(2)? {
            ("E#", rest) => (View::Interface, rest),
            ("V#", rest) => (View::Scope, rest),
            _ => return None,
        };
        let mut parts = rest.splitn(3, '#');
        let source = Source::parse(parts.next()?)?;
        let subject = parts.next()?.to_owned();
        Some((Self { source, view, subject }, parts.next()?))
    }
}

/// One immutable partial: the roll-up of one subject and window, from one chunk of one batch.
///
/// | attribute | type | meaning |
/// |---|---|---|
/// | `pk` | S | `E#<source>#<interface-id>#<yyyymmdd>`, `V#<source>#<vpc or account>#<yyyymmdd>` |
/// | `sk` | S | `W<epoch10>#P#<batch-id>#<chunk3>` |
/// | `t` | S | `P` |
/// | `m` | N | mapping version (record → window → chunk → bytes) |
/// | `ar` `ap` `ab` | N | accepted records, packets, bytes |
/// | `rr` `rp` `rb` | N | rejected records, packets, bytes |
/// | `or` `op` `ob` | N | the same for rows whose format has no action |
/// | `b` | B | blob: everything else, at most 8 KiB |
/// | `ttl` | N | window end + 35 days |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialItem {
    /// What it is a part of.
    pub series: Series,
    /// The 300 s window.
    pub window: Window,
    /// The delivery it came from.
    pub batch: BatchId,
    /// Which chunk of that delivery, from 0.
    pub chunk: u16,
    /// The mapping version that produced it.
    pub mapping: u8,
    /// Readable totals by action, the same as inside the blob.
    pub totals: ActionTotals,
    /// The encoded [`crate::rollup::Rollup`].
    pub blob: Vec<u8>,
}

impl PartialItem {
    /// The partition key, see [`Series::pk`].
    pub fn pk(&self) -> String {
        self.series.pk(self.window)
    }

    /// `W<epoch10>#P#<batch-id>#<chunk3>`.
    pub fn sk(&self) -> String {
        format!("{}#P#{}#{:03}", window_sk(self.window), self.batch, self.chunk)
    }

    /// When DynamoDB may delete it: a function of the window, so a re-put is byte-identical.
    pub fn ttl(&self) -> i64 {
        self.window.end() + PARTIAL_TTL
    }

    /// The series and window that a partial's key names, or `None` if it is no partial's.
    pub fn parse_key(pk: &str, sk: &str) -> Option<(Series, Window)> {
        let (series, day) = Series::parse_pk(pk)?;
        let window = Part::parse_sk(sk)?.window;
        (window.day() == day).then_some((series, window))
    }
}

/// `W<epoch10>`, zero-padded so that text order is time order.
pub fn window_sk(window: Window) -> String {
    format!("W{:010}", window.start())
}

/// A directory entry in FlowAggregates, so that readers find what there is without a scan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectoryEntry {
    /// `D` / `<yyyymmdd>#<source>`: this source has data on this day.
    Source {
        /// Day as `yyyymmdd`.
        day: String,
        /// The source.
        source: Source,
    },
    /// `D#<source>#<yyyymmdd>` / `<interface-id>`, or `DV#<source>#<yyyymmdd>` / `<vpc or account>`:
    /// the source saw this subject on this day.
    Series {
        /// Day as `yyyymmdd`.
        day: String,
        /// The series.
        series: Series,
    },
}

impl DirectoryEntry {
    /// The partition key.
    pub fn pk(&self) -> String {
        match self {
            Self::Source { .. } => "D".to_owned(),
            Self::Series { day, series } => {
                let kind = match series.view {
                    View::Interface => "D",
                    View::Scope => "DV",
                };
                format!("{kind}#{}#{day}", series.source)
            }
        }
    }

    /// The sort key.
    pub fn sk(&self) -> String {
        match self {
            Self::Source { day, source } => format!("{day}#{source}"),
            Self::Series { series, .. } => series.subject.clone(),
        }
    }

    /// End of the day + the summaries' time to live.
    pub fn ttl(&self) -> i64 {
        let (Self::Source { day, .. } | Self::Series { day, .. }) = self;
        Window::day_start(day).unwrap_or(0) + DAY_SECONDS + SUMMARY_TTL
    }
}

/// `O#<batch-id>`, the ledger's partition key; its sort key is [`LEDGER_SK`].
pub fn ledger_pk(batch: BatchId) -> String {
    format!("O#{batch}")
}

/// The ledger's sort key.
pub const LEDGER_SK: &str = "L";
/// The partition key of the list of quarantined deliveries in FlowControl; the sort key is the
/// batch id. The list is a finding aid: what it names may have been reopened since, and the ledger
/// says what is. It names everything that is quarantined, and expires with the ledger's entry.
pub const QUARANTINE_PK: &str = "Q";
/// `A#<kind>`, the partition key of the alerter's state; its sort key is the subject.
pub fn state_pk(kind: &str) -> String {
    format!("A#{kind}")
}

/// The partition key of the notification budget; its sort key is the epoch hour.
pub const BUDGET_PK: &str = "A#BUDGET";

/// What an attempt puts into the ledger before it reads the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The delivery.
    pub batch: BatchId,
    /// The mapping version that this attempt would use.
    pub mapping: u8,
    /// The object's ETag; for CloudWatch Logs the hash of the payload's event ids.
    pub etag: String,
    /// Where it came from, for people (`s3://bucket/key` or `logs:group/stream`), at most 1 KiB.
    pub origin: String,
    /// Rows with a window before this epoch second are late: pinned by the first claim, so that a
    /// retry judges as the first attempt did. `None`: nothing is late.
    pub horizon: Option<i64>,
    /// When the ledger entry may be deleted (epoch seconds).
    pub ttl: i64,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// This attempt is the first.
    Claimed,
    /// An earlier attempt left this entry.
    Exists(LedgerEntry),
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerState {
    /// Claimed (`C`): somebody has begun, perhaps died.
    Claimed,
    /// Done (`D`): every partial is written.
    Done,
    /// Quarantined (`Q`): permanently unusable, with a reason.
    Quarantined,
}

impl LedgerState {
    /// The letter that is stored.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Claimed => "C",
            Self::Done => "D",
            Self::Quarantined => "Q",
        }
    }

    /// The state behind a stored letter.
    pub fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "C" => Some(Self::Claimed),
            "D" => Some(Self::Done),
            "Q" => Some(Self::Quarantined),
            _ => None,
        }
    }
}

/// A ledger entry.
///
/// | attribute | type | meaning |
/// |---|---|---|
/// | `pk`, `sk` | S | `O#<batch-id>`, `L` |
/// | `st` | S | `C` claimed, `D` done, `Q` quarantined |
/// | `m` | N | pinned mapping version |
/// | `et` | S | ETag |
/// | `k` | S | origin |
/// | `hz` | N | pinned horizon, absent where nothing is late |
/// | `c` | S | counts as JSON, once done |
/// | `np` | N | number of partials, once done |
/// | `h` | S | digest (hex SHA-256) over every partial's key and blob, once done |
/// | `q` | S | reason, once quarantined |
/// | `ttl` | N | expiry |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Claimed, done or quarantined.
    pub state: LedgerState,
    /// The mapping version that every attempt at this delivery must use.
    pub mapping: u8,
    /// The ETag of the first attempt.
    pub etag: String,
    /// Where it came from.
    pub origin: String,
    /// The pinned horizon.
    pub horizon: Option<i64>,
    /// Counts and digest, once done.
    pub completion: Option<Completion>,
    /// Why it was quarantined.
    pub reason: Option<String>,
}

/// What a finished delivery records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// `read = parsed + nodata + skipdata + Σ rejected + late`.
    pub counts: Counts,
    /// How many partials were written.
    pub partials: u64,
    /// Lower-case hex SHA-256 over every partial's key and blob, in order.
    pub digest: String,
}

/// The result of marking a batch done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It is done now, or was done with the same digest.
    Done,
    /// It was done before with another digest: the code is not deterministic. The first stays.
    DigestChanged,
    /// The entry is quarantined, has another ETag, or is gone: nothing was changed.
    Refused,
}

/// A piece of the alerter's state: an alert, a baseline, the digest.
///
/// | attribute | type | meaning |
/// |---|---|---|
/// | `pk` | S | `A#<kind>`: a rule's name, `baseline`, `digest`, `feeds`, `rules` |
/// | `sk` | S | the subject: an interface or VPC, and what tells one alert there from another |
/// | `v` | N | version: what the next writer must have read |
/// | `b` | S | the state as JSON |
/// | `w` | S | by which call it was written, so that a repeated one knows its own |
/// | `ttl` | N | expiry |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateItem {
    /// What it is.
    pub kind: String,
    /// Whose it is.
    pub subject: String,
    /// Changes with every write.
    pub version: i64,
    /// The state as JSON.
    pub body: String,
    /// Expiry (epoch seconds).
    pub ttl: i64,
}

impl StateItem {
    /// The state. An error names the item.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.body).map_err(|error| StoreError::Corrupt {
            key: format!("{}/{}", state_pk(&self.kind), self.subject),
            reason: error.to_string(),
        })
    }
}
