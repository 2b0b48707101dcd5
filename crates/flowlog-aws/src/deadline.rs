//! When an invocation has to stop by itself, before Lambda stops it, and where work begins that it may not get through.

use std::time::Duration;

/// What is left to Lambda for getting the answer out.
const RESERVE: Duration = Duration::from_secs(5);

/// The end of an invocation, if it has one. An attempt that is stopped there is like one that
/// crashed: the delivery comes again, and what it wrote is written again. The answer, however, gets
/// out, so that only the deliveries that are not finished come again, and each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Epoch milliseconds.
    end: Option<u64>,
}

impl Deadline {
    /// No end.
    pub const NONE: Self = Self { end: None };

    /// The deadline of an invocation that begins at `now` (epoch seconds), as Lambda names it (epoch
    /// milliseconds). One that has passed by then is none: local servers of Lambda's interface name
    /// one in 1970.
    pub fn of(end: u64, now: i64) -> Self {
        let begun = millis(now);
        Self { end: Some(end).filter(|end| *end > begun) }
    }

    /// The same, so much sooner: for work that other work comes after.
    #[must_use]
    pub fn sooner(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self { end: self.end.map(|end| end.saturating_sub(by)) }
    }

    /// Time that is left for work at `now`; `None` without an end.
    pub fn left(self, now: i64) -> Option<Duration> {
        let left = Duration::from_millis(self.end?.saturating_sub(millis(now)));
        Some(left.saturating_sub(RESERVE))
    }

    /// What `work` comes to, or `None` if the time is up before. Without any time it is not begun.
    pub async fn within<T>(self, now: i64, work: impl Future<Output = T>) -> Option<T> {
        match self.left(now) {
            None => Some(work.await),
            Some(Duration::ZERO) => None,
            Some(left) => tokio::time::timeout(left, work).await.ok(),
        }
    }
}

/// Where an hourly run begins in a list of `len` that its time may not be enough for, by the hour of
/// `now` (epoch seconds), so that nothing has to be remembered. From hour to hour the beginning goes on
/// by the golden ratio: those of any `k` hours in a row lie nearly evenly, neighbours less than `2 len / k`
/// apart. So whatever part of the list a run gets through, all of it has its turn within about twice as
/// many runs as it takes at least.
pub fn begin(now: i64, len: usize) -> usize {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 / 1.618…
    let turn = u64::try_from(now / 3600).unwrap_or(0).wrapping_mul(GOLDEN);
    usize::try_from((u128::from(turn) * len as u128) >> 64).unwrap_or(0)
}

fn millis(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_time_for_the_answer() {
        assert_eq!(Deadline::of(100_000, 40).left(40), Some(Duration::from_secs(55)));
        assert_eq!(Deadline::of(100_000, 40).left(94), Some(Duration::from_secs(1)));
        assert_eq!(Deadline::of(100_000, 40).left(95), Some(Duration::ZERO));
        let sooner = Deadline::of(100_000, 40).sooner(Duration::from_secs(50));
        assert_eq!(sooner.left(40), Some(Duration::from_secs(5)));
        assert_eq!(Deadline::NONE.sooner(Duration::from_secs(50)).left(40), None);
        assert_eq!(Deadline::of(100_000, 40).left(1000), Some(Duration::ZERO));
        assert_eq!(Deadline::of(0, 40).left(40), None, "no deadline");
        assert_eq!(Deadline::of(600_000, 1_793_491_200).left(1_793_491_200), None, "one in 1970");
    }

    #[test]
    fn beginnings_of_hours_in_a_row_lie_nearly_evenly() {
        assert_eq!((begin(1_793_491_200, 0), begin(-7, 3)), (0, 0));
        for len in [1, 7, 24, 1000, 13_600] {
            for first in (0..40).map(|n| 1_793_491_200 + n * 3600) {
                for runs in 1..=48_usize {
                    let mut begun: Vec<usize> =
                        (0..).take(runs).map(|n| begin(first + 3600 * n, len)).collect();
                    begun.sort_unstable();
                    begun.push(begun[0] + len);
                    let apart = begun.windows(2).map(|two| two[1] - two[0]).max().unwrap();
                    assert!(apart <= 2 * len / runs + 1, "{len} {runs}: {apart} {begun:?}");
                }
            }
        }
    }
}
