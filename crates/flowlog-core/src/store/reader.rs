//! Folding what is stored back into roll-ups.

use super::{AggregateReader, StoreError};
use crate::detect::History;
use crate::record::{BatchId, Source, Window};
use crate::rollup::Rollup;
use crate::store::PartialItem;

/// The windows of one interface from `from` to `to`, each folded from all of its partials in the
/// order of their batch ids, and the batches that they came from.
pub async fn history<R: AggregateReader>(
    reader: &R,
    source: &Source,
    interface_id: &str,
    from: Window,
    to: Window,
) -> Result<(History, Vec<BatchId>), StoreError> {
    let partials = reader.partials(source, interface_id, from, to).await?;
    let mut history = History { interface_id: interface_id.to_owned(), ..History::default() };
    let mut batches = Vec::with_capacity(partials.len());
    for partial in &partials {
        history.add(partial.window, &decode(partial)?);
        batches.push(partial.batch);
    }
    batches.sort_unstable();
    batches.dedup();
    Ok((history, batches))
}

fn decode(partial: &PartialItem) -> Result<Rollup, StoreError> {
    Rollup::decode(&partial.blob).map_err(|error| StoreError::Corrupt {
        key: format!("{} / {}", partial.pk(), partial.sk()),
        reason: error.to_string(),
    })
}
