//! Questions to a store: who talks most, who is refused, what is known of one address, how complete
//! all of it is.
//!
//! Each interface (or VPC, or account) is read from one source, the one with the most authority;
//! sources that see the same traffic are never added up. Every answer says what it rests on.

mod alerts;
mod changes_text;
mod command;
mod compliance;
mod coverage;
mod csv;
mod diff;
mod rejected;
mod report;
mod serve;
mod source;
mod text;
mod top;
mod who;

pub use alerts::{AlertsArgs, ResolveArgs, SilenceArgs, alerts, resolve, silence};
pub use command::{
    AskError, ComplianceArgs, CoverageArgs, DiffArgs, Question, RejectedArgs, TopArgs, WhoArgs,
    WhyArgs, ask,
};
pub use compliance::{Compliance, Exposure, Recorded, compliance};
pub use coverage::{Hour, hours};
pub use diff::{Diff, before, diff};
pub use rejected::{New, Rejected, rejected};
pub use report::{ReportArgs, report};
pub use serve::{ServeArgs, serve};
pub(crate) use source::moment;
pub use source::{AskArgs, StoreArgs};
use text::footer;
pub use text::{coverage_text, rejected_text, top_text, who_text};
pub use top::{By, Top, top};
pub use who::{Seen, Who, who};

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Source, Window};
use flowlog_core::store::reader::{Answer, Coverage, Deliveries, answer};
use flowlog_core::store::{AggregateReader, LedgerReader, Series, StoreError, View};
use serde_json::{Value, json};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every interface.
    Everything,
    /// One interface, or transit gateway attachment.
    Interface(String),
    /// One VPC or account.
    Scope(String),
}

/// The windows that are asked about, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first.
    pub from: Window,
    /// The last.
    pub to: Window,
}

/// What the store has on the subject.
#[derive(Debug, Default)]
pub struct Material {
    /// One answer a series, sorted by subject.
    pub answers: Vec<(Series, Answer)>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

impl Material {
    /// How complete it is: each delivery once, however many interfaces it was of.
    pub fn coverage(&self) -> Coverage {
        let mut deliveries = Deliveries::default();
        for (_, answer) in &self.answers {
            deliveries.extend(answer.deliveries.clone());
        }
        Coverage::of(&deliveries)
    }

    /// SKIPDATA records: AWS lost records in their capture windows.
    pub fn skipdata(&self) -> u64 {
        self.answers.iter().map(|(_, answer)| answer.totals().skipdata).sum()
    }

    /// What every answer ends with, for scripts.
    pub fn to_json(&self) -> Value {
        let coverage = self.coverage();
        json!({
            "complete": coverage.is_complete() && self.skipdata() == 0,
            "deliveries": {
                "done": coverage.done,
                "in_progress": coverage.in_progress,
                "quarantined": coverage.quarantined,
                "ledger_expired": coverage.expired,
            },
            "skipdata": self.skipdata(),
            "notes": self.notes,
        })
    }
}

/// The period that a store has data of, by whole days; `None` if it has none.
pub async fn whole_period<S: AggregateReader>(store: &S) -> Result<Option<Period>, StoreError> {
    let days: Vec<String> =
        store.sources("00000000", "99999999").await?.into_iter().map(|(day, _)| day).collect();
    let start = |day: Option<&String>| day.and_then(|d| Window::of(Window::day_start(d)?));
    let ends = start(days.first()).zip(start(days.last()));
    Ok(ends.map(|(from, last)| Period { from, to: last.forward(287) }))
}

/// Reads what the store has on a subject in a period.
pub async fn read<S: AggregateReader + LedgerReader>(
    store: &S,
    subject: &Subject,
    period: Period,
) -> Result<Material, StoreError> {
    let view = match subject {
        Subject::Everything | Subject::Interface(_) => View::Interface,
        Subject::Scope(_) => View::Scope,
    };
    let wanted = |id: &str| match subject {
        Subject::Everything => true,
        Subject::Interface(name) | Subject::Scope(name) => name == id,
    };
    // Which sources saw a subject, the one with the most authority first.
    let mut seen: BTreeMap<String, BTreeSet<(u8, Source)>> = BTreeMap::new();
    for (day, source) in store.sources(&period.from.day(), &period.to.day()).await? {
        for id in store.subjects(&source, view, &day).await? {
            if wanted(&id) {
                seen.entry(id).or_default().insert((source.authority(), source.clone()));
            }
        }
    }
    let mut material = Material::default();
    for (id, sources) in seen {
        let mut sources = sources.into_iter().map(|(_, source)| source);
        let Some(source) = sources.next() else { continue };
        material.notes.extend(
            sources.map(|other| format!("{id} is also seen by {other}, which is not added")),
        );
        let series = Series { source, view, subject: id };
        let answer = answer(store, &series, period.from, period.to).await?;
        if !answer.windows.is_empty() {
            material.answers.push((series, answer));
        }
    }
    Ok(material)
}
