//! Waiting before another attempt.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits before the `attempt`-th repetition (from 1): full jitter, so that those who failed
/// together do not come back together.
pub(crate) async fn pause(first: Duration, longest: Duration, attempt: u32) {
    tokio::time::sleep(jittered(most(first, longest, attempt))).await;
}

/// The longest wait before a repetition: twice that of the one before.
fn most(first: Duration, longest: Duration, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(longest)
}

/// Anything from nothing to `most`.
fn jittered(most: Duration) -> Duration {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random() % micros)
}

/// Any number. Randomness without a generator: a hash under a fresh key.
pub(crate) fn random() -> u64 {
    // The keys of one thread follow one another.
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let [first, longest] = [100, 1600].map(Duration::from_millis);
        let most: Vec<u128> =
            [0, 1, 2, 3, 5, 6, u32::MAX].map(|n| most(first, longest, n).as_millis()).to_vec();
        assert_eq!(most, [100, 100, 200, 400, 1600, 1600, 1600]);
        let waits: Vec<Duration> = (0..50).map(|_| jittered(longest)).collect();
        assert!(waits.iter().all(|wait| *wait < longest));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
