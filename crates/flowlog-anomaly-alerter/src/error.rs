//! Why an invocation fails.

use flowlog_core::alert::RaiseError;
use flowlog_core::store::StoreError;
use lambda_runtime::Diagnostic;

/// Why a stream batch could not be dealt with whole.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The payload is no event of ours.
    #[error("unusable event: {0}")]
    Event(#[from] serde_json::Error),
    /// An event of ours that asks for what this function does not do.
    #[error("the alerter has no task {0}")]
    Task(String),
    /// A request for a day that is none.
    #[error("{0:?} is no day of the form 2026-11-01")]
    Day(String),
    /// The windows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else stored another rules file at the same time.
    #[error("somebody else stored another rules file at the same time: look at it, and try again")]
    RulesRace,
    /// What is looked at on the schedule takes longer than a run may.
    #[error("there was no time to look at everything; alerts were seen to")]
    Deadline,
    /// A finding could not be raised.
    #[error(transparent)]
    Raise(#[from] RaiseError),
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match &error {
            HandlerError::Event(_) | HandlerError::Task(_) | HandlerError::Day(_) => {
                "Permanent.Event"
            }
            HandlerError::Store(error) if error.is_retryable() => "Retryable.Store",
            HandlerError::Deadline => "Retryable.Deadline",
            HandlerError::RulesRace => "Retryable.Rules",
            HandlerError::Raise(error) if error.is_retryable() => "Retryable.Notify",
            HandlerError::Store(_) | HandlerError::Raise(RaiseError::Store(_)) => "Permanent.Store",
            HandlerError::Raise(_) => "Permanent.Notify",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
