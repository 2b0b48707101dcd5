//! Compaction, on a schedule of its own: hours that are over become summaries, which outlive their
//! partials by a year.
//!
//! A run looks, in every series that the directory names, at the last hours that are closed, and at
//! one hour of each day that settles: after a day it has looked at all of them. The directory is read within
//! the time that there is, too: a run that cannot read it whole folds nothing, and says so. A run that is out of
//! time remembers the last series that it dealt with, and the next one goes on behind it; whatever
//! it finds done costs it a read. So nothing depends on a run, on its time, or on its end.

use std::collections::BTreeMap;

use flowlog_aws::deadline::Deadline;
use flowlog_aws::telemetry::Metric;
use flowlog_core::compact::{Compacted, closed_hours, compact_hour, settle_days};
use flowlog_core::record::{DAY_SECONDS, HOUR_SECONDS, Window};
use flowlog_core::store::{
    AggregateReader, AlertStore, LedgerReader, Series, StateItem, StoreError, SummaryWriter, View,
};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::{App, HandlerError, READS};

/// Interfaces that are compacted at once: 24 partials of at most 8 KiB in an hour of each. A VPC's or an
/// account's hour may be a hundred megabytes, so those come one by one.
const AT_ONCE: usize = 16;

/// Where a run that is out of time leaves word for the next one, in the alerter's state.
const KIND: &str = "compact";
const SUBJECT: &str = "after";
/// Seconds for which the word counts: a run comes every hour.
const WORD_TTL: i64 = 7 * DAY_SECONDS;

/// What is asked for: `{"flowlog": "compact"}` by the schedule. By hand, with `days`, every hour of
/// these days, which is how partials are folded that were there before compaction was; the answer's
/// `after`, if there is one, goes into the next request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Request {
    /// `2026-11-01`.
    #[serde(default)]
    days: Vec<String>,
    #[serde(default)]
    after: Option<String>,
}

/// What a run did, which is also its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Summary {
    /// Series that the directory names.
    series: u64,
    /// Summaries that were written.
    summaries: u64,
    /// Partials that are new in them.
    partials: u64,
    /// Partials of deliveries that are not done: the next run's.
    waiting: u64,
    /// Hours that could not be read or written, or had more partials than a summary takes.
    failed: u64,
    /// Hours that there was no time for; those of one series, if there was none to read which there are.
    left: u64,
    /// The last series that was dealt with, if there was no time for all.
    after: Option<String>,
}

/// A word left for the next run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Word {
    after: Option<String>,
}

/// By name: a series and its hours, oldest first.
type Todo = BTreeMap<String, (Series, Vec<Window>)>;

/// Compacts what is to be compacted now, up to the deadline.
pub(crate) async fn compact<S, N>(
    app: &App<S, N>,
    request: Request,
    deadline: Deadline,
) -> Result<Summary, HandlerError>
where
    S: AggregateReader + LedgerReader + SummaryWriter + AlertStore,
{
    let now = app.clock.now();
    let by_hand = !request.days.is_empty();
    let hours = if by_hand { hours_of(&request.days)? } else { due(now) };
    let read = async { Ok((todo(&app.store, &hours).await?, word(&app.store).await?)) };
    let read: Option<Result<_, HandlerError>> = deadline.within(app.clock.now(), read).await;
    let summary = if let Some(read) = read {
        let (todo, (version, word)) = read?;
        let after = if by_hand { request.after } else { word.after.clone() };
        let summary = run(app, todo, after.as_deref(), by_hand, deadline).await;
        let next = Word { after: summary.after.clone() };
        if !by_hand && next != word {
            let item = StateItem {
                kind: KIND.to_owned(),
                subject: SUBJECT.to_owned(),
                version: version.unwrap_or(0) + 1,
                body: serde_json::to_string(&next)?,
                ttl: now + WORD_TTL,
            };
            // Should two runs meet, one word is as good as the other.
            let _swapped = app.store.swap_state(&item, version).await?;
        }
        summary
    } else {
        tracing::error!("no time to read which series there are");
        Summary { left: hours.len() as u64, after: request.after, ..Summary::default() }
    };
    let Summary { series, summaries, partials, waiting, failed, left, .. } = summary;
    tracing::info!(series, summaries, partials, waiting, failed, left, "compacted");
    let metrics = [(Metric::HoursCompacted, summaries), (Metric::HoursLeft, failed + left)];
    (app.metrics)("anomaly-alerter", &metrics);
    Ok(summary)
}

/// Every hour of these days.
fn hours_of(days: &[String]) -> Result<Vec<Window>, HandlerError> {
    let mut hours = Vec::new();
    for day in days {
        let digits: String = day.chars().filter(|c| *c != '-').collect();
        let start = Window::day_start(&digits).and_then(Window::of);
        let start = start.ok_or_else(|| HandlerError::Day(day.clone()))?;
        hours.extend(start.hours_of_day());
    }
    Ok(hours)
}

/// The hours that a scheduled run looks at: those that were closed lately, and of the days that
/// settle the hour before this one: so many days ago that one was over, so at its last look nothing is
/// written into it any more.
fn due(now: i64) -> Vec<Window> {
    let of_day = |second: i64| second.div_euclid(HOUR_SECONDS).rem_euclid(24);
    let then = now - HOUR_SECONDS;
    let settled = settle_days(then).into_iter().filter(|hour| of_day(hour.start()) == of_day(then));
    settled.chain(closed_hours(now)).collect()
}

/// What there is to do, series by series.
async fn todo<S: AggregateReader>(store: &S, hours: &[Window]) -> Result<Todo, StoreError> {
    let mut days: BTreeMap<String, Vec<Window>> = BTreeMap::new();
    for hour in hours {
        days.entry(hour.day()).or_default().push(*hour);
    }
    let mut views = Vec::new();
    for (day, hours) in &days {
        for (_, source) in store.sources(day, day).await? {
            views.push((day, hours, View::Interface, source.clone()));
            views.push((day, hours, View::Scope, source));
        }
    }
    // One after another they would take longer than a run has for some thousands of flow logs.
    let mut read = stream::iter(views)
        .map(async |(day, hours, view, source)| {
            let subjects = store.subjects(&source, view, day).await?;
            Ok((hours, view, source, subjects))
        })
        .buffered(READS);
    let mut todo = Todo::new();
    while let Some((hours, view, source, subjects)) = read.try_next().await? {
        for subject in subjects {
            let series = Series { source: source.clone(), view, subject };
            let (_, all) = todo.entry(name(&series)).or_insert_with(|| (series, Vec::new()));
            all.extend(hours);
        }
    }
    Ok(todo)
}

/// `E#<source>#<interface-id>` or `V#<source>#<scope>`: interfaces come first.
fn name(series: &Series) -> String {
    let kind = match series.view {
        View::Interface => 'E',
        View::Scope => 'V',
    };
    format!("{kind}#{}#{}", series.source, series.subject)
}

/// Does the work, beginning behind `after`. A scheduled run goes on from the beginning; one by hand
/// ends at the end.
async fn run<S, N>(
    app: &App<S, N>,
    todo: Todo,
    after: Option<&str>,
    by_hand: bool,
    deadline: Deadline,
) -> Summary
where
    S: AggregateReader + LedgerReader + SummaryWriter,
{
    let (before, behind): (Vec<_>, Vec<_>) =
        todo.into_iter().partition(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
    let mut queue = behind;
    if !by_hand {
        queue.extend(before);
    }
    let mut summary = Summary { series: queue.len() as u64, ..Summary::default() };
    let mut last = after.map(str::to_owned);
    let mut rest = queue.as_slice();
    while let Some((_, (first, _))) = rest.first() {
        let at_once = if first.view == View::Scope { 1 } else { AT_ONCE };
        let (now, later) = rest.split_at(at_once.min(rest.len()));
        let all =
            join_all(now.iter().map(|(_, (series, hours))| compact_series(app, series, hours)));
        let Some(done) = deadline.within(app.clock.now(), all).await else {
            summary.left = rest.iter().map(|(_, (_, hours))| hours.len() as u64).sum();
            summary.after = last;
            break;
        };
        for (compacted, failed) in done {
            summary.summaries += compacted.summaries;
            summary.partials += compacted.partials;
            summary.waiting += compacted.waiting;
            summary.failed += failed;
        }
        last = now.last().map(|(name, _)| name.clone());
        rest = later;
    }
    summary
}

/// Compacts hours of one series; also says how many could not be. One that cannot be read keeps none
/// of the others from being compacted.
async fn compact_series<S, N>(
    app: &App<S, N>,
    series: &Series,
    hours: &[Window],
) -> (Compacted, u64)
where
    S: AggregateReader + LedgerReader + SummaryWriter,
{
    let (mut sum, mut failed) = (Compacted::default(), 0);
    for hour in hours {
        match compact_hour(&app.store, series, *hour).await {
            Ok(compacted) => {
                sum.add(&compacted);
                failed += u64::from(compacted.left_out > 0);
            }
            Err(error) => {
                tracing::error!(series = name(series), hour = hour.start(), error = %error, "hour is not compacted");
                failed += 1;
            }
        }
    }
    (sum, failed)
}

async fn word<S: AlertStore>(store: &S) -> Result<(Option<i64>, Word), HandlerError> {
    let Some(item) = store.state(KIND, SUBJECT).await? else { return Ok((None, Word::default())) };
    Ok((Some(item.version), item.read()?))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use flowlog_core::ingest::MARGIN;
    use flowlog_core::record::{Source, WINDOWS_PER_DAY};
    use flowlog_core::store::item::PARTIAL_TTL;
    use flowlog_core::store::{PartialItem, SeriesItems};

    use super::*;

    const MIDNIGHT: i64 = 1_793_491_200;

    #[test]
    fn a_day_of_runs_looks_at_every_hour_that_settles() {
        let mut seen: Vec<Window> = (1..=24)
            .flat_map(|run| due(MIDNIGHT + 34 * 86_400 + run * 3600 + 2400))
            .filter(|hour| hour.start() < MIDNIGHT + 3 * 86_400)
            .collect();
        seen.sort_unstable();
        let expected: Vec<Window> =
            (0..72).map(|hour| Window::of(MIDNIGHT + hour * 3600).unwrap()).collect();
        assert_eq!(seen, expected);
        // And 40 minutes past, at the hour that is over since then, and two before it.
        let run = due(MIDNIGHT + 5 * 3600 + 2400);
        assert_eq!(run.len(), 6);
        assert_eq!(run[5], Window::of(MIDNIGHT + 4 * 3600).unwrap());
    }

    #[test]
    fn whatever_is_written_is_looked_at_before_it_expires() {
        for window in (0..2 * WINDOWS_PER_DAY).map(|n| Window::of(MIDNIGHT).unwrap().forward(n)) {
            let expires = window.end() + PARTIAL_TTL;
            let written = expires - MARGIN;
            let runs = (0..48).map(|n| written - written.rem_euclid(3600) + n * 3600 + 2400);
            // A quarter of an hour for an attempt that began in time.
            let between = runs.filter(|run| (written + 900..expires).contains(run));
            let looks = between.filter(|run| due(*run).contains(&window.hour())).count();
            assert_eq!(looks, 1, "{}", window.start() - MIDNIGHT);
        }
    }

    /// A directory of many flow logs with an interface each, of which every query takes a turn.
    struct Many {
        open: Cell<usize>,
        most: Cell<usize>,
    }

    impl AggregateReader for Many {
        async fn partials(
            &self,
            _: &Series,
            _: Window,
            _: Window,
        ) -> Result<Vec<PartialItem>, StoreError> {
            unreachable!("only the directory is read")
        }

        async fn items(&self, _: &Series, _: Window, _: Window) -> Result<SeriesItems, StoreError> {
            unreachable!("only the directory is read")
        }

        async fn sources(&self, day: &str, _: &str) -> Result<Vec<(String, Source)>, StoreError> {
            let source =
                |n: u32| (day.to_owned(), Source::of_log_group("1", &format!("group-{n}")));
            Ok((0..300).map(source).collect())
        }

        async fn subjects(
            &self,
            _: &Source,
            view: View,
            _: &str,
        ) -> Result<Vec<String>, StoreError> {
            self.open.set(self.open.get() + 1);
            self.most.set(self.most.get().max(self.open.get()));
            tokio::task::yield_now().await;
            self.open.set(self.open.get() - 1);
            Ok(if view == View::Interface { vec!["eni-1".to_owned()] } else { Vec::new() })
        }
    }

    #[tokio::test]
    async fn the_directory_of_many_flow_logs_is_read_many_queries_at_once() {
        let many = Many { open: Cell::new(0), most: Cell::new(0) };
        let hours = due(MIDNIGHT + 5 * 3600 + 2400);
        let todo = todo(&many, &hours).await.unwrap();
        assert_eq!((todo.len(), many.most.get()), (300, READS));
        assert!(todo.values().all(|(_, all)| *all == hours), "oldest first");
    }
}
