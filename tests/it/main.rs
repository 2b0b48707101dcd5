//! The whole pipeline: real objects through the functions' own handlers into an embedded DynamoDB.

mod contract;
mod envelopes;
mod evaluation;
mod exactly_once;
mod sample_day;
mod support;
mod tidy;
