//! What a failed call means for the next one: decided here, for every service.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use flowlog_core::alert::NotifyError;
use flowlog_core::object::ObjectError;
use flowlog_core::store::StoreError;

/// A call to AWS that failed: which one, how, and the request id to name to AWS.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct CallError {
    operation: &'static str,
    detail: String,
    /// The other side has too much to do, or an error of its own: patience helps.
    busy: bool,
}

impl CallError {
    /// An error of our own about a call.
    pub(crate) fn new(operation: &'static str, detail: impl Into<String>) -> Self {
        Self { operation, detail: detail.into(), busy: false }
    }

    /// A call that was answered by doing nothing.
    pub(crate) fn busy(operation: &'static str, detail: impl Into<String>) -> Self {
        Self { busy: true, ..Self::new(operation, detail) }
    }

    fn of<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let request_id = error.raw_response().and_then(|response| {
            let headers = response.headers();
            headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"))
        });
        let detail = match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or("no error code");
                let message = service.err().message().unwrap_or("no message");
                let status = service.raw().status().as_u16();
                format!("{code}: {message} (HTTP {status})")
            }
            other => chain(other),
        };
        let detail = match request_id {
            Some(id) => format!("{detail} (request {id})"),
            None => detail,
        };
        let status = error.raw_response().map_or(0, |r| r.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let busy = status >= 500 || status == 429 || code.is_some_and(|c| BUSY_CODES.contains(&c));
        Self { operation, detail, busy }
    }
}

/// An error and its causes on one line. The SDK's own errors say only "dispatch failure".
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + use<'a> {
    std::iter::successors(Some(error), |e: &&'a (dyn Error + 'static)| (**e).source())
}

/// Codes that a later attempt can get rid of, whatever their HTTP status. By code and not by type,
/// because a service may send what its model does not have.
const RETRYABLE_CODES: &[&str] = &[
    "BandwidthLimitExceeded",
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalError",
    "InternalServerError",
    "KMSInternalException",
    "KMSThrottling",
    "KMSThrottlingException",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Of these, the ones that say: not so fast, or somebody else is at it.
const BUSY_CODES: &[&str] = &[
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Whether a table had too much to do, or failed by itself.
pub(crate) fn is_busy(error: &StoreError) -> bool {
    let StoreError::Retryable(cause) = error else { return false };
    cause.downcast_ref::<CallError>().is_some_and(|call| call.busy)
}

/// Whether the same call can succeed later. Expired credentials can: another sandbox has new ones.
pub(crate) fn is_retryable<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => {
            !failure.is_user() && !causes(error).any(is_missing_credentials)
        }
        SdkError::ResponseError(_) | SdkError::ServiceError(_) => {
            let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
            let status = error.raw_response().map_or(0, |r| r.status().as_u16());
            // A success that could not be read was cut on its way.
            code.is_some_and(|code| RETRYABLE_CODES.contains(&code))
                || status >= 500
                || matches!(status, 200..=299 | 408 | 429)
        }
        // ConstructionFailure: the request was never a request.
        _ => false,
    }
}

fn is_missing_credentials(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    )
}

/// The error of a table.
pub(crate) fn store<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let cause = Box::new(CallError::of(operation, error));
    if is_retryable(error) { StoreError::Retryable(cause) } else { StoreError::Permanent(cause) }
}

/// The error of a topic.
pub(crate) fn notify<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> NotifyError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let cause = Box::new(CallError::of(operation, error));
    if is_retryable(error) { NotifyError::Retryable(cause) } else { NotifyError::Permanent(cause) }
}

/// The error of an object. The status decides, because `HEAD` has no body to carry a code.
pub(crate) fn object<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map_or(0, |r| r.status().as_u16());
    let cause = Box::new(CallError::of(operation, error));
    if is_retryable(error) {
        return ObjectError::Retryable(cause);
    }
    match status {
        404 => ObjectError::Gone,
        412 => ObjectError::Replaced,
        _ => ObjectError::Denied(cause),
    }
}
