//! Capture windows and their share of the row budget.
//!
//! AWS opens a capture window every 60 s, at a second of its own choosing. Here the whole network shares one such
//! phase, drawn from the seed, so that one window in five straddles two five-minute slots: a record that starts in one
//! slot and ends in the next is delivered with the next, as in real life. The recording begins and ends with a short
//! window, so that no row leaves it.

use super::draw::Draw;
use super::plan::Plan;
use flowlog_core::record::HOUR_SECONDS;

/// The seconds of one aggregation window and of one delivery slot.
pub(super) const WINDOW: i64 = 300;
/// The seconds of one capture window.
const CAPTURE: i64 = 60;

/// Traffic by hour of the day (UTC), in per cent of the busiest hour: quiet at night, a dip at noon, busy evenings.
const RHYTHM: [i64; 24] = [
    46, 38, 33, 30, 29, 31, 38, 50, 66, 80, 88, 91, 88, 90, 94, 97, 98, 100, 98, 95, 90, 82, 70, 57,
];

/// One interval of AWS's own, and how many benign rows belong into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaptureWindow {
    /// The first second.
    pub(super) from: i64,
    /// The last second.
    pub(super) to: i64,
    /// The number of rows.
    pub(super) share: u64,
}

impl CaptureWindow {
    /// The number of seconds.
    pub(super) fn seconds(&self) -> i64 {
        self.to - self.from + 1
    }
}

/// Iterates over the capture windows of a plan.
#[derive(Debug)]
pub(super) struct Clock {
    next: i64,
    end: i64,
    /// Where in a minute the windows begin.
    phase: i64,
    rows: u128,
    weight: u128,
    weight_so_far: u128,
}

impl Clock {
    /// The windows from the plan's first to its last second.
    pub(super) fn new(plan: &Plan) -> Self {
        let phase = Draw::new(plan.seed, "clock", 0).seconds(7, 53);
        let rows = u128::from(plan.minutes) * u128::from(plan.rate);
        let mut clock =
            Self { next: plan.start, end: plan.end(), phase, rows, weight: 0, weight_so_far: 0 };
        let mut from = plan.start;
        while from < clock.end {
            let to = clock.last_second(from);
            clock.weight += weight(from, to);
            from = to + 1;
        }
        clock
    }

    fn last_second(&self, from: i64) -> i64 {
        let next = from + CAPTURE - (from - self.phase).rem_euclid(CAPTURE);
        next.min(self.end) - 1
    }

    /// The rows due up to the weight passed so far: rounding never adds up, the last window completes the budget.
    fn due(&self) -> u128 {
        self.rows * self.weight_so_far / self.weight.max(1)
    }
}

impl Iterator for Clock {
    type Item = CaptureWindow;

    fn next(&mut self) -> Option<CaptureWindow> {
        if self.next >= self.end {
            return None;
        }
        let (from, to) = (self.next, self.last_second(self.next));
        let before = self.due();
        self.weight_so_far += weight(from, to);
        self.next = to + 1;
        let share = u64::try_from(self.due() - before).unwrap_or(u64::MAX);
        Some(CaptureWindow { from, to, share })
    }
}

/// The rhythm at a window's first second, straight between two full hours, times its length.
fn weight(from: i64, to: i64) -> u128 {
    let (hour, into) = (from.div_euclid(HOUR_SECONDS), from.rem_euclid(HOUR_SECONDS));
    let at = |hour: i64| RHYTHM[usize::try_from(hour.rem_euclid(24)).unwrap_or(0)];
    let level = at(hour) * (HOUR_SECONDS - into) + at(hour + 1) * into;
    u128::try_from(level * (to - from + 1)).unwrap_or(0)
}

/// The start of the five-minute window, or delivery slot, that a second falls into.
pub(super) fn window_of(second: i64) -> i64 {
    second - second.rem_euclid(WINDOW)
}
