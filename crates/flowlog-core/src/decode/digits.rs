//! Numbers and marks in text, eight or sixteen bytes at a time.
//!
//! A number of up to eight digits is read from the word that begins where it begins: shifting left
//! drops what stands behind it and fills up with zeros before it, and three multiplications add tens to
//! ones, hundreds to tens, and so on. Damage is gathered beside, so that a row needs one branch for all
//! of its numbers.

use wide::u8x16;

/// What was no number, gathered over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flaws {
    /// The high bit of a byte is set if it was no digit once.
    digits: u64,
    /// More than seven if a number was too long, or empty.
    lengths: usize,
}

/// The high bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;

impl Flaws {
    /// Whether there were none.
    #[inline]
    pub(super) fn none(self) -> bool {
        self.digits & HIGH == 0 && self.lengths <= 7
    }

    /// Notes a condition that makes the row none for the quick reader.
    #[inline]
    pub(super) fn note(&mut self, flaw: bool) {
        self.lengths |= usize::from(flaw) << 3;
    }
}

/// Reads the first bytes of `text` as decimal digits: one and `more`, which is a flaw if it is more than
/// seven.
#[inline]
pub(super) fn number(text: [u8; 8], more: usize, flaws: &mut Flaws) -> u64 {
    const TO_HIGH: u64 = 0x7676_7676_7676_7676;
    flaws.lengths |= more;
    // The first byte is the lowest. Seven less `more` zeros come before the digits.
    let digits = (u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030)
        << ((more.wrapping_mul(8) ^ 0x38) & 0x3f);
    // A byte of ten or more sets its high bit, here or in the sum.
    flaws.digits |= digits.wrapping_add(TO_HIGH) | digits;
    let tens = digits.wrapping_mul(10 * 0x100 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let hundreds = tens.wrapping_mul(100 * 0x1_0000 + 1) >> 16 & 0x0000_ffff_0000_ffff;
    hundreds.wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32
}

/// Which of 64 bytes are spaces: the first is the lowest bit.
#[inline]
pub(super) fn spaces(text: &[u8; 64]) -> u64 {
    let space = u8x16::splat(b' ');
    let [a, b, c, d] = quarters(text);
    marks(a.simd_eq(space), b.simd_eq(space), c.simd_eq(space), d.simd_eq(space))
}

/// What 64 bytes are: the first is the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// Spaces.
    pub(super) spaces: u64,
    /// Neither spaces nor visible ASCII.
    pub(super) others: u64,
}

impl Marks {
    /// Looks at 64 bytes.
    #[inline]
    pub(super) fn of(text: &[u8; 64]) -> Self {
        let [a, b, c, d] = quarters(text);
        let space = u8x16::splat(b' ');
        let spaces = marks(a.simd_eq(space), b.simd_eq(space), c.simd_eq(space), d.simd_eq(space));
        // Beyond what is visible, or below as a difference that is too large.
        let others = |text: u8x16| {
            let above = text - u8x16::splat(b' ');
            above.max(u8x16::splat(0x7f - b' ')).simd_eq(above)
        };
        Self { spaces, others: marks(others(a), others(b), others(c), others(d)) }
    }
}

/// Which of 64 bytes separate tokens, as [`u8::is_ascii_whitespace`] says: the first is the lowest bit.
#[inline]
pub(super) fn separators(text: &[u8; 64]) -> u64 {
    let [a, b, c, d] = quarters(text).map(|quarter| {
        let is = |byte: u8| quarter.simd_eq(u8x16::splat(byte));
        is(b' ') | is(b'\t') | is(b'\n') | is(b'\x0c') | is(b'\r')
    });
    marks(a, b, c, d)
}

/// Whether the first `length` (at most 64) bytes of both are the same.
#[inline]
pub(super) fn same(a: &[u8; 64], b: &[u8; 64], length: u32) -> bool {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (quarters(a), quarters(b));
    let equal = marks(a0.simd_eq(b0), a1.simd_eq(b1), a2.simd_eq(b2), a3.simd_eq(b3));
    equal.trailing_ones() >= length
}

// Both of these are written out, since a loop or a closure is not always unrolled or inlined.

/// Which of sixteen bytes may be part of an identifier (ASCII letters, digits, `-`, `_`): the first is
/// the lowest bit.
#[inline]
pub(super) fn identifying(text: &[u8; 16]) -> u32 {
    let text = u8x16::new(*text);
    // As a difference that is at most so much, since numbers below zero are large.
    let within = |from: u8, more: u8, text: u8x16| {
        let above = text - u8x16::splat(from);
        above.min(u8x16::splat(more)).simd_eq(above)
    };
    let letters = within(b'a', 25, text | u8x16::splat(0x20));
    let marks = text.simd_eq(u8x16::splat(b'-')) | text.simd_eq(u8x16::splat(b'_'));
    (letters | within(b'0', 9, text) | marks).to_bitmask()
}

/// Whether there is a control character other than the tab.
#[inline]
pub(super) fn has_control(text: &[u8]) -> bool {
    let controls = |block: &[u8; 16]| {
        let block = u8x16::new(*block);
        let low = block.min(u8x16::splat(0x1f)).simd_eq(block);
        low ^ block.simd_eq(u8x16::splat(b'\t')) | block.simd_eq(u8x16::splat(0x7f))
    };
    let Some(last) = text.last_chunk() else {
        return text.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f);
    };
    let found =
        text.as_chunks().0.iter().fold(controls(last), |found, block| found | controls(block));
    found.to_bitmask() != 0
}

/// The text in pieces of sixteen bytes.
#[inline]
fn quarters(text: &[u8; 64]) -> [u8x16; 4] {
    match text.as_chunks::<16>().0 {
        [a, b, c, d] => [u8x16::new(*a), u8x16::new(*b), u8x16::new(*c), u8x16::new(*d)],
        _ => [u8x16::ZERO; 4],
    }
}

/// The highest bit of each byte.
#[inline]
fn marks(a: u8x16, b: u8x16, c: u8x16, d: u8x16) -> u64 {
    u64::from(a.to_bitmask())
        | u64::from(b.to_bitmask()) << 16
        | u64::from(c.to_bitmask()) << 32
        | u64::from(d.to_bitmask()) << 48
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `spaces` must say, a byte at a time.
    fn spaces_plainly(text: &[u8; 64]) -> u64 {
        text.iter().enumerate().map(|(at, byte)| u64::from(*byte == b' ') << at).sum()
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_the_library_reads_them(text: [u8; 8], length in 0usize..=9, digits: bool) {
            let text = if digits { text.map(|b| b'0' + b % 10) } else { text };
            let mut flaws = Flaws::default();
            let value = number(text, length.wrapping_sub(1), &mut flaws);
            let token = text.get(..length).filter(|t| !t.is_empty());
            let expected = token
                .filter(|t| t.iter().all(u8::is_ascii_digit))
                .and_then(|t| std::str::from_utf8(t).ok()?.parse().ok());
            prop_assert_eq!(flaws.none().then_some(value), expected);
        }

        #[test]
        fn marks_are_those_of_a_loop(text: [u8; 64], other: [u8; 64], cut in 0usize..64, length in 0u32..=64) {
            let text = text.map(|b| if b < 100 { b' ' } else if b < 130 { b % 16 } else { b });
            prop_assert_eq!(spaces(&text), spaces_plainly(&text));
            let separating = text.iter().enumerate().map(|(at, b)| u64::from(b.is_ascii_whitespace()) << at);
            prop_assert_eq!(separators(&text), separating.sum::<u64>());
            for text in [text, other] {
                let unseen = text.iter().enumerate().map(|(at, b)| u64::from(!(b' '..0x7f).contains(b)) << at);
                let expected = Marks { spaces: spaces_plainly(&text), others: unseen.sum() };
                prop_assert_eq!(Marks::of(&text), expected);
            }
            let sixteen = text.first_chunk::<16>().unwrap();
            let in_ids = sixteen.iter().enumerate().map(|(at, b)| {
                u32::from(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) << at
            });
            prop_assert_eq!(identifying(sixteen), in_ids.sum::<u32>());
            let is_control = |b: &u8| b.is_ascii_control() && *b != b'\t';
            let visible = other.map(|b| if is_control(&b) { b'.' } else { b });
            let (mut one, length) = (visible, length as usize);
            prop_assert!(!has_control(&visible[..length]));
            one[cut] = other[cut];
            prop_assert_eq!(has_control(&one[..length]), one[..length].iter().any(is_control));
            let length = u32::try_from(length).unwrap();
            let mut near = text;
            near[cut..].copy_from_slice(&other[cut..]);
            let whole = text[..length as usize] == near[..length as usize];
            prop_assert_eq!(same(&text, &near, length), whole);
        }
    }
}
