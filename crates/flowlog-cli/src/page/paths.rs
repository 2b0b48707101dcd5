//! Where bytes went to and came from, as far as records tell.

use std::collections::BTreeMap;

use flowlog_core::record::{Action, Direction, Scope};
use flowlog_core::rollup::Rollup;

use super::add;

/// What left by a path that no record named, where others did.
const NO_PATH: &str = "by a path that is not recorded";

/// Bytes by where they went or came from. What left is told by traffic-path where the format has it, and roll-ups
/// tally that for refused records, too; everything else is accepted bytes. Where no record has a path, what left is
/// told by whether the other side is private; where some have one, the accepted bytes beyond those are at least what
/// left without.
pub(super) fn paths(rollup: &Rollup) -> BTreeMap<&'static str, u64> {
    let mut paths: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut left, mut told) = (0, 0);
    for (path, bytes) in &rollup.path_bytes {
        add(paths.entry(path_name(*path)).or_default(), *bytes);
        add(&mut told, *bytes);
    }
    let pathless = rollup.path_bytes.is_empty();
    for ((action, direction, scope), sums) in rollup.breakdown.iter() {
        if action == Action::Reject {
            continue;
        }
        let name = match (direction, scope) {
            (Direction::Ingress, Scope::Public) => "from Internet addresses",
            (Direction::Ingress, _) => "from private addresses",
            (_, Scope::Public) if pathless => "to Internet addresses",
            (_, _) if pathless => "to private addresses",
            _ => {
                add(&mut left, sums.bytes);
                continue;
            }
        };
        add(paths.entry(name).or_default(), sums.bytes);
    }
    if left > told {
        paths.insert(NO_PATH, left - told);
    }
    paths
}

/// `traffic-path` in words.
fn path_name(path: u8) -> &'static str {
    match path {
        1 => "to the same VPC",
        2 => "to an Internet gateway or gateway endpoint",
        3 => "to a virtual private gateway",
        4 => "over peering in the region",
        5 => "over peering to another region",
        6 => "to a local gateway",
        7 => "to a gateway endpoint",
        8 => "to an Internet gateway",
        _ => "by another path",
    }
}

#[cfg(test)]
mod tests {
    use flowlog_core::rollup::{BreakdownKey, Sums};

    use super::*;

    fn rollup(breakdown: &[(BreakdownKey, u64)], path_bytes: &[(u8, u64)]) -> Rollup {
        let mut rollup =
            Rollup { path_bytes: path_bytes.iter().copied().collect(), ..Rollup::default() };
        for (key, bytes) in breakdown {
            rollup.breakdown.add(*key, &Sums { records: 1, packets: 1, bytes: *bytes });
        }
        rollup
    }

    #[test]
    fn what_left_without_a_recorded_path_is_told() {
        let left = (Action::Accept, Direction::Egress, Scope::Public);
        let inside = (Action::Accept, Direction::Unknown, Scope::Private);
        let came = (Action::Accept, Direction::Ingress, Scope::Public);
        let refused = (Action::Reject, Direction::Egress, Scope::Public);
        let all = [(left, 1000), (inside, 200), (came, 50), (refused, 300)];
        // Of 1,500 bytes out, refused ones with them, 700 have a path: 500 accepted ones at least have none.
        assert_eq!(
            paths(&rollup(&all, &[(8, 600), (1, 100)])),
            BTreeMap::from([
                ("from Internet addresses", 50),
                ("to an Internet gateway", 600),
                ("to the same VPC", 100),
                (NO_PATH, 500),
            ])
        );
        let told = paths(&rollup(&all, &[(8, 1500)]));
        assert!(!told.contains_key(NO_PATH), "{told:?}");
        assert_eq!(
            paths(&rollup(&all, &[])),
            BTreeMap::from([
                ("from Internet addresses", 50),
                ("to Internet addresses", 1000),
                ("to private addresses", 200),
            ])
        );
    }
}
