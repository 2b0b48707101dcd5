//! Why an invocation fails, and whether it is worth repeating.

use flowlog_core::event::EventError;
use flowlog_core::ingest::IngestError;
use flowlog_core::object::ObjectError;
use lambda_runtime::Diagnostic;

/// Why an object or an event could not be dealt with in this attempt.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event is none that the function knows.
    #[error("unusable event: {0}")]
    Event(#[from] EventError),
    /// The invocation ended before its work.
    #[error("out of time; the rest is left to another attempt")]
    OutOfTime,
    /// The object could not be read.
    #[error("{at}: {source}")]
    Object {
        /// Which.
        at: String,
        /// Why.
        source: ObjectError,
    },
    /// The protocol could not be finished.
    #[error("{at}: {source}")]
    Ingest {
        /// Which object.
        at: String,
        /// Why.
        source: IngestError,
    },
}

impl HandlerError {
    /// Whether a later attempt can succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Event(_) => false,
            Self::OutOfTime | Self::Object { .. } => true,
            Self::Ingest { source, .. } => source.is_retryable(),
        }
    }

    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "Permanent.Event",
            Self::OutOfTime => "Retryable.Deadline",
            Self::Object { .. } => "Retryable.Object",
            Self::Ingest { source, .. } if source.is_retryable() => "Retryable.Store",
            Self::Ingest { .. } => "Permanent.Store",
        }
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self { error_type: error.error_type().to_owned(), error_message: error.to_string() }
    }
}
