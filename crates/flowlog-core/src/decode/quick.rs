//! The quick reader: rows recognised rather than parsed. Of the default format here, of others in
//! [`columns`].
//!
//! It takes what it is sure of and leaves everything else, gaps, odd spacing, damage, to the plain
//! decoder ([`super::parse_row`]), which stays what says what a record is. What both take, they read
//! alike: the tests run them beside each other.
//!
//! ```text
//! 2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK⏎
//! └─────────────── head ──────────────┘└─────────────── middle: seven tokens ─────┘└────── 32 bytes, fixed places ───┘
//!  compared with the heads that the     one mask of its spaces tells where each     times, action and status by words
//!  plain decoder has passed             begins and ends; numbers by words
//! ```
//!
//! A head is the text of a row up to its fourth column. There are as many as there are interfaces, so
//! that a row's is nearly always known: equal bytes need no second look. Heads are numbered, and a
//! sink may keep what it knows of an interface under that number.
//!
//! Addresses are handed on as they are spelled. Whoever has met that spelling before knows that it is an address, as
//! of the interface's own; whoever has not must look ([`Spelled::address`]) and leave the row if it is none.

use std::net::Ipv6Addr;
use std::ops::Range;

use self::columns::ColumnsReader;
use self::heads::{HEAD, Heads, head_length, is_plain};
use super::digits::{Flaws, number, spaces};
use crate::format::Format;
use crate::record::{Action, Address, Direction, FIRST_BYTES};

mod columns;

pub(super) use columns::{is_identity, reads};
mod heads;
mod identities;

/// A record with log status OK that has both addresses and nothing that is not said here, its addresses
/// not yet looked at. Those of the packets, where they are others, are in place of the other side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuickRow {
    /// The number of its head: account, interface and what else the format says of whose row it is.
    /// Rows of one number have the same ids.
    pub head: u32,
    /// `srcaddr`.
    pub src: Spelled,
    /// `dstaddr`.
    pub dst: Spelled,
    /// `srcport`.
    pub srcport: u16,
    /// `dstport`.
    pub dstport: u16,
    /// `protocol`.
    pub protocol: u8,
    /// `packets`.
    pub packets: u64,
    /// `bytes`.
    pub bytes: u64,
    /// `start`, not after `end`.
    pub start: i64,
    /// `end`.
    pub end: i64,
    /// `action`: accepted or rejected; other where the format has none.
    pub action: Action,
    /// `flow-direction`, where the format has it.
    pub direction: Option<Direction>,
    /// `tcp-flags`.
    pub tcp_flags: Option<u8>,
    /// `traffic-path`.
    pub traffic_path: Option<u8>,
    /// `encryption-status`.
    pub encryption_status: Option<u8>,
}

impl QuickRow {
    /// One that says nothing yet.
    pub(super) const NOTHING: Self = Self {
        head: 0,
        src: Spelled { bits: 0, family: Spelled::V4 },
        dst: Spelled { bits: 0, family: Spelled::V4 },
        srcport: 0,
        dstport: 0,
        protocol: 0,
        packets: 0,
        bytes: 0,
        start: 0,
        end: 0,
        action: Action::Other,
        direction: None,
        tcp_flags: None,
        traffic_path: None,
        encryption_status: None,
    };
}

/// An address as a row spells it: what may be an IPv4 address, or an IPv6 address as a number.
///
/// Of IPv4 it is the text, at most fifteen bytes, the first one lowest, then zeros. An IPv4 address has
/// one spelling, so that equal spellings are equal addresses and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spelled {
    /// Text or number.
    pub bits: u128,
    /// Which of the two, as [`Spelled::V4`], [`Spelled::V6`] and [`Spelled::MAC`] say.
    pub family: u8,
}

impl Spelled {
    /// The text of an IPv4 address.
    pub const V4: u8 = 0;
    /// An IPv6 address.
    pub const V6: u8 = 1;
    /// A MAC address; the quick reader leaves these to the plain decoder.
    pub const MAC: u8 = 2;

    /// How an address is spelled.
    pub fn of(address: Address) -> Self {
        match address {
            Address::V4(v4) => Self { bits: spell(v4.octets()), family: Self::V4 },
            other => {
                let (family, bits) = other.number();
                Self { bits, family }
            }
        }
    }

    /// The address as a number, if it is one.
    #[inline]
    pub(crate) fn number(self) -> Option<u128> {
        if self.family != Self::V4 {
            return Some(self.bits);
        }
        let length = 16 - self.bits.leading_zeros() / 8;
        Address::v4_of(self.bits, length).map(|v4| v4.to_bits().into())
    }

    /// The address, if it is one.
    pub fn address(self) -> Option<Address> {
        Some(Address::of_number(self.family, self.number()?))
    }
}

/// The text of an IPv4 address, the first byte lowest.
fn spell(octets: [u8; 4]) -> u128 {
    // Each octet's digits and their number.
    static DIGITS: [(u32, u8); 256] = {
        let mut table = [(0, 0); 256];
        let mut octet = 0;
        while octet < 256 {
            let [hundreds, tens, ones] = [octet / 100, octet / 10 % 10, octet % 10];
            let [h, t, o] = [hundreds + 0x30, tens + 0x30, ones + 0x30];
            table[octet as usize] = match octet {
                100.. => (h | t << 8 | o << 16, 3),
                10.. => (t | o << 8, 2),
                _ => (o, 1),
            };
            octet += 1;
        }
        table
    };
    let [first, rest @ ..] = octets.map(|octet| DIGITS[usize::from(octet)]);
    let (mut text, mut length) = (u128::from(first.0), first.1);
    for (digits, count) in rest {
        text |= u128::from(digits << 8 | u32::from(b'.')) << (8 * length);
        length += 1 + count;
    }
    text
}

/// How many rows are read before the first of them is rolled up: enough that what they need of memory
/// can be asked for at once, few enough to stay in the fastest cache.
const AHEAD: usize = 64;

/// Rows that follow one another, and their lengths with the line's end.
#[derive(Debug)]
pub(super) struct Batch {
    rows: [QuickRow; AHEAD],
    lengths: [usize; AHEAD],
    filled: usize,
}

impl Batch {
    /// A batch without rows.
    pub(super) fn new() -> Self {
        Self { rows: [QuickRow::NOTHING; AHEAD], lengths: [0; AHEAD], filled: 0 }
    }

    /// Reads rows from the beginning of `text`; returns whether there was any.
    pub(super) fn fill(&mut self, reader: &mut QuickReader, text: &[u8]) -> bool {
        match reader {
            QuickReader::Default(reader) => self.fill_by(text, |text, row| reader.row(text, row)),
            QuickReader::Columns(reader) => self.fill_by(text, |text, row| reader.row(text, row)),
        }
    }

    #[expect(clippy::inline_always, reason = "as what it calls")]
    #[inline(always)]
    fn fill_by(
        &mut self,
        mut text: &[u8],
        mut read: impl FnMut(&[u8], &mut QuickRow) -> Option<usize>,
    ) -> bool {
        self.filled = 0;
        for (row, length) in self.rows.iter_mut().zip(&mut self.lengths) {
            let Some(read) = read(text, row) else { break };
            *length = read;
            self.filled += 1;
            text = &text[read..];
        }
        self.filled > 0
    }

    pub(super) fn rows(&self) -> &[QuickRow] {
        &self.rows[..self.filled]
    }

    /// Length of some of the rows together.
    pub(super) fn length(&self, rows: Range<usize>) -> usize {
        self.lengths[rows].iter().sum()
    }
}

/// The most bytes of a middle in which the addresses are IPv4, and of one in which they are not.
const NARROW: usize = 64;
const WIDE: usize = 128;
/// Bytes after the middle: two times, action, status and the line's end.
const AFTER: usize = 32;
/// Bytes behind those that are looked at, so that eight can be read wherever a number begins.
const BEYOND: usize = 8;
/// The longest row of the default format that is read quickly.
const LONGEST_ROW: usize = HEAD + WIDE + AFTER;

/// Reads rows of one format.
#[derive(Debug)]
pub(super) enum QuickReader {
    Default(Box<DefaultReader>),
    Columns(Box<ColumnsReader>),
}

impl QuickReader {
    /// A reader of a format, if it can be read quickly and no row that is taken is longer than `limit`.
    pub(super) fn of(format: &Format, limit: usize) -> Option<Self> {
        if format.is_default() {
            return (limit >= LONGEST_ROW).then(|| Self::Default(Box::new(DefaultReader::new())));
        }
        (limit >= columns::LONGEST)
            .then(|| ColumnsReader::new(format))
            .flatten()
            .map(|reader| Self::Columns(Box::new(reader)))
    }

    /// Remembers the head of a row that the plain decoder has passed, and returns its number.
    pub(super) fn learn(&mut self, line: &[u8]) -> Option<u32> {
        match self {
            Self::Default(reader) => reader.learn(line),
            Self::Columns(reader) => reader.learn(line),
        }
    }
}

/// Reads rows of the default format.
#[derive(Debug)]
pub(super) struct DefaultReader {
    heads: Heads,
    /// Length of the last head: the next one is most likely as long.
    length: usize,
}

impl DefaultReader {
    /// A reader that knows no head yet.
    fn new() -> Self {
        Self { heads: Heads::default(), length: 0 }
    }

    /// Reads the row that `text` begins with into `row` and returns its length with the line's end, if
    /// it is a plain one with a known head.
    #[expect(
        clippy::inline_always,
        reason = "called several times a row, and a call costs about as much as its body"
    )]
    #[inline(always)]
    fn row(&mut self, text: &[u8], row: &mut QuickRow) -> Option<usize> {
        let begin = text.first_chunk::<HEAD>()?;
        let head = if let Some(head) = self.heads.find(begin, self.length) {
            head
        } else {
            let length = head_length(begin)?;
            let head = self.heads.find(begin, length)?;
            self.length = length;
            head
        };
        row.head = head;
        let rest = text.get(self.length..)?;
        let middle = match middle(rest.first_chunk()?, row) {
            Some(length) => length,
            None => wide_middle(rest.first_chunk()?, row)?,
        };
        Some(self.length + middle + AFTER)
    }

    /// Remembers the head of a row that the plain decoder has passed, and returns its number.
    fn learn(&mut self, line: &[u8]) -> Option<u32> {
        let mut text = [0; HEAD];
        let seen = line.len().min(HEAD);
        text[..seen].copy_from_slice(&line[..seen]);
        let length = head_length(&text).filter(|length| is_plain(&text, *length))?;
        self.heads.find(&text, length).or_else(|| self.heads.insert(text, length))
    }
}

/// Reads what follows the head, where the addresses may be IPv4; returns the length of the middle.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn middle(window: &[u8; NARROW + AFTER + BEYOND], row: &mut QuickRow) -> Option<usize> {
    let mut mask = spaces(window.first_chunk()?);
    let mut ends = [0; 7];
    for end in &mut ends {
        *end = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
    }
    // A mask without a seventh space ends at 64; an address of more than 15 bytes is no IPv4, and one
    // that ends in zeros would be spelled like the address before them.
    let [src, dst, .., last] = ends;
    if last >= NARROW || src.wrapping_sub(1) > 14 || dst - src > 16 {
        return None;
    }
    if window[src - 1] < b'0' || window[dst - 1] < b'0' {
        return None;
    }
    row.src = spelled(window, 0, src)?;
    row.dst = spelled(window, src + 1, dst - src - 1)?;
    numbers::<_, { NARROW - 1 }>(window, ends, row)?;
    Some(last + 1)
}

/// As [`middle`], where the addresses may be IPv6.
#[inline(never)]
fn wide_middle(window: &[u8; WIDE + AFTER + BEYOND], row: &mut QuickRow) -> Option<usize> {
    let (low, high) = (window.first_chunk()?, window[64..].first_chunk()?);
    let mut mask = u128::from(spaces(low)) | u128::from(spaces(high)) << 64;
    let mut ends = [0; 7];
    for end in &mut ends {
        *end = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
    }
    let [src, dst, .., last] = ends;
    if last >= WIDE {
        return None;
    }
    let v6 = |from: usize, to: usize| {
        let bits = v6_bits(window.get(from..to)?)?;
        Some(Spelled { bits, family: Spelled::V6 })
    };
    row.src = v6(0, src)?;
    row.dst = v6(src + 1, dst)?;
    numbers::<_, { WIDE - 1 }>(window, ends, row)?;
    Some(last + 1)
}

/// An IPv6 address: groups of up to four hexadecimal digits, at most one run of zeros left out. What is
/// written otherwise (an end like IPv4, damage) is for the library.
pub(super) fn v6_bits(text: &[u8]) -> Option<u128> {
    let (mut bits, mut groups) = (0u128, 0u32);
    // How many groups stand before the run that is left out.
    let mut gap = text.starts_with(b"::").then_some(0);
    let mut at = if gap.is_some() { 2 } else { 0 };
    while at < text.len() {
        let begin = at;
        let mut group = 0u16;
        while let Some(digit) = text.get(at).and_then(|byte| char::from(*byte).to_digit(16)) {
            group = group << 4 | u16::try_from(digit).ok()?;
            at += 1;
        }
        if at == begin || at - begin > 4 {
            return library_v6(text);
        }
        bits = bits << 16 | u128::from(group);
        groups += 1;
        match (text.get(at), text.get(at + 1)) {
            (None, _) => {}
            (Some(b':'), Some(b':')) if gap.is_none() => {
                gap = Some(groups);
                at += 2;
            }
            (Some(b':'), Some(_)) => at += 1,
            _ => return library_v6(text),
        }
    }
    match gap {
        None if groups == 8 => Some(bits),
        Some(before) if groups < 8 => {
            let behind = 16 * (groups - before);
            Some((bits >> behind).unbounded_shl(16 * (8 - before)) | bits & ((1 << behind) - 1))
        }
        _ => library_v6(text),
    }
}

/// As the standard library reads it.
#[cold]
fn library_v6(text: &[u8]) -> Option<u128> {
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_bits())
}

/// Reads everything but the addresses. `M` is the mask of places in the middle.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn numbers<const N: usize, const M: usize>(
    window: &[u8; N],
    ends: [usize; 7],
    row: &mut QuickRow,
) -> Option<()> {
    let [_, before, srcport, dstport, protocol, packets, bytes] = ends;
    let after: &[u8; AFTER] = window.get((bytes & M) + 1..)?.first_chunk()?;
    let mut flaws = Flaws::default();
    row.action = action(after)?;
    (row.start, row.end) = times(after, &mut flaws)?;
    row.srcport = u16::try_from(short::<N, M>(window, before, srcport, &mut flaws)?).ok()?;
    row.dstport = u16::try_from(short::<N, M>(window, srcport, dstport, &mut flaws)?).ok()?;
    row.protocol = u8::try_from(short::<N, M>(window, dstport, protocol, &mut flaws)?).ok()?;
    row.packets = long::<N, M>(window, protocol, packets, &mut flaws)?;
    row.bytes = long::<N, M>(window, packets, bytes, &mut flaws)?;
    (flaws.none() && row.start <= row.end).then_some(())
}

/// The number of up to eight digits between two spaces.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn short<const N: usize, const M: usize>(
    window: &[u8; N],
    from: usize,
    to: usize,
    flaws: &mut Flaws,
) -> Option<u64> {
    let text = window.get((from & M) + 1..)?.first_chunk()?;
    Some(number(*text, to.wrapping_sub(from + 2), flaws))
}

/// The number of up to sixteen digits between two spaces.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn long<const N: usize, const M: usize>(
    window: &[u8; N],
    from: usize,
    to: usize,
    flaws: &mut Flaws,
) -> Option<u64> {
    if to.wrapping_sub(from) <= 9 {
        return short::<N, M>(window, from, to, flaws);
    }
    let above = short::<N, M>(window, from, to - 8, flaws)?;
    Some(above * 100_000_000 + short::<N, M>(window, to - 9, to, flaws)?)
}

/// A token of at most fifteen bytes.
#[inline]
fn spelled<const N: usize>(window: &[u8; N], from: usize, length: usize) -> Option<Spelled> {
    let text = window.get(from & 31..)?.first_chunk::<16>()?;
    Some(Spelled {
        bits: u128::from_le_bytes(*text) & FIRST_BYTES[length & 15],
        family: Spelled::V4,
    })
}

/// Both times: ten digits each. They are within a hundred million seconds, three years, of the same
/// beginning, or the row is for the plain decoder.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn times(after: &[u8; AFTER], flaws: &mut Flaws) -> Option<(i64, i64)> {
    let [tens, ones] = *after.first_chunk()?;
    flaws.note([tens, ones] != *after[11..].first_chunk()?);
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    flaws.note(tens > 9 || ones > 9);
    let high = (u64::from(tens) * 10 + u64::from(ones)) * 100_000_000;
    let start = high + number(*after[2..].first_chunk()?, 7, flaws);
    let end = high + number(*after[13..].first_chunk()?, 7, flaws);
    Some((start.cast_signed(), end.cast_signed()))
}

/// The action, if everything but the times is as it must be: spaces in their places, an action, `OK`
/// and the end of the line.
#[inline]
fn action(after: &[u8; AFTER]) -> Option<Action> {
    const ACCEPT: u64 = u64::from_le_bytes(*b"CEPT OK\n");
    const REJECT: u64 = u64::from_le_bytes(*b"JECT OK\n");
    if after[10] != b' ' || after[21] != b' ' {
        return None;
    }
    let last = u64::from_le_bytes(*after.last_chunk()?);
    match (last, [after[22], after[23]]) {
        (ACCEPT, [b'A', b'C']) => Some(Action::Accept),
        (REJECT, [b'R', b'E']) => Some(Action::Reject),
        _ => None,
    }
}

#[cfg(test)]
mod columns_tests;
#[cfg(test)]
mod tests;
