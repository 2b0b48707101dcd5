//! Many roll-ups as one.

use std::collections::BTreeMap;

use super::distinct::{Token, Union};
use super::{Distinct, EVIDENCE, Rollup};

/// Roll-ups on their way into one, as if [`Rollup::merge`] had taken one after the other, to the byte. What it
/// counts of different addresses stays unpacked until the last is in.
#[derive(Debug, Default)]
pub struct Fold {
    /// Everything but what the unions have counted.
    rollup: Rollup,
    talkers: Union,
    sources: Union,
    ports: Union,
}

impl From<Rollup> for Fold {
    fn from(rollup: Rollup) -> Self {
        Self { rollup, ..Self::default() }
    }
}

impl Fold {
    /// Takes in one more.
    pub fn add(&mut self, other: &Rollup) {
        let rollup = &mut self.rollup;
        if rollup.account_id.is_empty() {
            rollup.account_id.clone_from(&other.account_id);
        }
        if rollup.vpc_id.is_empty() {
            rollup.vpc_id.clone_from(&other.vpc_id);
        }
        rollup.breakdown.merge(&other.breakdown);
        rollup.nodata = rollup.nodata.saturating_add(other.nodata);
        rollup.skipdata = rollup.skipdata.saturating_add(other.skipdata);
        // Counted before the lists are merged: a count that stands on a list needs it whole.
        count(
            &mut self.talkers,
            (&rollup.distinct_talkers, rollup.talker_tokens()),
            (&other.distinct_talkers, other.talker_tokens()),
        );
        count(
            &mut self.sources,
            (&rollup.distinct_rejected_sources, rollup.source_tokens()),
            (&other.distinct_rejected_sources, other.source_tokens()),
        );
        count(
            &mut self.ports,
            (&rollup.distinct_rejected_ports, rollup.port_tokens()),
            (&other.distinct_rejected_ports, other.port_tokens()),
        );
        rollup.talkers.merge(&other.talkers);
        rollup.rejected_sources.merge(&other.rejected_sources);
        rollup.rejected_ports.merge(&other.rejected_ports);
        merge_tallies(&mut rollup.tcp_flags, &other.tcp_flags);
        merge_tallies(&mut rollup.traffic_path, &other.traffic_path);
        merge_tallies(&mut rollup.encryption_status, &other.encryption_status);
        merge_tallies(&mut rollup.reject_reasons, &other.reject_reasons);
        for (mine, theirs) in rollup.packets_lost.iter_mut().zip(other.packets_lost) {
            *mine = mine.saturating_add(theirs);
        }
        rollup.lacking.add(other.lacking);
        rollup.evidence.reserve_exact(other.evidence.len());
        rollup.evidence.extend_from_slice(&other.evidence);
        rollup.evidence.sort_unstable();
        rollup.evidence.dedup();
        rollup.evidence.truncate(EVIDENCE);
        rollup.rejected_tuples.merge(&other.rejected_tuples);
        rollup.services.merge(&other.services);
        merge_tallies(&mut rollup.path_bytes, &other.path_bytes);
        rollup.about.merge(&other.about);
    }

    /// Keeps memory bounded while many are folded into this one: lists of more than four times
    /// `keep` entries are cut to the `keep` heaviest, and their error bounds say so. Whether any was cut.
    pub fn condense(&mut self, keep: usize) -> bool {
        let lengths = [
            self.rollup.talkers.len(),
            self.rollup.rejected_sources.len(),
            self.rollup.rejected_ports.len(),
            self.rollup.rejected_tuples.len(),
            self.rollup.services.len(),
        ];
        let long = lengths.into_iter().any(|n| n > 4 * keep);
        if long {
            self.settle();
            self.rollup.cap_lists(keep);
        }
        long
    }

    /// All of them as one.
    pub fn finish(mut self) -> Rollup {
        self.settle();
        self.rollup
    }

    /// Packs what was counted.
    fn settle(&mut self) {
        let Self { rollup, talkers, sources, ports } = self;
        for (union, packed) in [
            (talkers, &mut rollup.distinct_talkers),
            (sources, &mut rollup.distinct_rejected_sources),
            (ports, &mut rollup.distinct_rejected_ports),
        ] {
            if union.has_any() {
                *packed = union.to_distinct();
            }
        }
    }
}

/// Adds what `other` has counted to what was counted before. Two counts that stand on their lists need no
/// sketch: the merged list is whole, too.
fn count(
    union: &mut Union,
    before: (&Distinct, impl Iterator<Item = Token>),
    other: (&Distinct, impl Iterator<Item = Token>),
) {
    if !union.has_any() {
        if !before.0.is_sketch() && !other.0.is_sketch() {
            return;
        }
        union.add(&before.0.or_of(before.1));
    }
    union.add(&other.0.or_of(other.1));
}

fn merge_tallies<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, n) in from {
        let slot = into.entry(key.clone()).or_default();
        *slot = slot.saturating_add(*n);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Address;
    use crate::rollup::{Ranked, Talker, TalkerKey};

    /// A roll-up that lists the last `listed` of these talkers, and has counted the others.
    fn part(talkers: std::ops::Range<u32>, listed: u32) -> Rollup {
        let address = |n: u32| Address::V4((0x0a00_0000 + n).into());
        let from = talkers.end.saturating_sub(listed).max(talkers.start);
        let entries = (from..talkers.end).map(|n| {
            let key = TalkerKey { remote: address(n), port: 443, protocol: 6 };
            (key, Talker { records: 1, bytes_in: u64::from(n), ..Talker::default() })
        });
        let dropped = u64::from(from > talkers.start);
        let mut rollup =
            Rollup { talkers: Ranked::new(entries.collect(), dropped), ..Rollup::default() };
        if dropped > 0 {
            let seen = talkers.clone().map(|n| Distinct::address(&address(n)));
            rollup.distinct_talkers = Distinct::of(seen);
        }
        rollup
    }

    fn parts() -> impl Strategy<Value = Vec<Rollup>> {
        // Few, so that sketches are lists of values; some, sets; many, registers.
        let size = prop_oneof![0..12_u32, 0..120_u32, 0..3_000_u32];
        let part = (0..4_000_u32, size, 0..40_u32)
            .prop_map(|(from, size, listed)| part(from..from + size, listed));
        proptest::collection::vec(part, 1..9)
    }

    proptest! {
        /// What is stored must not depend on how many were folded at a time.
        #[test]
        fn folding_many_is_merging_one_after_the_other_to_the_byte(
            parts in parts(),
            keep in 1..40_usize,
        ) {
            let (mut fold, mut merged) = (Fold::default(), Rollup::default());
            for part in &parts {
                fold.add(part);
                merged.merge(part);
                let mut alone = Fold::from(merged);
                prop_assert_eq!(fold.condense(keep), alone.condense(keep));
                merged = alone.finish();
            }
            prop_assert_eq!(fold.finish().encode_whole(), merged.encode_whole());
        }
    }
}
