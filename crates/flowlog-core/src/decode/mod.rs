//! Decoding.

mod counts;

pub use counts::{Counts, Reason};
