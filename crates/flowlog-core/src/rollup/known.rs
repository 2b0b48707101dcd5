//! What is known of the rows of one head in one window, so that the next one needs no look-up by name.
//!
//! Only a memory: it may forget anything at any time, and then the row is read plainly.

use super::own::Own;
use crate::decode::{QuickRow, Spelled};
use crate::record::{Direction, WINDOW_SECONDS, Window};

/// How many (head, window) pairs are remembered.
const PLACES: usize = 4096;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By [`place`]; empty until there is one.
    places: Vec<Place>,
}

/// One head in one window.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    head: u32,
    /// First second of the window; negative where nothing is remembered.
    window: i64,
    /// The cell of its records.
    cell: u32,
    /// The interface's own addresses, where they are known.
    own: [Option<Spelled>; 2],
}

/// Where a quick row belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    pub(super) cell: u32,
    pub(super) direction: Direction,
    /// The other side's address; the interface's own is one that has been met.
    pub(super) remote: Spelled,
}

impl Place {
    const NOTHING: Self = Self { head: 0, window: -WINDOW_SECONDS, cell: 0, own: [None; 2] };
}

impl Known {
    /// Where a quick row belongs, if its head is known in its window and one of its addresses is the
    /// interface's own.
    #[inline]
    pub(super) fn aim(&self, row: &QuickRow) -> Option<Aim> {
        let known = self.places.get(place(row.head, row.start))?;
        let within = row.start.wrapping_sub(known.window).cast_unsigned() < WINDOW_SECONDS as u64;
        let own = (*known.own.get(usize::from(row.src.family))?)?;
        let (direction, remote) = if row.src == own {
            (Direction::Egress, row.dst)
        } else if row.dst == own {
            (Direction::Ingress, row.src)
        } else {
            return None;
        };
        (known.head == row.head && within).then_some(Aim { cell: known.cell, direction, remote })
    }

    pub(super) fn learn(&mut self, head: u32, window: Window, cell: u32, own: &[Own; 3]) {
        if self.places.is_empty() {
            self.places = vec![Place::NOTHING; PLACES];
        }
        let [v4, v6, _] = own;
        let own = [v4, v6].map(|own| own.known().map(Spelled::of));
        let window = window.start();
        self.places[place(head, window)] = Place { head, window, cell, own };
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(Place::NOTHING);
    }
}

/// Where a head is remembered; windows that follow one another do not push each other out.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the remainder is what counts")]
fn place(head: u32, start: i64) -> usize {
    (head as usize * 4 + (start.cast_unsigned() / WINDOW_SECONDS as u64) as usize) % PLACES
}
