//! The windows that rules look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::Window;
use crate::rollup::Rollup;

/// The folded windows of one interface (or VPC), as far back as the rules look. Copies share them.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The interface.
    pub interface_id: String,
    /// Its windows; one without records is absent.
    pub windows: BTreeMap<Window, Arc<Rollup>>,
}

impl History {
    /// The windows from `count - 1` windows before `at` up to and with `at`.
    pub fn last(&self, at: Window, count: i64) -> impl Iterator<Item = (&Window, &Rollup)> {
        self.windows.range(at.back(count - 1)..=at).map(|(window, rollup)| (window, &**rollup))
    }

    /// Adds a roll-up to a window.
    pub fn add(&mut self, window: Window, rollup: &Rollup) {
        Arc::make_mut(self.windows.entry(window).or_default()).merge(rollup);
    }

    /// Lets go of the windows before `oldest`.
    pub(super) fn forget(&mut self, oldest: Window) {
        if self.windows.first_key_value().is_some_and(|(window, _)| *window < oldest) {
            self.windows = self.windows.split_off(&oldest);
        }
    }

    /// SKIPDATA records in the last `count` windows.
    pub(super) fn skipdata(&self, at: Window, count: i64) -> u64 {
        super::total(self.last(at, count).map(|(_, rollup)| rollup.skipdata))
    }
}
