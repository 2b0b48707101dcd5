//! The questions as subcommands: options, the store they are put to, the answer as text.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::path::PathBuf;

use clap::Args;
use flowlog_core::decode::Fallback;
use flowlog_core::record::{Address, WINDOW_SECONDS, Window};
use flowlog_core::rollup::BlobError;
use flowlog_core::store::reader::{Detail, Pieces};
use flowlog_core::store::{AlertStore, StoreError};
use flowlog_core::why::{Evidence, Explanation, Path};
use serde_json::{Value, json};

use super::alerts::{about, alert_json};
use super::changes_text::{compliance_text, diff_text};
use super::compliance::compliance;
use super::csv::csv_of;
use super::diff::{before, diff};
use super::source::{AnswerFormat, AskArgs, in_order, moment};
use super::{
    A_DAY, Asked, By, Made, Material, Period, Subject, Who, a_time, coverage_text, footer, hours,
    last_window, read_in_pieces, read_who, read_why, rejected, rejected_text, top, top_text,
    who as who_of, who_text, whole_period, yesterday,
};
use crate::alerting::Said;
use crate::doctor::Cli;
use crate::embedded::EmbeddedError;
use crate::input::{self, Input, declared};
use crate::report::time;
use crate::usage::Usage;
use crate::why::account::Narrowed;
use crate::why::{self, Destination, WhyError};

/// Options of `flowlog top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// What to rank by.
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    by: By,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog rejected`.
#[derive(Debug, Args)]
pub struct RejectedArgs {
    /// How many rows of each list.
    #[arg(short = 'n', long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog who`.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// An IPv4 or IPv6 address.
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    address: Address,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Who opens the connection: an IPv4 or IPv6 address.
    #[arg(value_name = "SRC", value_parser = parse_address)]
    src: Address,
    /// Who is to answer, and at which port: 10.1.0.31:443, [2001:db8::1]:443, or without a port.
    #[arg(value_name = "DST[:PORT]")]
    dst: Destination,
    /// tcp, udp, icmp, icmpv6 or a number; without it whatever shows.
    #[arg(long, value_name = "PROTOCOL", value_parser = why::parse_protocol)]
    protocol: Option<u8>,
    /// Flow log files or folders of both interfaces, read record by record: more precise than a store.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["store", "interface", "vpc", "account"])]
    data: Vec<PathBuf>,
    /// The flow log's LogFormat, for files of --data without a header line.
    #[arg(long, value_name = "FORMAT", requires = "data", value_parser = declared)]
    log_format: Option<Fallback>,
    /// Also ask EC2, by the command `aws`, for the security groups, network ACLs, routes and peerings on the
    /// way as they are now, and name the one that explains it. Needs to describe only.
    #[arg(long)]
    narrow: bool,
    #[command(flatten)]
    ask: AskArgs,
}

impl WhyArgs {
    /// What no records could answer.
    fn check(&self) -> Result<(), Usage> {
        if let (Some(1 | 58), Some(port)) = (self.protocol, self.dst.port) {
            return Err(Usage(format!("ICMP has no ports: leave :{port} away")));
        }
        if self.src == self.dst.address {
            return Err(Usage::from(
                "source and destination are the same address: such traffic never leaves the interface",
            ));
        }
        Ok(())
    }

    fn path(&self) -> Path {
        let Destination { address, port } = self.dst;
        Path { src: self.src, dst: address, port, protocol: self.protocol }
    }

    /// The answer from files; all is well if every file and line could be read.
    fn answer_from_data(&self, complain: &mut dyn FnMut(String)) -> Result<Said, AskError> {
        let fallback = self.log_format.clone().unwrap_or_default();
        let times = [&self.ask.times.since, &self.ask.times.until];
        let [from, to] = times.map(|text| text.as_deref().map(|text| self.moment(text)));
        let (from, until) = in_order(from.transpose()?, to.transpose()?)?;
        let to = until.saturating_sub(1);
        let evidence = why::from_records(&self.data, self.path(), (from, to), &fallback, complain)?;
        let explanations = evidence.explain();
        let narrowed = self.narrowed(&evidence, &explanations);
        let json = || why::to_json(&evidence, &explanations, &narrowed);
        let text = match self.ask.format {
            AnswerFormat::Table => why::to_text(&evidence, &explanations, &narrowed),
            AnswerFormat::Json => format!("{}\n", json()),
            AnswerFormat::Csv => csv_of(&json())?,
        };
        Ok(Said { text, well: evidence.unread.is_nothing() })
    }

    /// What the account says, if that was asked for.
    fn narrowed(&self, evidence: &Evidence, explanations: &[Explanation]) -> Vec<Narrowed> {
        let many = if self.narrow { why::AT_LENGTH } else { 0 };
        let explanations = explanations.iter().take(many);
        explanations.map(|one| why::account::narrow(&Cli, evidence, one)).collect()
    }

    /// A time; lengths of time count back from the last delivery that a file name speaks of.
    fn moment(&self, text: &str) -> Result<i64, AskError> {
        let names = input::expand(&self.data);
        let last = names.iter().filter_map(|input| match input {
            Input::File(path) => input::delivered_at(path),
            Input::Stdin | Input::Unreadable(..) => None,
        });
        match (last.max(), moment(text, 0)?) {
            (None, at) if at <= 0 => Err(AskError::NoEnd(text.to_owned())),
            (None, _) => moment(text, 0),
            (Some(last), _) => moment(text, last + 300),
        }
    }
}

/// Options of `flowlog diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Compare with the time that begins here, as long as the one asked about; without it, with the
    /// time just before.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    against: Option<String>,
    /// How many rows of each list.
    #[arg(short = 'n', long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog compliance`.
#[derive(Debug, Args)]
pub struct ComplianceArgs {
    #[command(flatten)]
    ask: AskArgs,
}

/// A question.
#[derive(Debug)]
pub enum Question {
    /// What changed?
    Diff(DiffArgs),
    /// What an auditor asks.
    Compliance(ComplianceArgs),
    /// Can A reach B?
    Why(WhyArgs),
    /// Who talks most.
    Top(TopArgs),
    /// What is refused.
    Rejected(RejectedArgs),
    /// What is known of an address.
    Who(WhoArgs),
    /// How complete it is.
    Coverage(CoverageArgs),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The command line.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// Neither a time nor a length of time.
    #[error("{0:?} is no time: expected 2026-11-01, 2026-11-01T08:00Z, 90m, 24h or 7d")]
    Time(String),
    /// A length of time, and nothing says up to when.
    #[error(
        "{0:?} counts back from the time in a flow log file's name, and no file of --data has one: give a date, as 2026-11-01 or 2026-11-01T08:00Z"
    )]
    NoEnd(String),
    /// A time of day, which is another moment in each zone.
    #[error("{0:?} has no time zone: add Z or +02:00")]
    NoZone(String),
    /// Nothing to ask, and how many deliveries are quarantined.
    #[error("the store is empty{}", in_quarantine(*.0))]
    Empty(usize),
    /// Nobody has counted.
    #[error(
        "records that name no interface do not tell interfaces apart: --by peers goes without --vpc and --account here"
    )]
    Peers,
    /// A question makes no store.
    #[error("{}: there is no such store; `flowlog local --store` makes one", .0.display())]
    NoStore(PathBuf),
    /// A time that the store has no days of.
    #[error("no such time: the store has {} to {}", time(.0.from.start()), time(.0.to.end()))]
    NoSuchTime(Period),
    /// The tables of AWS are not named.
    #[error(
        "which store? --store FILE, --stack NAME, or the environment variable {0}, which is not set"
    )]
    NoTables(&'static str),
    /// No such stack, or one that has taken the name of another one.
    #[error(
        "there is not exactly one pair of tables that is called as those of the stack {stack:?}: {}",
        others(found)
    )]
    Stack {
        /// Its name.
        stack: String,
        /// The tables that there are.
        found: Vec<String>,
    },
    /// The local store.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// No such alert.
    #[error("no alert {0:?}: `flowlog alerts` lists them")]
    NoAlert(String),
    /// The page goes nowhere.
    #[error("report needs -o FILE.html, or --format json")]
    NoOutput,
    /// The port cannot be listened at, or a connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// The page's numbers.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A roll-up.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

fn in_quarantine(deliveries: usize) -> String {
    match deliveries {
        0 => String::new(),
        n => format!(": {n} deliveries are quarantined, which `flowlog requeue` lists"),
    }
}

/// The period that a store has data of.
pub(super) async fn not_empty<S: Asked>(store: &S) -> Result<Period, AskError> {
    match whole_period(store).await? {
        Some(whole) => Ok(whole),
        None => Err(AskError::Empty(store.quarantined().await?.len())),
    }
}

impl AskError {
    /// Whether it is the command line that is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Usage(_)
                | Self::Time(_)
                | Self::NoEnd(_)
                | Self::NoZone(_)
                | Self::Peers
                | Self::NoTables(_)
                | Self::NoOutput
        )
    }
}

/// One address. What is often given in its place is refused with what to write instead.
fn parse_address(text: &str) -> Result<Address, String> {
    match Address::parse(text) {
        Some(Address::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => Err(format!("this is an IPv4 address, which records write as {v4}")),
            None => Ok(Address::V6(v6)),
        },
        Some(address) => Ok(address),
        None => Err(no_address(text)),
    }
}

fn no_address(text: &str) -> String {
    if let Some((address, _)) = text.split_once('/')
        && Address::parse(address).is_some()
    {
        return "this is a range; ask about one address of it".to_owned();
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return format!("write it without the brackets: {address}");
    }
    if ["eni-", "tgw-attach-"].iter().any(|prefix| text.starts_with(prefix)) {
        return format!("this is an interface: `flowlog top --interface {text}` asks about it");
    }
    "neither an IPv4 nor an IPv6 address".to_owned()
}

/// Puts a question to its store, or files, and returns the answer as text. `complain` gets one line
/// for each file that cannot be read.
pub async fn ask(question: Question, complain: &mut dyn FnMut(String)) -> Result<Said, AskError> {
    if let Question::Why(args) = &question {
        args.check()?;
        if !args.data.is_empty() {
            return args.answer_from_data(complain);
        }
    }
    let opened = question.args().store.open().await?;
    answer(&opened.store, &question).await.map(Said::well)
}

/// What a question comes to.
struct Answer {
    /// For scripts.
    value: Value,
    /// For people.
    text: String,
}

async fn answer<S: Asked + AlertStore>(store: &S, question: &Question) -> Result<String, AskError> {
    let args = question.args();
    let whole = not_empty(store).await?;
    let is_diff = matches!(question, Question::Diff(_));
    let end = args.times.end(store, whole, is_diff).await?;
    let wanted = args.times.wanted(whole, end)?;
    let period = match question {
        // A day beside the day before, if nobody says which times.
        Question::Diff(_) if wanted.asked == (None, None) => {
            Period { from: wanted.period.to.back(A_DAY - 1), ..wanted.period }
        }
        _ => wanted.period,
    };
    let subject = args.subject();
    let (mut material, gathered) = match question {
        Question::Who(args) => {
            let (material, who) = read_who(store, &subject, period, args.address).await?;
            (material, Gathered { who: Some(who), why: None })
        }
        Question::Why(args) => {
            let (material, evidence) = read_why(store, &subject, period, args.path()).await?;
            (material, Gathered { who: None, why: Some(evidence) })
        }
        _ => {
            let detail = question.detail(store, &subject, period).await?;
            (read_in_pieces(store, &subject, period, detail).await?, Gathered::default())
        }
    };
    if matches!(question, Question::Top(TopArgs { by: By::Peers, .. }))
        && subject.is_summed(&material)
    {
        return Err(AskError::Peers);
    }
    wanted.bound(&mut material);
    if material.answers.is_empty() {
        material.notes.extend(subject.missing());
    }
    // A beginning that nobody named is that of the data.
    let first = material.first_window().filter(|_| wanted.asked.0.is_none() && !is_diff);
    let told = Period { from: first.unwrap_or(period.from), ..period };
    let times = Answered { period, told, whole, end };
    let Answer { value, text } = question.answer(store, &mut material, gathered, times).await?;
    let mut rests_on = material.to_json();
    rests_on["from"] = json!(told.from.start());
    rests_on["to"] = json!(told.to.end());
    rests_on["asked"] = wanted.asked_json();
    Ok(match args.format {
        AnswerFormat::Table => text,
        AnswerFormat::Csv => {
            let mut rows = rests_on;
            if let (Some(rows), Some(answer)) = (rows.as_object_mut(), value.as_object()) {
                rows.extend(answer.clone());
            }
            csv_of(&rows)?
        }
        AnswerFormat::Json => {
            let mut whole = rests_on;
            whole["answer"] = value;
            format!("{whole}\n")
        }
    })
}

impl DiffArgs {
    /// The time to compare with: what it would have to hold of data that is gone, the answer says. A length of time
    /// counts back from `end`.
    fn earlier(&self, period: Period, end: i64) -> Result<Period, AskError> {
        let just_before = before(period);
        let Some(text) = &self.against else { return Ok(just_before) };
        let from = Window::of(moment(text, end)?.max(0)).unwrap_or(just_before.from);
        let windows = (period.to.start() - period.from.start()) / WINDOW_SECONDS;
        Ok(Period { from, to: from.forward(windows) })
    }
}

/// What a question gathers from the roll-ups while they are read, since it needs more of them than is kept.
#[derive(Default)]
struct Gathered {
    who: Option<Who>,
    why: Option<Evidence>,
}

/// The times of an answer.
struct Answered {
    /// What is read.
    period: Period,
    /// What it says that it is about.
    told: Period,
    /// The days that the store has.
    whole: Period,
    /// The end of what there is, in epoch seconds.
    end: i64,
}

impl Question {
    fn args(&self) -> &AskArgs {
        match self {
            Self::Diff(args) => &args.ask,
            Self::Compliance(args) => &args.ask,
            Self::Why(args) => &args.ask,
            Self::Top(args) => &args.ask,
            Self::Rejected(args) => &args.ask,
            Self::Who(args) => &args.ask,
            Self::Coverage(args) => &args.ask,
        }
    }

    /// What the answer needs of each interface.
    async fn detail<S: Asked>(
        &self,
        store: &S,
        subject: &Subject,
        period: Period,
    ) -> Result<Detail, AskError> {
        Ok(match self {
            Self::Coverage(_) => Detail::of(Pieces::Totals),
            // Whose connection it was, a whole month's lists tell worse than a day's.
            Self::Compliance(_) => Detail::of(Pieces::Days),
            Self::Rejected(_) => {
                let last = last_window(store, subject, period).await?;
                Detail { pieces: Pieces::One, apart: last.map(|last| yesterday(last, period).0) }
            }
            _ => Detail::of(Pieces::One),
        })
    }

    /// The answer for scripts and for people.
    async fn answer<S: Asked + AlertStore>(
        &self,
        store: &S,
        material: &mut Material,
        gathered: Gathered,
        Answered { period, told, whole, end }: Answered,
    ) -> Result<Answer, AskError> {
        let subject = self.args().subject();
        let (value, text) = match self {
            Self::Diff(args) => {
                let earlier = args.earlier(period, end)?;
                let one = Detail::of(Pieces::One);
                let mut before = read_in_pieces(store, &subject, earlier, one).await?;
                before.bound(Some(earlier.from.start()), earlier.to.end());
                let found = diff(&before, material, args.most);
                let mut value = found.to_json();
                value["compared_with"] = before.to_json();
                value["compared_with"]["from"] = json!(earlier.from.start());
                value["compared_with"]["to"] = json!(earlier.to.end());
                (value, diff_text(&found, (earlier, &before), (period, material)))
            }
            Self::Compliance(_) => {
                let mut found = compliance(material, &subject, whole);
                found.date(store, &subject, period).await?;
                material.unsure.extend(found.unsure());
                let made = Made::now(self.args().store.name());
                let mut value = found.to_json();
                value["made"] = json!(made.made);
                value["version"] = json!(made.version);
                value["store"] = json!(made.store);
                (value, compliance_text(&found, told, &made, material))
            }
            Self::Why(args) => {
                let from_rollups = || why::from_rollups(material, args.path());
                let evidence: Evidence = gathered.why.unwrap_or_else(from_rollups);
                let explanations = evidence.explain();
                let narrowed = args.narrowed(&evidence, &explanations);
                let text = why::to_text(&evidence, &explanations, &narrowed) + &footer(material);
                (why::to_json(&evidence, &explanations, &narrowed), text)
            }
            Self::Top(args) => {
                let top = top(material, args.by, args.most);
                (top.to_json(), top_text(&top, material))
            }
            Self::Rejected(args) => {
                let last = material.last_window().unwrap_or(period.to);
                let (new, earlier) = yesterday(last, period);
                let before = match earlier {
                    None => Material::default(),
                    Some(earlier) => {
                        let one = Detail::of(Pieces::One);
                        read_in_pieces(store, &subject, earlier, one).await?
                    }
                };
                let rejected = rejected(material, Some((new, &before)), args.most);
                (rejected.to_json(), rejected_text(&rejected, material))
            }
            Self::Who(args) => {
                let who = gathered.who.unwrap_or_else(|| who_of(material, args.address));
                let about = about(store, args.address, period).await?;
                let mut value = who.to_json();
                value["alerts"] =
                    about.iter().map(|(item, alert)| alert_json(item, alert)).collect();
                (value, who_text(&who, &about, material))
            }
            Self::Coverage(_) => {
                let hours = hours(material);
                (hours.to_json(), coverage_text(&hours, material))
            }
        };
        Ok(Answer { value, text })
    }
}

/// What to do where a stack's name does not tell its tables.
fn others(found: &[String]) -> String {
    if found.is_empty() {
        return "this account and Region have none".to_owned();
    }
    format!(
        "there are {}; name two by AGGREGATES_TABLE and CONTROL_TABLE, in place of --stack",
        found.join(", ")
    )
}
