//! The questions as subcommands: the store that each is put to, and the answer as text.

mod error;
mod files;
mod options;

use flowlog_core::record::{WINDOW_SECONDS, WINDOWS_PER_DAY, Window};
use flowlog_core::store::AlertStore;
use flowlog_core::store::reader::{Detail, Pieces};
use flowlog_core::why::{Evidence, Explanation};
use serde_json::{Value, json};

use super::alerts::{about, alert_json};
use super::changes_text::{compliance_text, diff_text};
use super::compliance::compliance;
use super::csv::csv_of;
use super::diff::{before, diff};
use super::source::{AnswerFormat, AskArgs, moment};
use super::{
    Asked, By, Made, Material, Period, Subject, Who, coverage_text, footer, hours, last_window,
    read_in_pieces, read_who, read_why, rejected, rejected_text, top, top_text, who as who_of,
    who_text, whole_period, yesterday,
};
use crate::doctor::Cli;
use crate::output::Said;
use crate::why;
use crate::why::account::Narrowed;

pub use error::AskError;
pub use options::{
    ComplianceArgs, CoverageArgs, DiffArgs, RejectedArgs, TopArgs, WhoArgs, WhyArgs,
};

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

/// The period that a store has data of.
pub(super) async fn not_empty<S: Asked>(store: &S) -> Result<Period, AskError> {
    match whole_period(store).await? {
        Some(whole) => Ok(whole),
        None => Err(AskError::Empty(store.quarantined().await?.len())),
    }
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
            Period { from: wanted.period.to.back(WINDOWS_PER_DAY - 1), ..wanted.period }
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

impl WhyArgs {
    /// What the account says, if that was asked for.
    fn narrowed(&self, evidence: &Evidence, explanations: &[Explanation]) -> Vec<Narrowed> {
        let many = if self.narrow { why::AT_LENGTH } else { 0 };
        let explanations = explanations.iter().take(many);
        explanations.map(|one| why::account::narrow(&Cli, evidence, one)).collect()
    }
}
