//! Why an invocation fails, and whether it is worth repeating.

use flowlog_core::event::LogsError;
use flowlog_core::ingest::IngestError;
use lambda_runtime::Diagnostic;

/// Why a payload could not be dealt with in this attempt. Lambda repeats the invocation and then
/// hands the payload to the on-failure queue.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event has no `awslogs.data`.
    #[error("unusable event: no awslogs.data")]
    Event,
    /// The data cannot be decoded: nothing names it, so it goes to the on-failure queue.
    #[error("unusable payload: {0}")]
    Payload(#[from] LogsError),
    /// The protocol could not be finished.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

impl HandlerError {
    /// Whether a later attempt can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Ingest(error) if error.is_retryable())
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match &error {
            HandlerError::Event => "Permanent.Event",
            HandlerError::Payload(_) => "Permanent.Payload",
            HandlerError::Ingest(error) if error.is_retryable() => "Retryable.Store",
            HandlerError::Ingest(_) => "Permanent.Store",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
