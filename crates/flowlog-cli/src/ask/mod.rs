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
pub use rejected::{New, Rejected, rejected, yesterday};
pub use report::{ReportArgs, report};
pub use serve::{ServeArgs, serve};
pub use source::{AskArgs, StoreArgs};
pub(crate) use source::{Times, moment};
use text::footer;
pub use text::{coverage_text, rejected_text, top_text, who_text};
pub use top::{By, Top, top};
pub use who::{Seen, Who, who};

use std::collections::BTreeMap;

use flowlog_core::record::{WINDOW_SECONDS, Window};
use flowlog_core::store::authority::{self, SeenBy, Spoken};
use flowlog_core::store::reader::{Answer, Coverage, Deliveries};
use flowlog_core::store::{AggregateReader, LedgerReader, Series, SeriesItems, StoreError, View};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
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

/// The end of the last window that a store has anything of, in epoch seconds. It looks back from the
/// end of its last day, or from `now` if that is earlier: an hour, then twice as far, and so on.
pub async fn end_of_data<S: AggregateReader>(
    store: &S,
    whole: Period,
    now: i64,
) -> Result<i64, StoreError> {
    let day = whole.to.day();
    let mut series: Vec<Series> = Vec::new();
    for (_, source) in store.sources(&day, &day).await? {
        for subject in store.subjects(&source, View::Interface, &day).await? {
            series.push(Series::interface(source.clone(), subject));
        }
    }
    let first = whole.to.back(A_DAY - 1);
    let mut to = Window::of(now).map_or(whole.to, |now| whole.to.min(now).max(first));
    let mut windows = 12;
    loop {
        let from = to.back(windows - 1).max(first);
        let mut last: Option<Window> = None;
        for series in &series {
            // Only what is later than what was found: for most of them that is next to nothing.
            let after = last.map_or(from, |last| last.forward(1));
            if after > to {
                break;
            }
            let SeriesItems { partials, summaries } = store.items(series, after, to).await?;
            let folded =
                summaries.iter().flat_map(|summary| summary.windows.iter().map(|(w, _)| w));
            let windows = folded.chain(partials.iter().map(|p| &p.window));
            last = last.max(windows.filter(|window| **window <= to).max().copied());
        }
        if let Some(last) = last {
            return Ok(last.end());
        }
        if from == first {
            return Ok(whole.to.end());
        }
        (to, windows) = (from.back(1), windows * 2);
    }
}

/// Subjects that are read at once.
const AT_ONCE: usize = 4;
/// Windows of a day.
const A_DAY: i64 = 86_400 / WINDOW_SECONDS;

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

/// The same, one interface (or VPC, or account) after the other, sorted by id: no more than a few are held.
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
    let within = (period.from, period.to);
    let mut subjects = seen.into_iter();
    let mut ledger = Deliveries::default();
    if let Some((id, seen)) = subjects.next() {
        let spoken = authority::read(store, &mut ledger, (view, &id), &seen, within).await?;
        take(id, spoken);
    }
    // Most deliveries are of every interface: what the ledger said for the first one is known to the others,
    // which are read some at once, so that the store works while this works.
    let mut others = stream::iter(subjects)
        .map(|(id, seen)| {
            let mut ledger = ledger.clone();
            async move {
                let spoken = authority::read(store, &mut ledger, (view, &id), &seen, within).await;
                spoken.map(|spoken| (id, spoken))
            }
        })
        .buffered(AT_ONCE);
    while let Some((id, spoken)) = others.try_next().await? {
        take(id, spoken);
    }
    Ok(())
}
