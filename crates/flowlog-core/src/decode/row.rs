//! One line of text into one record, by a format.

use super::Reason;
use super::digits::{Flaws, number, separators};
use super::values::{self, Blame, Values, begins_with_identifier, decimal};
use crate::format::Format;
use crate::record::{Address, Field, Record};

/// Why a line is no record, and in which column (from 1) that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// The column, where one is to blame.
    pub column: Option<usize>,
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self { reason, column: None }
    }
}

/// The most tokens that are looked at; a format has at most 255 columns, and most have few. Room for
/// them is cleared for every line.
const MAX_TOKENS: usize = 256;
const FEW_TOKENS: usize = 32;

/// Parses a line without its line end. `line` must be UTF-8 text; runs of spaces and tabs separate.
///
/// This is the plain decoder: it says what a record is, and any faster one is tested against it.
pub fn parse_row<'a>(line: &'a str, format: &Format) -> Result<Record<'a>, Rejection> {
    if format.len() <= FEW_TOKENS {
        parse_tokens::<FEW_TOKENS>(line, format)
    } else {
        parse_tokens::<MAX_TOKENS>(line, format)
    }
}

fn parse_tokens<'a, const N: usize>(
    line: &'a str,
    format: &Format,
) -> Result<Record<'a>, Rejection> {
    let mut places = [[0; 2]; N];
    match split(line.as_bytes(), &mut places) {
        Some(found) if found == format.len() => {
            record_of(&Line { text: line, places: &places[..found] }, format)
        }
        Some(found) if found < format.len() => Err(Reason::TooFewFields.into()),
        _ => Err(Reason::TooManyFields.into()),
    }
}

/// Where the tokens of a line begin and end, as [`str::split_ascii_whitespace`] finds them; returns how
/// many there are, `None` if there are more than `N`.
fn split<const N: usize>(line: &[u8], places: &mut [[usize; 2]; N]) -> Option<usize> {
    split_by_one(line, places).or_else(|| split_by_many(line, places))
}

/// The same where one separator stands between two tokens and none at either end, as AWS writes;
/// `None` if not.
#[inline]
fn split_by_one<const N: usize>(line: &[u8], places: &mut [[usize; 2]; N]) -> Option<usize> {
    let (mut found, mut begin) = (0, 0);
    // Whether the byte before is a separator: the lowest bit.
    let (mut before, mut side_by_side) = (1, 0);
    for (from, block) in (0..).step_by(64).zip(line.chunks(64)) {
        let mut mask = if let Some(block) = block.first_chunk() {
            separators(block)
        } else {
            let mut rest = [b'x'; 64];
            rest[..block.len()].copy_from_slice(block);
            separators(&rest)
        };
        side_by_side |= mask & (mask << 1 | before);
        before = mask >> 63;
        while mask != 0 {
            let end = from + mask.trailing_zeros() as usize;
            *places.get_mut(found)? = [begin, end];
            (found, begin) = (found + 1, end + 1);
            mask &= mask - 1;
        }
    }
    *places.get_mut(found)? = [begin, line.len()];
    (side_by_side == 0 && begin < line.len()).then_some(found + 1)
}

/// The same, however many separators there are.
#[cold]
fn split_by_many<const N: usize>(line: &[u8], places: &mut [[usize; 2]; N]) -> Option<usize> {
    let mut found = 0;
    let mut tokens = line.split(u8::is_ascii_whitespace);
    let mut begin = 0;
    tokens.try_for_each(|token| {
        if !token.is_empty() {
            *places.get_mut(found)? = [begin, begin + token.len()];
            found += 1;
        }
        begin += token.len() + 1;
        Some(())
    })?;
    Some(found)
}

/// The tokens of a record, by column from 0.
pub(super) trait Tokens<'a> {
    /// A token.
    fn token(&self, column: usize) -> Option<&'a str>;
    /// What a token begins, it and what follows as far as that is at hand, and the token's length.
    fn from(&self, column: usize) -> Option<(&'a [u8], usize)>;
}

/// A line and where its tokens begin and end.
struct Line<'t, 'a> {
    text: &'a str,
    places: &'t [[usize; 2]],
}

impl<'a> Tokens<'a> for Line<'_, 'a> {
    #[inline]
    fn token(&self, column: usize) -> Option<&'a str> {
        let [begin, end] = *self.places.get(column)?;
        self.text.get(begin..end)
    }

    #[inline]
    fn from(&self, column: usize) -> Option<(&'a [u8], usize)> {
        let [begin, end] = *self.places.get(column)?;
        Some((self.text.as_bytes().get(begin..)?, end - begin))
    }
}

impl<'a> Tokens<'a> for [&'a str] {
    fn token(&self, column: usize) -> Option<&'a str> {
        self.get(column).copied()
    }

    fn from(&self, column: usize) -> Option<(&'a [u8], usize)> {
        self.get(column).map(|token| (token.as_bytes(), token.len()))
    }
}

/// Makes a record of the tokens of a format's columns.
pub(super) fn record_of<'a>(
    tokens: &(impl Tokens<'a> + ?Sized),
    format: &Format,
) -> Result<Record<'a>, Rejection> {
    let row = Row { tokens, format };
    values::record(&row).map_err(|Blame { field, reason }| Rejection {
        reason,
        column: field.and_then(|f| format.position(f)).map(|at| at + 1),
    })
}

/// Tokens beside their format.
struct Row<'t, T: ?Sized> {
    tokens: &'t T,
    format: &'t Format,
}

impl<'a, T: Tokens<'a> + ?Sized> Row<'_, T> {
    /// The token of a field; `None` where the format has no such field or the row says `-`.
    #[inline]
    fn token(&self, field: Field) -> Option<&'a str> {
        let token = self.tokens.token(self.format.position(field)?)?;
        (token != "-").then_some(token)
    }

    /// The same as what it begins, and its length: quicker, where no text is needed.
    #[inline]
    fn from(&self, field: Field) -> Option<(&'a [u8], usize)> {
        let (from, length) = self.tokens.from(self.format.position(field)?)?;
        (length != 1 || from.first() != Some(&b'-')).then_some((from, length))
    }
}

impl<'a, T: Tokens<'a> + ?Sized> Values<'a> for Row<'_, T> {
    #[inline]
    fn number(&self, field: Field) -> Result<Option<u64>, Reason> {
        let Some((from, length)) = self.from(field) else { return Ok(None) };
        whole(from, length).map(Some).ok_or(Reason::BadNumber)
    }

    fn same(&self, one: Field, other: Field) -> bool {
        let token = |field| self.from(field).map(|(from, length)| from.get(..length));
        let one = token(one);
        one.is_some() && one == token(other)
    }

    fn address(&self, field: Field) -> Result<Option<Address>, Reason> {
        let Some((from, length)) = self.from(field) else { return Ok(None) };
        let v4 = Address::v4_at(from, length).map(Address::V4);
        let any = || self.token(field).and_then(Address::parse);
        v4.or_else(any).map(Some).ok_or(Reason::BadAddress)
    }

    fn identifier(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        let Some((from, length)) = self.from(field) else { return Ok(None) };
        if begins_with_identifier(from, length) {
            Ok(self.token(field))
        } else {
            Err(Reason::BadIdentifier)
        }
    }

    fn word(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        Ok(self.token(field))
    }
}

/// The decimal number that the first `length` bytes are, as [`decimal`] reads it; eight digits at a time
/// where there is room.
#[inline]
fn whole(from: &[u8], length: usize) -> Option<u64> {
    let mut flaws = Flaws::default();
    let value = match (from.first_chunk(), length) {
        (Some(first), 1..=8) => number(*first, length - 1, &mut flaws),
        (Some(first), 9..=16) => {
            let last = from.get(length - 8..)?.first_chunk()?;
            number(*first, length - 9, &mut flaws) * 100_000_000 + number(*last, 7, &mut flaws)
        }
        _ => return decimal(from.get(..length)?),
    };
    flaws.none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Action, LogStatus};
    use proptest::prelude::*;

    const ROW: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

    fn v2(line: &str) -> Result<Record<'_>, Rejection> {
        parse_row(line, &Format::default_v2())
    }

    #[test]
    fn the_documented_example() {
        let r = v2(ROW).unwrap();
        assert_eq!(r.subject(), "eni-1235b8ca123456789");
        assert_eq!((r.srcport, r.dstport, r.protocol), (Some(20641), Some(22), Some(6)));
        assert_eq!((r.packets, r.bytes, r.action), (20, 4249, Action::Accept));
        assert_eq!(r.window().unwrap().start(), 1_418_529_900);
        assert_eq!(v2(&ROW.replace(' ', "  ")).unwrap(), r);
        assert_eq!(v2(&ROW.replace("1418530010", "1418530010123")).unwrap(), r);
    }

    proptest! {
        #[test]
        fn tokens_are_those_of_the_library(
            line in "([ \\t\\n\\x0b\\x0c\\r]{0,3}([a-z0-9é-]{1,70}[ \\t\\n\\x0b\\x0c\\r]{1,3}){0,34}[a-z]{0,3})|([a-z0-9é\\x0b-]{1,70}[ \\t]){0,34}[a-z]{0,3}",
        ) {
            let expected: Vec<&str> = line.split_ascii_whitespace().collect();
            let mut places = [[0; 2]; 32];
            let found = split(line.as_bytes(), &mut places);
            prop_assert_eq!(found, Some(expected.len()).filter(|n| *n <= 32));
            if let Some(found) = found {
                let tokens: Vec<&str> = places[..found].iter().map(|[a, b]| &line[*a..*b]).collect();
                prop_assert_eq!(tokens, expected);
            }
        }

        #[test]
        fn numbers_are_read_as_a_digit_at_a_time(text in "[0-9]{0,21}[ 0-9a]{0,12}", length in 0usize..24) {
            let length = length.min(text.len());
            prop_assert_eq!(whole(text.as_bytes(), length), decimal(&text.as_bytes()[..length]));
        }
    }

    #[test]
    fn each_field_is_blamed_by_column() {
        for (from, to, reason, column) in [
            ("123456789010", "12#4", Reason::BadIdentifier, Some(2)),
            ("172.31.16.139", "172.31.16.1390", Reason::BadAddress, Some(4)),
            ("20641", "70000", Reason::BadNumber, Some(6)),
            ("4249", "9223372036854775808", Reason::BadNumber, Some(10)),
            ("4249", "+1", Reason::BadNumber, Some(10)),
            ("1418530010", "1418530071", Reason::StartAfterEnd, Some(11)),
            ("ACCEPT", "accept", Reason::BadAction, Some(13)),
            (" OK", " FINE", Reason::BadLogStatus, Some(14)),
            (" OK", " OK extra", Reason::TooManyFields, None),
            (" OK", "", Reason::TooFewFields, None),
        ] {
            let line = ROW.replacen(from, to, 1);
            assert_eq!(v2(&line).unwrap_err(), Rejection { reason, column }, "{line}");
        }
        assert_eq!(
            v2(&ROW.replace("4249", "9223372036854775807")).unwrap().bytes,
            i64::MAX.cast_unsigned()
        );
    }

    #[test]
    fn no_data_and_no_time() {
        let r =
            v2("2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA")
                .unwrap();
        assert_eq!((r.log_status, r.action, r.srcaddr), (LogStatus::NoData, Action::Other, None));
        let f = Format::from_log_format("${interface-id} ${end} ${bytes}").unwrap();
        let r = parse_row("eni-1 1431280876 7", &f).unwrap();
        assert_eq!((r.start, r.end), (Some(1_431_280_876), Some(1_431_280_876)));
        assert_eq!(parse_row("eni-1 - 7", &f).unwrap_err().reason, Reason::NoTimestamp);
    }
}
