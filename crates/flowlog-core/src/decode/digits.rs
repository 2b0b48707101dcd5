//! Numbers and marks in text, eight or sixteen bytes at a time.
//!
//! A number of up to eight digits is read from the word that ends where it ends: what stands before
//! it is shifted out, and three multiplications add tens to ones, hundreds to tens, and so on. Damage
//! is gathered in a word of its own, so that a row needs one branch for all of its numbers.

use wide::u8x16;

/// Bytes that were no digits, gathered over several numbers: zero means that all were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flaws(u64);

impl Flaws {
    /// Whether every byte so far was a digit.
    #[inline]
    pub(super) fn none(self) -> bool {
        self.0 == 0
    }

    /// Notes a condition that makes the row none for the quick reader.
    #[inline]
    pub(super) fn note(&mut self, flaw: bool) {
        self.0 |= u64::from(flaw);
    }
}

/// Reads the last `length` (1 to 8) bytes of `text` as decimal digits.
#[inline]
pub(super) fn number(text: [u8; 8], length: usize, flaws: &mut Flaws) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const TO_HIGH: u64 = 0x7676_7676_7676_7676;
    flaws.note(length.wrapping_sub(1) > 7);
    // The first byte is the lowest: shifting left drops nothing but what stands before the number.
    let before = 8usize.wrapping_sub(length).wrapping_mul(8) & 63;
    let digits = (u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030) >> before << before;
    // A byte of ten or more sets its high bit, here or in the sum.
    flaws.0 |= (digits.wrapping_add(TO_HIGH) | digits) & HIGH;
    let tens = digits.wrapping_mul(10 * 0x100 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let hundreds = tens.wrapping_mul(100 * 0x1_0000 + 1) >> 16 & 0x0000_ffff_0000_ffff;
    hundreds.wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32
}

/// Which of 64 bytes are spaces: the first is the lowest bit.
#[inline]
pub(super) fn spaces(text: &[u8; 64]) -> u64 {
    let space = u8x16::splat(b' ');
    let (quarters, _) = text.as_chunks::<16>();
    quarters.iter().rev().fold(0, |mask, quarter| {
        mask << 16 | u64::from(u8x16::new(*quarter).simd_eq(space).to_bitmask())
    })
}

/// Whether the first `length` (at most 64) bytes of both are the same.
#[inline]
pub(super) fn same(a: &[u8; 64], b: &[u8; 64], length: u32) -> bool {
    let (ours, theirs) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let equal = ours.iter().zip(theirs).rev().fold(0, |mask, (a, b)| {
        mask << 16 | u64::from(u8x16::new(*a).simd_eq(u8x16::new(*b)).to_bitmask())
    });
    equal.trailing_ones() >= length
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
            let value = number(text, length, &mut flaws);
            let token = text.get(8usize.wrapping_sub(length)..).filter(|t| !t.is_empty());
            let expected = token
                .filter(|t| t.iter().all(u8::is_ascii_digit))
                .and_then(|t| std::str::from_utf8(t).ok()?.parse().ok());
            prop_assert_eq!(flaws.none().then_some(value), expected);
        }

        #[test]
        fn marks_are_those_of_a_loop(text: [u8; 64], other: [u8; 64], cut in 0usize..64, length in 0u32..=64) {
            let text = text.map(|b| if b < 100 { b' ' } else { b });
            prop_assert_eq!(spaces(&text), spaces_plainly(&text));
            let mut near = text;
            near[cut..].copy_from_slice(&other[cut..]);
            let whole = text[..length as usize] == near[..length as usize];
            prop_assert_eq!(same(&text, &near, length), whole);
        }
    }
}
