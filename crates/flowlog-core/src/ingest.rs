//! The protocol of one delivery: claim, write, done. It is what makes counts exact.
//!
//! ```text
//!            ┌────────────── a crash or an error anywhere: the delivery comes again ─────────────┐
//!            ▼                                                                                   │
//!  (none) ─ claim ─► C ── decode ── write partials (blind, idempotent) ── complete ─► D ─► ack   │
//!                    │                                                     │                     │
//!                    └── unusable for good ── quarantine ─► Q ─► ack       └─────────────────────┘
//! ```
//!
//! The claim pins what a later attempt must repeat: the mapping version and the horizon. Nothing is
//! written before the whole delivery has been decoded, so a damaged object leaves no trace but its
//! ledger entry. Two attempts at once waste work and change nothing: they write the same bytes
//! under the same keys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::decode::Counts;
use crate::record::{BatchId, DAY_SECONDS, Source, Window};
use crate::rollup::{Accumulator, Budget, ChunkSink, Fold, Mapping, Rollup};
use crate::store::item::{LEDGER_TTL, PARTIAL_TTL, PartialItem, Series};
use crate::store::{
    AggregateWriter, Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, Ledger,
    LedgerEntry, LedgerState, StoreError,
};

/// One S3 object or one CloudWatch Logs payload, by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The unit of idempotency.
    pub batch: BatchId,
    /// What delivered it.
    pub source: Source,
    /// Changes when the content does.
    pub etag: String,
    /// Where it came from, for people.
    pub origin: String,
}

/// When the present is, and how late is too late. Local runs over old files have no present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// When the delivery arrived (epoch seconds).
    pub arrived: i64,
    /// The present (epoch seconds).
    pub now: i64,
    /// Rows older than this many seconds before that are late.
    pub horizon: i64,
}

impl Lateness {
    /// Records before this epoch second are late.
    ///
    /// What waited in a queue is judged by its arrival, so that a backlog makes nothing late; but no
    /// longer than the ledger remembers. Replayed from an archive after that, a delivery that was
    /// done long ago would be claimed anew and could never be finished.
    fn oldest(self) -> i64 {
        let grace = (LEDGER_TTL - self.horizon).max(0);
        self.arrived.max(self.now - grace) - self.horizon
    }
}

/// Why an attempt stopped. The delivery must come again, unless the store says permanently no.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first attempt used a mapping version that this binary does not implement: fail closed.
    #[error("the delivery is pinned to mapping version {0}, which this binary does not implement")]
    UnknownMapping(u8),
    /// An attempt so late that what it wrote could be deleted at once: its claim let records in
    /// that have since become older than partials live.
    #[error("window {0} has expired since the delivery was claimed")]
    Expired(Window),
    /// A copy of this delivery, under another name, has been begun and is not done.
    #[error("a copy of the delivery is being ingested from {0}")]
    CopyInProgress(String),
    /// More chunks than a delivery may have.
    #[error("the delivery has more than {0} chunks")]
    TooManyChunks(u16),
    /// The conservation law does not hold: a defect, and nothing is marked done.
    #[error("counts do not balance: {0:?}")]
    Unbalanced(Box<Counts>),
}

impl IngestError {
    /// Whether a later attempt can succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::UnknownMapping(_) | Self::CopyInProgress(_) => true,
            Self::TooManyChunks(_) | Self::Unbalanced(_) | Self::Expired(_) => false,
        }
    }
}

/// What an attempt finds in the ledger.
#[derive(Debug)]
pub enum Begun<'a, S> {
    /// To be decoded and written.
    Attempt(Attempt<'a, S>),
    /// Done before: acknowledge without reading.
    Duplicate,
    /// Found unusable before, or replaced under its name: acknowledge.
    Quarantined(String),
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every partial is written.
    Done {
        /// What became of its lines.
        counts: Counts,
        /// How many partials.
        partials: u64,
        /// An earlier attempt had other bytes: a defect that operators must hear of.
        digest_changed: bool,
    },
    /// Done before.
    Duplicate,
    /// Unusable, with a stable reason.
    Quarantined(String),
    /// No flow log by its name; not read.
    Skipped(String),
}

/// How deliveries are ingested, and what a warm function remembers between them.
#[derive(Debug)]
pub struct Ingestor {
    mapping: Mapping,
    budget: Budget,
    held_bytes: usize,
    /// Directory entries that are there.
    directory: RefCell<BTreeSet<DirectoryEntry>>,
}

/// DynamoDB may delete a partial from its time to live on; one that is so close to it (seconds) is not written.
pub const MARGIN: i64 = DAY_SECONDS;

/// How many entries of each list a scope keeps while it is folded: enough that the heaviest of the
/// whole are among them.
const CONDENSED: usize = 256;

/// About how many bytes of partials a delivery may come to before it is known that it can be read to its end.
/// One that comes to more is read a second time. What is written is the same.
const HELD: usize = 16 << 20;

/// About how many bytes a partial takes beside its blob.
const PARTIAL: usize = 256;

/// How many entries a warm function remembers at most.
const CACHED: usize = 20_000;

/// One attempt at a delivery, between claim and done.
#[derive(Debug)]
pub struct Attempt<'a, S> {
    store: &'a S,
    ingestor: &'a Ingestor,
    delivery: &'a Delivery,
    mapping: Mapping,
    horizon: Option<i64>,
    now: Option<i64>,
    partials: u64,
    digest: Sha256,
}

impl Default for Ingestor {
    fn default() -> Self {
        Self::new(Mapping::default(), Budget::default())
    }
}

impl Ingestor {
    /// One that claims new deliveries under this mapping version. Every version has one budget;
    /// only simulations, whose deliveries are tiny, bring another.
    pub fn new(mapping: Mapping, budget: Budget) -> Self {
        Self { mapping, budget, held_bytes: HELD, directory: RefCell::default() }
    }

    /// The same, which holds about so many bytes of a delivery's partials before it begins to write.
    #[must_use]
    pub fn holding(self, held_bytes: usize) -> Self {
        Self { held_bytes, ..self }
    }

    /// Claims a delivery, or finds out what became of it.
    pub async fn begin<'a, S: Ledger>(
        &'a self,
        store: &'a S,
        delivery: &'a Delivery,
        lateness: Option<Lateness>,
    ) -> Result<Begun<'a, S>, IngestError> {
        let claim = Claim {
            batch: delivery.batch,
            mapping: self.mapping.number(),
            etag: delivery.etag.clone(),
            origin: delivery.origin.chars().take(1024).collect(),
            horizon: lateness.map(Lateness::oldest),
            // Without a present nothing expires.
            ttl: lateness.map_or(i64::from(u32::MAX), |l| l.arrived.max(l.now) + LEDGER_TTL),
        };
        let (mapping, horizon) = match store.claim(&claim).await? {
            ClaimOutcome::Claimed => (self.mapping, claim.horizon),
            ClaimOutcome::Exists(entry) => match judge(&entry, &claim)? {
                Found::Resume(mapping) => (mapping, entry.horizon),
                Found::Duplicate => return Ok(Begun::Duplicate),
                Found::Unusable(reason) => {
                    // Again, if it is quarantined already: an attempt may have died between the
                    // ledger and the list of what is quarantined.
                    if entry.state != LedgerState::Done {
                        store.quarantine(delivery.batch, &reason).await?;
                    }
                    return Ok(Begun::Quarantined(reason));
                }
            },
        };
        Ok(Begun::Attempt(Attempt {
            store,
            ingestor: self,
            delivery,
            mapping,
            horizon,
            now: lateness.map(|l| l.now),
            partials: 0,
            digest: Sha256::new(),
        }))
    }
}

enum Found {
    Resume(Mapping),
    Duplicate,
    Unusable(String),
}

/// What an earlier entry means for this attempt.
fn judge(entry: &LedgerEntry, claim: &Claim) -> Result<Found, IngestError> {
    let copy = entry.origin != claim.origin;
    match entry.state {
        LedgerState::Quarantined => {
            Ok(Found::Unusable(entry.reason.clone().unwrap_or_else(|| "unknown".to_owned())))
        }
        LedgerState::Done if copy || entry.etag == claim.etag => Ok(Found::Duplicate),
        LedgerState::Claimed if copy && entry.etag != claim.etag => {
            Err(IngestError::CopyInProgress(entry.origin.clone()))
        }
        _ if entry.etag != claim.etag => Ok(Found::Unusable("object_replaced".to_owned())),
        _ => match Mapping::from_number(entry.mapping) {
            Some(mapping) => Ok(Found::Resume(mapping)),
            None => Err(IngestError::UnknownMapping(entry.mapping)),
        },
    }
}

impl<'a, S: Ledger + AggregateWriter> Attempt<'a, S> {
    /// A fresh accumulator under the pinned mapping and horizon, whose chunks become partials.
    pub fn accumulator(&self) -> Accumulator<Partials<'a>> {
        self.accumulator_of(false)
    }

    /// The same for a delivery that is being verified first: nothing may be written before its end. Keeps all
    /// chunks, or none if they are more than can be held.
    pub fn trial(&self) -> Accumulator<Partials<'a>> {
        self.accumulator_of(true)
    }

    fn accumulator_of(&self, trial: bool) -> Accumulator<Partials<'a>> {
        let Self { delivery, mapping, now, horizon, .. } = *self;
        let partials = Partials {
            delivery,
            mapping,
            now,
            room: Some(if trial { self.ingestor.held_bytes } else { usize::MAX }),
            is_last: false,
            chunk: 0,
            items: Vec::new(),
            scopes: BTreeMap::new(),
            expired: None,
            ready: Vec::new(),
        };
        Accumulator::of(mapping, self.ingestor.budget, horizon, partials)
    }

    /// Writes the chunks that are full, or were the last. They come in order, from the first.
    pub async fn write(&mut self, partials: &mut Partials<'_>) -> Result<(), IngestError> {
        for chunk in std::mem::take(&mut partials.ready) {
            self.write_chunk(chunk?).await?;
        }
        Ok(())
    }

    async fn write_chunk(&mut self, items: Vec<PartialItem>) -> Result<(), IngestError> {
        for item in &items {
            for part in [item.pk().as_bytes(), item.sk().as_bytes(), &item.blob] {
                self.digest.update((part.len() as u64).to_be_bytes());
                self.digest.update(part);
            }
        }
        let entries = self.directory(&items);
        self.store.put_partials(&items).await?;
        self.partials += items.len() as u64;
        drop(items);
        if !entries.is_empty() {
            self.store.put_directory(&entries).await?;
            let mut known = self.ingestor.directory.borrow_mut();
            if known.len() + entries.len() > CACHED {
                known.clear();
            }
            known.extend(entries);
        }
        Ok(())
    }

    /// Marks the delivery done.
    pub async fn done(self, counts: Counts) -> Result<Outcome, IngestError> {
        if !counts.balances() {
            return Err(IngestError::Unbalanced(Box::new(counts)));
        }
        let digest = hex::encode(self.digest.finalize());
        let completion = Completion { counts, partials: self.partials, digest };
        let delivery = self.delivery;
        let completed = self.store.complete(delivery.batch, &delivery.etag, &completion).await?;
        Ok(match completed {
            Completed::Done | Completed::DigestChanged => Outcome::Done {
                counts: completion.counts,
                partials: completion.partials,
                digest_changed: completed == Completed::DigestChanged,
            },
            Completed::Refused => Outcome::Quarantined("claim_lost".to_owned()),
        })
    }

    /// Marks the delivery as unusable for good.
    pub async fn quarantine(self, reason: &str) -> Result<Outcome, IngestError> {
        self.store.quarantine(self.delivery.batch, reason).await?;
        Ok(Outcome::Quarantined(reason.to_owned()))
    }

    /// The directory entries of items that are not known to be there.
    fn directory(&self, items: &[PartialItem]) -> Vec<DirectoryEntry> {
        let source = &self.delivery.source;
        let mut entries = BTreeSet::new();
        let mut last: Option<(&Series, Window)> = None;
        for PartialItem { series, window, .. } in items {
            // Sorted by series, then window: a new entry only where the series or the day changes.
            let same = last.is_some_and(|(s, w)| s == series && w.day() == window.day());
            last = Some((series, *window));
            if same {
                continue;
            }
            let day = window.day();
            entries.insert(DirectoryEntry::Source { day: day.clone(), source: source.clone() });
            entries.insert(DirectoryEntry::Series { day, series: series.clone() });
        }
        let known = self.ingestor.directory.borrow();
        entries.into_iter().filter(|entry| !known.contains(entry)).collect()
    }
}

/// Encodes the chunks of an attempt, each roll-up as it is made: a partial for each interface and window,
/// then one for each scope and window, sorted.
#[derive(Debug)]
pub struct Partials<'a> {
    delivery: &'a Delivery,
    mapping: Mapping,
    now: Option<i64>,
    /// How many bytes more can be held; `None` since there were too many.
    room: Option<usize>,
    is_last: bool,
    /// The number of the chunk at hand, and what there is of it.
    chunk: u16,
    items: Vec<PartialItem>,
    scopes: BTreeMap<(String, Window), Fold>,
    expired: Option<Window>,
    /// What is to be written, or why it may not be.
    ready: Vec<Result<Vec<PartialItem>, IngestError>>,
}

impl Partials<'_> {
    /// Whether there were more partials than can be held, so that none is here.
    pub fn is_overflown(&self) -> bool {
        self.room.is_none()
    }

    fn item(&self, series: Series, window: Window, rollup: Rollup) -> PartialItem {
        PartialItem {
            series,
            window,
            batch: self.delivery.batch,
            chunk: self.chunk,
            mapping: self.mapping.number(),
            totals: rollup.totals(),
            blob: rollup.into_encoded(self.mapping),
        }
    }
}

impl ChunkSink for Partials<'_> {
    fn begin(&mut self, is_last: bool) -> bool {
        const MAX_CHUNKS: u16 = 999;
        if self.is_overflown() {
            return false;
        }
        self.is_last = is_last;
        if self.chunk >= MAX_CHUNKS {
            self.ready.push(Err(IngestError::TooManyChunks(MAX_CHUNKS)));
            return false;
        }
        true
    }

    fn rollup(&mut self, interface_id: &str, window: Window, rollup: Rollup) {
        let source = &self.delivery.source;
        if self.now.is_some_and(|now| window.end() + PARTIAL_TTL <= now + MARGIN) {
            self.expired = Some(window);
        }
        if self.expired.is_some() || self.is_overflown() {
            return;
        }
        // A log group's delivery is of one interface: its scopes are folded by who reads them.
        let with_scopes = self.mapping.has_scopes() && !source.is_log_group();
        for scope in [rollup.vpc_id.as_str(), rollup.account_id.as_str()] {
            if with_scopes && !scope.is_empty() {
                let folded = self.scopes.entry((scope.to_owned(), window)).or_default();
                folded.add(&rollup);
                folded.condense(CONDENSED);
            }
        }
        let item = self.item(Series::interface(source.clone(), interface_id), window, rollup);
        self.room = self.room.and_then(|room| room.checked_sub(PARTIAL + item.blob.len()));
        // The last chunk is there at once in any case.
        if self.is_last {
            self.room.get_or_insert_default();
        }
        self.items.push(item);
        if self.is_overflown() {
            (self.items, self.ready) = (Vec::new(), Vec::new());
            self.scopes.clear();
        }
    }

    fn end(&mut self) {
        if self.is_overflown() {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        for ((scope, window), folded) in std::mem::take(&mut self.scopes) {
            let series = Series::scope(self.delivery.source.clone(), scope);
            items.push(self.item(series, window, folded.finish()));
        }
        let expired = self.expired.take();
        self.ready.push(expired.map_or(Ok(items), |window| Err(IngestError::Expired(window))));
        self.chunk += 1;
    }
}
