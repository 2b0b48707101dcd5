//! What a mapping version makes of records is frozen: a delivery that was begun by one binary may be
//! finished by the next, and both must write the same bytes.
//!
//! A digest here may never change. If it does, the change needs a new mapping version.

use flowlog_core::rollup::{Budget, Mapping, Rollup};
use sha2::{Digest as _, Sha256};

use crate::traffic::{MIDNIGHT, chunks, text};

/// Number of chunks, of roll-ups, and a digest over all of their keys and bytes.
fn digest(mapping: Mapping, budget: Budget) -> (usize, usize, String) {
    let chunks = chunks(&text(4000, 4, MIDNIGHT, 1), mapping, budget);
    let mut hash = Sha256::new();
    let mut rollups = 0;
    for (n, chunk) in chunks.iter().enumerate() {
        for (interface, window, rollup) in chunk {
            let bytes = rollup.encode_as(mapping);
            hash.update(format!("{n} {interface} {} {}\n", window.start(), bytes.len()));
            hash.update(&bytes);
            rollups += 1;
            assert!(Rollup::decode(&bytes).unwrap().encode_as(mapping) == bytes);
        }
    }
    (chunks.len(), rollups, hex::encode(hash.finalize()))
}

/// So little that chunks are cut.
const SMALL: Budget = Budget {
    state_bytes: 40_000,
    talker_bytes: 96,
    held_bytes: 176,
    pruned_entries: 8,
    interface_windows: usize::MAX,
    ends_whole: false,
};

#[test]
fn version_1_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V1, Budget::default());
    let frozen = "33e35382fb10f05ed8381402bbb7a5bbe54bf75779d7728f8ba3ee2253bc2e8e";
    assert_eq!((chunks, rollups, digest.as_str()), (1, 12, frozen));
}

#[test]
fn version_1_in_chunks_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V1, SMALL);
    let frozen = "1315d97e412173281b8aed35f4c3a6b3b6251a837790da0cf4b033b7cf1be9be";
    assert_eq!((chunks, rollups, digest.as_str()), (16, 192, frozen));
}

#[test]
fn version_2_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V2, Budget::default());
    let frozen = "32d409b5574ff29a623e0ab6adf1d47e373e9d73eb150366c1ae7a3579887fac";
    assert_eq!((chunks, rollups, digest.as_str()), (1, 12, frozen));
}

#[test]
fn version_2_in_chunks_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V2, SMALL);
    let frozen = "564502f443b94cb6da8862671e891dfe4e22f082ed7f7ca231a8c1b41eb11f37";
    assert_eq!((chunks, rollups, digest.as_str()), (23, 276, frozen));
}

#[test]
fn version_3_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V3, Budget::default());
    let frozen = "3117d63e0bee1ef213113990d7e08be8a445d8fe73d9521d95d462b6cb6747fc";
    assert_eq!((chunks, rollups, digest.as_str()), (1, 12, frozen));
}

#[test]
fn version_3_in_chunks_is_frozen() {
    let (chunks, rollups, digest) = digest(Mapping::V3, SMALL);
    let frozen = "d4d1257b80f675c4e13d072c6236650d52b6d32a751e82b9fb84b4dbb95234df";
    assert_eq!((chunks, rollups, digest.as_str()), (23, 276, frozen));
}

#[test]
fn versions_agree_on_what_both_have() {
    let text = text(2000, 4, MIDNIGHT, 2);
    let [first, second] =
        [Mapping::V1, Mapping::V2].map(|mapping| chunks(&text, mapping, Budget::default()));
    let (mut tuples, mut services) = (0, 0);
    for (a, b) in first.concat().into_iter().zip(second.concat()) {
        assert_eq!((&a.0, a.1, a.2.totals()), (&b.0, b.1, b.2.totals()));
        let stripped = Rollup::decode(&b.2.encode_as(Mapping::V1)).unwrap();
        assert!(stripped.rejected_tuples.is_empty() && stripped.services.is_empty());
        assert!(stripped.encode_as(Mapping::V1) == a.2.encode_as(Mapping::V1));
        tuples += b.2.rejected_tuples.len();
        services += b.2.services.len();
        assert_eq!(b.2.about.subnet_id, format!("subnet-{}", &b.0[b.0.len() - 1..]));
        assert_eq!(b.2.about.name, format!("web%2D{}", &b.0[b.0.len() - 1..]));
    }
    assert!(tuples > 10 && services > 10, "{tuples} tuples, {services} services");
}

#[test]
fn version_3_takes_less_for_a_contact() {
    let text = text(2000, 4, MIDNIGHT, 2);
    let [second, third] =
        [Mapping::V2, Mapping::V3].map(|mapping| chunks(&text, mapping, Budget::default()));
    let tallies = |rollup: &Rollup| {
        let sources = rollup.rejected_sources.iter().map(|(_, source)| source);
        sources.fold((0, 0, 0), |(records, replies, contacts), source| {
            (records + source.records, replies + source.replies, contacts + source.contact_count)
        })
    };
    let (mut more, mut fewer) = (0, 0);
    for (a, b) in second.concat().into_iter().zip(third.concat()) {
        assert_eq!((&a.0, a.1, a.2.totals()), (&b.0, b.1, b.2.totals()));
        let (before, now) = (tallies(&a.2), tallies(&b.2));
        assert_eq!(before.0, now.0, "records");
        assert!(before.1 <= now.1 && before.2 >= now.2, "{before:?} {now:?}");
        more += now.1 - before.1;
        fewer += before.2 - now.2;
        // It is read by whoever reads version 2.
        assert_eq!(b.2.encode_as(Mapping::V3), b.2.encode_as(Mapping::V2));
    }
    assert!(more > 10 && fewer > 10, "{more} replies more, {fewer} contacts fewer");
}
