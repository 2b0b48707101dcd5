//! The whole pipeline: real objects through the functions' own handlers into an embedded DynamoDB.

mod envelopes;
mod evaluation;
mod exactly_once;
mod support;
mod sample_day;
mod tidy;
