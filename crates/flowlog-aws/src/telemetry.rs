//! Logs and metrics, both as JSON lines on standard output, where Lambda collects them.
//!
//! Metrics are CloudWatch's embedded metric format: a log line that CloudWatch counts, with no
//! call and no permission. Their only dimension is the function's name, never anything from data:
//! each new dimension value is billed, and records are written by strangers.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use flowlog_core::decode::Counts;
use serde_json::{Map, Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::env;

/// The namespace of every metric.
pub const NAMESPACE: &str = "flowlog";
/// The only dimension.
const DIMENSION: &str = "function";

/// Starts logging: one JSON object per line, `info` and above unless `RUST_LOG` says otherwise.
/// Control characters in values are escaped by JSON itself. A second call changes nothing.
pub fn init() {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(std::io::stdout);
    let filter = filter(&env::process("RUST_LOG").unwrap_or_default());
    let _already_started = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

/// A level, or levels by crate or module, as in `warn,flowlog_aws=debug`. Parts that are none are passed over; `info` if none
/// is left. Spans and fields cannot be named: the filter that knows them brings an engine for regular expressions along.
fn filter(directives: &str) -> Targets {
    let is_level =
        |part: &&str| !part.is_empty() && !part.contains('[') && part.parse::<Targets>().is_ok();
    let known: Vec<&str> = directives.split(',').map(str::trim).filter(is_level).collect();
    let known = (!known.is_empty()).then(|| known.join(","));
    known
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

macro_rules! metrics {
    ($($variant:ident $unit:ident $doc:literal,)*) => {
        /// A metric, by its name in CloudWatch.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = $doc] $variant,)*
        }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in CloudWatch.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// Its unit in CloudWatch.
            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => stringify!($unit),)* }
            }
        }
    };
}

metrics! {
    RecordsRead Count "Lines that should be records.",
    RecordsParsed Count "Records that were rolled up.",
    RecordsRejected Count "Lines that cannot be read as records; not refused (REJECT) traffic.",
    RecordsLate Count "Records older than the horizon.",
    RecordsNodata Count "NODATA records.",
    RecordsSkipdata Count "SKIPDATA records: known gaps.",
    PartialsWritten Count "Partials put into the aggregates.",
    DeliveriesDone Count "Deliveries that became done.",
    DeliveriesDuplicate Count "Deliveries that were done before.",
    DeliveriesQuarantined Count "Deliveries that are permanently unusable.",
    DeliveriesRetried Count "Deliveries left to a later attempt.",
    DeliveriesMissing Count "Objects in the bucket that the ledger does not have, or not as done.",
    FoldersLeft Count "Day folders that the reconciler did not get through.",
    DigestChanged Count "Deliveries that came out differently the second time.",
    AlertsPublished Count "Notifications sent.",
    AlertsSuppressed Count "Notifications held back by the budget.",
    AlertsRepeated Count "Notifications sent by the sweeper, since nobody marked them.",
    HoursCompacted Count "Summaries written.",
    HoursLeft Count "Hours of a series that compaction had no time for, or that it could not fold whole.",
    RulesRefused Count "Rules files that are wrong: the last good one stays in force.",
}

/// The metrics of a delivery that became done: what became of its lines, how many partials it has, and whether an earlier
/// attempt had other bytes.
pub fn of_done(counts: &Counts, partials: u64, digest_changed: bool) -> Vec<(Metric, u64)> {
    vec![
        (Metric::DeliveriesDone, 1),
        (Metric::RecordsRead, counts.read),
        (Metric::RecordsParsed, counts.parsed),
        (Metric::RecordsNodata, counts.nodata),
        (Metric::RecordsSkipdata, counts.skipdata),
        (Metric::RecordsRejected, counts.rejected_total()),
        (Metric::RecordsLate, counts.late),
        (Metric::PartialsWritten, partials),
        (Metric::DigestChanged, u64::from(digest_changed)),
    ]
}

/// Writes metrics of one function as one line. The caller sums up first: a line costs the same
/// whatever it counts.
#[expect(clippy::disallowed_methods, reason = "CloudWatch wants the time of the measurement")]
pub fn emit(function: &str, values: &[(Metric, u64)]) {
    // CloudWatch refuses a line that defines no metric.
    if values.is_empty() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let line = line(u64::try_from(now).unwrap_or(u64::MAX), function, values);
    // Metrics are not worth failing for; a closed standard output is noticed elsewhere.
    let _unwritten = writeln!(std::io::stdout().lock(), "{line}");
}

fn line(now_ms: u64, function: &str, values: &[(Metric, u64)]) -> String {
    let definitions: Vec<Value> = values
        .iter()
        .map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() }))
        .collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[DIMENSION]],
                "Metrics": definitions,
            }],
        }),
    );
    line.insert(DIMENSION.to_owned(), Value::from(function));
    for (metric, value) in values {
        line.insert(metric.name().to_owned(), Value::from(*value));
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_rust_log_is_usually_written() {
        use tracing_subscriber::filter::LevelFilter as L;
        for (text, ours, sdk) in [
            ("", L::INFO, L::INFO),
            ("warn", L::WARN, L::WARN),
            ("WARN, flowlog_aws=debug", L::DEBUG, L::WARN),
            ("flowlog_aws=trace", L::TRACE, L::OFF),
            ("a=b=c,,error", L::ERROR, L::ERROR),
            ("[span]=debug", L::INFO, L::INFO),
            ("off", L::OFF, L::OFF),
        ] {
            let filter = filter(text);
            for level in [
                tracing::Level::TRACE,
                tracing::Level::DEBUG,
                tracing::Level::INFO,
                tracing::Level::WARN,
                tracing::Level::ERROR,
            ] {
                assert_eq!(
                    filter.would_enable("flowlog_aws::s3", &level),
                    level <= ours,
                    "{text:?} {level}"
                );
                assert_eq!(
                    filter.would_enable("aws_smithy_runtime", &level),
                    level <= sdk,
                    "{text:?} {level}"
                );
            }
        }
    }

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let line = line(
            1_793_491_200_123,
            "parser",
            &[(Metric::RecordsRead, 7), (Metric::PartialsWritten, 61)],
        );
        let expected = json!({
            "_aws": {
                "Timestamp": 1_793_491_200_123_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "flowlog",
                    "Dimensions": [["function"]],
                    "Metrics": [
                        { "Name": "RecordsRead", "Unit": "Count" },
                        { "Name": "PartialsWritten", "Unit": "Count" },
                    ],
                }],
            },
            "function": "parser",
            "RecordsRead": 7,
            "PartialsWritten": 61,
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(!line.contains('\n'));
    }
}
