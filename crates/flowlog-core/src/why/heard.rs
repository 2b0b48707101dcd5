//! Of which times something was heard of an interface, and of which nothing.

use crate::record::WINDOW_SECONDS;

/// So many windows (15 minutes) without a record are a silence: AWS delivers NODATA where there is no
/// traffic, every ten minutes at the latest.
const SILENCE: i64 = 3;
/// How many stretches of one interface are told apart; beyond that the shortest silence is forgotten.
const STRETCHES: usize = 16;
/// The same of all interfaces together: of an archive of months each night may be one.
const OF_ALL: usize = 4_096;

/// Stretches of time (first and last second), sorted, with at least one window between any two that neither touches.
/// Windows decide what is a silence; seconds tell when it began and ended, since a record reaches into the next window.
#[derive(Debug, Clone)]
pub struct Heard(Vec<(i64, i64)>, usize);

impl Default for Heard {
    /// Of one interface.
    fn default() -> Self {
        Self(Vec::new(), STRETCHES)
    }
}

/// The number of the window that a second is in.
fn window(epoch: i64) -> i64 {
    epoch.div_euclid(WINDOW_SECONDS)
}

impl Heard {
    /// Of all interfaces together.
    pub fn of_all() -> Self {
        Self(Vec::new(), OF_ALL)
    }

    /// Something was heard from one second to another (epoch seconds, both included).
    pub fn add(&mut self, from: i64, to: i64) {
        let to = to.max(from);
        if self.0.last().is_some_and(|(first, last)| *first <= from && to <= *last) {
            return;
        }
        // The first stretch that reaches up to it, and the first that begins behind it.
        let first = self.0.partition_point(|(_, last)| window(*last) + 1 < window(from));
        let behind = self.0.partition_point(|(start, _)| window(*start) <= window(to) + 1);
        let touched = self.0.get(first..behind).unwrap_or_default();
        let from = touched.first().map_or(from, |(start, _)| from.min(*start));
        let to = touched.last().map_or(to, |(_, last)| to.max(*last));
        self.0.splice(first..behind.max(first), [(from, to)]);
        if self.0.len() > self.1 {
            let between = |n: &usize| self.0[n + 1].0 - self.0[*n].1;
            let least = (0..self.0.len() - 1).min_by_key(between).unwrap_or_default();
            let (_, end) = self.0.remove(least + 1);
            self.0[least].1 = end;
        }
    }

    /// Adds what another heard.
    pub fn merge(&mut self, other: &Self) {
        for (from, to) in &other.0 {
            self.add(*from, *to);
        }
    }

    /// The first and the last second; `None` if nothing was heard.
    pub fn ends(&self) -> Option<(i64, i64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// The silences (first and last second) between one second and another, both included.
    pub fn silences(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        // Each second with the first window that is all behind it, or all before it.
        let starts = self.0.iter().map(|(start, _)| (*start, window(*start)));
        let starts = starts.chain([(to + 1, window(to) + 1)]);
        let ends = self.0.iter().map(|(_, last)| (last + 1, window(*last) + 1));
        let ends = [(from, window(from))].into_iter().chain(ends);
        ends.zip(starts)
            .filter(|((_, first), (_, behind))| behind - first >= SILENCE)
            .map(|((end, _), (start, _))| (end, start - 1))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(windows: &[(i64, i64)]) -> Heard {
        let mut heard = Heard::default();
        for (from, to) in windows {
            heard.add(from * 300, to * 300 + 299);
        }
        heard
    }

    fn silences(heard: &Heard, from: i64, to: i64) -> Vec<(i64, i64)> {
        let found = heard.silences(from * 300, to * 300 + 299);
        found.into_iter().map(|(from, to)| (from / 300, to / 300)).collect()
    }

    #[test]
    fn silences_are_what_no_record_touches() {
        // In any order, overlapping, touching.
        for windows in [
            [(10, 12), (20, 22), (13, 13), (21, 25), (40, 40)],
            [(40, 40), (21, 25), (13, 13), (20, 22), (10, 12)],
        ] {
            let heard = heard(&windows);
            assert_eq!(heard.0.len(), 3, "{heard:?}");
            assert_eq!(silences(&heard, 10, 40), [(14, 19), (26, 39)]);
            assert_eq!(silences(&heard, 8, 42), [(14, 19), (26, 39)], "two windows are none");
            assert_eq!(silences(&heard, 7, 43), [(7, 9), (14, 19), (26, 39), (41, 43)]);
        }
        assert_eq!(silences(&Heard::default(), 3, 9), [(3, 9)]);
    }

    #[test]
    fn a_silence_lasts_from_the_last_second_to_the_next() {
        // The records reach a second into windows 2 and 6; those between are missing.
        let mut heard = Heard::default();
        for (from, to) in [(300, 600), (2099, 2160)] {
            heard.add(from, to);
        }
        assert_eq!(heard.silences(300, 2160), [(601, 2098)]);
        // Two windows that nothing touches are no silence, however many seconds there are.
        let mut heard = Heard::default();
        for (from, to) in [(300, 601), (1799, 1860)] {
            heard.add(from, to);
        }
        assert_eq!(heard.silences(300, 1860), [(0, 0); 0]);
    }

    #[test]
    fn memory_is_bounded_and_only_short_silences_are_forgotten() {
        let mut heard = heard(&[(0, 0), (100_000, 100_000)]);
        for n in 0..10_000 {
            heard.add(n * 1500, n * 1500);
        }
        assert_eq!(heard.0.len(), STRETCHES);
        assert!(silences(&heard, 0, 100_000).contains(&(49_995, 99_999)));
    }
}
