//! What is wrong with a command line: it ends with 2, as what clap refuses does.

use std::error::Error;

use crate::ask::AskError;
use crate::generate::GenerateError;

/// Something that is asked for and cannot be, whatever there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl From<&str> for Usage {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Whether an error is one of the command line.
pub fn is_usage(error: &(dyn Error + 'static)) -> bool {
    error.is::<Usage>()
        || error.downcast_ref::<AskError>().is_some_and(AskError::is_usage)
        || error.downcast_ref::<GenerateError>().is_some_and(GenerateError::is_usage)
}
