//! Runs of small numbers, Parquet's hybrid encoding: definition levels and keys into dictionaries.

use bytes::Bytes;

/// Reads numbers of a width of 0 to 32 bits.
///
/// A run begins with a varint, of which the lowest bit tells groups of eight packed numbers (1) from
/// one number repeated (0).
#[derive(Debug)]
pub(super) struct Runs {
    bytes: Bytes,
    at: usize,
    width: usize,
    run: Run,
}

#[derive(Debug)]
enum Run {
    /// The same number so many times.
    Same { number: u32, left: usize },
    /// So many numbers, from this bit on.
    Packed { bit: usize, left: usize },
}

impl Runs {
    /// `None` if no number is as wide.
    pub(super) fn new(bytes: Bytes, width: u8) -> Option<Self> {
        let run = Run::Same { number: 0, left: 0 };
        (width <= 32).then(|| Self { bytes, at: 0, width: usize::from(width), run })
    }

    /// Appends the next `count` numbers; `None` if the runs are broken or too short.
    pub(super) fn read(&mut self, mut count: usize, numbers: &mut Vec<u32>) -> Option<()> {
        while count > 0 {
            let taken = match &mut self.run {
                Run::Same { left: 0, .. } | Run::Packed { left: 0, .. } => {
                    self.run = self.next()?;
                    continue;
                }
                Run::Same { number, left } => {
                    let taken = count.min(*left);
                    numbers.resize(numbers.len() + taken, *number);
                    *left -= taken;
                    taken
                }
                Run::Packed { bit, left } => {
                    let taken = count.min(*left);
                    let near = unpack(&self.bytes, *bit, self.width, taken, numbers);
                    *bit += near * self.width;
                    for _ in near..taken {
                        numbers.push(packed(&self.bytes, *bit, self.width)?);
                        *bit += self.width;
                    }
                    *left -= taken;
                    taken
                }
            };
            count -= taken;
        }
        Some(())
    }

    /// The number that the next `count` are, which are then read, if they are one run; else nothing is read.
    pub(super) fn same(&mut self, count: usize) -> Option<u32> {
        if let Run::Same { left: 0, .. } | Run::Packed { left: 0, .. } = self.run {
            let at = self.at;
            self.run = self.next().or_else(|| {
                self.at = at;
                None
            })?;
        }
        match &mut self.run {
            Run::Same { number, left } if *left >= count => {
                *left -= count;
                Some(*number)
            }
            _ => None,
        }
    }

    /// A run that is not empty.
    fn next(&mut self) -> Option<Run> {
        let head = self.varint()?;
        let length = usize::try_from(head >> 1).ok()?;
        let rest = self.bytes.get(self.at..)?;
        let run = if head & 1 == 0 {
            let (number, _) = rest.split_at_checked(self.width.div_ceil(8))?;
            self.at += number.len();
            let mut wide = [0; 4];
            wide.get_mut(..number.len())?.copy_from_slice(number);
            Run::Same { number: u32::from_le_bytes(wide), left: length }
        } else {
            // Some writers leave out the padding of the last group.
            let bytes = length.checked_mul(self.width)?.min(rest.len());
            let packed = (bytes * 8).checked_div(self.width).unwrap_or(usize::MAX);
            let run = Run::Packed { bit: self.at * 8, left: length.checked_mul(8)?.min(packed) };
            self.at += bytes;
            run
        };
        match run {
            Run::Same { left: 0, .. } | Run::Packed { left: 0, .. } => None,
            run => Some(run),
        }
    }

    /// A number of 32 bits at most.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends the next numbers that have eight bytes from where they begin, `count` at most; returns how
/// many. The last few of a page are left to [`packed`].
fn unpack(bytes: &[u8], bit: usize, width: usize, count: usize, numbers: &mut Vec<u32>) -> usize {
    // Behind the last bit at which such a number can begin.
    let end = if bytes.len() < 8 { 0 } else { (bytes.len() - 7) * 8 };
    let fits = end.saturating_sub(bit).checked_add(width.saturating_sub(1));
    let near = fits.and_then(|bits| bits.checked_div(width)).unwrap_or(0).min(count);
    let mask = (1 << width) - 1;
    numbers.extend((0..near).map(|nth| {
        let bit = bit + nth * width;
        let word = bytes[bit / 8..].first_chunk().copied().unwrap_or_default();
        ((u64::from_le_bytes(word) >> (bit % 8)) & mask & 0xffff_ffff) as u32
    }));
    near
}

/// The number that begins at a bit, lowest bit first.
fn packed(bytes: &[u8], bit: usize, width: usize) -> Option<u32> {
    let from = bytes.get(bit / 8..)?;
    let mut word = [0; 8];
    let near = from.len().min(word.len());
    word[..near].copy_from_slice(&from[..near]);
    let number = (u64::from_le_bytes(word) >> (bit % 8)) & ((1 << width) - 1);
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], width: u8, count: usize) -> Option<Vec<u32>> {
        let mut whole = Vec::new();
        let found = Runs::new(Bytes::copy_from_slice(bytes), width)?.read(count, &mut whole);
        // One by one it is the same.
        let (mut single, mut runs) = (Vec::new(), Runs::new(Bytes::copy_from_slice(bytes), width)?);
        let again = (0..count).try_for_each(|_| runs.read(1, &mut single));
        assert_eq!((found, &whole), (again, &single));
        found.map(|()| whole)
    }

    #[test]
    fn runs_of_levels() {
        // 3 × 1, then 16 packed bits.
        let levels = [6, 1, 5, 0b0000_0101, 0b1111_1110];
        assert!(read(&levels, 1, 0).unwrap().is_empty());
        assert_eq!(read(&levels, 1, 5).unwrap(), [1, 1, 1, 1, 0]);
        let whole = read(&levels, 1, 19).unwrap();
        assert_eq!(whole[3..], [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(read(&levels, 1, 20), None);
        assert_eq!(read(&[0xd0, 0x0f, 1], 1, 1000).unwrap(), [1; 1000]);
    }

    #[test]
    fn numbers_of_every_width() {
        for width in 0..=32u8 {
            let mask = u32::try_from((1u64 << width) - 1).unwrap();
            let numbers: Vec<u32> =
                (0..24u32).map(|n| n.wrapping_mul(0x9e37_79b9).rotate_left(n) & mask).collect();
            let mut bits = vec![0u8; 3 * usize::from(width)];
            for (nth, number) in numbers.iter().enumerate() {
                for bit in 0..usize::from(width) {
                    let at = nth * usize::from(width) + bit;
                    bits[at / 8] |= u8::from(number >> bit & 1 == 1) << (at % 8);
                }
            }
            let bytes = [&[3 << 1 | 1], &bits[..]].concat();
            assert_eq!(read(&bytes, width, 24).unwrap(), numbers, "width {width}");
            let number = numbers[5].to_le_bytes();
            let bytes = [&[7 << 1], &number[..usize::from(width).div_ceil(8)]].concat();
            assert_eq!(read(&bytes, width, 7).unwrap(), [numbers[5]; 7], "width {width}");
        }
    }

    #[test]
    fn many_numbers_are_those_that_come_one_by_one() {
        for width in 0..=32u8 {
            let mask = (1u64 << width) - 1;
            let bits: Vec<u8> = (0..25 * u32::from(width))
                .map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()[2])
                .collect();
            let bytes = [&[25 << 1 | 1], &bits[..]].concat();
            let expected: Vec<u32> = (0..200)
                .map(|nth| {
                    let bit = nth * usize::from(width);
                    let number = (0..usize::from(width)).fold(0u64, |number, n| {
                        let at = bit + n;
                        number | u64::from(bits[at / 8] >> (at % 8) & 1) << n
                    });
                    u32::try_from(number & mask).unwrap()
                })
                .collect();
            assert_eq!(read(&bytes, width, 200).unwrap(), expected, "width {width}");
            // From the middle of a byte on.
            let mut runs = Runs::new(Bytes::from(bytes), width).unwrap();
            let mut whole = Vec::new();
            for count in [3, 1, 120, 7, 69] {
                runs.read(count, &mut whole).unwrap();
            }
            assert_eq!(whole, expected, "width {width}");
            assert_eq!(runs.read(1, &mut whole), None);
        }
    }

    #[test]
    fn broken_runs_end() {
        for runs in [&[][..], &[20], &[0, 1], &[1], &[5], &[0xff; 6], &[0x80], &[3, 255]] {
            assert_eq!(read(runs, 1, 10), None, "{runs:?}");
        }
        assert!(Runs::new(Bytes::new(), 33).is_none());
        // A last group without its padding.
        assert_eq!(read(&[5, 0b101], 1, 8).unwrap(), [1, 0, 1, 0, 0, 0, 0, 0]);
    }
}
