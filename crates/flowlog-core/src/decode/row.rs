//! One line of text into one record, by a format.

use super::Reason;
use super::digits::separators;
use super::values::{self, Blame, Values, decimal, is_identifier};
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
    let mut tokens = [""; N];
    let tokens = &mut tokens[..format.len()];
    match split::<N>(line, tokens) {
        Some(found) if found == tokens.len() => record_of(tokens, format),
        Some(found) if found < tokens.len() => Err(Reason::TooFewFields.into()),
        _ => Err(Reason::TooManyFields.into()),
    }
}

/// Puts the tokens of a line where they belong, as [`str::split_ascii_whitespace`] finds them, and
/// returns how many there are; `None` if there are more than `N`.
fn split<'a, const N: usize>(line: &'a str, tokens: &mut [&'a str]) -> Option<usize> {
    // Where each begins and ends.
    let mut places = [[0; 2]; N];
    let edges = places.as_flattened_mut();
    let mut found = 0;
    // Whether the byte before is a separator: the lowest bit.
    let mut before = 1;
    // One more block than is full, so that the last token ends.
    for from in (0..=line.len()).step_by(64) {
        let mut rest = [b' '; 64];
        let text = &line.as_bytes()[from..];
        let block = text.first_chunk().unwrap_or_else(|| {
            rest[..text.len()].copy_from_slice(text);
            &rest
        });
        let mask = separators(block);
        // A token begins or ends wherever a byte is not of the kind of the one before it.
        let mut changes = mask ^ (mask << 1 | before);
        before = mask >> 63;
        while changes != 0 {
            *edges.get_mut(found)? = from + changes.trailing_zeros() as usize;
            changes &= changes - 1;
            found += 1;
        }
    }
    for (token, [begin, end]) in tokens.iter_mut().zip(&places[..found / 2]) {
        *token = line.get(*begin..*end)?;
    }
    Some(found / 2)
}

/// Makes a record of the tokens of a format's columns, in their order.
pub(super) fn record_of<'a>(tokens: &[&'a str], format: &Format) -> Result<Record<'a>, Rejection> {
    let row = Row { tokens, format };
    values::record(&row).map_err(|Blame { field, reason }| Rejection {
        reason,
        column: field.and_then(|f| format.position(f)).map(|at| at + 1),
    })
}

/// The tokens of a line beside their format.
struct Row<'t, 'a> {
    tokens: &'t [&'a str],
    format: &'t Format,
}

impl<'a> Row<'_, 'a> {
    /// The token of a field; `None` where the format has no such field or the row says `-`.
    fn token(&self, field: Field) -> Option<&'a str> {
        let token = *self.tokens.get(self.format.position(field)?)?;
        (token != "-").then_some(token)
    }
}

impl<'a> Values<'a> for Row<'_, 'a> {
    fn number(&self, field: Field) -> Result<Option<u64>, Reason> {
        let Some(token) = self.token(field) else { return Ok(None) };
        decimal(token.as_bytes()).map(Some).ok_or(Reason::BadNumber)
    }

    fn same(&self, one: Field, other: Field) -> bool {
        let (one, other) = (self.token(one), self.token(other));
        one.is_some() && one == other
    }

    fn address(&self, field: Field) -> Result<Option<Address>, Reason> {
        let Some(token) = self.token(field) else { return Ok(None) };
        Address::parse(token).map(Some).ok_or(Reason::BadAddress)
    }

    fn identifier(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        let Some(token) = self.token(field) else { return Ok(None) };
        if is_identifier(token.as_bytes()) { Ok(Some(token)) } else { Err(Reason::BadIdentifier) }
    }

    fn word(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        Ok(self.token(field))
    }
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
        fn tokens_are_those_of_the_library(line in "[ \\t\\n\\x0b\\x0c\\r]{0,3}([a-z0-9é-]{1,70}[ \\t\\n\\x0b\\x0c\\r]{1,3}){0,34}[a-z]{0,3}") {
            let expected: Vec<&str> = line.split_ascii_whitespace().collect();
            let mut tokens = [""; 32];
            let found = split::<32>(&line, &mut tokens);
            prop_assert_eq!(found, Some(expected.len()).filter(|n| *n <= 32));
            if let Some(found) = found {
                prop_assert_eq!(&tokens[..found], expected.as_slice());
            }
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
