//! `flowlog cost`: what flowlog adds to the bill, beside what AWS charges to deliver the same logs.
//!
//! A model, not a bill: every assumption is a constant with its origin, every price stands in one dated
//! table. Prices are list prices of us-east-1 in US dollars without free tiers or discounts. Two of
//! them (CloudWatch Logs and DynamoDB) were seen in secondary sources; the rest are from memory. None
//! was checked against AWS's own pages or an account: check what matters to you.

use std::fmt::Write as _;

use serde::Serialize;

/// Of when and where the prices are, and what they are worth.
pub const PRICES_OF: &str = "2026-11-25, us-east-1, mostly from memory and not checked";

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Gigabytes (10^9 bytes) of log text a day, as AWS counts it: before compression.
    pub gb_per_day: f64,
    /// Network interfaces with traffic.
    pub interfaces: u64,
    /// Flow logs that deliver to S3; each writes an object every five minutes.
    pub flow_logs: u64,
    /// Sources that are refused each day, beyond what ordinary noise brings.
    pub attackers: u64,
    /// How many of a hundred records are of refused traffic, which goes to CloudWatch Logs, too; 0 for
    /// no flow log there.
    pub refused_percent: f64,
}

/// One line of the bill, in dollars for 30 days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What is charged.
    pub what: &'static str,
    /// Dollars for 30 days.
    pub dollars: f64,
    /// How it comes about.
    pub how: String,
}

/// The whole estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Date and region of the price table.
    pub prices_of: &'static str,
    /// What flowlog adds.
    pub flowlog: Vec<Line>,
    /// What AWS charges to deliver and keep the logs, with or without flowlog.
    pub delivery: Vec<Line>,
    /// What others charge for the same logs; each stands for itself.
    pub instead: Vec<Line>,
    /// Dollars for 30 days: the sum of `flowlog`.
    pub added: f64,
    /// Dollars for 30 days: AWS's charge to deliver to S3, the first line of `delivery`.
    pub delivered: f64,
    /// `added` in per cent of `delivered`.
    pub added_percent: f64,
}

const DAYS: f64 = 30.0;
const WINDOWS_A_DAY: f64 = 288.0;

// ---- Prices, in dollars -----------------------------------------------------------------------------

/// Delivery of vended logs to S3, by GB of a month: up to 10, 30, 50 TB and beyond (CloudWatch pricing).
const DELIVERY_TIERS: [(f64, f64); 4] =
    [(10_000.0, 0.25), (20_000.0, 0.15), (20_000.0, 0.075), (f64::INFINITY, 0.05)];
/// Conversion to Parquet at delivery, a GB (CloudWatch pricing; as quoted, not verified).
const PARQUET_GB: f64 = 0.035;
/// Vended logs into CloudWatch Logs, standard class, same tiers (CloudWatch pricing).
const LOGS_TIERS: [(f64, f64); 4] =
    [(10_000.0, 0.50), (20_000.0, 0.25), (20_000.0, 0.10), (f64::INFINITY, 0.05)];
/// Lambda, x86: a GB-second, and a million requests (Lambda pricing).
const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;
const LAMBDA_MILLION: f64 = 0.20;
/// DynamoDB on demand: a million write and read units, a GB-month (DynamoDB pricing since 2024-11).
const WRITE_MILLION: f64 = 0.625;
const READ_MILLION: f64 = 0.125;
const TABLE_GB_MONTH: f64 = 0.25;
/// Continuous backups of both tables, a GB-month (DynamoDB pricing).
const BACKUP_GB_MONTH: f64 = 0.20;
/// S3 standard: a GB-month, a million GETs (S3 pricing).
const S3_GB_MONTH: f64 = 0.023;
const S3_GET_MILLION: f64 = 0.40;
/// SQS standard queue, a million requests (SQS pricing).
const SQS_MILLION: f64 = 0.40;
/// CloudWatch: an alarm, a metric and a dashboard a month, a GB of logs (CloudWatch pricing).
const ALARM_MONTH: f64 = 0.10;
const METRIC_MONTH: f64 = 0.30;
const DASHBOARD_MONTH: f64 = 3.0;
const LOGS_GB: f64 = 0.50;
/// What CloudWatch Logs keeps, a GB-month as it packs it (CloudWatch pricing).
const LOGS_GB_MONTH: f64 = 0.03;
/// X-Ray, a million traces recorded (X-Ray pricing).
const TRACES_MILLION: f64 = 5.0;
/// A NAT gateway, a GB processed either way (VPC pricing).
pub(crate) const NAT_GB: f64 = 0.045;
/// An interface endpoint, a GB and an hour in one zone (`PrivateLink` pricing).
pub(crate) const INTERFACE_ENDPOINT_GB: f64 = 0.01;
pub(crate) const INTERFACE_ENDPOINT_HOUR: f64 = 0.01;
/// A GB between two zones of a Region, charged at both ends (EC2 data transfer pricing).
pub(crate) const ZONE_GB: f64 = 0.02;
/// Athena, a TB scanned (Athena pricing).
const ATHENA_TB: f64 = 5.0;
/// A vended SIEM, a GB ingested: Microsoft Sentinel, pay as you go. Quotations differ (2.46 to 5.20).
const SIEM_GB: f64 = 4.30;

// ---- What the code does: assumed, but for what the template sets -------------------------------------

/// CPU seconds for a GB of text, inflating and requests included, on one core. Measured on another
/// processor than Lambda's: 3.1 to 3.4 (`make load`: 7.0 to 7.6 s for 20 million rows of 2.24 GB).
const CPU_SECONDS_A_GB: f64 = 3.5;
/// GB of memory for which Lambda gives one whole vCPU.
const GB_A_VCPU: f64 = 1.769;
/// Compressed bytes a byte of text: the generator's rows shrink nine times, dated reports say five.
const COMPRESSED: f64 = 1.0 / 5.0;
/// AWS ends an object at about this many compressed GB.
const OBJECT_GB: f64 = 0.075;
/// Seconds that an object costs beside decoding: requests to S3 and DynamoDB one after another.
const OBJECT_SECONDS: f64 = 0.3;
/// GB of the parser, of the alerter and of the subscriber, by the template.
const PARSER_GB: f64 = 1.0;
const ALERTER_GB: f64 = 0.25;
const SUBSCRIBER_GB: f64 = 0.25;
/// Records of an interface's window come in so many objects: AWS aggregates for up to ten minutes.
const PARTIALS_A_WINDOW: f64 = 2.0;
/// Bytes of a partial with its attributes where there is little to say, and for each refused source of
/// a window up to what the lists hold.
const PARTIAL_BYTES: f64 = 900.0;
const SOURCE_BYTES: f64 = 60.0;
const LISTED: f64 = 32.0;
/// Windows in which a refused source shows itself.
const WINDOWS_OF_A_SOURCE: f64 = 1.5;
/// Bytes of a summary of one interface and hour.
const SUMMARY_BYTES: f64 = 6_000.0;
/// Scope partials: views of VPC and account beside each object's interfaces.
const SCOPES_AN_OBJECT: f64 = 2.0;
const SCOPE_BYTES: f64 = 4_000.0;
/// Days that partials and summaries are kept.
const PARTIAL_DAYS: f64 = 35.0;
const SUMMARY_DAYS: f64 = 400.0;
/// Ledger: claim and completion. Queue: send, receive, delete, and an empty receive.
const LEDGER_WRITES: f64 = 2.0;
const QUEUE_REQUESTS: f64 = 4.0;
/// Looks of Lambda's five pollers into the queue a day, each of 20 seconds, whatever is in it.
const POLLS: f64 = 5.0 * SECONDS_A_DAY / 20.0;
/// Stream records in one invocation of the alerter, and its seconds for each (`docs/scale.md`: 56 a second).
const STREAM_BATCH: f64 = 100.0;
const ALERT_SECONDS: f64 = 0.018;
/// Windows that the rules read when partials ring: an hour, and the windows that are still open. The
/// partials of an interface that come together ring once. And once an hour, a day is read.
const LOOK_WINDOWS: f64 = 15.0;
/// Runs of compaction that read a partial: three while it is fresh, three when its day settles.
const COMPACTION_READS: f64 = 6.0;
/// Times that reconciliation asks the ledger for an object: each hour while its day or the next one lasts.
const RECONCILED: f64 = 36.0;
/// Sweeps a day, and the bytes of what is known of an interface, which each of them reads.
const SWEEPS: f64 = 288.0;
const BASELINE_BYTES: f64 = 500.0;
/// Bytes of a row in S3, and of a refused one in CloudWatch Logs, where the template's format has the 14
/// default fields only (`flowlog generate --format v5` and `v2`).
const ROW_BYTES: f64 = 243.0;
const REFUSED_ROW_BYTES: f64 = 112.0;
/// CloudWatch Logs hands over one stream at a time, so a payload is of one interface. It is taken to come
/// once a window, with what was captured in two of them, and to take as long as a small object.
const PARTIALS_A_PAYLOAD: f64 = 2.0;
/// Bytes of a summary of an hour in which little was refused.
const REFUSED_SUMMARY_BYTES: f64 = 1_500.0;
/// Months that the template keeps refused records.
const REFUSED_MONTHS: f64 = 1.0;
/// Packed bytes a byte of text in CloudWatch Logs (its price list's own estimate).
const LOGS_COMPRESSED: f64 = 0.15;
/// Scheduled invocations a day: sweeps, compaction and reconciliation.
const SCHEDULED: f64 = SWEEPS + 24.0 + 24.0;
/// Of a function's invocations one a second is traced, and of the rest so many (X-Ray's default rule).
const TRACED: f64 = 0.05;
const SECONDS_A_DAY: f64 = 86_400.0;
/// Alarms, metrics and bytes of log an invocation, by the observability template.
const ALARMS: f64 = 29.0;
const METRICS: f64 = 24.0;
const LOG_BYTES: f64 = 1_000.0;
/// How often somebody asks Athena about everything of a day.
const SCANS_A_DAY: f64 = 4.0;

/// Estimates the cost of a load.
pub fn estimate(load: &Load) -> Estimate {
    let flowlog = added(load);
    let delivery = delivery(load);
    let sum: f64 = flowlog.iter().map(|line| line.dollars).sum();
    let delivered = delivery.first().map_or(0.0, |line| line.dollars);
    let added_percent = if delivered > 0.0 { sum / delivered * 100.0 } else { 0.0 };
    Estimate {
        prices_of: PRICES_OF,
        flowlog,
        delivery,
        instead: instead(load),
        added: sum,
        delivered,
        added_percent,
    }
}

/// Units of `unit` bytes that an item of `bytes` takes.
fn units(bytes: f64, unit: f64) -> f64 {
    (bytes / unit).ceil().max(1.0)
}

/// Traces that are recorded of a function's invocations a day, as if they came evenly: at most.
fn traces(invocations: f64) -> f64 {
    let always = invocations.min(SECONDS_A_DAY);
    always + (invocations - always) * TRACED
}

/// What the flow log of refused traffic brings: CloudWatch Logs hands it to the subscriber, and its
/// partials go the way of all others.
struct Refused {
    /// GB of text a day.
    gb: f64,
    /// Payloads a day, each an invocation of the subscriber.
    payloads: f64,
    partials: f64,
    /// Dollars for 30 days, of delivery and keeping, and of what is made of it.
    logs: f64,
    path: f64,
}

impl Refused {
    fn of(load: &Load) -> Self {
        let rows = load.gb_per_day * 1e9 / ROW_BYTES * load.refused_percent / 100.0;
        let gb = rows * REFUSED_ROW_BYTES / 1e9;
        // Each interface refuses something in each window, if there are rows enough: at most.
        let interfaces = as_f64(load.interfaces);
        let payloads = rows.min(interfaces * WINDOWS_A_DAY);
        let partials = payloads * PARTIALS_A_PAYLOAD;
        let summaries = payloads.min(interfaces * 24.0);
        let month = gb * DAYS;
        let logs =
            tiered(month, &LOGS_TIERS) + month * LOGS_COMPRESSED * REFUSED_MONTHS * LOGS_GB_MONTH;

        let cpu = gb * CPU_SECONDS_A_GB * GB_A_VCPU;
        let seconds =
            cpu + payloads * OBJECT_SECONDS * SUBSCRIBER_GB + partials * ALERT_SECONDS * ALERTER_GB;
        let invocations = payloads + partials / STREAM_BATCH;
        let writes = partials * units(PARTIAL_BYTES, 1024.0)
            + payloads * LEDGER_WRITES
            + summaries * units(REFUSED_SUMMARY_BYTES, 1024.0);
        // A log group's records are a source of their own: rules look at its windows, and at its days.
        let window_bytes = PARTIALS_A_PAYLOAD * PARTIAL_BYTES;
        let reads = partials * PARTIAL_BYTES / 4096.0 * COMPACTION_READS
            + payloads * units(LOOK_WINDOWS * window_bytes, 4096.0)
            + 24.0 * payloads * window_bytes / 4096.0;
        let stored = partials * PARTIAL_BYTES * PARTIAL_DAYS
            + summaries * REFUSED_SUMMARY_BYTES * SUMMARY_DAYS;
        let path = DAYS
            * (seconds * LAMBDA_GB_SECOND
                + invocations / 1e6 * LAMBDA_MILLION
                + writes / 1e6 * WRITE_MILLION
                + reads / 1e6 * READ_MILLION)
            + stored / 1e9 * (TABLE_GB_MONTH + BACKUP_GB_MONTH);
        Self { gb, payloads, partials, logs, path }
    }
}

/// Read units a day of what the rules look at, for windows of so many bytes.
fn looks(interfaces: f64, window_bytes: f64) -> f64 {
    // What is usual of an interface is read at each of its windows, too.
    let look = units(LOOK_WINDOWS * window_bytes, 4096.0) + units(BASELINE_BYTES, 4096.0);
    let days = 24.0 * WINDOWS_A_DAY * window_bytes / 4096.0;
    let sweeps = SWEEPS * BASELINE_BYTES / 4096.0;
    interfaces * (WINDOWS_A_DAY * look + days + sweeps)
}

fn added(load: &Load) -> Vec<Line> {
    let interfaces = as_f64(load.interfaces);
    let gz_gb = load.gb_per_day * COMPRESSED;
    let objects = (as_f64(load.flow_logs) * WINDOWS_A_DAY).max(gz_gb / OBJECT_GB);
    let windows = interfaces * WINDOWS_A_DAY;
    // An attacker makes partials longer, never more of them, and no longer than the lists are.
    let sources = as_f64(load.attackers) * WINDOWS_OF_A_SOURCE / windows.max(1.0);
    let partial_bytes = PARTIAL_BYTES + SOURCE_BYTES * sources.min(LISTED);
    let partials = windows * PARTIALS_A_WINDOW;
    let summaries = interfaces * 24.0;
    let scopes = objects * SCOPES_AN_OBJECT;

    let cpu = load.gb_per_day * CPU_SECONDS_A_GB * GB_A_VCPU;
    let parser = cpu + objects * OBJECT_SECONDS * PARSER_GB;
    let alerter = partials * ALERT_SECONDS * ALERTER_GB;
    let invocations = objects + partials / STREAM_BATCH;
    let refused = Refused::of(load);
    let batches = (partials + refused.partials) / STREAM_BATCH;
    let traced = traces(objects) + traces(refused.payloads) + traces(batches + SCHEDULED);
    let logged = objects + refused.payloads + batches + SCHEDULED;
    // What attackers add is an average over all partials, so that it is not rounded up in each.
    let partial_writes =
        partials * (units(PARTIAL_BYTES, 1024.0) + (partial_bytes - PARTIAL_BYTES) / 1024.0);
    // What is usual of an interface is written once for each window.
    let baseline_writes = units(BASELINE_BYTES, 1024.0);
    let other_writes = scopes * units(SCOPE_BYTES, 1024.0)
        + objects * LEDGER_WRITES
        + interfaces * 2.0
        + windows * baseline_writes;
    let compaction_writes = summaries * units(SUMMARY_BYTES, 1024.0);
    // Every read is consistent: a unit for each 4 KB.
    let compaction_reads = partials * partial_bytes / 4096.0 * COMPACTION_READS;
    let bells = partials / PARTIALS_A_WINDOW;
    let looks = looks(interfaces, PARTIALS_A_WINDOW * partial_bytes) + objects * RECONCILED;
    let stored = partials * partial_bytes * PARTIAL_DAYS
        + summaries * SUMMARY_BYTES * SUMMARY_DAYS
        + scopes * SCOPE_BYTES * PARTIAL_DAYS;
    let stored_gb = stored / 1e9;
    let line = |what, dollars, how| Line { what, dollars, how };
    vec![
        line(
            "Lambda",
            DAYS * ((parser + alerter) * LAMBDA_GB_SECOND + invocations / 1e6 * LAMBDA_MILLION),
            format!("{:.0} GB-seconds, {invocations:.0} invocations a day", parser + alerter),
        ),
        line(
            "DynamoDB writes",
            DAYS * (partial_writes + other_writes) / 1e6 * WRITE_MILLION,
            format!(
                "{partials:.0} partials of {partial_bytes:.0} bytes a day, ledger, scopes, baselines"
            ),
        ),
        line(
            "DynamoDB compaction",
            DAYS * (compaction_writes / 1e6 * WRITE_MILLION
                + compaction_reads / 1e6 * READ_MILLION),
            format!(
                "{summaries:.0} summaries of hours a day, each partial read {COMPACTION_READS:.0} times"
            ),
        ),
        line(
            "DynamoDB reads",
            DAYS * looks / 1e6 * READ_MILLION,
            format!(
                "rules read {LOOK_WINDOWS:.0} windows {bells:.0} times a day, and a day once an hour"
            ),
        ),
        line(
            "DynamoDB storage",
            stored_gb * (TABLE_GB_MONTH + BACKUP_GB_MONTH),
            format!("{stored_gb:.1} GB once it is full, with continuous backups"),
        ),
        line(
            "S3 and SQS requests",
            DAYS / 1e6
                * (objects * (S3_GET_MILLION * 2.0 + SQS_MILLION * QUEUE_REQUESTS)
                    + POLLS * SQS_MILLION),
            format!("{objects:.0} objects a day, and {POLLS:.0} looks into the queue"),
        ),
        line(
            "Refused, to CloudWatch",
            refused.logs,
            format!("{:.1} GB a month delivered to CloudWatch Logs, and kept", refused.gb * DAYS),
        ),
        line(
            "Refused, processed",
            refused.path,
            format!(
                "{:.0} payloads a day at most, one for each interface and window, {:.0} partials",
                refused.payloads, refused.partials
            ),
        ),
        line(
            "CloudWatch",
            ALARMS * ALARM_MONTH
                + METRICS * METRIC_MONTH
                + DASHBOARD_MONTH
                + DAYS * logged * LOG_BYTES / 1e9 * LOGS_GB,
            "dashboard, alarms, metrics, one line of log an invocation".to_owned(),
        ),
        line(
            "X-Ray",
            DAYS * traced / 1e6 * TRACES_MILLION,
            format!("{traced:.0} traces a day at most"),
        ),
    ]
}

fn delivery(load: &Load) -> Vec<Line> {
    let month = load.gb_per_day * DAYS;
    let kept = month * COMPRESSED;
    vec![
        Line {
            what: "Delivery to S3",
            dollars: tiered(month, &DELIVERY_TIERS),
            how: format!("{month:.0} GB of text a month"),
        },
        Line {
            what: "As Parquet, on top",
            dollars: month * PARQUET_GB,
            how: "only if the flow logs are set to it".to_owned(),
        },
        Line {
            what: "S3 storage",
            dollars: kept * S3_GB_MONTH,
            how: format!("{kept:.0} GB compressed, kept for a month"),
        },
    ]
}

fn instead(load: &Load) -> Vec<Line> {
    let month = load.gb_per_day * DAYS;
    vec![
        Line {
            what: "Athena, whole days",
            dollars: month * COMPRESSED * SCANS_A_DAY / 1000.0 * ATHENA_TB,
            how: format!("every row scanned {SCANS_A_DAY:.0} times, compressed text"),
        },
        Line {
            what: "CloudWatch Logs",
            dollars: tiered(month, &LOGS_TIERS),
            how: "delivery there, before any query".to_owned(),
        },
        Line {
            what: "A vended SIEM",
            dollars: month * SIEM_GB,
            how: format!("${SIEM_GB:.2} a GB, list price"),
        },
    ]
}

/// The price of an amount, each tier's part at its own price.
fn tiered(mut amount: f64, tiers: &[(f64, f64)]) -> f64 {
    let mut dollars = 0.0;
    for (size, price) in tiers {
        let part = amount.min(*size);
        dollars += part * price;
        amount -= part;
    }
    dollars
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

/// The estimate as a table for people.
pub fn to_text(estimate: &Estimate) -> String {
    let mut text = String::new();
    let mut section = |title: &str, lines: &[Line]| {
        let _ = writeln!(text, "{title}");
        for line in lines {
            let _ = writeln!(text, "  {:<22} {:>12.2}  {}", line.what, line.dollars, line.how);
        }
    };
    section("flowlog adds, $ for 30 days", &estimate.flowlog);
    section("AWS charges anyway", &estimate.delivery);
    section("others, for the same logs", &estimate.instead);
    let _ = writeln!(
        text,
        "Added: ${:.2}, {:.1} % of the ${:.2} that AWS charges to deliver to S3.\n\
         Prices of {}, without free tiers and discounts: a model, not a bill.",
        estimate.added, estimate.added_percent, estimate.delivered, estimate.prices_of
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(gb_per_day: f64, interfaces: u64, flow_logs: u64, attackers: u64) -> Estimate {
        let refused_percent = 5.0;
        estimate(&Load { gb_per_day, interfaces, flow_logs, attackers, refused_percent })
    }

    fn file(name: &str) -> String {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::read_to_string(root.join(name)).unwrap()
    }

    #[test]
    fn tiers_are_charged_part_by_part() {
        assert!((tiered(10_000.0, &DELIVERY_TIERS) - 2_500.0).abs() < 1e-9);
        assert!((tiered(31_000.0, &DELIVERY_TIERS) - (2_500.0 + 3_000.0 + 75.0)).abs() < 1e-9);
        assert!(tiered(0.0, &DELIVERY_TIERS).abs() < 1e-9);
    }

    #[test]
    fn the_template_has_so_many_alarms_and_a_dashboard() {
        let template = file("infra/observability.yaml");
        let alarms = template.matches("Type: AWS::CloudWatch::Alarm\n").count();
        assert!((as_f64(alarms as u64) - ALARMS).abs() < 0.5, "{alarms}");
        assert_eq!(template.matches("Type: AWS::CloudWatch::Dashboard\n").count(), 1);
        // An account in which nothing happens pays for them all the same, and for the schedules' traces.
        let idle = of(0.0, 0, 0, 0);
        let dollars = |what| idle.flowlog.iter().find(|line| line.what == what).unwrap().dollars;
        let fixed = ALARMS * ALARM_MONTH + METRICS * METRIC_MONTH + 3.0;
        assert!((dollars("CloudWatch") - fixed).abs() < 0.02, "{:?}", idle.flowlog);
        let polled = 30.0 * 5.0 * 4_320.0 * 0.40 / 1e6;
        assert!((dollars("S3 and SQS requests") - polled).abs() < 0.03, "{:?}", idle.flowlog);
        // What the documents say of it.
        let total = format!("{:.2} USD", of(0.0, 0, 1, 0).added);
        for document in ["README.md", "docs/operating.md", "docs/cost.md"] {
            assert!(file(document).contains(&total), "{document} does not say {total}");
        }
        let most = format!("{:.2} to {fixed:.2} USD", ALARMS * ALARM_MONTH + DASHBOARD_MONTH);
        assert!(file("template.yaml").contains(&most), "template.yaml does not say {most}");
        assert!((dollars("X-Ray") - 30.0 * 336.0 * 5e-6).abs() < 1e-9, "{:?}", idle.flowlog);
    }

    #[test]
    fn what_the_template_deploys_is_on_the_bill() {
        let main = file("template.yaml");
        assert!(main.contains("\n    Tracing: Active\n"), "functions are traced");
        for (schedule, times) in [("rate(5 minutes)", 1), ("rate(1 hour)", 1), ("cron(40 * ", 1)] {
            assert_eq!(main.matches(&format!("Schedule: {schedule}")).count(), times, "{schedule}");
        }
        assert!(file("infra/flow-logs.yaml").contains("LogDestinationType: cloud-watch-logs"));

        let load = |refused_percent| Load {
            gb_per_day: 100.0,
            interfaces: 1_000,
            flow_logs: 10,
            attackers: 0,
            refused_percent,
        };
        let lines = |percent| {
            let found = estimate(&load(percent)).flowlog;
            let refused = found.iter().filter(|line| line.what.starts_with("Refused"));
            refused.map(|line| line.dollars).collect::<Vec<_>>()
        };
        assert!(lines(0.0).iter().all(|dollars| dollars.abs() < 1e-9));
        let (few, many) = (lines(5.0), lines(50.0));
        // 100 GB of rows, a twentieth of them refused, of 112 bytes in place of 243: 69 GB a month.
        assert!((few[0] - 69.136 * (0.50 + 0.15 * 0.03)).abs() < 0.01, "{few:?}");
        assert!((many[0] - few[0] * 10.0).abs() < 1e-6, "{many:?}");
        // Of a payload for each interface and window: partials, ledger and reads.
        assert!(few[1] > DAYS * 288_000.0 * 4.0 / 1e6 * WRITE_MILLION, "{few:?}");
        assert!(many[1] < few[1] * 1.1, "payloads do not grow with their rows: {many:?}");
        assert!((traces(86_400.0 * 3.0) - 86_400.0 * 1.1).abs() < 1e-6);
    }

    #[test]
    fn the_table_of_the_documentation_is_what_is_printed() {
        let added = |loads: &[(f64, u64, u64, u64)]| {
            let dollars = loads.iter().map(|&(gb, interfaces, logs, attackers)| {
                format!("{:.2}", of(gb, interfaces, logs, attackers).added)
            });
            format!("| {} |\n", dollars.collect::<Vec<_>>().join(" · "))
        };
        let refused = [0.0, 1.0, 5.0, 20.0].map(|refused_percent| {
            let load = Load {
                gb_per_day: 100.0,
                interfaces: 1_000,
                flow_logs: 1,
                attackers: 0,
                refused_percent,
            };
            format!("{:.2}", estimate(&load).added)
        });
        let text = file("docs/scale.md");
        for row in [
            added(&[100, 1_000, 10_000].map(|n| (100.0, n, 1, 0))),
            added(&[1, 10, 100, 1_000].map(|n| (100.0, 1_000, n, 0))),
            added(&[0, 10_000, 1_000_000, 100_000_000].map(|n| (100.0, 1_000, 1, n))),
            added(&[10.0, 100.0, 1_000.0].map(|gb| (gb, 1_000, 1, 0))),
            format!("| {} |\n", refused.join(" · ")),
        ] {
            assert!(text.contains(&row), "docs/scale.md should have {row}");
        }
    }

    #[test]
    fn sums_are_those_of_the_lines() {
        let e = of(100.0, 1_000, 10, 0);
        let sum: f64 = e.flowlog.iter().map(|l| l.dollars).sum();
        assert!((e.added - sum).abs() < 1e-9);
        assert!((e.delivered - 100.0 * 30.0 * 0.25).abs() < 1e-9);
        assert!((e.added_percent - e.added / e.delivered * 100.0).abs() < 1e-9);
        for line in e.flowlog.iter().chain(&e.delivery).chain(&e.instead) {
            assert!(line.dollars.is_finite() && line.dollars >= 0.0, "{line:?}");
        }
    }

    #[test]
    fn grows_with_what_it_depends_on_and_attackers_are_bounded() {
        let base = of(100.0, 1_000, 10, 0).added;
        assert!(of(200.0, 1_000, 10, 0).added > base);
        assert!(of(100.0, 2_000, 10, 0).added > base);
        assert!(of(100.0, 1_000, 1_000, 0).added > base);
        let attacked = of(100.0, 1_000, 10, 10_000_000).added;
        let flooded = of(100.0, 1_000, 10, 1_000_000_000_000).added;
        assert!(attacked > base);
        // The lists are full: a flood of any size costs the same.
        assert!((of(100.0, 1_000, 10, u64::MAX).added - flooded).abs() < 1e-6);
        assert!(flooded < base * 5.0, "{flooded} against {base}");
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        let e = of(0.0, 0, 0, 5);
        assert!(e.added.is_finite() && e.added_percent.abs() < 1e-9);
        assert!(to_text(&e).contains("Added: $"));
    }
}
