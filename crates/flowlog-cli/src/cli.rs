//! What can be typed: commands, options, and their help.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand};
use flowlog_cli::alerting::{ReplayArgs, RulesCommand, TestAlertArgs};
use flowlog_cli::ask::{
    AlertsArgs, ComplianceArgs, CoverageArgs, DiffArgs, RejectedArgs, ReportArgs, ResolveArgs,
    ServeArgs, SilenceArgs, TopArgs, WhoArgs, WhyArgs,
};
use flowlog_cli::backfill::BackfillArgs;
use flowlog_cli::doctor::DoctorArgs;
use flowlog_cli::generate::{self, Attack, FileFormat, Layout};
use flowlog_cli::input::declared;
use flowlog_cli::nat_cost::NatCostArgs;
use flowlog_cli::output::Output;
use flowlog_cli::requeue::RequeueArgs;
use flowlog_core::decode::Fallback;

/// VPC flow logs on a laptop: the decoder, the roll-ups, the rules and the handlers that run in AWS.
///
/// `analyze` answers at once from files. `local` runs the whole pipeline on an embedded DynamoDB and
/// prints the alerts that SNS would have sent. `generate` makes flow logs to try both on.
#[derive(Debug, Parser)]
#[command(name = "flowlog", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Colours: in a terminal and unless NO_COLOR is set, always, or never.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, global = true)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read flow log files and print totals, top talkers, what was rejected, findings and coverage.
    ///
    /// Reads plain text, gzip (every member) and Parquet, told apart by content. The field order comes from
    /// each file's header line; a file without one must fit --log-format, or the default format.
    ///
    /// A file that cannot be read to its end counts for nothing, gets one line on standard error,
    /// and the others are still read.
    ///
    /// Exit status: 0 everything was read, findings or not; 1 a file or a line could not be read;
    /// 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog analyze ./AWSLogs
    ///   flowlog analyze day.log.gz --format json | jq .totals
    ///   zcat *.log.gz | flowlog analyze -
    #[command(verbatim_doc_comment)]
    Analyze(AnalyzeArgs),
    /// Run the whole pipeline over local files: parser, DynamoDB, stream, alerter.
    ///
    /// The same objects again change nothing: run it twice on one --store and compare. A file outside
    /// AWSLogs without a name as AWS gives them is known by its name and content: one that was changed,
    /// or has grown, is another delivery, and is counted beside the first. Exit status as for analyze.
    ///
    /// Examples:
    ///   flowlog local ./AWSLogs --store flowlog.db
    #[command(verbatim_doc_comment)]
    Local(LocalArgs),
    /// Who talks most, by bytes, packets, records or how many interfaces it talked with.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog top --store flowlog.db --since 24h
    ///   flowlog top --stack flowlog --by records --vpc vpc-0a1b2c3d -n 50
    #[command(verbatim_doc_comment)]
    Top(TopArgs),
    /// What is refused: by interface, source, port and reason.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog rejected --store flowlog.db
    ///   flowlog rejected --since 7d --interface eni-0a1b2c3d --format csv
    #[command(verbatim_doc_comment)]
    Rejected(RejectedArgs),
    /// Everything that is known of one address: exchange, refusals, connections, first and last seen.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog who 10.1.32.11 --store flowlog.db
    ///   flowlog who 2001:db8::7 --since 24h --format json
    #[command(verbatim_doc_comment)]
    Who(WhoArgs),
    /// How complete the data is: by hour, and the state of every delivery.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog coverage --store flowlog.db --since 2d
    #[command(verbatim_doc_comment)]
    Coverage(CoverageArgs),
    /// What changed between two times: new talkers, vanished ones, newly refused sources and ports.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog diff --store flowlog.db --since 24h
    ///   flowlog diff --since 2026-11-08 --until 2026-11-09 --against 2026-11-01
    #[command(verbatim_doc_comment)]
    Diff(DiffArgs),
    /// A dated report for an auditor: sensitive ports that public addresses used, encryption,
    /// retention and coverage.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog compliance --since 2026-10-01 --until 2026-11-01 > october.txt
    #[command(verbatim_doc_comment)]
    Compliance(ComplianceArgs),
    /// What was reported: each alert with its severity, since when, and what showed it.
    ///
    /// Alerts are remembered for 35 days after their last change, the latest episode of each.
    ///
    /// Exit status: 0 answered; 1 there is no answer; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog alerts --open
    ///   flowlog alerts --store flowlog.db --since 24h --vpc vpc-0a1b2c3d
    #[command(verbatim_doc_comment)]
    Alerts(AlertsArgs),
    /// Print the lines for a rules file that silence an alert for a week.
    ///
    /// Put them into the file and store it with `flowlog rules put`: a silence is in force for
    /// everybody, has an end and a reason, and is checked before it is stored.
    ///
    /// Exit status: 0 printed; 1 there is no such alert, or it cannot be read; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog silence 'port-scan#eni-0a1b2c3d' >> rules.toml
    #[command(verbatim_doc_comment)]
    Silence(SilenceArgs),
    /// Say that alerts are over: what fires again begins a new episode.
    ///
    /// Exit status: 0 done, or it says which has just changed; 1 there is no such alert, or it cannot be
    /// written; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog resolve 'port-scan#eni-0a1b2c3d'
    #[command(verbatim_doc_comment)]
    Resolve(ResolveArgs),
    /// The page of `report`, live on 127.0.0.1.
    ///
    /// Exit status: 1 it cannot be served, or not any more; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog serve --store flowlog.db
    ///   flowlog serve --stack flowlog --since 24h --port 0
    #[command(verbatim_doc_comment)]
    Serve(ServeArgs),
    /// Write everything as one page: traffic and refusals over time, talkers, flows, coverage.
    ///
    /// The page is one HTML file that needs no network and loads nothing: charts, filters, and a table
    /// with the same numbers under each chart. --format json prints those numbers.
    ///
    /// Exit status: 0 written; 1 it cannot be; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog report --store flowlog.db -o day.html
    ///   flowlog report --since 24h -o yesterday.html
    #[command(verbatim_doc_comment)]
    Report(ReportArgs),
    /// Can SRC reach DST, and if not, where do the packets end and what is to be changed?
    ///
    /// Reads what both interfaces recorded of both directions. With --data every record of the files
    /// is read; otherwise the roll-ups of the store, which know refusals between private addresses
    /// well, losses on the way less, and an interface's own address only where it refused something.
    /// The answer says which, how sure it is, and what no flow log can tell: a refusal names neither
    /// the security group nor the network ACL.
    ///
    /// Exit status: 0 answered; 1 there is no answer, or with --data a file or a line could not be read;
    /// 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog why 10.0.1.32 10.1.0.31:8443 --data ./logs
    ///   flowlog why 10.0.16.41 10.1.32.11:5432 --store flowlog.db --since 24h
    #[command(verbatim_doc_comment)]
    Why(WhyArgs),
    /// Is the deployed stack working? What is wrong with it, and what mends it?
    ///
    /// Asks AWS, by the command `aws`, about everything that a record passes: flow logs, bucket, queue,
    /// functions, endpoints, tables, subscription, topics, peering. It changes nothing. Each finding says
    /// what is so; a problem or a warning comes with the commands that mend it, ready to be copied.
    ///
    /// Profile, Region and credentials are those of `aws`: AWS_PROFILE, AWS_REGION, … It needs
    /// to read only; AWS's policy ReadOnlyAccess is more than enough. With AWS_ENDPOINT_URL it asks a
    /// local emulator.
    ///
    /// Exit status: 0 healthy (warnings do not count); 1 there is a problem; 2 AWS could not be asked, or
    /// not about everything.
    ///
    /// Examples:
    ///   flowlog doctor
    ///   flowlog doctor --stack flowlog-test --only queues --only arrivals
    ///   flowlog doctor --format json | jq '.findings[] | select(.verdict == "problem")'
    #[command(verbatim_doc_comment)]
    Doctor(DoctorArgs),
    /// List quarantined deliveries, or bring them back.
    ///
    /// A delivery that cannot be used is quarantined, so that it is not tried for ever. Without a
    /// choice of deliveries this lists them; with BATCH ids, --reason or --all they are reopened and
    /// ingested again, under the mapping version, the horizon and the ETag that they were first
    /// claimed with: an object that has been replaced since stays out.
    ///
    /// Without --store the tables and objects are those of AWS: AGGREGATES_TABLE and CONTROL_TABLE
    /// name the tables, AWS_REGION and AWS_ACCESS_KEY_ID … are as everywhere.
    ///
    /// Exit status: 0 everything chosen counts now; 1 something does not; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog requeue --store flowlog.db
    ///   flowlog requeue --reason unsupported_encoding
    #[command(verbatim_doc_comment)]
    Requeue(RequeueArgs),
    /// Say what rules would have sent over a recording: notifications by rule, the noisiest subjects.
    ///
    /// Every finding goes through the deployed function's own lifecycle (cooldown, escalation,
    /// budget, digest) by the records' own clock. With --against, also which messages one rules file
    /// would have sent and the other not. Exit status as for analyze.
    ///
    /// Examples:
    ///   flowlog replay ./AWSLogs --rules rules.toml
    ///   flowlog replay ./AWSLogs --rules old.toml --against new.toml
    ///   flowlog replay --stack flowlog --since 7d --against new.toml
    #[command(verbatim_doc_comment)]
    Replay(ReplayArgs),
    /// Check, store or show rules files.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Send a test message through the deployed topic, and say which subscriptions are confirmed.
    ///
    /// Region and credentials come from the environment (AWS_REGION, AWS_ACCESS_KEY_ID, …).
    ///
    /// Exit status: 0 sent, and somebody receives it; 1 not sent, or nobody does; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog test-alert --topic arn:aws:sns:us-east-1:123456789012:alerts
    #[command(verbatim_doc_comment)]
    TestAlert(TestAlertArgs),
    /// Ingest objects that were delivered before: once each, however often this is run.
    ///
    /// They go through the parser's own code and the ledger, beside live traffic too. In the deployed
    /// tables rows older than the horizon (30 days) are late and not rolled up. A local store raises no
    /// alert.
    ///
    /// Exit status: 0 all of them are in; 1 something failed, and another run tries it again, or was
    /// quarantined; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog backfill ./AWSLogs --store flowlog.db
    ///   flowlog backfill s3://my-logs/AWSLogs/123456789012/ --since 7d
    #[command(verbatim_doc_comment)]
    Backfill(BackfillArgs),
    /// Write deterministic flow log objects of two peered VPCs, and the truth about them.
    ///
    /// Exit status: 0 written; 1 they cannot be; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog generate --minutes 180 --attack port-scan -o sample
    #[command(verbatim_doc_comment)]
    Generate(GenerateArgs),
    /// Estimate what flowlog adds to the AWS bill, beside what AWS charges to deliver the same logs.
    ///
    /// Exit status: 0 estimated; 2 the command line is wrong.
    ///
    /// Examples:
    ///   flowlog cost --gb-per-day 5 --interfaces 50
    #[command(verbatim_doc_comment)]
    Cost(CostArgs),
    /// Who is behind the bill for NAT gateways and traffic between zones, and what endpoints would save.
    ///
    /// Reads every record of the files. NAT gateways show in pkt-srcaddr and pkt-dstaddr, AWS services
    /// in pkt-dst-aws-service, zones in az-id; what records lack is said. What passes a transit gateway
    /// counts at the NAT gateway only, if that has a flow log. Exit status as for analyze.
    ///
    ///   flowlog nat-cost ./AWSLogs
    ///   flowlog nat-cost day.log.gz --format json | jq .endpoints
    #[command(verbatim_doc_comment)]
    NatCost(NatCostArgs),
    /// Print what a shell needs to complete commands and options.
    ///
    /// Exit status: 0 printed; 2 the command line is wrong.
    ///
    ///   flowlog completions bash > ~/.local/share/bash-completion/completions/flowlog
    ///   flowlog completions zsh > ~/.zfunc/_flowlog
    #[command(verbatim_doc_comment)]
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command: flowlog.1, flowlog-top.1, …
    ///
    /// Exit status: 0 written; 1 they cannot be; 2 the command line is wrong.
    Man {
        /// Folder to write to; it is made if it is not there.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AnalyzeArgs {
    /// Files, folders (every .log, .gz and .parquet file below), or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The flow log's LogFormat, for files without a header line: '${version} ${account-id} …'.
    #[arg(long, value_name = "FORMAT", value_parser = declared)]
    pub(crate) log_format: Option<Fallback>,
}

#[derive(Debug, Args)]
pub(crate) struct LocalArgs {
    /// Files or folders; an object's key is its path from AWSLogs/ on.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Keep the database in this file; without it, it is gone afterwards.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// Gigabytes of log text a day, as AWS counts it: before compression.
    #[arg(long, value_name = "GB", value_parser = amount)]
    pub(crate) gb_per_day: f64,
    /// Network interfaces with traffic.
    #[arg(long, value_name = "N")]
    pub(crate) interfaces: u64,
    /// Flow logs that deliver to S3.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) flow_logs: u64,
    /// Refused sources a day, beyond ordinary noise.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) attackers: u64,
    /// How many of a hundred records are refused: they go to CloudWatch Logs, too. 0 for no flow log there.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    pub(crate) refused_percent: f64,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// A part of a hundred.
fn percent(text: &str) -> Result<f64, String> {
    let percent = amount(text)?;
    if percent <= 100.0 { Ok(percent) } else { Err("must be at most 100".to_owned()) }
}

/// A number of gigabytes: finite and not negative.
fn amount(text: &str) -> Result<f64, String> {
    let amount: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if amount.is_finite() && amount >= 0.0 {
        Ok(amount)
    } else {
        Err("must be finite and not negative".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many minutes of traffic.
    #[arg(long, default_value_t = 1440)]
    pub(crate) minutes: u32,
    /// Records per minute over the whole network.
    #[arg(long, default_value_t = 100)]
    pub(crate) rate: u32,
    /// First second (epoch), a multiple of 300.
    #[arg(long, default_value_t = 1_793_491_200)]
    pub(crate) start: i64,
    /// Plant an attack; may be given several times.
    #[arg(long, value_name = "ATTACK")]
    pub(crate) attack: Vec<Attack>,
    /// How much of each attack: attempts, in per cent of what is usual for it (1 to 1000).
    #[arg(long, value_name = "PERCENT", default_value_t = generate::USUAL)]
    pub(crate) intensity: u32,
    /// Fields of the records.
    #[arg(long, default_value = "v5")]
    pub(crate) format: Layout,
    /// How objects are stored: plain-text (gzip) or parquet.
    #[arg(long, default_value = "plain-text")]
    pub(crate) file_format: FileFormat,
    /// Folder to write to.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}
