//! One line of text into one record, by a format.

use super::Reason;
use crate::format::Format;
use crate::record::{Action, Address, Direction, Field, LogStatus, Record};

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

/// The most tokens that are looked at; a format has at most 255 columns.
const MAX_TOKENS: usize = 256;

/// Parses a line without its line end. `line` must be UTF-8 text; runs of spaces and tabs separate.
///
/// This is the plain decoder: it says what a record is, and any faster one is tested against it.
pub fn parse_row<'a>(line: &'a str, format: &Format) -> Result<Record<'a>, Rejection> {
    let mut tokens = [""; MAX_TOKENS];
    let mut found = 0;
    for token in line.split_ascii_whitespace() {
        if found == format.len() {
            return Err(Reason::TooManyFields.into());
        }
        tokens[found] = token;
        found += 1;
    }
    if found < format.len() {
        return Err(Reason::TooFewFields.into());
    }
    Row { tokens: &tokens[..found], format }.record()
}

/// The tokens of a line beside their format.
struct Row<'t, 'a> {
    tokens: &'t [&'a str],
    format: &'t Format,
}

impl<'a> Row<'_, 'a> {
    fn record(&self) -> Result<Record<'a>, Rejection> {
        let log_status = self.log_status()?;
        let start = self.time(Field::Start)?;
        let end = self.time(Field::End)?;
        if let (Some(start_at), Some(end_at)) = (start, end)
            && start_at > end_at
        {
            return Err(self.blame(Field::Start, Reason::StartAfterEnd));
        }
        if log_status == LogStatus::Ok && start.or(end).is_none() {
            return Err(Reason::NoTimestamp.into());
        }
        Ok(Record {
            account_id: self.id(Field::AccountId)?,
            interface_id: self.id(Field::InterfaceId)?,
            tgw_attachment_id: self.id(Field::TgwAttachmentId)?,
            resource_id: self.id(Field::ResourceId)?,
            vpc_id: match self.id(Field::VpcId)? {
                None => self.id(Field::TgwSrcVpcId)?,
                vpc => vpc,
            },
            srcaddr: self.address(Field::Srcaddr)?,
            dstaddr: self.address(Field::Dstaddr)?,
            srcport: self.small(Field::Srcport)?,
            dstport: self.small(Field::Dstport)?,
            protocol: self.small(Field::Protocol)?,
            packets: self.number(Field::Packets)?.unwrap_or(0),
            bytes: self.number(Field::Bytes)?.unwrap_or(0),
            start: start.or(end),
            end: end.or(start),
            action: self.action()?,
            log_status,
            tcp_flags: self.small(Field::TcpFlags)?,
            pkt_srcaddr: self.address(Field::PktSrcaddr)?,
            pkt_dstaddr: self.address(Field::PktDstaddr)?,
            flow_direction: self.direction()?,
            traffic_path: self.small(Field::TrafficPath)?,
            reject_reason: self.id(Field::RejectReason)?,
            encryption_status: self.small(Field::EncryptionStatus)?,
            packets_lost: [
                self.number(Field::PacketsLostNoRoute)?.unwrap_or(0),
                self.number(Field::PacketsLostBlackhole)?.unwrap_or(0),
                self.number(Field::PacketsLostMtuExceeded)?.unwrap_or(0),
                self.number(Field::PacketsLostTtlExpired)?.unwrap_or(0),
            ],
        })
    }

    /// The token of a field; `None` where the format has no such field or the row says `-`.
    fn token(&self, field: Field) -> Option<&'a str> {
        let token = *self.tokens.get(self.format.position(field)?)?;
        (token != "-").then_some(token)
    }

    fn blame(&self, field: Field, reason: Reason) -> Rejection {
        Rejection { reason, column: self.format.position(field).map(|at| at + 1) }
    }

    fn number(&self, field: Field) -> Result<Option<u64>, Rejection> {
        let Some(token) = self.token(field) else { return Ok(None) };
        decimal(token.as_bytes()).map(Some).ok_or_else(|| self.blame(field, Reason::BadNumber))
    }

    fn small<T: TryFrom<u64>>(&self, field: Field) -> Result<Option<T>, Rejection> {
        let Some(number) = self.number(field)? else { return Ok(None) };
        T::try_from(number).map(Some).map_err(|_| self.blame(field, Reason::BadNumber))
    }

    /// Epoch seconds. Milliseconds, which some deliveries carried against the documentation, are
    /// told by their size: as seconds they would lie beyond the year 5138.
    fn time(&self, field: Field) -> Result<Option<i64>, Rejection> {
        let Some(number) = self.number(field)? else { return Ok(None) };
        let seconds = if number > 100_000_000_000 { number / 1000 } else { number };
        i64::try_from(seconds)
            .ok()
            .filter(|s| *s < 10_000_000_000)
            .map(Some)
            .ok_or_else(|| self.blame(field, Reason::BadNumber))
    }

    fn address(&self, field: Field) -> Result<Option<Address>, Rejection> {
        let Some(token) = self.token(field) else { return Ok(None) };
        Address::parse(token).map(Some).ok_or_else(|| self.blame(field, Reason::BadAddress))
    }

    /// Ids become parts of keys, so they may hold only what AWS puts there.
    fn id(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        let Some(token) = self.token(field) else { return Ok(None) };
        let ok = token.len() <= 64
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if ok { Ok(Some(token)) } else { Err(self.blame(field, Reason::BadIdentifier)) }
    }

    fn action(&self) -> Result<Action, Rejection> {
        match self.token(Field::Action) {
            None => Ok(Action::Other),
            Some("ACCEPT") => Ok(Action::Accept),
            Some("REJECT") => Ok(Action::Reject),
            Some(_) => Err(self.blame(Field::Action, Reason::BadAction)),
        }
    }

    fn log_status(&self) -> Result<LogStatus, Rejection> {
        match self.token(Field::LogStatus) {
            None | Some("OK") => Ok(LogStatus::Ok),
            Some("NODATA") => Ok(LogStatus::NoData),
            Some("SKIPDATA") => Ok(LogStatus::SkipData),
            Some(_) => Err(self.blame(Field::LogStatus, Reason::BadLogStatus)),
        }
    }

    fn direction(&self) -> Result<Option<Direction>, Rejection> {
        match self.token(Field::FlowDirection) {
            None => Ok(None),
            Some("ingress") => Ok(Some(Direction::Ingress)),
            Some("egress") => Ok(Some(Direction::Egress)),
            Some(_) => Err(self.blame(Field::FlowDirection, Reason::BadDirection)),
        }
    }
}

/// Decimal digits only, up to 2^63 − 1.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits fit into 64 bits.
        value = value * 10 + u64::from(digit);
    }
    (value <= i64::MAX.cast_unsigned()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

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
