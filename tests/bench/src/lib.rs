//! What the programs in `src/bin`, the benches and `vrl` share.

pub mod rows;
pub mod tally;
