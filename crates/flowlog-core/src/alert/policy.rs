//! How often people may be told.

use crate::detect::{OPEN, Rule};
use crate::record::{DAY_SECONDS, HOUR_SECONDS};

/// Cooldown, budget and hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The same alert is not repeated for so many seconds, unless it gets more severe. Each update
    /// doubles it, up to [`Policy::LONGEST`].
    pub cooldown: i64,
    /// Notifications per hour and topic; one digest comes on top.
    pub budget_per_hour: u32,
    /// Of these, so many are kept for high severity, so that cheap noise cannot mute the real event.
    pub reserved_for_high: u32,
    /// Findings whose window ended more than this many seconds ago go to the digest at most. A day's rules look at
    /// windows that ended up to 75 minutes ago.
    pub stale_after: Option<i64>,
}

impl Policy {
    /// The longest cooldown: an alert that goes on is told at least once a day.
    pub const LONGEST: i64 = DAY_SECONDS;
    /// An alert is over when it has been quiet for so many windows, after those that may still come.
    pub(super) const QUIET: i64 = 3;
    /// Whoever claims publishes in so many seconds, and others who find the same leave it alone for so long.
    pub(super) const PUBLISHES_IN: i64 = 2;
    /// What was claimed so many seconds ago and not published is published by the sweeper.
    pub const REPAIR_AFTER: i64 = 30;
    /// Seconds between two digests, at least.
    pub const DIGEST_EVERY: i64 = HOUR_SECONDS;
    /// What was not noted for so many seconds is news when it comes again.
    pub const FORGOTTEN: i64 = 2 * HOUR_SECONDS;

    /// For how many windows after the last one in which this rule fired an alert goes on.
    ///
    /// Of a rule that looks once an hour one look may have found the first window of its hour, and the next one, an
    /// hour later, the last. `egress-volume` tells of an hour only if it is no less than the one before, so of a volume
    /// that hardly changes every second look finds nothing.
    pub(super) fn goes_on(rule: Rule) -> i64 {
        let looks = if rule == Rule::EgressVolume { 4 } else { 2 };
        OPEN + Self::QUIET + looks * rule.looks_every()
    }

    /// How many of an hour's notifications this severity may use.
    pub fn limit(&self, high: bool) -> u32 {
        if high {
            self.budget_per_hour
        } else {
            self.budget_per_hour.saturating_sub(self.reserved_for_high)
        }
    }

    /// How often something that is noted again and again was due in a digest, so many seconds after it
    /// was news: after 1, 2, 4 and 8 more hours, then once a day.
    pub(super) fn reminders(seconds: i64) -> i64 {
        match seconds / HOUR_SECONDS {
            ..1 => 0,
            1..3 => 1,
            3..7 => 2,
            7..15 => 3,
            _ => 4 + (seconds - 15 * HOUR_SECONDS) / Self::LONGEST,
        }
    }

    /// The cooldown after so many notifications of one episode.
    pub(super) fn cooldown_after(&self, told: u32) -> i64 {
        let doublings = told.saturating_sub(1).min(30);
        self.cooldown.saturating_mul(1 << doublings).min(Self::LONGEST.max(self.cooldown))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cooldown: HOUR_SECONDS,
            budget_per_hour: 20,
            reserved_for_high: 5,
            stale_after: Some(5_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_due_ever_less_often() {
        let due =
            (1..96).filter(|h| Policy::reminders(h * 3_600) > Policy::reminders((h - 1) * 3_600));
        assert_eq!(due.collect::<Vec<_>>(), [1, 3, 7, 15, 39, 63, 87]);
        assert_eq!(Policy::reminders(-5), 0);
    }
}
