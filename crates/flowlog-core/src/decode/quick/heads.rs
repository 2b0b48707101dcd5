//! The heads of rows that the plain decoder has passed: what is before the fourth column, numbered.

use crate::decode::digits::{same, spaces};

/// The most bytes of a head.
pub(super) const HEAD: usize = 64;
/// Heads are told apart by their last bytes, which are those in which interface ids differ.
const LAST: usize = 8;
/// How many heads are remembered. With one more, all are forgotten.
const MOST: usize = 16_384;
/// Places to look at: a power of two, at least twice as many as heads.
const SLOTS: usize = 2 * MOST;
/// How many places are looked at for one: more than chains of AWS's ids grow to, so that whoever writes an object
/// of his own cannot make long ones.
const REACH: usize = 64;

/// Heads by their text.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Place among the heads plus one, by [`slot`]; zero is empty. None as long as there is no head.
    slots: Vec<u16>,
    texts: Vec<Text>,
    /// How many bytes of each text are the head.
    lengths: Vec<u8>,
    /// Number of the first head.
    first: u32,
}

/// The text of a head, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Text([u8; HEAD]);

impl Heads {
    /// The number of the head of this length that `text` begins with.
    #[inline]
    pub(super) fn find(&self, text: &[u8; HEAD], length: usize) -> Option<u32> {
        let first = slot(text, length)?;
        for at in first..first + REACH {
            let place = usize::from(*self.slots.get(at % SLOTS)?);
            let head = self.texts.get(place.wrapping_sub(1))?;
            let bytes = u32::from(*self.lengths.get(place - 1)?);
            if bytes as usize == length && same(text, &head.0, bytes) {
                #[expect(clippy::cast_possible_truncation, reason = "at most MOST")]
                return Some(self.first.wrapping_add(place as u32 - 1));
            }
        }
        None
    }

    /// Adds a head that is not there and returns its number, which no other head had. `None` if there is no room
    /// within reach.
    pub(super) fn insert(&mut self, text: [u8; HEAD], length: usize) -> Option<u32> {
        if self.texts.len() == MOST {
            self.first = self.first.wrapping_add(u32::try_from(MOST).ok()?);
            self.texts.clear();
            self.lengths.clear();
            self.slots.clear();
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, 0);
        }
        let place = u16::try_from(self.texts.len()).ok()?;
        let first = slot(&text, length)?;
        let at = (first..first + REACH).map(|at| at % SLOTS).find(|at| self.slots[*at] == 0)?;
        self.slots[at] = place + 1;
        self.texts.push(Text(text));
        self.lengths.push(u8::try_from(length).ok()?);
        Some(self.first.wrapping_add(u32::from(place)))
    }
}

/// Whether the plain decoder sees the same columns in a head of this length: it separates them by tabs, too, and
/// trims what it finds around a row.
pub(super) fn is_plain(text: &[u8; HEAD], length: usize) -> bool {
    text.iter().take(length).filter(|byte| **byte <= b' ').count() == 3
}

/// Length of a row's first three columns with the space behind each, if single spaces separate them
/// and they are short enough. A row begins with a digit, so that it is neither header nor comment.
pub(super) fn head_length(text: &[u8; HEAD]) -> Option<usize> {
    let mut mask = spaces(text);
    // Two spaces side by side, or one at the beginning, are for the plain decoder.
    if mask & (mask << 1 | 1) != 0 || !text[0].is_ascii_digit() {
        return None;
    }
    mask &= mask.wrapping_sub(1);
    mask &= mask.wrapping_sub(1);
    let length = mask.trailing_zeros() as usize + 1;
    (LAST < length && length <= HEAD).then_some(length)
}

/// Where to look for a head first. Strangers choose none of its bytes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the number of a slot")]
fn slot(text: &[u8; HEAD], length: usize) -> Option<usize> {
    let last = text.get(length.checked_sub(LAST + 1)?..)?.first_chunk::<LAST>()?;
    let mixed = u64::from_le_bytes(*last).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(n: u32) -> ([u8; HEAD], usize) {
        let mut text = [b'x'; HEAD];
        let row = format!("2 123456789010 eni-{n:017x} 10.0.0.1 ");
        text[..row.len()].copy_from_slice(row.as_bytes());
        (text, head_length(&text).unwrap())
    }

    #[test]
    fn each_head_has_a_number_of_its_own_until_all_are_forgotten() {
        let mut heads = Heads::default();
        for n in 0..40_000 {
            let (text, length) = head(n);
            assert_eq!(heads.find(&text, length), None);
            assert_eq!(heads.insert(text, length), Some(n));
            assert_eq!(heads.find(&text, length), Some(n));
        }
        let (text, length) = head(39_000);
        assert_eq!(heads.find(&text, length), Some(39_000));
        assert_eq!(heads.find(&text, length - 1), None);
        let (text, length) = head(10);
        assert_eq!(heads.find(&text, length), None);
    }

    /// AWS's ids differ in their last bytes; whoever writes an object of his own may have them all alike.
    #[test]
    fn chains_are_searched_as_far_as_they_reach() {
        let mut heads = Heads::default();
        let head = |n: u32| {
            let mut text = [b'x'; HEAD];
            let row = format!("2 {n:012} eni-1235b8ca123456789 10.0.0.1 ");
            text[..row.len()].copy_from_slice(row.as_bytes());
            (text, head_length(&text).unwrap())
        };
        let insert = |n| {
            let (text, length) = head(n);
            heads.insert(text, length)
        };
        let numbers: Vec<u32> = (0..1000).filter_map(insert).collect();
        assert_eq!(numbers.len(), REACH);
        let (text, length) = head(3);
        assert_eq!(heads.find(&text, length), Some(3));
        let (text, length) = head(999);
        assert_eq!(heads.find(&text, length), None);
    }
}
