//! Exactness under every fault, by deterministic simulation.
//!
//! The real handlers run on one thread over a model of AWS that stands behind the same ports as the
//! SDK's adapters. A seed decides everything: which deliveries come, how often and in what order, how
//! many processes work, who goes on next at every await, what fails and how, who dies where, when the
//! code is upgraded or rolled back, which days pass and what has expired by then. At rest the tables
//! must hold what one clean single pass leaves, byte for byte.
//!
//! ```text
//! pool      tiny deliveries; what a clean pass makes of each, counted by hand as well
//! schedule  a seed under way ──► service (the functions) ──► process, bucket (the ports)
//! fault     what becomes of a call ────────────────────────► world (tables, objects, topic, time)
//! check     what must be true at rest          mutant  protocols that are wrong in one way each
//! ```
//!
//! `make simulate SEEDS=…` runs seeds, `make simulate-long` a million; the tests run every single
//! fault and ten thousand seeds, and require that every mutant is caught.

pub mod alerts;
pub mod bucket;
mod check;
pub mod executor;
pub mod fault;
pub mod items;
mod job;
pub mod mutant;
pub mod pool;
pub mod process;
pub mod random;
pub mod schedule;
pub mod seeds;
pub mod service;
mod settings;
pub mod world;
