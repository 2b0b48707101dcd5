//! `flowlog why` of files in place of a store.

use serde_json::json;

use super::{AskError, WhyArgs};
use crate::ask::coverage::gaps_json;
use crate::ask::csv::csv_of;
use crate::ask::source::{AnswerFormat, in_order, moment};
use crate::input::{self, Input};
use crate::output::Said;
use crate::why;

impl WhyArgs {
    /// The answer from files; all is well if every file and line could be read.
    pub(super) fn answer_from_data(
        &self,
        complain: &mut dyn FnMut(String),
    ) -> Result<Said, AskError> {
        let fallback = self.log_format.clone().unwrap_or_default();
        let times = [&self.ask.times.since, &self.ask.times.until];
        let [from, to] = times.map(|text| text.as_deref().map(|text| self.moment(text)));
        let (from, until) = in_order(from.transpose()?, to.transpose()?)?;
        // Without an end there is none: the data's own counts.
        let to = if until == i64::MAX { until } else { until - 1 };
        let evidence = why::from_records(&self.data, self.path(), (from, to), &fallback, complain)?;
        let explanations = evidence.explain();
        let narrowed = self.narrowed(&evidence, &explanations);
        let json = || {
            let mut value = why::to_json(&evidence, &explanations, &narrowed);
            value["asked"] = json!({
                "from": (from > i64::MIN).then_some(from),
                "to": (until < i64::MAX).then_some(until),
            });
            let incomplete = why::incomplete(&evidence);
            value["complete"] = json!(incomplete.is_empty());
            value["incomplete"] = json!(incomplete);
            value["gaps"] = json!(gaps_json(&evidence.unheard));
            value
        };
        let text = match self.ask.format {
            AnswerFormat::Table => why::to_text(&evidence, &explanations, &narrowed),
            AnswerFormat::Json => format!("{}\n", json()),
            AnswerFormat::Csv => csv_of(&json())?,
        };
        Ok(Said { text, well: evidence.unread.is_nothing() })
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
