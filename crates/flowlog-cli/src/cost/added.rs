//! What flowlog adds: how much of what is paid for its code uses. That is assumed, but for what the template sets; each
//! assumption is a constant with its origin.

use super::prices::{
    ALARM_MONTH, BACKUP_GB_MONTH, DASHBOARD_MONTH, LAMBDA_GB_SECOND, LAMBDA_MILLION, LOGS_GB,
    LOGS_GB_MONTH, LOGS_TIERS, METRIC_MONTH, READ_MILLION, S3_GET_MILLION, SQS_MILLION,
    TABLE_GB_MONTH, TRACES_MILLION, WRITE_MILLION,
};
use super::{COMPRESSED, DAYS, Line, Load, as_f64, tiered};

const WINDOWS_A_DAY: f64 = 288.0;
/// CPU seconds for a GB of text, inflating and requests included, on one core. Measured on another
/// processor than Lambda's: 3.1 to 3.4 (`make load`: 7.0 to 7.6 s for 20 million rows of 2.24 GB).
const CPU_SECONDS_A_GB: f64 = 3.5;
/// GB of memory for which Lambda gives one whole vCPU.
const GB_A_VCPU: f64 = 1.769;
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
pub(super) const ALARMS: f64 = 29.0;
pub(super) const METRICS: f64 = 24.0;
const LOG_BYTES: f64 = 1_000.0;

/// Units of `unit` bytes that an item of `bytes` takes.
fn units(bytes: f64, unit: f64) -> f64 {
    (bytes / unit).ceil().max(1.0)
}

/// Traces that are recorded of a function's invocations a day, as if they came evenly: at most.
pub(super) fn traces(invocations: f64) -> f64 {
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

pub(super) fn added(load: &Load) -> Vec<Line> {
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
