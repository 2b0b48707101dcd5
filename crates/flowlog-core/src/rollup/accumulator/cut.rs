//! The end of a chunk: the state becomes roll-ups, one after the other.
//!
//! A chunk may have tens of thousands of them, which together take several times what the state does.
//! So each is handed on before the next is made: entries are only put in order, by the place of their
//! interface and window in the chunk, and leave their tables as their turn comes.

use std::iter::Peekable;
use std::mem::take;
use std::vec::IntoIter;

use super::Accumulator;
use crate::record::Window;
use crate::rollup::Rollup;
use crate::rollup::lists::{Lists, Map};

/// The roll-ups of one chunk, sorted by interface id, then window.
pub type Chunk = Vec<(String, Window, Rollup)>;

/// Takes chunks, each roll-up as it is made.
pub trait ChunkSink {
    /// A chunk is full, or is the last one; whether its roll-ups are wanted. If not, nothing else is
    /// told of it, and nothing that follows is rolled up.
    fn begin(&mut self, is_last: bool) -> bool;

    /// The next one of the chunk; they come sorted by interface id, then window.
    fn rollup(&mut self, interface_id: &str, window: Window, rollup: Rollup);

    /// That was all of the chunk.
    fn end(&mut self);
}

/// Keeps them all.
impl ChunkSink for Vec<Chunk> {
    fn begin(&mut self, _: bool) -> bool {
        self.push(Chunk::new());
        true
    }

    fn rollup(&mut self, interface_id: &str, window: Window, rollup: Rollup) {
        if let Some(chunk) = self.last_mut() {
            chunk.push((interface_id.to_owned(), window, rollup));
        }
    }

    fn end(&mut self) {}
}

impl<C: ChunkSink> Accumulator<C> {
    /// Ends the chunk: everything held becomes roll-ups, and the state is empty again.
    pub(super) fn cut(&mut self, is_last: bool) {
        for interface in 0..self.state.len() {
            for own in &mut self.state[interface].own {
                own.settle();
            }
            self.release(interface);
        }
        if !self.cells.is_empty() {
            self.is_wanted = self.chunks.begin(is_last);
            if self.is_wanted {
                self.hand_on();
                self.chunks.end();
            }
        }
        self.talkers.clear();
        self.sources.clear();
        self.services.clear();
        self.ports.clear();
        self.tuples.clear();
        self.cells.clear();
        self.sums.clear();
        self.samples.clear();
        self.interfaces.clear();
        self.state.clear();
        self.cell_of.clear();
        self.last = None;
        self.known.clear();
        self.used = 0;
    }

    /// Makes the roll-ups, in order.
    fn hand_on(&mut self) {
        let mut order: Vec<u32> = (0..).take(self.cells.len()).collect();
        order.sort_unstable_by_key(|cell| {
            let cell = &self.cells[*cell as usize];
            (self.state[cell.interface as usize].id.as_str(), cell.window)
        });
        // Of each cell, which one it is in that order.
        let mut ranks = vec![0; order.len()];
        for (rank, cell) in (0..).zip(&order) {
            ranks[*cell as usize] = rank;
        }
        let talkers = self.talkers.by_rank(&ranks);
        let sources = self.sources.by_rank(&ranks);
        let services = self.services.by_rank(&ranks);
        let mut ports = by_rank(&mut self.ports, &ranks);
        let rank_of = |cell: u32| ranks[cell as usize];
        self.tuples.sort_unstable_by(|(a, tuple), _, (b, other), _| {
            (rank_of(*a), tuple).cmp(&(rank_of(*b), other))
        });
        let tuples = self.tuples.drain(..);
        let mut tuples =
            tuples.map(|((cell, tuple), verdicts)| (rank_of(cell), tuple, verdicts)).peekable();
        for (rank, at) in (0..).zip(order) {
            let cell = &mut self.cells[at as usize];
            let lists = Lists {
                talkers: self.talkers.take(&talkers, rank),
                sources: self
                    .sources
                    .take(&sources, rank, |key, one| (key.remote, take(&mut one.value))),
                ports: next_of(&mut ports, rank),
                tuples: next_of(&mut tuples, rank),
                services: self
                    .services
                    .take(&services, rank, |key, one| (key, take(&mut one.value))),
            };
            let mut rollup = take(&mut cell.described).into_rollup();
            rollup.breakdown = self.sums.breakdown(at);
            let dropped = cell.dropped.take();
            let rollup = lists.into_rollup(rollup, &self.samples, dropped, self.mapping);
            let id = &self.state[cell.interface as usize].id;
            self.chunks.rollup(id, cell.window, rollup);
        }
    }
}

/// Takes everything out of a map, in the order of its cells' ranks, then by key.
fn by_rank<K: Ord, V>(
    map: &mut Map<(u32, K), V>,
    ranks: &[u32],
) -> Peekable<IntoIter<(u32, K, V)>> {
    let entries = map.drain();
    let mut all: Vec<_> =
        entries.map(|((cell, key), value)| (ranks[cell as usize], key, value)).collect();
    all.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    all.into_iter().peekable()
}

/// What the cell of this rank has, of what is left to be handed on: rank, key and value.
fn next_of<K, V>(left: &mut Peekable<impl Iterator<Item = (u32, K, V)>>, rank: u32) -> Vec<(K, V)> {
    let next = || left.next_if(|(of, ..)| *of == rank).map(|(_, key, value)| (key, value));
    std::iter::from_fn(next).collect()
}
