//! Times between two windows of an interface of which nothing is on record: files that are missing, a flow log that was
//! deleted and made anew.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use flowlog_core::record::Window;

use super::InterfaceWindow;
use crate::ask::holes;

/// How many are listed.
const LISTED: usize = 20;
/// How many different ones are told apart: times may be invented.
const TOLD_APART: usize = 1_000;

/// One, of an hour or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Its first second.
    pub from: i64,
    /// The second after its last.
    pub to: i64,
    /// Interfaces that have nothing of exactly this time, and something before and after it.
    pub interfaces: u64,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Those with the most interface-windows first, at most 20.
    pub listed: Vec<Gap>,
    /// How many there are beside those, each counted for each of its interfaces.
    pub more: u64,
}

impl Gaps {
    /// Between windows, sorted by interface and time. Of the time from which windows were `let_go` nothing is known.
    pub(super) fn of(windows: &[InterfaceWindow], let_go: Option<(Window, Window)>) -> Self {
        let is_known = |(from, to): &(i64, i64)| {
            let_go.is_none_or(|(first, last)| *to <= first.start() || last.end() <= *from)
        };
        let (mut gaps, mut more) = (BTreeMap::<(i64, i64), u64>::new(), 0);
        for interface in windows.chunk_by(|a, b| a.interface_id == b.interface_id) {
            for time in holes(interface.iter().map(|one| one.window)).filter(is_known) {
                if gaps.len() < TOLD_APART || gaps.contains_key(&time) {
                    *gaps.entry(time).or_default() += 1;
                } else {
                    more += 1;
                }
            }
        }
        let gaps = gaps.into_iter();
        let mut listed: Vec<Gap> =
            gaps.map(|((from, to), interfaces)| Gap { from, to, interfaces }).collect();
        listed.sort_by_key(|gap| (Reverse(gap.interfaces.saturating_mul(gap.seconds())), gap.from));
        more += listed.iter().skip(LISTED).map(|gap| gap.interfaces).sum::<u64>();
        listed.truncate(LISTED);
        Self { listed, more }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

impl Gap {
    fn seconds(&self) -> u64 {
        (self.to - self.from).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use flowlog_core::rollup::ActionTotals;

    use super::*;

    fn window(n: i64) -> Window {
        Window::of(1_793_491_200).unwrap().forward(n)
    }

    fn rows(interface_id: &str, windows: impl IntoIterator<Item = i64>) -> Vec<InterfaceWindow> {
        let row = |n| InterfaceWindow {
            account_id: String::new(),
            interface_id: interface_id.to_owned(),
            window: window(n),
            totals: ActionTotals::default(),
        };
        windows.into_iter().map(row).collect()
    }

    fn found(
        windows: &[Vec<InterfaceWindow>],
        let_go: Option<(i64, i64)>,
    ) -> (Vec<(i64, i64, u64)>, u64) {
        let let_go = let_go.map(|(first, last)| (window(first), window(last)));
        let gaps = Gaps::of(&windows.concat(), let_go);
        let nth = |second: i64| (second - window(0).start()) / 300;
        let listed = gaps.listed.iter().map(|gap| (nth(gap.from), nth(gap.to), gap.interfaces));
        (listed.collect(), gaps.more)
    }

    #[test]
    fn an_hour_without_records_is_a_gap_of_those_that_have_some_before_and_after() {
        let all = [
            rows("eni-holed", (0..288).filter(|n| !(24..60).contains(n))),
            rows(
                "eni-holed-twice",
                (0..288).filter(|n| !(24..60).contains(n) && !(100..112).contains(n)),
            ),
            rows("eni-late", 90..288),
            rows("eni-nearly", (0..288).filter(|n| !(24..35).contains(n))),
            rows("eni-once", [7]),
            rows("eni-slow", (0..288).step_by(2)),
        ];
        assert_eq!(found(&all, None), (vec![(24, 60, 2), (100, 112, 1)], 0));
        // What was let go may have been there.
        assert_eq!(found(&all, Some((50, 99))), (vec![(100, 112, 1)], 0));
        assert_eq!(found(&all, Some((60, 99))).0.len(), 2);
    }

    #[test]
    fn invented_times_take_no_more_than_there_is_room_for() {
        let invented = rows("eni-1", (0..5_000).map(|n| n * 13));
        let longer = rows("eni-2", [0, 9_999]);
        let (listed, more) = found(&[invented, longer], None);
        assert_eq!((listed.len(), more), (20, 4_999 + 1 - 20));
        let few = rows("eni-2", (0..3).map(|n| n * n * 50));
        assert_eq!(found(&[few], None).0, [(51, 200, 1), (1, 50, 1)]);
    }
}
