//! The 300 s window that records are rolled up by.

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Length of a window in seconds.
pub const WINDOW_SECONDS: i64 = 300;
/// Length of an hour in seconds.
pub const HOUR_SECONDS: i64 = 3_600;
/// Length of a day in seconds: UTC has no longer and no shorter ones.
pub const DAY_SECONDS: i64 = 86_400;
/// Windows in an hour.
pub const WINDOWS_PER_HOUR: i64 = HOUR_SECONDS / WINDOW_SECONDS;
/// Windows in a day.
pub const WINDOWS_PER_DAY: i64 = DAY_SECONDS / WINDOW_SECONDS;

/// A window: ⌊start / 300⌋ · 300, as epoch seconds, between 1970 and 2286 (ten digits).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Window(i64);

impl Window {
    /// The window that an epoch second falls into; `None` outside of 0 … 9,999,999,999.
    pub fn of(epoch: i64) -> Option<Self> {
        (0..10_000_000_000).contains(&epoch).then(|| Self(epoch - epoch % WINDOW_SECONDS))
    }

    /// First second of the window.
    pub fn start(self) -> i64 {
        self.0
    }

    /// First second after the window.
    pub fn end(self) -> i64 {
        self.0 + WINDOW_SECONDS
    }

    /// The window `n` windows earlier, stopping at the first one there is.
    #[must_use]
    pub fn back(self, n: i64) -> Self {
        Self((self.0 - n * WINDOW_SECONDS).max(0))
    }

    /// The window `n` windows later.
    #[must_use]
    pub fn forward(self, n: i64) -> Self {
        Self((self.0 + n * WINDOW_SECONDS).min(9_999_999_900))
    }

    /// The first window of the hour that this one is in.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0 - self.0 % HOUR_SECONDS)
    }

    /// The first window of the UTC day that this one is in.
    #[must_use]
    pub fn midnight(self) -> Self {
        Self(self.0 - self.0 % DAY_SECONDS)
    }

    /// The first windows of all hours of the UTC day that this one is in.
    pub fn hours_of_day(self) -> impl Iterator<Item = Self> {
        let midnight = self.midnight();
        (0..WINDOWS_PER_DAY / WINDOWS_PER_HOUR).map(move |n| midnight.forward(n * WINDOWS_PER_HOUR))
    }

    /// The UTC day of the window as `yyyymmdd`.
    pub fn day(self) -> String {
        let time = self.civil();
        format!("{:04}{:02}{:02}", time.year(), time.month(), time.day())
    }

    /// The first second of a day given as `yyyymmdd`; `None` if that is no day.
    pub fn day_start(day: &str) -> Option<i64> {
        if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let date =
            Date::new(day[..4].parse().ok()?, day[4..6].parse().ok()?, day[6..].parse().ok()?)
                .ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
    }

    /// The days that the windows from `self` to `to` fall into, as `yyyymmdd`, at most 4,000.
    pub fn days_to(self, to: Self) -> Vec<String> {
        (self.0 / DAY_SECONDS..=to.0 / DAY_SECONDS)
            .take(4_000)
            .filter_map(|day| Self::of(day * DAY_SECONDS))
            .map(Self::day)
            .collect()
    }

    fn civil(self) -> jiff::civil::DateTime {
        TimeZone::UTC.to_datetime(Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl fmt::Display for Window {
    /// `2026-11-01 00:05` in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.civil();
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_bounds() {
        let w = Window::of(1_793_491_499).unwrap();
        assert_eq!(w.start(), 1_793_491_200);
        assert_eq!(w.day(), "20261101");
        assert_eq!(w.to_string(), "2026-11-01 00:00");
        assert_eq!(Window::day_start("20261101"), Some(1_793_491_200));
        assert_eq!(Window::day_start("20261301"), None);
        assert_eq!(w.back(1).days_to(w), ["20261031", "20261101"]);
        assert_eq!(Window::of(-1), None);
        assert_eq!(Window::of(10_000_000_000), None);
        assert_eq!(Window::of(9_999_999_999).unwrap().forward(5).start(), 9_999_999_900);
    }

    #[test]
    fn hours_of_a_day() {
        let w = Window::of(1_793_491_200 + 5 * HOUR_SECONDS + 1_000).unwrap();
        assert_eq!(w.midnight().start(), 1_793_491_200);
        assert_eq!(w.midnight(), Window::of(Window::day_start(&w.day()).unwrap()).unwrap());
        let hours: Vec<Window> = w.hours_of_day().collect();
        assert_eq!((hours.len(), hours[0], hours[5]), (24, w.midnight(), w.hour()));
        assert!(hours.iter().all(|hour| hour.hour() == *hour && hour.day() == w.day()));
    }
}
