//! What a write costs: write request units, by DynamoDB's rules for the size of an item.
//!
//! Source: *DynamoDB item sizes and formats* in the Amazon DynamoDB developer guide. A write costs a
//! unit per kibibyte, rounded up, of the larger of the old and the new item.

use aws_sdk_dynamodb::types::AttributeValue;
use flowlog_core::store::item::{Claim, Completion};
use flowlog_core::store::{DirectoryEntry, LedgerState, PartialItem, SummaryItem};

use crate::items::{self, Item, n, s};

/// Write request units of a partial.
pub fn of_partial(partial: &PartialItem) -> u64 {
    write_units(&items::of_partial(partial))
}

/// Write request units of a directory entry.
pub fn of_directory(entry: &DirectoryEntry) -> u64 {
    write_units(&items::of_directory(entry))
}

/// Write request units of a summary.
pub fn of_summary(summary: &SummaryItem) -> u64 {
    write_units(&items::of_summary(summary))
}

/// Write request units of a claim.
pub fn of_claim(claim: &Claim) -> u64 {
    write_units(&items::of_claim(claim))
}

/// Write request units of a completion: the update pays for the whole entry again.
pub fn of_completion(claim: &Claim, completion: &Completion) -> u64 {
    let mut item = items::of_claim(claim);
    let counts = serde_json::to_string(&completion.counts).unwrap_or_default();
    item.extend(
        [
            ("st", s(LedgerState::Done.letter())),
            ("c", s(counts)),
            ("np", n(completion.partials)),
            ("h", s(&completion.digest)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    write_units(&item)
}

fn write_units(item: &Item) -> u64 {
    let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    bytes.div_ceil(1024).max(1) as u64
}

/// Bytes of a value of the types that the items use.
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        // A byte for two digits, and one more.
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        _ => 0,
    }
}
