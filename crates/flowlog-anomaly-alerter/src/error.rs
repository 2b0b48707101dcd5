//! Why an invocation fails.

use flowlog_core::alert::RaiseError;
use flowlog_core::store::StoreError;
use lambda_runtime::Diagnostic;

/// Why a stream batch could not be dealt with whole.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The payload is no DynamoDB stream event.
    #[error("unusable event: {0}")]
    Event(#[from] serde_json::Error),
    /// The windows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A finding could not be raised.
    #[error(transparent)]
    Raise(#[from] RaiseError),
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match &error {
            HandlerError::Event(_) => "Permanent.Event",
            HandlerError::Store(error) if error.is_retryable() => "Retryable.Store",
            HandlerError::Store(_) => "Permanent.Store",
            HandlerError::Raise(_) => "Retryable.Notify",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
