//! What is known of the rows of one head in one window, so that the next one needs no look-up by name.
//!
//! Only a memory: it may forget anything at any time, and then the row is read plainly.

use std::hint::black_box;
use std::net::Ipv4Addr;

use crate::decode::{QuickRow, Spelled};
use crate::record::{Address, Direction, WINDOW_SECONDS, Window};

/// How many heads are remembered, each in so many windows that follow one another.
const HEADS: usize = 16_384;
const WINDOWS: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By [`place`]; as many as are needed.
    places: Vec<Place>,
}

/// One head in one window. There may be tens of thousands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The interface's own addresses as they are spelled, IPv4 and IPv6; zero is none that is known.
    own: [u128; 2],
    /// The IPv4 address of both, as what it is.
    v4: Ipv4Addr,
    /// The window, as [`number`] says; [`NEVER`] where nothing is remembered.
    window: u32,
    head: u32,
    /// The cell of its records.
    cell: u32,
}

const _: () = assert!(size_of::<Place>() == 48);

/// Where a quick row belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    pub(super) cell: u32,
    pub(super) direction: Direction,
    /// The other side's address; the interface's own is one that has been met.
    pub(super) remote: Spelled,
}

impl Place {
    const NOTHING: Self =
        Self { own: [0; 2], v4: Ipv4Addr::UNSPECIFIED, window: NEVER, head: 0, cell: 0 };
}

impl Known {
    /// Where a quick row belongs, if its head is known in its window and one of its addresses is the
    /// interface's own: the one at its side, where the row says which that is.
    #[inline]
    #[expect(clippy::needless_bitwise_bool, reason = "a branch on a direction is foretold badly")]
    pub(super) fn aim(&self, row: &QuickRow) -> Option<Aim> {
        let window = number(row.start);
        let known = self.places.get(place(row.head, window))?;
        let own = known.own[usize::from(row.src.family & 1)];
        let outward = (row.src.bits == own) & (row.direction != Some(Direction::Ingress));
        let inward = (row.dst.bits == own) & (row.direction != Some(Direction::Egress));
        // The compiler would make branches of what it knows to be two comparisons.
        let (outward, either) = black_box((outward, outward | inward));
        if !((known.window == window) & (known.head == row.head) & (own != 0) & either) {
            return None;
        }
        let direction = if outward { Direction::Egress } else { Direction::Ingress };
        let mask = 0u128.wrapping_sub(u128::from(outward));
        let bits = row.dst.bits & mask | row.src.bits & !mask;
        let remote = Spelled { bits, family: row.src.family };
        Some(Aim { cell: known.cell, direction, remote })
    }

    /// The destination of a row that was aimed; `None` if it is no address. The interface's own is not
    /// read again.
    #[inline]
    pub(super) fn host(&self, row: &QuickRow, direction: Direction) -> Option<Address> {
        if direction == Direction::Ingress && row.dst.family == Spelled::V4 {
            let known = self.places.get(place(row.head, number(row.start)));
            known.map(|known| Address::V4(known.v4))
        } else {
            row.dst.address()
        }
    }

    /// Remembers the cell of a head in a window, and the interface's own addresses, IPv4 and IPv6, as far
    /// as they are known. Where a row says its direction, any at the interface's side does.
    pub(super) fn learn(
        &mut self,
        head: u32,
        window: Window,
        cell: u32,
        [v4, v6]: [Option<Address>; 2],
    ) {
        let window = number(window.start());
        if window == NEVER {
            return;
        }
        let at = place(head, window);
        if at >= self.places.len() {
            self.places.resize(at + 1, Place::NOTHING);
        }
        let known = &mut self.places[at];
        if (known.window, known.head, known.cell) != (window, head, cell) {
            *known = Place { window, head, cell, ..Place::NOTHING };
        }
        for (family, own) in [v4, v6].into_iter().enumerate() {
            let Some(own) = own else { continue };
            let Spelled { bits, family: of_own } = Spelled::of(own);
            // Rows from one family to the other may have taught an address of the other.
            if usize::from(of_own) != family {
                continue;
            }
            known.own[family] = bits;
            if let Address::V4(v4) = own {
                known.v4 = v4;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(Place::NOTHING);
    }
}

/// The number of the window that begins at or before a second, from the epoch on; [`NEVER`] before it, and
/// long after.
#[inline]
fn number(start: i64) -> u32 {
    u32::try_from(start.cast_unsigned() / WINDOW_SECONDS as u64).unwrap_or(NEVER)
}

const NEVER: u32 = u32::MAX;

/// Where a head is remembered; windows that follow one another do not push each other out.
#[inline]
fn place(head: u32, window: u32) -> usize {
    head as usize % HEADS * WINDOWS + window as usize % WINDOWS
}
