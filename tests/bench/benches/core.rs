//! The steps of the core, each alone, over rows like those of `rows`: decoding, rolling up, blobs, folding, rules.
//!
//! `make bench-core`. A figure here is for looking at one step while it is changed; what is claimed rests on whole
//! processes (`make bench`).

use std::convert::Infallible;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowlog_core::decode::{Fallback, Limits, LineDecoder, QuickRow, RecordSink, Verdict};
use flowlog_core::detect::{RuleSet, review};
use flowlog_core::record::{Record, Window};
use flowlog_core::rollup::{Accumulator, Budget, Fold, Rollup};

const ROWS: u64 = 100_000;

/// Takes everything in and keeps nothing.
struct Nothing<const QUICK: bool>;

impl<const QUICK: bool> RecordSink for Nothing<QUICK> {
    const QUICK: bool = QUICK;

    fn record(&mut self, record: &Record<'_>) -> Verdict {
        std::hint::black_box(record.bytes);
        Verdict::Counted
    }

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        std::hint::black_box(rows);
        rows.len()
    }
}

/// Rolls up what the plain decoder reads.
struct Plainly(Accumulator);

impl RecordSink for Plainly {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.0.record(record)
    }
}

fn decode<S: RecordSink>(text: &[u8], mut sink: S) -> S {
    let mut decoder = LineDecoder::new(Limits::default(), Fallback::Default);
    for piece in text.chunks(128 << 10) {
        decoder.push(piece, &mut sink).unwrap_or_else(|error| panic!("{error}"));
    }
    sink
}

fn accumulator() -> Accumulator {
    Accumulator::new(Budget::default(), None)
}

fn text() -> Vec<u8> {
    let mut text = Vec::new();
    flowlog_bench::rows::write(&mut text, ROWS).unwrap_or_else(|error| panic!("{error}"));
    text
}

fn decoding(c: &mut Criterion) {
    let text = text();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("quick", |b| b.iter(|| decode(&text, Nothing::<true>)));
    group.bench_function("plain", |b| b.iter(|| decode(&text, Nothing::<false>)));
    group.finish();
}

fn rolling_up(c: &mut Criterion) {
    let text = text();
    let mut group = c.benchmark_group("decode and roll up");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(30);
    group.bench_function("quick", |b| {
        b.iter_batched(|| (), |()| decode(&text, accumulator()), BatchSize::PerIteration);
    });
    group.bench_function("plain", |b| {
        b.iter_batched(|| (), |()| decode(&text, Plainly(accumulator())), BatchSize::PerIteration);
    });
    group.bench_function("and finish", |b| b.iter(|| decode(&text, accumulator()).finish()));
    group.finish();
}

fn blobs(c: &mut Criterion) {
    let chunks = decode(&text(), accumulator()).finish();
    let rollups: Vec<&Rollup> = chunks.iter().flatten().map(|(.., rollup)| rollup).collect();
    let encoded: Vec<Vec<u8>> = rollups.iter().map(|rollup| rollup.encode()).collect();
    let mut group = c.benchmark_group("blob");
    group.throughput(Throughput::Elements(rollups.len() as u64));
    group.bench_function("encode", |b| {
        b.iter(|| rollups.iter().map(|rollup| rollup.encode().len()).sum::<usize>());
    });
    group.bench_function("decode", |b| {
        b.iter(|| encoded.iter().filter_map(|blob| Rollup::decode(blob).ok()).count());
    });
    group.finish();
}

/// As the parser folds what it finds into the scopes of the interfaces.
fn folding(c: &mut Criterion) {
    let chunks = decode(&text(), accumulator()).finish();
    let rollups: Vec<&Rollup> = chunks.iter().flatten().map(|(_, _, rollup)| rollup).collect();
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements(rollups.len() as u64));
    group.bench_function("all at once", |b| {
        b.iter(|| {
            let mut fold = Fold::default();
            for rollup in &rollups {
                fold.add(rollup);
                fold.condense(256);
            }
            fold.finish()
        });
    });
    group.bench_function("one by one", |b| {
        b.iter(|| {
            let mut merged = Rollup::default();
            for rollup in &rollups {
                let mut fold = Fold::from(std::mem::take(&mut merged));
                fold.add(rollup);
                fold.condense(256);
                merged = fold.finish();
            }
            merged
        });
    });
    group.finish();
}

fn rules(c: &mut Criterion) {
    let chunks = decode(&text(), accumulator()).finish();
    let mut interfaces: Vec<(&str, Vec<(Window, &Rollup)>)> = Vec::new();
    for (interface_id, window, rollup) in chunks.iter().flatten() {
        if interfaces.last().is_none_or(|(last, _)| last != interface_id) {
            interfaces.push((interface_id, Vec::new()));
        }
        if let Some((_, windows)) = interfaces.last_mut() {
            windows.push((*window, rollup));
        }
    }
    let rules = RuleSet::default();
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(interfaces.len() as u64));
    group.bench_function("of interfaces", |b| {
        b.iter(|| {
            let found = interfaces.iter().map(|(interface_id, windows)| {
                let windows = windows.iter().map(|(window, rollup)| (*window, (*rollup).clone()));
                review::of_interface(&rules, interface_id, windows.map(Ok::<_, Infallible>))
            });
            found.map(|Ok(findings)| findings.len()).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, decoding, rolling_up, blobs, folding, rules);
criterion_main!(benches);
