//! The quick reader: rows of the default format, recognised rather than parsed.
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
//! Addresses are handed on as they are spelled. Whoever has met that spelling before knows that it is
//! an address; whoever has not must look ([`Spelled::address`]) and leave the row if it is none.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::digits::{Flaws, number, same, spaces};
use crate::record::{Action, Address};

/// A record of the default format with log status OK, its addresses not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuickRow {
    /// The number of its head: account and interface. Rows of one number have the same ids.
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
    /// `action`: accepted or rejected.
    pub action: Action,
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
            Address::V6(v6) => Self { bits: v6.to_bits(), family: Self::V6 },
            Address::Mac(mac) => {
                let bits = mac.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
                Self { bits, family: Self::MAC }
            }
        }
    }

    /// The address, if it is one.
    pub fn address(self) -> Option<Address> {
        match self.family {
            Self::V4 => {
                let text = self.bits.to_le_bytes();
                let length = 16 - self.bits.leading_zeros() as usize / 8;
                Address::parse_v4(text.get(..length)?).map(Address::V4)
            }
            Self::V6 => Some(Address::V6(Ipv6Addr::from_bits(self.bits))),
            _ => {
                let bytes = self.bits.to_be_bytes();
                bytes.last_chunk().copied().map(Address::Mac)
            }
        }
    }
}

/// The text of an IPv4 address, the first byte lowest.
fn spell(octets: [u8; 4]) -> u128 {
    let mut text = [0; 16];
    let mut at = 0;
    for (place, octet) in octets.into_iter().enumerate() {
        if place > 0 {
            text[at] = b'.';
            at += 1;
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text[at] = b'0' + octet / unit % 10;
                at += 1;
            }
        }
    }
    u128::from_le_bytes(text)
}

/// How many rows are read before the first of them is rolled up: enough that what they need of memory
/// can be asked for at once, few enough to stay in the fastest cache.
const AHEAD: usize = 32;

/// Rows that follow one another, and their lengths with the line's end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<QuickRow>,
    lengths: Vec<usize>,
}

impl Batch {
    /// Reads rows from the beginning of `text`; returns whether there was any.
    pub(super) fn fill(&mut self, reader: &mut QuickReader, mut text: &[u8]) -> bool {
        self.rows.clear();
        self.lengths.clear();
        while self.rows.len() < AHEAD
            && let Some((row, length)) = reader.row(text)
        {
            self.rows.push(row);
            self.lengths.push(length);
            text = &text[length..];
        }
        !self.rows.is_empty()
    }

    pub(super) fn rows(&self) -> &[QuickRow] {
        &self.rows
    }

    /// Length of some of the rows together.
    pub(super) fn length(&self, rows: Range<usize>) -> usize {
        self.lengths[rows].iter().sum()
    }
}

/// A head that the plain decoder has passed.
#[derive(Debug, Clone)]
struct Head {
    number: u32,
    length: u32,
    text: [u8; 64],
}

/// How many heads are remembered; more interfaces than that in turns are read plainly.
const HEADS: usize = 4096;
/// Bytes before the end of the head that stand in the window, so that a number can be read from the
/// word that ends with it.
const BEFORE: usize = 8;
/// A window over the middle and what follows it, where the middle has at most 64 bytes …
const WINDOW: usize = BEFORE + 104;
/// … and where it has two IPv6 addresses.
const WIDE_WINDOW: usize = BEFORE + 128 + AFTER + 8;
/// The longest row that the quick reader takes.
pub(super) const LONGEST_ROW: usize = 64 + 128 + AFTER;
/// Bytes after the middle: two times, action, status and the line's end.
const AFTER: usize = 32;

/// Reads rows of the default format.
#[derive(Debug)]
pub(super) struct QuickReader {
    /// By [`slot`]; empty until there is a head.
    heads: Vec<Option<Box<Head>>>,
    /// Number of the next head.
    next: u32,
    /// Length of the last head: the next one is most likely as long.
    length: usize,
}

impl QuickReader {
    /// A reader that knows no head yet.
    pub(super) fn new() -> Self {
        Self { heads: Vec::new(), next: 0, length: 0 }
    }

    /// The row that `text` begins with and its length with the line's end, if it is a plain one with
    /// a known head.
    #[expect(
        clippy::inline_always,
        reason = "called several times a row, and a call costs about as much as its body"
    )]
    #[inline(always)]
    pub(super) fn row(&mut self, text: &[u8]) -> Option<(QuickRow, usize)> {
        let begin = text.first_chunk::<64>()?;
        let (head, length) = if let Some(head) = find(&self.heads, begin, self.length) {
            (head, self.length)
        } else {
            let length = head_length(begin)?;
            let head = find(&self.heads, begin, length)?;
            self.length = length;
            (head, length)
        };
        let text = text.get(length - BEFORE..)?;
        let (row, middle) = match middle(text.first_chunk()?, head.number) {
            Some(found) => found,
            None => wide_middle(text.first_chunk()?, head.number)?,
        };
        Some((row, length + middle + AFTER))
    }

    /// Remembers the head of a row that the plain decoder has passed, and returns its number.
    pub(super) fn learn(&mut self, line: &[u8]) -> Option<u32> {
        let mut text = [0; 64];
        let seen = line.len().min(64);
        text[..seen].copy_from_slice(&line[..seen]);
        let length = head_length(&text)?;
        if let Some(head) = find(&self.heads, &text, length) {
            return Some(head.number);
        }
        if self.heads.is_empty() {
            self.heads = vec![None; HEADS];
        }
        let head = Head { number: self.next, length: u32::try_from(length).ok()?, text };
        self.heads[slot(&text, length)?] = Some(Box::new(head));
        self.next = self.next.wrapping_add(1);
        Some(self.next.wrapping_sub(1))
    }
}

/// Length of a row's first three columns with the space behind each, if single spaces separate them
/// and they are short enough. A row begins with a digit, so that it is neither header nor comment.
fn head_length(text: &[u8; 64]) -> Option<usize> {
    let mut mask = spaces(text);
    // Two spaces side by side, or one at the beginning, are for the plain decoder.
    if mask & (mask << 1 | 1) != 0 || !text[0].is_ascii_digit() {
        return None;
    }
    mask &= mask.wrapping_sub(1);
    mask &= mask.wrapping_sub(1);
    let length = mask.trailing_zeros() as usize + 1;
    (BEFORE..=64).contains(&length).then_some(length)
}

/// Where a head is kept: by its last bytes, which are those in which interface ids differ.
#[inline]
fn slot(text: &[u8; 64], length: usize) -> Option<usize> {
    let last = text.get(length.checked_sub(9)?..)?.first_chunk::<8>()?;
    let mixed = u64::from_le_bytes(*last).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((mixed >> 52) as usize)
}

#[inline]
fn find<'h>(heads: &'h [Option<Box<Head>>], text: &[u8; 64], length: usize) -> Option<&'h Head> {
    let head = heads.get(slot(text, length)?)?.as_deref()?;
    (head.length as usize == length && same(text, &head.text, head.length)).then_some(head)
}

/// Reads what follows the head, where the addresses may be IPv4; returns the row and the length of
/// its middle.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn middle(window: &[u8; WINDOW], head: u32) -> Option<(QuickRow, usize)> {
    let mut mask = spaces(window[BEFORE..].first_chunk::<64>()?);
    let mut ends = [0usize; 7];
    for end in &mut ends {
        *end = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
    }
    // A mask without a seventh space ends at 64; an address of more than 15 bytes is no IPv4.
    let [src, dst, .., last] = ends;
    if last >= 64 || src > 15 || dst - src > 16 {
        return None;
    }
    let spelled = (spelled(window, 0, src)?, spelled(window, src + 1, dst)?);
    Some((numbers(window, ends, head, spelled)?, last + 1))
}

/// As [`middle`], where the addresses may be IPv6.
#[inline(never)]
fn wide_middle(window: &[u8; WIDE_WINDOW], head: u32) -> Option<(QuickRow, usize)> {
    let (low, high) = (window[BEFORE..].first_chunk()?, window[BEFORE + 64..].first_chunk()?);
    let mut mask = u128::from(spaces(low)) | u128::from(spaces(high)) << 64;
    let mut ends = [0usize; 7];
    for end in &mut ends {
        *end = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
    }
    let [src, dst, .., last] = ends;
    if last >= 128 {
        return None;
    }
    let v6 = |from: usize, to: usize| {
        let text = std::str::from_utf8(window.get(BEFORE + from..BEFORE + to)?).ok()?;
        let address: Ipv6Addr = text.parse().ok()?;
        Some(Spelled { bits: address.to_bits(), family: Spelled::V6 })
    };
    let spelled = (v6(0, src)?, v6(src + 1, dst)?);
    Some((numbers(window, ends, head, spelled)?, last + 1))
}

/// Reads everything but the addresses.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn numbers<const N: usize>(
    window: &[u8; N],
    ends: [usize; 7],
    head: u32,
    (src, dst): (Spelled, Spelled),
) -> Option<QuickRow> {
    let [_, before, srcport, dstport, protocol, packets, bytes] = ends;
    let after: &[u8; AFTER] = window.get(BEFORE + bytes + 1..)?.first_chunk()?;
    let action = action(after)?;
    let mut flaws = Flaws::default();
    let start = time(after[..10].first_chunk()?, &mut flaws);
    let end = time(after[11..21].first_chunk()?, &mut flaws);
    let row = QuickRow {
        head,
        src,
        dst,
        srcport: u16::try_from(value(window, before, srcport, &mut flaws)?).ok()?,
        dstport: u16::try_from(value(window, srcport, dstport, &mut flaws)?).ok()?,
        protocol: u8::try_from(value(window, dstport, protocol, &mut flaws)?).ok()?,
        packets: value(window, protocol, packets, &mut flaws)?,
        bytes: value(window, packets, bytes, &mut flaws)?,
        start: start.cast_signed(),
        end: end.cast_signed(),
        action,
    };
    (flaws.none() && start <= end).then_some(row)
}

/// The number between two spaces.
#[expect(
    clippy::inline_always,
    reason = "called several times a row, and a call costs about as much as its body"
)]
#[inline(always)]
fn value<const N: usize>(
    window: &[u8; N],
    from: usize,
    to: usize,
    flaws: &mut Flaws,
) -> Option<u64> {
    Some(number(*window.get(to..)?.first_chunk()?, to - from - 1, flaws))
}

/// A token of at most fifteen bytes.
#[inline]
fn spelled(window: &[u8; WINDOW], from: usize, to: usize) -> Option<Spelled> {
    const KEEP: [u128; 16] = {
        let mut keep = [0; 16];
        let mut length = 0;
        while length < 16 {
            keep[length] = (1 << (8 * length)) - 1;
            length += 1;
        }
        keep
    };
    let text = window.get(BEFORE + from..)?.first_chunk::<16>()?;
    let bits = u128::from_le_bytes(*text) & KEEP.get(to - from)?;
    Some(Spelled { bits, family: Spelled::V4 })
}

/// Ten digits.
#[inline]
fn time(text: &[u8; 10], flaws: &mut Flaws) -> u64 {
    let [high @ .., tens, ones] = *text;
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    flaws.note(tens > 9 || ones > 9);
    number(high, 8, flaws) * 100 + u64::from(tens) * 10 + u64::from(ones)
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
mod tests;
