//! A stored roll-up, damaged or made by somebody else.

use flowlog_core::detect::{Baseline, History, Rules};
use flowlog_core::record::Window;
use flowlog_core::rollup::{BLOB_LIMIT, Fold, Mapping, Rollup};

/// First byte: whether the rules look at it, too.
///
/// What is read can be written within the limit, with the same totals, and is then read as the same for
/// good; it can be folded, at once or one after the other to the same bytes, and judged.
pub fn blob(mut bytes: &[u8]) {
    let judged = super::first(&mut bytes) % 2 == 1;
    let Ok(rollup) = Rollup::decode(bytes) else { return };
    for mapping in Mapping::ALL {
        let written = rollup.encode_as(mapping);
        assert!((1..=BLOB_LIMIT).contains(&written.len()), "{} bytes", written.len());
        let again = Rollup::decode(&written).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.totals(), rollup.totals());
        assert_eq!((again.nodata, again.skipdata), (rollup.nodata, rollup.skipdata));
        assert_eq!(again.encode_as(mapping), written, "what has been written stays as it is");
    }
    let mut folded = rollup.clone();
    folded.merge(&rollup);
    let mut fold = Fold::from(rollup.clone());
    for _ in 0..2 {
        fold.add(&rollup);
    }
    fold.condense(8);
    let mut merged = folded.clone();
    merged.merge(&rollup);
    let mut merged = Fold::from(merged);
    merged.condense(8);
    assert_eq!(fold.finish().encode(), merged.finish().encode(), "folded at once or one by one");
    assert_eq!(folded.nodata, rollup.nodata.saturating_mul(2));
    let (one, two) = (rollup.totals().reject, folded.totals().reject);
    assert_eq!(two.records, one.records.saturating_mul(2));
    if judged && let Some(window) = Window::of(1_793_491_200) {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window, &rollup);
        let findings = Rules::default().evaluate(&history, &Baseline::default(), window);
        for finding in findings {
            super::printable("finding", &finding.to_json().to_string());
        }
    }
}
