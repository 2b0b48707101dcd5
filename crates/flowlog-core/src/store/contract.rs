//! The contract of every store: checks that are generic over the ports.
//!
//! Each check brings its own keys, so that all of them run on one store; the store must be fresh. A
//! broken promise panics, a failing call is the `Err`.
#![expect(clippy::missing_panics_doc, reason = "panicking is how a check reports")]

use super::item::{Claim, ClaimOutcome, Completed, Completion};
use super::summary::{Part, WindowTotals};
use super::{
    AggregateReader, AggregateWriter, AlertStore, DirectoryEntry, Ledger, LedgerEntry,
    LedgerReader, LedgerState, PartialItem, Quarantine, Series, StateItem, StoreError, SummaryItem,
    SummaryWriter, View,
};
use crate::decode::{Counts, Reason};
use crate::record::{BatchId, Source, WINDOW_SECONDS, Window};
use crate::rollup::{ActionTotals, Sums};

/// 2026-11-01 00:00:00 UTC.
const MIDNIGHT: i64 = 1_793_491_200;

/// Every check.
pub async fn all<S>(store: &S) -> Result<(), StoreError>
where
    S: Ledger + LedgerReader + AggregateWriter + AggregateReader + SummaryWriter + AlertStore,
{
    ledger(store).await?;
    aggregates(store).await?;
    summaries(store).await?;
    alerts(store).await
}

/// The checks of the ledger.
pub async fn ledger<S: Ledger + LedgerReader>(store: &S) -> Result<(), StoreError> {
    the_first_claim_pins(store).await?;
    a_batch_is_done_once(store).await?;
    another_etag_is_refused(store).await?;
    a_quarantine_is_final(store).await?;
    entries_come_in_the_order_asked(store).await
}

/// The checks of bringing quarantined deliveries back. The store must hold no quarantined delivery.
pub async fn quarantine<S: Ledger + LedgerReader + Quarantine>(
    store: &S,
) -> Result<(), StoreError> {
    what_is_quarantined_is_listed(store).await?;
    what_is_reopened_keeps_its_pin(store).await
}

/// The checks of the aggregates.
pub async fn aggregates<S: AggregateWriter + AggregateReader>(store: &S) -> Result<(), StoreError> {
    partials_are_a_set(store).await?;
    partials_come_in_order(store).await?;
    partials_are_of_one_interface_and_range(store).await?;
    large_partials_are_paged(store).await?;
    the_directory_lists_once(store).await
}

/// The checks of the summaries.
pub async fn summaries<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader + SummaryWriter,
{
    a_summary_replaces_its_own_version(store).await?;
    summaries_come_with_their_hours(store).await
}

/// The checks of the alert state.
pub async fn alerts<S: AlertStore>(store: &S) -> Result<(), StoreError> {
    a_state_is_swapped_by_whoever_read_it(store).await?;
    states_of_a_kind_are_listed(store).await?;
    a_budget_is_spent_once_per_token(store).await
}

/// A claim for a batch of this name.
pub fn claim(name: &str) -> Claim {
    Claim {
        batch: BatchId::of_object("contract", name),
        mapping: 1,
        etag: "etag-1".to_owned(),
        origin: format!("s3://contract/{name}"),
        horizon: Some(MIDNIGHT - 30 * 86_400),
        ttl: MIDNIGHT + super::item::LEDGER_TTL,
    }
}

/// A completion whose digest is made of one hex digit.
pub fn completion(digit: char) -> Completion {
    let mut counts = Counts { read: 7, parsed: 3, nodata: 1, skipdata: 1, ..Counts::default() };
    counts.late = 1;
    counts.reject(Reason::BadAddress);
    Completion { counts, partials: 3, digest: std::iter::repeat_n(digit, 64).collect() }
}

/// A partial of a batch of this name, in the `window`-th window after midnight.
pub fn partial(interface_id: &str, window: i64, batch: &str, chunk: u16) -> PartialItem {
    let sums = |records| Sums { records, packets: 10 * records, bytes: u64::MAX - records };
    PartialItem {
        series: series(interface_id),
        window: at(window),
        batch: BatchId::of_object("contract", batch),
        chunk,
        mapping: 1,
        totals: ActionTotals { accept: sums(3), reject: sums(2), other: sums(0) },
        blob: vec![0, 1, 2, 0xff, u8::try_from(chunk % 256).unwrap_or(0)],
    }
}

/// The series of an interface.
fn series(interface_id: &str) -> Series {
    Series::interface(source("fl-c0"), interface_id)
}

/// A summary of two partials of an hour, the `hour`-th after midnight.
pub fn summary(interface_id: &str, hour: i64, version: u64) -> SummaryItem {
    let hour = at(12 * hour);
    let totals = partial(interface_id, 0, "any", 0).totals;
    let mut parts: Vec<Part> = (0..2 * version)
        .map(|n| Part {
            window: hour.forward(i64::try_from(n).unwrap_or(0) % 12),
            batch: BatchId::of_object("contract", &format!("summary-{n}")),
            chunk: u16::try_from(n * 400).unwrap_or(u16::MAX),
        })
        .collect();
    parts.sort_unstable();
    let windows = vec![(hour, WindowTotals { totals, nodata: version, skipdata: 1 })];
    let (series, blob, whole) = (series(interface_id), vec![1, 0, 7], version.is_multiple_of(2));
    SummaryItem { series, hour, version, parts, windows, blob, whole }
}

/// The `n`-th window after midnight.
fn at(n: i64) -> Window {
    window(MIDNIGHT + n * WINDOW_SECONDS)
}

#[expect(clippy::expect_used, reason = "the suite's own times are windows")]
fn window(epoch: i64) -> Window {
    Window::of(epoch).expect("an epoch second between 1970 and 2286")
}

#[expect(clippy::expect_used, reason = "the suite's own names are sources")]
fn source(name: &str) -> Source {
    Source::parse(name).expect("a source name")
}

async fn entry<S: LedgerReader>(store: &S, batch: BatchId) -> Result<LedgerEntry, StoreError> {
    match store.entries(&[batch]).await?.pop().flatten() {
        Some(entry) => Ok(entry),
        None => panic!("no ledger entry for {batch}"),
    }
}

/// A second claim changes nothing and returns the first, with its mapping, ETag and horizon.
pub async fn the_first_claim_pins<S: Ledger + LedgerReader>(store: &S) -> Result<(), StoreError> {
    let first = claim("pin");
    assert_eq!(store.claim(&first).await?, ClaimOutcome::Claimed);
    let second = Claim {
        mapping: 2,
        etag: "etag-2".to_owned(),
        horizon: None,
        ttl: first.ttl + 1,
        ..first.clone()
    };
    let ClaimOutcome::Exists(pinned) = store.claim(&second).await? else {
        panic!("claimed twice");
    };
    let expected = LedgerEntry {
        state: LedgerState::Claimed,
        mapping: 1,
        etag: first.etag.clone(),
        origin: first.origin.clone(),
        horizon: first.horizon,
        completion: None,
        reason: None,
    };
    assert_eq!(pinned, expected);
    assert_eq!(entry(store, first.batch).await?, expected);

    let never_late = Claim { horizon: None, ..claim("pin-no-horizon") };
    assert_eq!(store.claim(&never_late).await?, ClaimOutcome::Claimed);
    assert_eq!(entry(store, never_late.batch).await?.horizon, None);
    Ok(())
}

/// Done is done: repeating it is harmless, another digest is reported and the first one stays.
pub async fn a_batch_is_done_once<S: Ledger + LedgerReader>(store: &S) -> Result<(), StoreError> {
    let claim = claim("done");
    assert_eq!(
        store.complete(claim.batch, &claim.etag, &completion('a')).await?,
        Completed::Refused,
        "nobody has claimed it"
    );
    store.claim(&claim).await?;
    for _ in 0..2 {
        let completed = store.complete(claim.batch, &claim.etag, &completion('a')).await?;
        assert_eq!(completed, Completed::Done);
    }
    let completed = store.complete(claim.batch, &claim.etag, &completion('b')).await?;
    assert_eq!(completed, Completed::DigestChanged);

    store.quarantine(claim.batch, "corrupt_gzip").await?;
    let entry = entry(store, claim.batch).await?;
    assert_eq!(entry.state, LedgerState::Done, "done stays done");
    assert_eq!(entry.reason, None);
    assert_eq!(entry.completion, Some(completion('a')));
    assert_eq!(store.claim(&claim).await?, ClaimOutcome::Exists(entry));
    Ok(())
}

/// A batch is completed only under the ETag that was claimed, before and after it is done.
pub async fn another_etag_is_refused<S: Ledger + LedgerReader>(
    store: &S,
) -> Result<(), StoreError> {
    let claim = claim("etag");
    store.claim(&claim).await?;
    let refused = store.complete(claim.batch, "etag-2", &completion('a')).await?;
    assert_eq!(refused, Completed::Refused);
    assert_eq!(entry(store, claim.batch).await?.state, LedgerState::Claimed);
    store.complete(claim.batch, &claim.etag, &completion('a')).await?;
    let refused = store.complete(claim.batch, "etag-2", &completion('a')).await?;
    assert_eq!(refused, Completed::Refused);
    Ok(())
}

/// What is quarantined is never completed, and its first reason stays.
pub async fn a_quarantine_is_final<S: Ledger + LedgerReader>(store: &S) -> Result<(), StoreError> {
    let claim = claim("quarantine");
    store.quarantine(claim.batch, "unclaimed").await?;
    assert_eq!(store.entries(&[claim.batch]).await?, [None], "only what is claimed has a state");
    store.claim(&claim).await?;
    store.quarantine(claim.batch, "corrupt_gzip").await?;
    store.quarantine(claim.batch, "zip_bomb").await?;
    let refused = store.complete(claim.batch, &claim.etag, &completion('a')).await?;
    assert_eq!(refused, Completed::Refused);
    let entry = entry(store, claim.batch).await?;
    assert_eq!(entry.state, LedgerState::Quarantined);
    assert_eq!(entry.reason.as_deref(), Some("corrupt_gzip"));
    assert_eq!(entry.completion, None);
    assert_eq!(store.claim(&claim).await?, ClaimOutcome::Exists(entry));
    Ok(())
}

/// Quarantined deliveries are listed, and no other ones, each once, whatever became of it before.
pub async fn what_is_quarantined_is_listed<S: Ledger + LedgerReader + Quarantine>(
    store: &S,
) -> Result<(), StoreError> {
    assert_eq!(store.quarantined().await?, []);
    let claims: Vec<Claim> = (0..40).map(|i| claim(&format!("listed-{i}"))).collect();
    let (done, claimed) = (claim("listed-done"), claim("listed-claimed"));
    for claim in claims.iter().chain([&done, &claimed]) {
        store.claim(claim).await?;
    }
    store.complete(done.batch, &done.etag, &completion('a')).await?;
    store.quarantine(done.batch, "corrupt_gzip").await?;
    store.quarantine(claim("listed-unclaimed").batch, "corrupt_gzip").await?;
    let mut expected = Vec::new();
    for claim in &claims {
        store.quarantine(claim.batch, "corrupt_gzip").await?;
        store.quarantine(claim.batch, "zip_bomb").await?;
        expected.push((claim.batch, entry(store, claim.batch).await?));
    }
    expected.sort_by_key(|(batch, _)| *batch);
    assert_eq!(store.quarantined().await?, expected);
    for (batch, _) in expected {
        assert!(store.reopen(batch).await?);
    }
    assert_eq!(store.quarantined().await?, []);
    Ok(())
}

/// A reopened delivery is as its first claim left it, can end either way, and is reopened once.
pub async fn what_is_reopened_keeps_its_pin<S: Ledger + LedgerReader + Quarantine>(
    store: &S,
) -> Result<(), StoreError> {
    let claim = claim("reopen");
    assert!(!store.reopen(claim.batch).await?, "nobody has claimed it");
    store.claim(&claim).await?;
    let pinned = entry(store, claim.batch).await?;
    assert!(!store.reopen(claim.batch).await?, "claimed is not quarantined");
    for reason in ["corrupt_gzip", "zip_bomb"] {
        store.quarantine(claim.batch, reason).await?;
        assert_eq!(entry(store, claim.batch).await?.reason.as_deref(), Some(reason));
        assert!(store.reopen(claim.batch).await?);
        assert!(!store.reopen(claim.batch).await?, "once");
        assert_eq!(entry(store, claim.batch).await?, pinned);
    }
    let later = Claim { mapping: 2, horizon: None, ..claim.clone() };
    assert_eq!(store.claim(&later).await?, ClaimOutcome::Exists(pinned));
    let completed = store.complete(claim.batch, &claim.etag, &completion('a')).await?;
    assert_eq!(completed, Completed::Done);
    assert!(!store.reopen(claim.batch).await?, "done is done");
    Ok(())
}

/// Entries come in the order asked, also when asked twice, and more than a hundred at once.
pub async fn entries_come_in_the_order_asked<S: Ledger + LedgerReader>(
    store: &S,
) -> Result<(), StoreError> {
    let claims: Vec<Claim> = (0..3).map(|i| claim(&format!("entries-{i}"))).collect();
    for claim in &claims {
        store.claim(claim).await?;
    }
    let mut asked: Vec<BatchId> =
        (0..130).map(|i| BatchId::of_object("contract", &format!("absent-{i}"))).collect();
    asked.extend([claims[2].batch, claims[0].batch, claims[2].batch, claims[1].batch]);
    let entries = store.entries(&asked).await?;
    assert_eq!(entries.len(), asked.len());
    assert!(entries[..130].iter().all(Option::is_none));
    let origins: Vec<_> = entries.into_iter().flatten().map(|e| e.origin).collect();
    assert_eq!(origins, [2, 0, 2, 1].map(|i| claims[i].origin.clone()));
    assert_eq!(store.entries(&[]).await?, []);
    Ok(())
}

/// Putting a partial twice, in one call or in two, leaves one.
pub async fn partials_are_a_set<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader,
{
    let put = partial("eni-set", 0, "set", 0);
    store.put_partials(&[]).await?;
    store.put_partials(&[put.clone(), put.clone()]).await?;
    store.put_partials(std::slice::from_ref(&put)).await?;
    assert_eq!(store.partials(&put.series, at(0), at(0)).await?, [put]);
    Ok(())
}

/// Partials come by window, batch and chunk, whatever order they were put in. Batches sort by
/// their bytes, which is not how their text sorts, and there are chunks of four digits.
pub async fn partials_come_in_order<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader,
{
    let mut put = Vec::new();
    for batch in 0..20 {
        for (window, chunk) in [(1, 0), (0, 1000), (0, 2), (0, 10), (-1, 0)] {
            put.push(partial("eni-order", window, &format!("order-{batch}"), chunk));
        }
    }
    store.put_partials(&put).await?;
    let mut expected = put;
    expected.sort_by_key(|p| (p.window, p.batch, p.chunk));
    let got = store.partials(&expected[0].series, at(-1), at(1)).await?;
    assert_eq!(got, expected);
    Ok(())
}

/// A read names one source, one interface and a range of windows, over midnight too.
pub async fn partials_are_of_one_interface_and_range<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader,
{
    let put: Vec<PartialItem> = (-3..=3).map(|w| partial("eni-range", w, "range", 0)).collect();
    let mut others = vec![partial("eni-range2", 0, "range", 0), partial("-", 0, "range", 0)];
    let other = Series { source: source("fl-c1"), ..put[0].series.clone() };
    others.push(PartialItem { series: other.clone(), ..put[3].clone() });
    let scope = Series { view: View::Scope, ..put[0].series.clone() };
    others.push(PartialItem { series: scope.clone(), ..put[3].clone() });
    store.put_partials(&[put.clone(), others.clone()].concat()).await?;

    let of = put[0].series.clone();
    assert_eq!(store.partials(&of, at(-2), at(1)).await?, put[1..=4]);
    assert_eq!(store.partials(&of, at(2), at(2)).await?, put[5..6]);
    assert_eq!(store.partials(&of, at(10), at(20)).await?, []);
    assert_eq!(store.partials(&of, at(1), at(-1)).await?, []);
    assert_eq!(store.partials(&series("-"), at(0), at(0)).await?, others[1..2]);
    assert_eq!(store.partials(&other, at(-9), at(9)).await?, others[2..3]);
    assert_eq!(store.partials(&scope, at(-9), at(9)).await?, others[3..]);
    Ok(())
}

/// A read is whole beyond the megabyte that DynamoDB returns at once.
pub async fn large_partials_are_paged<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader,
{
    let large = |i: u16| {
        let mut partial = partial("eni-large", 0, &format!("large-{i}"), i);
        partial.blob.resize(8 * 1024, 7);
        partial
    };
    let mut put: Vec<PartialItem> = (0..300).map(large).collect();
    store.put_partials(&put).await?;
    put.sort_by_key(|p| (p.window, p.batch, p.chunk));
    let got = store.partials(&put[0].series, at(0), at(0)).await?;
    assert_eq!(got.len(), put.len());
    assert!(got == put, "the same partials in the same order");
    Ok(())
}

/// Sources by day and interfaces by source and day, each once and sorted.
pub async fn the_directory_lists_once<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader,
{
    let saw =
        |day: &str, of: &str| DirectoryEntry::Source { day: day.to_owned(), source: source(of) };
    let entry = |day: &str, series| DirectoryEntry::Series { day: day.to_owned(), series };
    let has = |day: &str, id: &str| entry(day, Series::interface(source("fl-d"), id));
    let days = ["20261101", "20261102", "20261103"];
    let mut put = vec![saw(days[1], "fl-d"), saw(days[1], "cw-d"), saw(days[2], "fl-d")];
    put.push(saw(days[0], "fl-d"));
    put.extend((0..30).map(|i| has(days[1], &format!("eni-{i:02}"))));
    put.extend([has(days[1], "-"), has(days[2], "eni-99"), has(days[1], "eni-00")]);
    put.push(entry(days[1], Series::scope(source("fl-d"), "vpc-1")));
    store.put_directory(&put).await?;
    store.put_directory(&put[..2]).await?;

    let pair = |day: &str, of: &str| (day.to_owned(), source(of));
    let between = store.sources(days[0], days[1]).await?;
    assert_eq!(between, [pair(days[0], "fl-d"), pair(days[1], "cw-d"), pair(days[1], "fl-d")]);
    assert_eq!(store.sources(days[2], days[2]).await?, [pair(days[2], "fl-d")]);
    assert_eq!(store.sources("20250101", "20251231").await?, []);
    assert_eq!(store.sources(days[1], days[0]).await?, []);
    let mut expected = vec!["-".to_owned()];
    expected.extend((0..30).map(|i| format!("eni-{i:02}")));
    let of = source("fl-d");
    assert_eq!(store.subjects(&of, View::Interface, days[1]).await?, expected);
    assert_eq!(store.subjects(&of, View::Scope, days[1]).await?, ["vpc-1"]);
    assert_eq!(store.subjects(&of, View::Interface, days[0]).await?, Vec::<String>::new());
    Ok(())
}

/// A summary of version `n` replaces version `n - 1` and no other; the same one again is granted,
/// since the response to the first may have been lost.
pub async fn a_summary_replaces_its_own_version<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateReader + SummaryWriter,
{
    let of = series("eni-version");
    let [first, second, third] = [1, 2, 3].map(|version| summary("eni-version", 0, version));
    assert!(!store.put_summary(&second).await?, "there is no first");
    assert!(store.put_summary(&first).await?);
    assert!(store.put_summary(&first).await?, "the same again");
    let rival = SummaryItem { blob: vec![1, 1], ..first.clone() };
    assert!(!store.put_summary(&rival).await?, "another first");
    assert!(!store.put_summary(&third).await?, "there is no second");
    assert_eq!(store.items(&of, at(0), at(0)).await?.summaries, std::slice::from_ref(&first));
    assert!(store.put_summary(&second).await?);
    assert!(!store.put_summary(&first).await?, "an old one");
    assert_eq!(store.items(&of, at(0), at(0)).await?.summaries, [second]);
    Ok(())
}

/// A read of items returns the partials of the range and the summaries of its hours.
pub async fn summaries_come_with_their_hours<S>(store: &S) -> Result<(), StoreError>
where
    S: AggregateWriter + AggregateReader + SummaryWriter,
{
    let of = series("eni-hours");
    let hours: Vec<SummaryItem> = (-1..=2).map(|hour| summary("eni-hours", hour, 1)).collect();
    for summary in &hours {
        assert!(store.put_summary(summary).await?);
    }
    let put: Vec<PartialItem> = (-2..=14).map(|w| partial("eni-hours", w, "hours", 0)).collect();
    store.put_partials(&put).await?;
    let got = store.items(&of, at(-1), at(12)).await?;
    assert_eq!(got.partials, put[1..=14]);
    assert_eq!(got.summaries, hours[..3]);
    let got = store.items(&of, at(5), at(5)).await?;
    assert_eq!((got.partials, got.summaries), (put[7..8].to_vec(), hours[1..2].to_vec()));
    assert_eq!(store.partials(&of, at(11), at(11)).await?, put[13..14], "and no summary");
    assert_eq!(store.items(&of, at(1), at(0)).await?.summaries, []);
    Ok(())
}

/// A state of the alerter.
pub fn a_state(kind: &str, subject: &str, version: i64) -> StateItem {
    StateItem {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        version,
        body: format!("{{\"version\":{version}}}"),
        ttl: MIDNIGHT + 86_400,
    }
}

/// A state is put once, and then only over the version that its writer has read.
pub async fn a_state_is_swapped_by_whoever_read_it<S: AlertStore>(
    store: &S,
) -> Result<(), StoreError> {
    let of = |version| a_state("reject-burst", "eni-swap", version);
    assert_eq!(store.state("reject-burst", "eni-swap").await?, None);
    assert!(!store.swap_state(&of(8), Some(7)).await?, "there is none to be replaced");
    assert_eq!(store.state("reject-burst", "eni-swap").await?, None);
    assert!(store.swap_state(&of(1), None).await?);
    assert!(!store.swap_state(&of(9), None).await?, "there is one");
    assert!(!store.swap_state(&of(9), Some(0)).await?, "another version");
    assert_eq!(store.state("reject-burst", "eni-swap").await?, Some(of(1)));
    assert!(store.swap_state(&of(2), Some(1)).await?);
    assert!(!store.swap_state(&of(3), Some(1)).await?, "somebody else was faster");
    assert_eq!(store.state("reject-burst", "eni-swap").await?, Some(of(2)));
    // A baseline's version is its last window, which only rises.
    assert!(store.swap_state(&of(MIDNIGHT), Some(2)).await?);
    assert_eq!(store.state("port-scan", "eni-swap").await?, None, "kinds are apart");
    Ok(())
}

/// Every state of a kind, sorted, beyond what DynamoDB returns at once; none of another kind.
pub async fn states_of_a_kind_are_listed<S: AlertStore>(store: &S) -> Result<(), StoreError> {
    assert_eq!(store.states("host-sweep").await?, []);
    let mut put: Vec<StateItem> =
        (0..40).map(|n| a_state("host-sweep", &format!("vpc-{n:02}#{n:02x}"), n)).collect();
    for item in &mut put {
        item.body = format!("\"{}\"", "x".repeat(40_000));
        assert!(store.swap_state(item, None).await?);
    }
    assert!(store.swap_state(&a_state("host-sweeper", "vpc-00", 1), None).await?);
    let listed = store.states("host-sweep").await?;
    assert!(listed == put, "{} of {}", listed.len(), put.len());
    Ok(())
}

/// An hour's budget is spent once per token; a retry with the same token is free.
pub async fn a_budget_is_spent_once_per_token<S: AlertStore>(store: &S) -> Result<(), StoreError> {
    let hour = MIDNIGHT / 3600;
    let expires = MIDNIGHT + 2 * 86_400;
    assert!(!store.spend_budget(hour, 0, "none", expires).await?, "nothing is nothing");
    for token in ["a", "b", "a", "b"] {
        assert!(store.spend_budget(hour, 2, token, expires).await?, "{token}");
    }
    assert!(!store.spend_budget(hour, 2, "c", expires).await?, "spent");
    assert!(store.spend_budget(hour, 2, "a", expires).await?, "a retry is free");
    assert!(store.spend_budget(hour, 3, "c", expires).await?, "a reserve above the limit");
    assert!(store.spend_budget(hour + 1, 2, "d", expires).await?, "another hour");
    Ok(())
}
