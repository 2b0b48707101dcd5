//! Bounded lists of heavy entries, with a bound on what they leave out.

use serde::{Deserialize, Serialize};

/// A value that a list is ranked by.
pub trait Weigh {
    /// Heavier entries are kept.
    fn weight(&self) -> u64;
    /// Adds the value of the same key from elsewhere.
    fn absorb(&mut self, other: &Self);
}

/// The heaviest entries, sorted by key (so that equal contents are equal bytes).
///
/// Every listed weight is a lower bound: the true one is at most `error` more; the true weight of a
/// key that is not listed is at most `error`. With `error` = 0 the list is complete and exact.
/// (Mergeable summaries: Agarwal et al., 2012.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked<K, V> {
    entries: Vec<(K, V)>,
    error: u64,
}

impl<K, V> Default for Ranked<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), error: 0 }
    }
}

impl<K: Ord + Clone, V: Weigh + Clone> Ranked<K, V> {
    /// A list of entries with different keys, of which some may have been dropped before: no
    /// dropped one weighed more than `error`.
    pub fn new(mut entries: Vec<(K, V)>, error: u64) -> Self {
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self { entries, error }
    }

    /// The bound on everything that is not listed.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    /// The values, to be trimmed; their weights must not change.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, v)| v)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.entries.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(&self.entries[at].1)
    }

    /// The entries, heaviest first; equal weights by key.
    pub fn heaviest(&self) -> Vec<(&K, &V)> {
        let mut ranked: Vec<_> = self.iter().collect();
        ranked.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(b.0)));
        ranked
    }

    /// Adds another list. Nothing is dropped; see [`Ranked::cap`].
    pub fn merge(&mut self, other: &Self) {
        self.error = self.error.saturating_add(other.error);
        let mut mine = self.entries.iter_mut().peekable();
        let mut new = Vec::new();
        for (key, value) in &other.entries {
            while mine.next_if(|(k, _)| *k < *key).is_some() {}
            match mine.next_if(|(k, _)| *k == *key) {
                Some((_, known)) => known.absorb(value),
                None => new.push((key.clone(), value.clone())),
            }
        }
        if !new.is_empty() {
            // Two runs that are sorted: the sort only merges them.
            // No more memory than it takes: many are held, and few grow again.
            self.entries.reserve_exact(new.len());
            self.entries.append(&mut new);
            self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }

    /// Keeps the `n` heaviest and notes in `error` what the heaviest dropped one weighed.
    pub fn cap(&mut self, n: usize) {
        if self.entries.len() <= n {
            return;
        }
        let (_, (_, heaviest), _) = self.entries.select_nth_unstable_by(n, |a, b| {
            b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0))
        });
        // Never nothing: without an error the list would say that it is complete.
        self.error = self.error.saturating_add(heaviest.weight().max(1));
        self.entries.truncate(n);
        self.entries.shrink_to_fit();
        self.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
}
