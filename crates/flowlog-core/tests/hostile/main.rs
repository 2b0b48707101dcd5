//! What a stranger may send: every field, every envelope, and input that is broken on purpose.
//!
//! Each case says what must become of it (exact counts, or the code of the error), worked out apart
//! from the decoder under test; and of each the same must become however it is cut into pieces, with
//! `read = parsed + nodata + skipdata + Σ rejected + late`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::format_push_string,
    reason = "a test says what is wrong by panicking"
)]

mod alerts;
mod broken_columns;
mod columns;
mod damage;
mod envelopes;
mod fields;
mod flood;
mod logs;
mod oracle;
mod rollups;
mod rows;
mod support;
mod texts;
