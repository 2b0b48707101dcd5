//! Protocols that are wrong in one way each. The suite must tell every one of them from the right one.

use flowlog_core::record::BatchId;
use flowlog_core::rollup::{Mapping, Rollup};
use flowlog_core::store::{
    AggregateWriter as _, Claim, Completion, LedgerEntry, LedgerState, PartialItem, StoreError,
    SummaryItem,
};

use crate::process::{Code, Process};
use crate::world::{World, now};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A later attempt uses its own mapping version, whatever the first one used.
    NoPin,
    /// A mapping version that the code does not know is taken for its own.
    FailsOpen,
    /// A claim counts as done: the marker first, then the work.
    MarkerFirst,
    /// Done is written before the partials are.
    DoneBeforeWrite,
    /// Counters that are added to.
    PlainAdd,
    /// A later attempt judges lateness by its own clock.
    HorizonNotPinned,
    /// Ledger entries go before the partials do.
    ShortLedger,
    /// The time of writing stands in the item.
    WallClock,
    /// Lists come out in the order of a hash table.
    HashOrder,
    /// An object that is found damaged or replaced takes its done entry back.
    QuarantineOverDone,
    /// The key does not say which delivery a partial is from.
    NoBatchInKey,
    /// Another ETag is the same delivery all the same.
    AnyEtag,
    /// The key does not say which chunk of its delivery a partial is.
    NoChunkInKey,
    /// A summary does not say what is in it.
    NoIdsInSummary,
    /// A reader meets the summary before the partials.
    SummaryFirst,
    /// Compaction folds what is not done.
    FoldsUndone,
    /// A summary replaces whatever is there.
    BlindSummary,
    /// A reader adds two sources.
    TwoSources,
}

/// What is wrong with how alerts are raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertMutant {
    /// Marked before it is published.
    MarkFirst,
    /// A claim that somebody else made counts as told.
    ClaimIsTold,
    /// Every attempt has a dedupe id of its own.
    FreshId,
    /// Every attempt spends from the budget.
    BudgetPerAttempt,
}

impl AlertMutant {
    /// Every mutant.
    pub const ALL: &'static [Self] =
        &[Self::MarkFirst, Self::ClaimIsTold, Self::FreshId, Self::BudgetPerAttempt];
}

impl Mutant {
    /// Every mutant.
    pub const ALL: &'static [Self] = &[
        Self::NoPin,
        Self::FailsOpen,
        Self::MarkerFirst,
        Self::DoneBeforeWrite,
        Self::PlainAdd,
        Self::HorizonNotPinned,
        Self::ShortLedger,
        Self::WallClock,
        Self::HashOrder,
        Self::QuarantineOverDone,
        Self::NoBatchInKey,
        Self::AnyEtag,
        Self::NoChunkInKey,
        Self::NoIdsInSummary,
        Self::SummaryFirst,
        Self::FoldsUndone,
        Self::BlindSummary,
        Self::TwoSources,
    ];

    /// What it does to the claim that is sent.
    pub(crate) fn claims(self, claim: &mut Claim) {
        if self == Self::ShortLedger {
            claim.ttl -= 30 * 86_400;
        }
    }

    /// What it makes of an entry that is there.
    pub(crate) fn resumes(self, claim: &Claim, entry: &mut LedgerEntry, code: Code) {
        match self {
            Self::NoPin => entry.mapping = code.writes,
            Self::FailsOpen if !code.knows.contains(&entry.mapping) => entry.mapping = code.writes,
            Self::HorizonNotPinned => entry.horizon = claim.horizon,
            Self::AnyEtag => entry.etag.clone_from(&claim.etag),
            Self::MarkerFirst if entry.state == LedgerState::Claimed => {
                entry.state = LedgerState::Done;
                entry.completion = Some(Completion {
                    counts: flowlog_core::decode::Counts::default(),
                    partials: 0,
                    digest: String::new(),
                });
            }
            _ => {}
        }
    }

    /// What it makes of an entry that compaction asks for.
    pub(crate) fn reads_entry(self, entry: &mut LedgerEntry) {
        if self == Self::FoldsUndone && entry.state == LedgerState::Claimed {
            entry.state = LedgerState::Done;
        }
    }

    /// What it does to a summary before it is put.
    pub(crate) fn spoils_summary(self, summary: &mut SummaryItem) {
        if self == Self::NoIdsInSummary {
            summary.parts.clear();
        }
    }

    /// What it does to an item before it is put.
    pub(crate) fn spoils(self, item: &mut PartialItem, world: &World) {
        match self {
            Self::NoBatchInKey => item.batch = one_batch(),
            Self::NoChunkInKey => item.chunk = 0,
            Self::WallClock => rewrite(item, |rollup| rollup.account_id = now().to_string()),
            Self::HashOrder => {
                let turn = world.random.borrow_mut().below(2);
                rewrite(item, |rollup| {
                    let turn = turn.min(rollup.evidence.len());
                    rollup.evidence.rotate_left(turn);
                });
            }
            _ => {}
        }
    }
}

fn rewrite(item: &mut PartialItem, change: impl FnOnce(&mut Rollup)) {
    if let Ok(mut rollup) = Rollup::decode(&item.blob) {
        change(&mut rollup);
        item.blob =
            Mapping::from_number(item.mapping).map_or_else(Vec::new, |m| rollup.encode_as(m));
    }
}

fn one_batch() -> BatchId {
    BatchId::of_object("counter", "counter")
}

impl Process {
    /// Adds to counters, one per interface and window.
    pub(crate) async fn add(&self, items: Vec<PartialItem>) -> Result<(), StoreError> {
        for item in items {
            let add = move |world: &World| {
                let mut sum = PartialItem { batch: one_batch(), chunk: 0, ..item.clone() };
                if let Some(there) = world.partial(&sum) {
                    sum.totals.add(&there.totals);
                    if let Ok(there) = Rollup::decode(&there.blob) {
                        rewrite(&mut sum, |rollup| rollup.merge(&there));
                    }
                }
                crate::executor::alone(world.tables.put_partials(std::slice::from_ref(&sum)))
            };
            self.world.call("add", add).await?;
        }
        Ok(())
    }
}
