//! One run: objects, processes, kills, and what must have come of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowlog_aws::{DynamoDbStore, Tables, sdk};
use flowlog_cli::generate::{self, Attack, FileFormat, Layout, Plan, Truth, USUAL};
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::{ActionTotals, Mapping};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{AggregateReader, LedgerReader, LedgerState, PartialItem, Series, View};
use flowlog_s3_parser::handle;
use lambda_runtime::{Context, LambdaEvent};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::Trouble;
use crate::fleet::{Process, Queue, Slot, keep_working};
use crate::proxy::Proxy;
use crate::worker::{keys, message, parser};

/// Worker processes at a time.
const WORKERS: usize = 3;
/// How often each object is handed out at least.
const COPIES: usize = 3;
/// Midnight, 1 November 2026.
const START: i64 = 1_793_491_200;
/// Minutes of flow logs: two flow logs deliver an object each every five of them.
const MINUTES: u32 = 200;
/// A run that takes longer has got stuck.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs `0..20` with so many kills of the database, and as many of workers.
pub(crate) fn all(seeds: &str, kills: &str) -> Result<(), Trouble> {
    let (from, to) = seeds.split_once("..").ok_or("seeds are written 0..20")?;
    let kills: u64 = kills.parse()?;
    for seed in from.parse()?..to.parse()? {
        let run = run(seed, kills);
        let report = run.map_err(|error| {
            format!("run {seed}: {error}; again: chaos run {seed}..{} {kills}", seed + 1)
        })?;
        println!("run {seed}: exact. {report}");
    }
    Ok(())
}

fn run(seed: u64, kills: u64) -> Result<String, Trouble> {
    #[expect(clippy::disallowed_methods, reason = "how long a run takes is said, not asserted")]
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let plan = Plan {
        seed,
        start: START,
        minutes: MINUTES,
        rate: 60,
        format: Layout::V5,
        file_format: FileFormat::PlainText,
        attacks: Vec::<Attack>::new(),
        intensity: USUAL,
    };
    let truth = generate::write(&plan, folder.path())?;
    let objects = folder.path().join("AWSLogs").to_string_lossy().into_owned();
    let keys = keys(&objects)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut messages: Vec<String> = (0..COPIES)
        .flat_map(|_| keys.iter().map(|(bucket, key)| format!("{bucket} {key}")))
        .collect();
    for last in (1..messages.len()).rev() {
        let other = random.next_u64() % (last as u64 + 1);
        messages.swap(last, usize::try_from(other)?);
    }
    let total = messages.len() as u64;
    let queue = Queue::of(messages);
    let file = folder.path().join("flowlog.db");
    let proxy = Proxy::start(seed)?;
    let endpoint = format!("http://{}", proxy.address);
    let database = Mutex::new(Some(start_database(&file, &proxy)?));
    let slots: Vec<Slot> = (0..WORKERS).map(|_| Slot::default()).collect();
    let killed = [AtomicU64::new(0), AtomicU64::new(0)];
    let failed = AtomicBool::new(false);

    let kill = |nth: u64| -> Result<(), Trouble> {
        let mut database = database.lock().map_err(|_| "a thread has panicked")?;
        if let Some(old) = database.take() {
            old.kill();
            killed[0].fetch_add(1, Ordering::SeqCst);
        }
        *database = Some(start_database(&file, &proxy)?);
        // The one whose turn it is, or one that is not just starting.
        let turn = usize::try_from(nth)?;
        if (turn..turn + WORKERS).any(|at| slots[at % WORKERS].kill()) {
            killed[1].fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    let work = |slot: &Slot| {
        let arguments = || {
            // The code is upgraded early on, when most objects have not been begun, and every delivery keeps the version of its
            // first attempt.
            let done = queue.done.load(Ordering::SeqCst);
            let mapping = if done < total / 8 { "1" } else { "2" };
            vec!["worker".to_owned(), endpoint.clone(), objects.clone(), mapping.to_owned()]
        };
        let result = keep_working(&queue, slot, &arguments);
        if result.is_err() {
            failed.store(true, Ordering::SeqCst);
        }
        result
    };
    let result: Result<(), Trouble> = std::thread::scope(|scope| {
        let working: Vec<_> = slots.iter().map(|slot| scope.spawn(|| work(slot))).collect();
        let mut nth = 0;
        while !queue.is_over() && !failed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10 + random.next_u64() % 60));
            // Spread over the work: the next kill comes when its share of it is done.
            let share = queue.done.load(Ordering::SeqCst) * (kills + 1) / total.max(1);
            if nth < kills && share > nth {
                kill(nth)?;
                nth += 1;
            }
            if begun.elapsed() > PATIENCE {
                for slot in &slots {
                    slot.kill();
                }
                return Err("stuck".into());
            }
        }
        for worker in working {
            worker.join().map_err(|_| "a thread has panicked")??;
        }
        Ok(())
    });
    result?;
    proxy.calm();
    kill(0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = DynamoDbStore::new(&sdk::local(&endpoint), Tables::default());
    let (records, versions) = runtime.block_on(compare(&store, &objects, &keys, &truth))?;
    if let Some(database) = database.lock().map_err(|_| "a thread has panicked")?.take() {
        database.kill();
    }
    let [databases, workers] = killed.map(AtomicU64::into_inner);
    let (requests, responses) = proxy.cuts();
    let again = queue.again.load(Ordering::SeqCst);
    if databases < kills || workers < kills {
        return Err(format!("only {databases} kills of the database, {workers} of workers").into());
    }
    Ok(format!(
        "{records} records in {} objects × {COPIES} (mapping: {versions}); killed: database {databases} times, workers {workers}; cut: {requests} requests, {responses} responses; {again} messages came again; {:.1} s",
        keys.len(),
        begun.elapsed().as_secs_f64()
    ))
}

/// Starts the database on its file and points the proxy at it.
fn start_database(file: &Path, proxy: &Proxy) -> Result<Process, Trouble> {
    let file = file.to_str().ok_or("a path that is no text")?;
    let mut process = Process::start(&["database", file])?;
    let endpoint = process.line().ok_or("the database does not start")?;
    let port = endpoint.rsplit(':').next().ok_or("no port")?;
    proxy.point(port.parse()?);
    Ok(process)
}

/// Everything in the store against a clean pass and against the generator's own sums. The number of
/// records.
async fn compare(
    store: &DynamoDbStore,
    folder: &str,
    keys: &[(String, String)],
    truth: &Truth,
) -> Result<(u64, String), Trouble> {
    let batches: Vec<BatchId> = keys.iter().map(|(b, k)| BatchId::of_object(b, k)).collect();
    let entries = store.entries(&batches).await?;
    // Each delivery once, under the version that its first attempt was pinned to.
    let mut clean = BTreeMap::new();
    for mapping in Mapping::ALL {
        clean.insert(mapping, (parser(folder, MemoryStore::new(), mapping)?, 0));
    }
    for ((bucket, key), entry) in keys.iter().zip(&entries) {
        let mapping = entry.as_ref().and_then(|entry| Mapping::from_number(entry.mapping));
        let app = mapping.and_then(|mapping| clean.get_mut(&mapping));
        let (app, deliveries) = app.ok_or_else(|| format!("{key} has no ledger entry"))?;
        *deliveries += 1;
        handle(app, LambdaEvent::new(message(bucket, key), Context::default())).await?;
        let batch = BatchId::of_object(bucket, key);
        if app.store.entries(&[batch]).await?.first() != Some(entry) {
            return Err(format!("the ledger entry of {key} is {entry:?}").into());
        }
    }
    let found = partials(store, keys, truth).await?;
    let mut expected = Vec::new();
    for (app, _) in clean.values() {
        expected.extend(partials(&app.store, keys, truth).await?);
    }
    expected.sort_by_key(|partial| (partial.pk(), partial.sk()));
    if expected != found {
        let differs = expected.iter().zip(&found).find(|(a, b)| a != b).map(|(a, _)| a.sk());
        return Err(format!(
            "{} partials, not {}; the first that differs: {differs:?}",
            found.len(),
            expected.len()
        )
        .into());
    }
    if !entries.iter().flatten().all(|entry| entry.state == LedgerState::Done) {
        return Err("a delivery is not done".into());
    }
    let mut sums: BTreeMap<(&str, Window), ActionTotals> = BTreeMap::new();
    for partial in &found {
        if partial.series.view == View::Interface {
            let key = (partial.series.subject.as_str(), partial.window);
            sums.entry(key).or_default().add(&partial.totals);
        }
    }
    let records: u64 = sums.values().map(|t| t.accept.records + t.reject.records).sum();
    if records != truth.totals.parsed {
        return Err(format!("{records} records, not {}", truth.totals.parsed).into());
    }
    let versions: Vec<String> = clean.iter().map(|(v, (_, n))| format!("{n} under {v}")).collect();
    Ok((records, versions.join(", ")))
}

/// Every partial of every interface, by source.
async fn partials<S: AggregateReader>(
    store: &S,
    keys: &[(String, String)],
    truth: &Truth,
) -> Result<Vec<PartialItem>, Trouble> {
    let mut sources: Vec<Source> = keys.iter().map(|(b, k)| Source::of_object(b, k)).collect();
    sources.sort();
    sources.dedup();
    let from = Window::of(START).ok_or("no window")?.back(2);
    let to = from.forward(i64::from(MINUTES) / 5 + 4);
    let mut found = Vec::new();
    for source in &sources {
        for name in &truth.names {
            let series = Series::interface(source.clone(), &name.interface_id);
            found.extend(store.partials(&series, from, to).await?);
        }
        for day in from.days_to(to) {
            for scope in store.subjects(source, View::Scope, &day).await? {
                let series = Series::scope(source.clone(), scope);
                found.extend(store.partials(&series, from, to).await?);
            }
        }
    }
    found.sort_by_key(|partial| (partial.pk(), partial.sk()));
    found.dedup();
    Ok(found)
}
