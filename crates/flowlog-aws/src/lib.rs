//! The adapters between flowlog's ports and AWS.
//!
//! *Architecture invariant*: this is the only crate that names an AWS SDK, and the only one that
//! reads the process environment. Nothing here knows what a flow log means: an adapter turns a
//! port's call into requests, and a response or an error into the port's own vocabulary.

mod backoff;
pub mod capacity;
pub mod deadline;
pub mod dynamodb;
pub mod ec2;
pub mod env;
mod error;
mod items;
#[cfg(test)]
mod replay;
pub mod s3;
pub mod schema;
pub mod sdk;
pub mod sns;
pub mod stored;
#[cfg(feature = "streams")]
pub mod streams;
pub mod telemetry;

pub use dynamodb::{DynamoDbStore, Tables};
pub use ec2::Ec2Directory;
pub use error::CallError;
pub use s3::S3Objects;
pub use sns::SnsNotifier;
