//! Exactness: what is stored is frozen per mapping version, and compaction changes no total.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test says what is wrong by panicking"
)]

mod compaction;
mod golden;
mod traffic;
