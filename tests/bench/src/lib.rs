//! What the programs in `src/bin` and the benches share.

pub mod rows;
