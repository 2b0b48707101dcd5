//! The core of flowlog: decoding VPC flow logs, exact roll-ups, detection and alerts.
//!
//! *Architecture invariant*: nothing here does I/O, reads a clock or the environment, starts a task
//! or names an AWS SDK. Bytes are pushed in and values come out; the present time is an argument.
//! Ports (traits that adapters implement) live here and may return futures; no executor does.
//!
//! Data flows one way: [`record`] ◄ [`mod@format`] ◄ [`decode`] ◄ [`rollup`] ◄ [`detect`] ◄ [`alert`];
//! [`store`] depends on `record` and `rollup` only, [`event`] on the inflating of `decode`, and
//! [`ingest`] is the one protocol that ties a delivery to the store, [`compact`] what makes history of it.

pub mod alert;
pub mod compact;
pub mod decode;
pub mod detect;
pub mod event;
pub mod format;
pub mod ingest;
pub mod object;
pub mod prefetch;
pub mod record;
pub mod rollup;
pub mod store;
pub mod transfer;
pub mod why;
