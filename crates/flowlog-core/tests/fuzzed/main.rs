//! The properties that are fuzzed, over what is kept of inputs: seeds, and everything that was found.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::similar_names,
    clippy::many_single_char_names,
    clippy::cast_possible_truncation,
    reason = "a test says what is wrong by panicking; the bytes of an input are cut to what is wanted"
)]

use std::path::{Path, PathBuf};

#[path = "../../../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    reason = "a library there, a module here"
)]
mod properties;

use properties::TARGETS;

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_keeps_its_property() {
    for (target, property) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 3, "{target}: {} seeds", seeds.len());
        for seed in seeds {
            let bytes = std::fs::read(&seed).unwrap();
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "{} does not keep the property", seed.display());
        }
    }
}

/// Some seventy neighbours of each seed: at up to 24 places a byte flipped, cut off, doubled.
#[test]
fn neighbours_of_seeds_keep_it_too() {
    for (target, property) in TARGETS {
        for seed in seeds(target) {
            let bytes = std::fs::read(&seed).unwrap();
            let step = bytes.len() / 24 + 1;
            for at in (0..bytes.len()).step_by(step) {
                let (head, tail) = bytes.split_at(at);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                for neighbour in [&flipped[..], head, &[head, &tail[..1], tail].concat()] {
                    let held = std::panic::catch_unwind(|| property(neighbour));
                    assert!(held.is_ok(), "{} near {at}: {neighbour:?}", seed.display());
                }
            }
        }
    }
}
