//! What is usual: small running statistics of one interface.
//!
//! *Rejected records per window and per hour* follow a negative binomial whose mean and variance are
//! exponentially weighted, learned with winsorized values and frozen while alarming (at most a day),
//! so that a flood teaches nothing and a lasting change is learned in the end. *Bytes* follow the
//! same recursion on a log scale.
//!
//! State is a function of the closed windows in order: [`Baseline::advance`] takes in each window
//! once, so a redelivered or re-folded window changes nothing.

use serde::{Deserialize, Serialize};
use statrs::distribution::{DiscreteCDF as _, NegativeBinomial};

use super::{History, total};
use crate::record::{HOUR_SECONDS, Window};
use crate::rollup::Rollup;

/// Windows after which an interface counts as known (six hours).
pub const KNOWN: u32 = 72;
/// Windows that stay open: records of a window arrive in several deliveries, up to 15 minutes late.
pub const OPEN: i64 = 3;
/// As many alarming windows, or hours, (a day) teach nothing; what lasts longer is learned, quickly.
const FROZEN: u16 = 288;
const FROZEN_HOURS: u16 = 24;
/// A flow log that aggregates over ten minutes, as they do unless told otherwise, has a record in every second window:
/// windows that are so far apart are in a row.
pub(super) const GAP: i64 = 2;

/// A running negative binomial of counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// How many values were learned.
    pub n: u32,
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
    /// Alarming values since the last one that was learned.
    pub frozen: u16,
}

impl Counts {
    /// The smallest value from `least` on that alarms: P(X ≥ x) below `alarm`.
    pub fn alarms_from(&self, least: u64, alarm: f64) -> u64 {
        let alarms = |x: u64| self.tail(x) < alarm;
        let (mut below, mut from) = (least, least.max(1));
        while !alarms(from) && from < u64::MAX / 2 {
            (below, from) = (from, from * 2);
        }
        while from - below > 1 {
            let middle = below + (from - below) / 2;
            if alarms(middle) { from = middle } else { below = middle }
        }
        if alarms(below) { below } else { from }
    }

    /// P(X ≥ `x`) for the next value: 1 for 0, and 1 while nothing is known.
    pub fn tail(&self, x: u64) -> f64 {
        if x == 0 || self.n == 0 {
            return 1.0;
        }
        // An interface that never refused anything is expected to do so now and then.
        let mean = self.mean.max(0.05);
        let variance = self.variance.max(1.05 * mean);
        let size = mean * mean / (variance - mean);
        match NegativeBinomial::new(size, size / (size + mean)) {
            Ok(usual) => usual.sf(x - 1),
            Err(_) => 1.0,
        }
    }

    /// Learns `x`, unless it is alarming (`p` below `alarm`) and has not been so for `frozen` values.
    pub fn learn(&mut self, x: u64, known: u32, alarm: f64, frozen: u16) {
        let mut step = (1.0 / (f64::from(self.n) + 1.0)).max(0.01);
        let mut value = as_f64(x);
        if self.n >= known && self.tail(x) < alarm {
            if self.frozen < frozen {
                self.frozen += 1;
                return;
            }
            step = 0.1;
        } else {
            self.frozen = 0;
            if self.n >= known {
                value = value.min(self.mean + 3.0 * self.variance.max(self.mean).max(1.0).sqrt());
            }
        }
        let distance = value - self.mean;
        self.mean += step * distance;
        self.variance = (1.0 - step) * (self.variance + step * distance * distance);
        self.n = self.n.saturating_add(1);
    }
}

/// A running mean and variance of ln(1 + x).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// How many values were learned.
    pub n: u32,
    /// Mean of ln(1 + x).
    pub mean: f64,
    /// Variance of ln(1 + x).
    pub variance: f64,
}

impl Volume {
    /// How many standard deviations ln(1 + `x`) lies above the mean; the deviation is at least 0.1.
    pub fn sigmas(&self, x: u64) -> f64 {
        (as_f64(x).ln_1p() - self.mean) / self.variance.sqrt().max(0.1)
    }

    /// Learns `x`; what lies more than three deviations above counts as three.
    pub fn learn(&mut self, x: u64, known: u32) {
        let step = (1.0 / (f64::from(self.n) + 1.0)).max(0.02);
        let mut value = as_f64(x).ln_1p();
        if self.n >= known {
            value = value.min(self.mean + 3.0 * self.variance.sqrt().max(0.1));
        }
        let distance = value - self.mean;
        self.mean += step * distance;
        self.variance = (1.0 - step) * (self.variance + step * distance * distance);
        self.n = self.n.saturating_add(1);
    }

    /// What is usual, back on the scale of x.
    pub fn usual(&self) -> f64 {
        self.mean.exp_m1()
    }
}

/// What is usual on one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The last window that was taken in.
    pub last: Option<Window>,
    /// Rejected records per window.
    pub rejects: Counts,
    /// The same without late replies; nothing yet in what older versions wrote.
    #[serde(default)]
    pub fresh: Counts,
    /// Rejected records per hour, without late replies.
    pub hourly: Counts,
    /// Bytes to public addresses per hour that has any.
    pub egress: Volume,
    /// How many of the last windows in a row had records, at most one missing between two; for the rule about
    /// silence.
    pub streak: u16,
    /// What the hour that goes on has had; `None` if it was not seen from its beginning, as in what older versions
    /// wrote.
    #[serde(default)]
    pub hour: Option<Hour>,
}

/// Sums over the windows of an hour that were taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    /// How many windows had records.
    pub windows: u16,
    /// Rejected records without late replies.
    pub rejects: u64,
    /// Bytes to public addresses.
    pub sent: u64,
}

/// An hour is learned if so many of its windows had records: all that a flow log of ten-minute records has.
const MOST: u16 = 6;

/// Hours after which the hourly figures count as known.
pub(super) const KNOWN_HOURS: u32 = 24;
/// Below this probability a window alarms.
pub(super) const ALARM: f64 = 1e-6;
/// Below this probability an hour alarms.
pub(super) const ALARM_HOUR: f64 = 1e-3;

impl Baseline {
    /// Rejected records per window, without late replies as soon as that is known.
    pub(super) fn without_replies(&self) -> &Counts {
        if self.fresh.n < KNOWN { &self.rejects } else { &self.fresh }
    }

    /// Takes in every window after the last one, up to and with `to`, that has logs at all. A
    /// window with logs and no rejects counts as 0; one without logs teaches nothing.
    pub fn advance(&mut self, history: &History, to: Window) {
        let from = self.last.map_or(Window::default(), |last| last.forward(1));
        if from > to {
            return;
        }
        for (window, rollup) in history.windows.range(from..=to) {
            self.rejects.learn(rejected(rollup), KNOWN, ALARM, FROZEN);
            self.fresh.learn(without_replies(rollup), KNOWN, ALARM, FROZEN);
            let follows = self.last.is_none_or(|last| last.forward(GAP) >= *window);
            self.streak = if follows { self.streak.saturating_add(1) } else { 1 };
            // A host may be quiet at the end of an hour, and ten-minute records may have none in its last window.
            if self.last.is_none_or(|last| last.hour() < window.hour()) {
                self.learn_hour();
                self.hour = Some(Hour::default());
            }
            if let Some(hour) = &mut self.hour {
                hour.windows = hour.windows.saturating_add(1);
                hour.rejects = hour.rejects.saturating_add(without_replies(rollup));
                hour.sent = hour.sent.saturating_add(to_public(rollup));
            }
            if window.end() % HOUR_SECONDS == 0 {
                self.learn_hour();
            }
            self.last = Some(*window);
        }
    }

    /// Learns the hour that is over, if most of it was seen.
    fn learn_hour(&mut self) {
        let Some(hour) = self.hour.take().filter(|hour| hour.windows >= MOST) else { return };
        self.hourly.learn(hour.rejects, KNOWN_HOURS, ALARM_HOUR, FROZEN_HOURS);
        // What is usual where something is sent: beside hours of nothing no volume would stand out.
        if hour.sent > 0 {
            self.egress.learn(hour.sent, KNOWN_HOURS);
        }
    }

    /// The baseline as it was to be had for judging `at`: every closed window before it.
    #[must_use]
    pub fn before(mut self, history: &History, at: Window) -> Self {
        self.advance(history, at.back(OPEN));
        self
    }
}

/// Rejected records of a window that block-public-access does not explain.
pub(super) fn rejected(rollup: &Rollup) -> u64 {
    let blocked = rollup.reject_reasons.get(super::block_public_access::REASON).copied();
    rollup.totals().reject.records.saturating_sub(blocked.unwrap_or(0))
}

/// The same without late replies, as far as lists tell: what `reject-anomaly` judges.
fn without_replies(rollup: &Rollup) -> u64 {
    let replies = rollup.rejected_sources.iter().map(|(_, source)| source.replies);
    rejected(rollup).saturating_sub(super::total(replies))
}

/// Accepted bytes from the interface to public addresses.
pub(super) fn to_public(rollup: &Rollup) -> u64 {
    use crate::record::{Action, Direction, Scope};
    let out = |key: &(Action, Direction, Scope)| {
        matches!(key, (Action::Accept, Direction::Egress, Scope::Public))
    };
    total(rollup.breakdown.iter().filter(|(key, _)| out(key)).map(|(_, sums)| sums.bytes))
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 need no exactness")]
fn as_f64(x: u64) -> f64 {
    x as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::{rejects, window};
    use proptest::prelude::*;

    fn learned(values: impl IntoIterator<Item = u64>) -> Counts {
        let mut counts = Counts::default();
        for x in values {
            counts.learn(x, KNOWN, ALARM, FROZEN);
        }
        counts
    }

    #[test]
    fn tails_are_those_of_the_negative_binomial() {
        // Mean 4, variance 8: size 4, success probability 1/2. P(X >= 1) = 1 - 1/16.
        let counts = Counts { n: 100, mean: 4.0, variance: 8.0, frozen: 0 };
        assert!((counts.tail(1) - 15.0 / 16.0).abs() < 1e-9);
        // P(X >= 2) = 1 - 1/16 - 4/32.
        assert!((counts.tail(2) - (1.0 - 1.0 / 16.0 - 0.125)).abs() < 1e-9);
        assert!((counts.tail(0) - 1.0).abs() < f64::EPSILON);
        assert!((Counts::default().tail(1_000_000) - 1.0).abs() < f64::EPSILON, "nothing is known");
        let never = Counts { n: 300, ..Counts::default() };
        assert!(never.tail(1) > 1e-2 && never.tail(20) < 1e-12);
    }

    #[test]
    fn what_alarms_is_found_where_it_begins() {
        for (mean, variance) in [(0.0, 0.0), (4.0, 8.0), (40.0, 4_000.0)] {
            let counts = Counts { n: 300, mean, variance, frozen: 0 };
            let from = counts.alarms_from(1, ALARM);
            assert!(counts.tail(from) < ALARM && counts.tail(from - 1) >= ALARM, "{mean} {from}");
            assert_eq!(counts.alarms_from(from + 7, ALARM), from + 7);
        }
    }

    #[test]
    fn a_lasting_change_of_the_hourly_figures_is_learned_after_a_day() {
        let mut hourly = Counts::default();
        (0..72).for_each(|_| hourly.learn(2, KNOWN_HOURS, ALARM_HOUR, FROZEN_HOURS));
        let alarming = (0..72).filter(|_| {
            let alarms = hourly.tail(48) < ALARM_HOUR;
            hourly.learn(48, KNOWN_HOURS, ALARM_HOUR, FROZEN_HOURS);
            alarms
        });
        assert!((24..36).contains(&alarming.count()));
    }

    #[test]
    fn a_flood_teaches_nothing_for_a_day_and_is_learned_afterwards() {
        let calm = learned((0..200).map(|n| n % 4));
        let mut flooded = calm;
        for _ in 0..288 {
            flooded.learn(5_000, KNOWN, ALARM, FROZEN);
        }
        assert_eq!((flooded.mean, flooded.n, flooded.frozen), (calm.mean, calm.n, 288));
        assert!(flooded.tail(25) < ALARM, "a burst after a flood is seen");
        for _ in 0..60 {
            flooded.learn(5_000, KNOWN, ALARM, FROZEN);
        }
        assert!(flooded.tail(5_000) > 1e-3, "{flooded:?}");
    }

    #[test]
    fn a_window_is_taken_in_once_and_only_when_closed() {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        for n in 0..20 {
            history.add(window(n), &rejects((0..3).map(|p| ("203.0.113.7".to_owned(), p + 1))));
        }
        let mut once = Baseline::default();
        once.advance(&history, window(9));
        let mut twice = once;
        twice.advance(&history, window(9));
        twice.advance(&history, window(4));
        assert_eq!(twice, once);
        assert_eq!((once.rejects.n, once.last, once.streak), (10, Some(window(9)), 10));
        assert!((once.rejects.mean - 3.0).abs() < 1e-9);
        assert_eq!(once.before(&history, window(15)).last, Some(window(12)));
        // In pieces as at once.
        let mut at_once = Baseline::default();
        at_once.advance(&history, window(19));
        once.advance(&history, window(13));
        once.advance(&history, window(19));
        assert_eq!(once, at_once);
        // Every hour that was seen is one value.
        assert_eq!(at_once.hourly.n, 1);
    }

    #[test]
    fn an_hour_is_learned_whichever_of_its_windows_have_records() {
        use crate::detect::tests::sent;
        let learned = |windows: &[i64]| {
            let mut history = History::default();
            for hour in 0..30 {
                for n in windows {
                    history.add(window(12 * hour + n), &sent("198.51.100.1", 1_000));
                }
            }
            let (mut at_once, mut each) = (Baseline::default(), Baseline::default());
            at_once.advance(&history, window(400));
            (0..400).for_each(|n| each.advance(&history, window(n)));
            assert_eq!(each, at_once);
            (at_once.hourly.n, at_once.egress.n, super::super::rounded(at_once.egress.usual()))
        };
        let odd = [1, 3, 5, 7, 9, 11];
        assert_eq!(learned(&odd), (30, 30, 6_000));
        // The last hour is over when another one begins.
        assert_eq!(learned(&odd.map(|n| n - 1)), (29, 29, 6_000));
        assert_eq!(learned(&[0, 1, 2, 3, 4, 5]), (29, 29, 6_000));
        assert_eq!(learned(&[0, 2, 4, 6, 11]), (0, 0, 0), "most of it was not seen");
    }

    /// The hour that goes on while an alerter is updated is not learned: what was taken in of it is not known.
    #[test]
    fn what_older_versions_wrote_goes_on() {
        let mut history = History::default();
        for n in 0..40 {
            history.add(window(n), &rejects(std::iter::once(("203.0.113.7".to_owned(), 23))));
        }
        let older = |last: i64| {
            let mut baseline = Baseline::default();
            baseline.advance(&history, window(last));
            let mut stored = serde_json::to_value(baseline).unwrap();
            stored.as_object_mut().unwrap().remove("hour");
            let read: Baseline = serde_json::from_value(stored).unwrap();
            (read, baseline)
        };
        let (mut midst, _) = older(14);
        midst.advance(&history, window(39));
        assert_eq!((midst.hourly.n, midst.last), (2, Some(window(39))), "without the second hour");
        let (end, baseline) = older(23);
        assert_eq!(end, baseline, "nothing is missing at the end of an hour");
    }

    #[test]
    fn bytes_are_judged_on_a_log_scale() {
        let mut volume = Volume::default();
        for n in 0..100_u64 {
            volume.learn(1_000_000 + (n % 10) * 100_000, KNOWN_HOURS);
        }
        assert!(volume.sigmas(2_000_000) < 6.0 && volume.sigmas(600_000_000) > 6.0);
        assert!((1e6..2e6).contains(&volume.usual()));
    }

    proptest! {
        /// Whatever is learned, a probability is one, and more is never likelier.
        #[test]
        fn tails_fall(values in proptest::collection::vec(0_u64..100_000, 0..300), x in 0_u64..200_000) {
            let counts = learned(values);
            let (p, q) = (counts.tail(x), counts.tail(x + 1));
            prop_assert!((0.0..=1.0).contains(&p) && q <= p + 1e-9, "{counts:?} {p} {q}");
        }
    }
}
