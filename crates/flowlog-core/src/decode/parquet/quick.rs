//! Rows of a row group as quick rows, a column at a time.
//!
//! What a value is worth was judged once per entry of a dictionary, as it is for the plain decoder, so
//! this only puts together what fits into a [`QuickRow`]; every other row is for the plain decoder. Whose
//! row it is, the keys of the columns say that tell it: equal keys into the same dictionaries are equal
//! texts.

use std::ops::Range;

use super::column::{ColumnReader, Worth};
use super::rows::Places;
use crate::decode::quick::{QuickRow, Spelled, is_identity, reads};
use crate::format::Format;
use crate::record::{Action, Address, Direction, Field};

/// How many rows are put together at a time: as many as a sink foresees.
pub(super) const AHEAD: usize = 64;
/// The most columns that say whose row it is.
const IDENTITY: usize = 8;
/// How many interfaces of a row group are remembered.
const MOST: usize = 16_384;

/// The keys of the columns that say whose row it is.
type Keys = [u32; IDENTITY];

/// Puts rows together.
#[derive(Debug)]
pub(super) struct QuickRows {
    rows: [QuickRow; AHEAD],
    /// Which of them are quick rows.
    fit: [bool; AHEAD],
    /// Of which of them it is known whose they are.
    named: [bool; AHEAD],
    /// Source and destination, and those of the packets.
    addresses: [[Address; 2]; AHEAD],
    packets: [[Address; 2]; AHEAD],
    keys: [Keys; AHEAD],
    /// The fields that say whose row it is, the interface's id first.
    identity: Vec<Field>,
    /// By the key of the interface's id in this row group: the keys last met, and the number of those.
    known: Vec<Option<(Keys, u32)>>,
    /// The number of the next head.
    next: u32,
}

impl QuickRows {
    /// For the rows of a format, if they can be quick.
    pub(super) fn of(format: &Format) -> Option<Self> {
        reads(format).then(|| {
            let others = Field::ALL.iter().copied().filter(|field| {
                *field != Field::InterfaceId && is_identity(*field) && format.has(*field)
            });
            let nowhere = Address::Mac([0; 6]);
            Self {
                rows: [QuickRow::NOTHING; AHEAD],
                fit: [false; AHEAD],
                named: [false; AHEAD],
                addresses: [[nowhere; 2]; AHEAD],
                packets: [[nowhere; 2]; AHEAD],
                keys: [[0; IDENTITY]; AHEAD],
                identity: std::iter::once(Field::InterfaceId).chain(others).collect(),
                known: Vec::new(),
                next: 0,
            }
        })
    }

    /// Another row group begins, with other dictionaries.
    pub(super) fn begin(&mut self) {
        self.known.clear();
    }

    /// The quick rows from `at` on that follow one another.
    pub(super) fn from(&self, at: usize) -> &[QuickRow] {
        let count = self.fit.iter().skip(at).take_while(|fit| **fit).count();
        self.rows.get(at..at + count).unwrap_or_default()
    }

    /// The number of the head of a row.
    pub(super) fn head(&self, at: usize) -> Option<u32> {
        (*self.named.get(at)?).then_some(self.rows.get(at)?.head)
    }

    /// Puts together rows of those that the columns have read last, at most [`AHEAD`].
    pub(super) fn fill(&mut self, columns: &[ColumnReader], places: &Places, rows: Range<usize>) {
        let count = rows.len().min(AHEAD);
        self.fit = [false; AHEAD];
        self.fit[..count].fill(true);
        let mut group = Group { columns, places, first: rows.start, quick: self };
        group.identities();
        group.numbers(Field::Srcport, |row, port| row.srcport = port);
        group.numbers(Field::Dstport, |row, port| row.dstport = port);
        group.numbers(Field::Protocol, |row, protocol| row.protocol = protocol);
        group.numbers(Field::Packets, |row, packets| row.packets = packets);
        group.numbers(Field::Bytes, |row, bytes| row.bytes = bytes);
        group.times(Field::Start, |row, start| row.start = start);
        group.times(Field::End, |row, end| row.end = end);
        group.bytes(Field::TcpFlags, |row, flags| row.tcp_flags = flags);
        group.bytes(Field::TrafficPath, |row, path| row.traffic_path = path);
        group.bytes(Field::EncryptionStatus, |row, status| row.encryption_status = status);
        group.words(Field::LogStatus, |_, word| word == "OK");
        group.words(Field::Action, |row, word| {
            row.action = if word == "ACCEPT" { Action::Accept } else { Action::Reject };
            matches!(word, "ACCEPT" | "REJECT")
        });
        group.words(Field::FlowDirection, |row, word| {
            let outward = word == "egress";
            row.direction = Some(if outward { Direction::Egress } else { Direction::Ingress });
            outward || word == "ingress"
        });
        group.nothing(Field::RejectReason);
        group.addresses();
        for at in 0..count {
            self.fit[at] &= self.finish(at);
        }
    }

    /// Says which addresses count, and whether the row is a quick one as far as that and its times go.
    #[inline]
    fn finish(&mut self, at: usize) -> bool {
        let row = &mut self.rows[at];
        let [src, dst] = self.addresses[at];
        let mut counted = [src, dst];
        if self.packets[at] != counted {
            // As for text: an accepted row is counted under the packets' address at the other side.
            let other = match row.direction {
                Some(Direction::Ingress) => 0,
                Some(_) => 1,
                None => return false,
            };
            if row.action == Action::Reject {
                return false;
            }
            counted[other] = self.packets[at][other];
        }
        let [src, dst] = counted.map(Spelled::of);
        (row.src, row.dst) = (src, dst);
        row.start <= row.end && src.family == dst.family && src.family != Spelled::MAC
    }
}

/// Some rows on their way.
struct Group<'a> {
    columns: &'a [ColumnReader],
    places: &'a Places,
    first: usize,
    quick: &'a mut QuickRows,
}

impl Group<'_> {
    /// Lets a column say something of each row: whether it still fits.
    #[inline]
    fn each(
        &mut self,
        field: Field,
        mut say: impl FnMut(&mut QuickRow, &ColumnReader, &Worth) -> bool,
    ) {
        let Some(column) = self.places.column(self.columns, field) else { return };
        let rows = self.quick.rows.iter_mut().zip(&mut self.quick.fit);
        for ((row, fit), worth) in rows.zip(column.worths(self.first)) {
            *fit &= say(row, column, worth);
        }
    }

    #[inline]
    fn numbers<T: TryFrom<u64>>(&mut self, field: Field, put: impl Fn(&mut QuickRow, T)) {
        self.each(field, |row, _, worth| match worth {
            Worth::Number(number) => T::try_from(*number).map(|number| put(row, number)).is_ok(),
            _ => false,
        });
    }

    /// Seconds; what may be milliseconds is left.
    #[inline]
    fn times(&mut self, field: Field, put: impl Fn(&mut QuickRow, i64)) {
        self.each(field, |row, _, worth| match worth {
            Worth::Number(time @ 0..10_000_000_000) => {
                put(row, time.cast_signed());
                true
            }
            _ => false,
        });
    }

    #[inline]
    fn bytes(&mut self, field: Field, put: impl Fn(&mut QuickRow, Option<u8>)) {
        self.each(field, |row, _, worth| {
            let number = match worth {
                Worth::Nothing => None,
                Worth::Number(number) if *number < 256 => u8::try_from(*number).ok(),
                _ => return false,
            };
            put(row, number);
            true
        });
    }

    #[inline]
    fn words(&mut self, field: Field, say: impl Fn(&mut QuickRow, &str) -> bool) {
        self.each(field, |row, column, worth| match worth {
            Worth::Text(at, length) => column.text(*at, *length).is_some_and(|word| say(row, word)),
            _ => false,
        });
    }

    fn nothing(&mut self, field: Field) {
        self.each(field, |_, _, worth| *worth == Worth::Nothing);
    }

    /// Source, destination and those of the packets, which are the same unless they say otherwise.
    fn addresses(&mut self) {
        let Self { columns, places, first, quick } = self;
        let QuickRows { addresses, packets, fit, .. } = &mut **quick;
        let mut read = |sides: [Field; 2], into: &mut [[Address; 2]; AHEAD], may_be_nothing| {
            for (side, field) in sides.into_iter().enumerate() {
                let Some(column) = places.column(columns, field) else { continue };
                for ((into, fit), worth) in
                    into.iter_mut().zip(&mut *fit).zip(column.worths(*first))
                {
                    match worth {
                        Worth::Address(address) => into[side] = *address,
                        Worth::Nothing if may_be_nothing => {}
                        _ => *fit = false,
                    }
                }
            }
        };
        read([Field::Srcaddr, Field::Dstaddr], addresses, false);
        *packets = *addresses;
        read([Field::PktSrcaddr, Field::PktDstaddr], packets, true);
    }

    /// Whose rows they are.
    fn identities(&mut self) {
        let QuickRows { rows, fit, named, keys, identity, known, next, .. } = &mut *self.quick;
        *named = *fit;
        for (nth, field) in identity.iter().enumerate().take(IDENTITY) {
            let column = self.places.column(self.columns, *field);
            let Some(of_rows) = column.and_then(|column| column.dictionary_keys(self.first)) else {
                *fit = [false; AHEAD];
                *named = *fit;
                return;
            };
            for (keys, key) in keys.iter_mut().zip(of_rows) {
                keys[nth] = *key;
            }
        }
        for (at, row) in rows.iter_mut().enumerate() {
            if !fit[at] {
                break;
            }
            let interface = keys[at][0] as usize;
            if interface >= MOST {
                // None, or one too many.
                (fit[at], named[at]) = (false, false);
                continue;
            }
            if interface >= known.len() {
                known.resize(interface + 1, None);
            }
            row.head = match known[interface] {
                Some((same, head)) if same == keys[at] => head,
                _ => {
                    let head = *next;
                    *next = next.wrapping_add(1);
                    known[interface] = Some((keys[at], head));
                    head
                }
            };
        }
    }
}
