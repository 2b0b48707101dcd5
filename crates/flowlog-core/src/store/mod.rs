//! The store's ports and the items behind them.
//!
//! Two tables: **FlowAggregates** holds immutable partials that a reader folds, **FlowControl** the
//! ledger of deliveries and the alert state. One trait per capability, so that a function can be
//! granted exactly what it uses and its IAM policy mirrors its type. [`memory`] is the reference
//! implementation; [`contract`] is the suite that every implementation must pass.

pub mod authority;
pub mod contract;
pub mod item;
pub mod memory;
pub mod reader;
pub mod summary;

use std::future::Future;

pub use item::{
    Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, LedgerEntry, LedgerState,
    PartialItem, Series, StateItem, View,
};
pub use summary::SummaryItem;

use crate::record::{BatchId, Source, Window};

/// Why a store call failed, decided by the adapter, where the cause is known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out, connection lost, 5xx: the same call may succeed later.
    #[error("the store is not available: {0}")]
    Retryable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The same call will fail again: no such table, access denied, an item that is too large.
    #[error("the store refused: {0}")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An item is there that this binary cannot have written, or not in this version.
    #[error("the item {key} cannot be read: {reason}")]
    Corrupt {
        /// `pk/sk` of the item.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether a later attempt at the same call can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable(_))
    }
}

/// The ledger of deliveries (`O#<batch-id>` / `L` in FlowControl): the unit of idempotency.
pub trait Ledger {
    /// Put a claim if the batch has none; otherwise return the entry that is there, unchanged.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<ClaimOutcome, StoreError>>;

    /// Mark a claimed batch done, if its ETag is still the claimed one and it is not quarantined.
    /// Repeating it is harmless; a different digest is reported as [`Completed::DigestChanged`].
    fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> impl Future<Output = Result<Completed, StoreError>>;

    /// Mark a claimed batch as permanently unusable, with a short stable reason such as
    /// `corrupt_gzip`. A batch that is done stays done.
    fn quarantine(
        &self,
        batch: BatchId,
        reason: &str,
    ) -> impl Future<Output = Result<(), StoreError>>;
}

/// Reading the ledger, for coverage.
pub trait LedgerReader {
    /// The entries of these batches, in the order asked, `None` where there is none.
    fn entries(
        &self,
        batches: &[BatchId],
    ) -> impl Future<Output = Result<Vec<Option<LedgerEntry>>, StoreError>>;
}

/// Bringing quarantined deliveries back, which only the command does.
pub trait Quarantine {
    /// Every delivery that is quarantined now, with its entry, sorted by batch.
    fn quarantined(&self) -> impl Future<Output = Result<Vec<(BatchId, LedgerEntry)>, StoreError>>;

    /// Make a quarantined batch claimed again, with everything that its first claim pinned:
    /// mapping, horizon and ETag. `false`: it is not quarantined, and nothing has changed.
    fn reopen(&self, batch: BatchId) -> impl Future<Output = Result<bool, StoreError>>;
}

/// Writing aggregates: blind, idempotent puts in any order. What the store has not processed is
/// sent again until it has.
pub trait AggregateWriter {
    /// Put these partials. A partial that is already there is overwritten by the same bytes.
    fn put_partials(
        &self,
        partials: &[PartialItem],
    ) -> impl Future<Output = Result<(), StoreError>>;

    /// Put these directory entries.
    fn put_directory(
        &self,
        entries: &[DirectoryEntry],
    ) -> impl Future<Output = Result<(), StoreError>>;
}

/// The items of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesItems {
    /// Sorted by (window, batch, chunk).
    pub partials: Vec<PartialItem>,
    /// Sorted by hour.
    pub summaries: Vec<SummaryItem>,
}

/// Reading aggregates.
pub trait AggregateReader {
    /// Every partial of a series with `from <= window <= to`, strongly consistent, sorted by
    /// (window, batch, chunk).
    fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<Vec<PartialItem>, StoreError>>;

    /// The same partials, and the summaries of every hour that `from ..= to` touches. Where both
    /// are read in several pages, a summary is read after the partials of its hour: one that
    /// expires meanwhile is then in a summary that has not been read yet.
    fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<SeriesItems, StoreError>>;

    /// The same for who needs no more detail than that of hours: of an hour whose summary
    /// [stands for](SummaryItem::stands_for) its partials, the summary may come alone. A store that cannot
    /// tell without reading the partials leaves this as it is.
    fn condensed(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<SeriesItems, StoreError>> {
        self.items(series, from, to)
    }

    /// The (day, source) pairs that have data with `from_day <= day <= to_day`, days as `yyyymmdd`,
    /// sorted by day, then source.
    fn sources(
        &self,
        from_day: &str,
        to_day: &str,
    ) -> impl Future<Output = Result<Vec<(String, Source)>, StoreError>>;

    /// The interfaces or scopes that a source saw on a day, sorted.
    fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>>;
}

/// Writing summaries: the one conditional write in FlowAggregates.
pub trait SummaryWriter {
    /// Puts a summary of version `n` if version `n - 1` is there (for 1: if there is none).
    /// `false`: another one is there, and nothing was changed.
    fn put_summary(&self, summary: &SummaryItem) -> impl Future<Output = Result<bool, StoreError>>;
}

/// The state of the alerter (`A#<kind>` / `<subject>` and `A#BUDGET` / `<hour>` in FlowControl):
/// alerts, baselines, the digest, the last good rules file.
pub trait AlertStore {
    /// The state of one subject, strongly consistent.
    fn state(
        &self,
        kind: &str,
        subject: &str,
    ) -> impl Future<Output = Result<Option<StateItem>, StoreError>>;

    /// Every subject of a kind, sorted by subject.
    fn states(&self, kind: &str) -> impl Future<Output = Result<Vec<StateItem>, StoreError>>;

    /// Put a state if none is there (`expected` = `None`), or if the one that is there has the
    /// version `expected`. `false`: it was not so, and nothing changed.
    fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> impl Future<Output = Result<bool, StoreError>>;

    /// Take one from the notification budget of an hour (epoch hours). `false`: it is spent, and
    /// one more suppressed notification has been counted. `token` makes a retry of the same
    /// spending free: it is remembered in the item. What is suppressed is counted at each asking,
    /// since remembering it would let a storm grow the item.
    fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> impl Future<Output = Result<bool, StoreError>>;
}
