//! Questions to a store: who talks most, who is refused, what is known of one address, how complete
//! all of it is.
//!
//! Each window of an interface (or VPC, or account) is read from one source, the one with the most
//! [authority]; sources that see the same traffic are never added up. Every answer says what it rests
//! on.

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
pub use source::{AskArgs, StoreArgs};
pub(crate) use source::{Times, moment};
use text::footer;
pub use text::{coverage_text, rejected_text, top_text, who_text};
pub use top::{By, Top, top};
pub use who::{Seen, Who, who};

use std::collections::BTreeMap;

use flowlog_core::record::Window;
use flowlog_core::store::authority::{self, SeenBy, Spoken};
use flowlog_core::store::reader::{Answer, Coverage, Deliveries};
use flowlog_core::store::{AggregateReader, LedgerReader, StoreError, View};
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
    /// One answer for each interface, VPC or account, sorted by id.
    pub answers: Vec<(String, Answer)>,
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
    let mut material = Material::default();
    read_each(store, subject, period, &mut |id, spoken| {
        material.notes.extend(spoken.notes(&id));
        if !spoken.answer.windows.is_empty() {
            material.answers.push((id, spoken.answer));
        }
    })
    .await?;
    Ok(material)
}

/// The same, one interface (or VPC, or account) after the other, sorted by id: no more than one is held.
pub async fn read_each<S: AggregateReader + LedgerReader>(
    store: &S,
    subject: &Subject,
    period: Period,
    take: &mut dyn FnMut(String, Spoken),
) -> Result<(), StoreError> {
    let view = match subject {
        Subject::Everything | Subject::Interface(_) => View::Interface,
        Subject::Scope(_) => View::Scope,
    };
    let wanted = |id: &str| match subject {
        Subject::Everything => true,
        Subject::Interface(name) | Subject::Scope(name) => name == id,
    };
    let mut seen: BTreeMap<String, SeenBy> = BTreeMap::new();
    for (day, source) in store.sources(&period.from.day(), &period.to.day()).await? {
        for id in store.subjects(&source, view, &day).await? {
            if wanted(&id) {
                seen.entry(id).or_default().insert(&day, source.clone());
            }
        }
    }
    let mut ledger = Deliveries::default();
    for (id, seen) in seen {
        let within = (period.from, period.to);
        let spoken = authority::read(store, &mut ledger, (view, &id), &seen, within).await?;
        take(id, spoken);
    }
    Ok(())
}
