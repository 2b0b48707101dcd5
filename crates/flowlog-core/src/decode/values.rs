//! What the values of a record must be, wherever they come from: a line's tokens, or columns.
//!
//! The order in which fields are judged is part of it: of a record with several wrong values, text
//! and Parquet name the same one.

use super::Reason;
use super::digits::identifying;
use crate::record::{Action, Address, Direction, Field, LogStatus, Record};

/// What is wrong with a record, and in which field that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) field: Option<Field>,
    pub(super) reason: Reason,
}

/// The values of one record. `None` is a field that the format does not have, or `-`.
pub(super) trait Values<'a> {
    /// A number up to 2^63 − 1.
    fn number(&self, field: Field) -> Result<Option<u64>, Reason>;
    /// An address.
    fn address(&self, field: Field) -> Result<Option<Address>, Reason>;
    /// Whether both fields are there and have the same text, as far as that is quickly said.
    fn same(&self, _one: Field, _other: Field) -> bool {
        false
    }
    /// An identifier, see [`is_identifier`].
    fn identifier(&self, field: Field) -> Result<Option<&'a str>, Reason>;
    /// One of a few words.
    fn word(&self, field: Field) -> Result<Option<&'a str>, Reason>;
}

/// What kind of value a field has that [`Record`] uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Address,
    Identifier,
    Word,
}

/// The kind of a field; `None` for those that no roll-up uses.
pub(super) fn kind(field: Field) -> Option<Kind> {
    Some(match field {
        Field::Srcport
        | Field::Dstport
        | Field::Protocol
        | Field::Packets
        | Field::Bytes
        | Field::Start
        | Field::End
        | Field::TcpFlags
        | Field::TrafficPath
        | Field::EncryptionStatus
        | Field::PacketsLostNoRoute
        | Field::PacketsLostBlackhole
        | Field::PacketsLostMtuExceeded
        | Field::PacketsLostTtlExpired => Kind::Number,
        Field::Srcaddr | Field::Dstaddr | Field::PktSrcaddr | Field::PktDstaddr => Kind::Address,
        Field::AccountId
        | Field::InterfaceId
        | Field::TgwAttachmentId
        | Field::ResourceId
        | Field::VpcId
        | Field::TgwSrcVpcId
        | Field::SubnetId
        | Field::InstanceId
        | Field::AzId
        | Field::PktSrcAwsService
        | Field::PktDstAwsService
        | Field::RejectReason => Kind::Identifier,
        Field::Action
        | Field::LogStatus
        | Field::FlowDirection
        | Field::InterfaceTag
        | Field::InstanceTag => Kind::Word,
        _ => return None,
    })
}

/// Judges the values and makes a record of them.
pub(super) fn record<'a>(values: &impl Values<'a>) -> Result<Record<'a>, Blame> {
    let log_status = log_status(values)?;
    let start = time(values, Field::Start)?;
    let end = time(values, Field::End)?;
    if let (Some(start_at), Some(end_at)) = (start, end)
        && start_at > end_at
    {
        return Err(Blame { field: Some(Field::Start), reason: Reason::StartAfterEnd });
    }
    if log_status == LogStatus::Ok && start.or(end).is_none() {
        return Err(Blame { field: None, reason: Reason::NoTimestamp });
    }
    // In the order of the fields.
    let (srcaddr, dstaddr);
    Ok(Record {
        account_id: identifier(values, Field::AccountId)?,
        interface_id: identifier(values, Field::InterfaceId)?,
        tgw_attachment_id: identifier(values, Field::TgwAttachmentId)?,
        resource_id: identifier(values, Field::ResourceId)?,
        vpc_id: match identifier(values, Field::VpcId)? {
            None => identifier(values, Field::TgwSrcVpcId)?,
            vpc => vpc,
        },
        subnet_id: metadata(values, Field::SubnetId),
        instance_id: metadata(values, Field::InstanceId),
        tag: tag(values, Field::InterfaceTag).or_else(|| tag(values, Field::InstanceTag)),
        srcaddr: {
            srcaddr = address(values, Field::Srcaddr)?;
            srcaddr
        },
        dstaddr: {
            dstaddr = address(values, Field::Dstaddr)?;
            dstaddr
        },
        srcport: small(values, Field::Srcport)?,
        dstport: small(values, Field::Dstport)?,
        protocol: small(values, Field::Protocol)?,
        packets: number(values, Field::Packets)?.unwrap_or(0),
        bytes: number(values, Field::Bytes)?.unwrap_or(0),
        start: start.or(end),
        end: end.or(start),
        action: action(values)?,
        log_status,
        tcp_flags: small(values, Field::TcpFlags)?,
        pkt_srcaddr: packet_address(values, Field::PktSrcaddr, (Field::Srcaddr, srcaddr))?,
        pkt_dstaddr: packet_address(values, Field::PktDstaddr, (Field::Dstaddr, dstaddr))?,
        pkt_src_aws_service: metadata(values, Field::PktSrcAwsService),
        pkt_dst_aws_service: metadata(values, Field::PktDstAwsService),
        az_id: metadata(values, Field::AzId),
        flow_direction: direction(values)?,
        traffic_path: small(values, Field::TrafficPath)?,
        reject_reason: identifier(values, Field::RejectReason)?,
        encryption_status: small(values, Field::EncryptionStatus)?,
        packets_lost: [
            number(values, Field::PacketsLostNoRoute)?.unwrap_or(0),
            number(values, Field::PacketsLostBlackhole)?.unwrap_or(0),
            number(values, Field::PacketsLostMtuExceeded)?.unwrap_or(0),
            number(values, Field::PacketsLostTtlExpired)?.unwrap_or(0),
        ],
    })
}

fn blame(field: Field) -> impl FnOnce(Reason) -> Blame {
    move |reason| Blame { field: Some(field), reason }
}

fn number<'a>(values: &impl Values<'a>, field: Field) -> Result<Option<u64>, Blame> {
    values.number(field).map_err(blame(field))
}

fn identifier<'a>(values: &impl Values<'a>, field: Field) -> Result<Option<&'a str>, Blame> {
    values.identifier(field).map_err(blame(field))
}

/// An id that describes the interface and becomes no key: a wrong one is as good as none, since AWS
/// says that such metadata may be.
fn metadata<'a>(values: &impl Values<'a>, field: Field) -> Option<&'a str> {
    values.identifier(field).ok().flatten()
}

/// A tag's value, free text.
fn tag<'a>(values: &impl Values<'a>, field: Field) -> Option<&'a str> {
    values.word(field).ok().flatten()
}

fn address<'a>(values: &impl Values<'a>, field: Field) -> Result<Option<Address>, Blame> {
    values.address(field).map_err(blame(field))
}

/// An address of the packets themselves; mostly that of the interface's side, which is not read again.
fn packet_address<'a>(
    values: &impl Values<'a>,
    field: Field,
    (beside, known): (Field, Option<Address>),
) -> Result<Option<Address>, Blame> {
    if values.same(beside, field) { Ok(known) } else { address(values, field) }
}

fn small<'a, T: TryFrom<u64>>(values: &impl Values<'a>, field: Field) -> Result<Option<T>, Blame> {
    let Some(number) = number(values, field)? else { return Ok(None) };
    T::try_from(number).map(Some).map_err(|_| blame(field)(Reason::BadNumber))
}

/// Epoch seconds. Milliseconds, which some deliveries carried against the documentation, are
/// told by their size: as seconds they would lie beyond the year 5138.
fn time<'a>(values: &impl Values<'a>, field: Field) -> Result<Option<i64>, Blame> {
    let Some(number) = number(values, field)? else { return Ok(None) };
    let seconds = if number > 100_000_000_000 { number / 1000 } else { number };
    i64::try_from(seconds)
        .ok()
        .filter(|s| *s < 10_000_000_000)
        .map(Some)
        .ok_or_else(|| blame(field)(Reason::BadNumber))
}

fn action<'a>(values: &impl Values<'a>) -> Result<Action, Blame> {
    match values.word(Field::Action) {
        Ok(None) => Ok(Action::Other),
        Ok(Some("ACCEPT")) => Ok(Action::Accept),
        Ok(Some("REJECT")) => Ok(Action::Reject),
        Ok(Some(_)) => Err(blame(Field::Action)(Reason::BadAction)),
        Err(reason) => Err(blame(Field::Action)(reason)),
    }
}

fn log_status<'a>(values: &impl Values<'a>) -> Result<LogStatus, Blame> {
    match values.word(Field::LogStatus) {
        Ok(None | Some("OK")) => Ok(LogStatus::Ok),
        Ok(Some("NODATA")) => Ok(LogStatus::NoData),
        Ok(Some("SKIPDATA")) => Ok(LogStatus::SkipData),
        Ok(Some(_)) => Err(blame(Field::LogStatus)(Reason::BadLogStatus)),
        Err(reason) => Err(blame(Field::LogStatus)(reason)),
    }
}

fn direction<'a>(values: &impl Values<'a>) -> Result<Option<Direction>, Blame> {
    match values.word(Field::FlowDirection) {
        Ok(None) => Ok(None),
        Ok(Some("ingress")) => Ok(Some(Direction::Ingress)),
        Ok(Some("egress")) => Ok(Some(Direction::Egress)),
        Ok(Some(_)) => Err(blame(Field::FlowDirection)(Reason::BadDirection)),
        Err(reason) => Err(blame(Field::FlowDirection)(reason)),
    }
}

/// Ids become parts of keys, so they may hold only what AWS puts there.
pub(super) fn is_identifier(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.iter().fold(true, |so_far, byte| so_far & IDENTIFYING[usize::from(*byte)])
}

/// Whether the first `length` bytes are an identifier; sixteen at a time where there is room.
#[inline]
pub(super) fn begins_with_identifier(from: &[u8], length: usize) -> bool {
    if !(1..=64).contains(&length) {
        return false;
    }
    let (mut rest, mut left) = (from, length);
    while let Some((block, after)) = rest.split_first_chunk() {
        let good = identifying(block).trailing_ones() as usize;
        if good >= left {
            return true;
        }
        if good < block.len() {
            return false;
        }
        (rest, left) = (after, left - block.len());
    }
    rest.get(..left).is_some_and(is_identifier)
}

/// The bytes of identifiers.
static IDENTIFYING: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        bytes[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        byte += 1;
    }
    bytes
};

/// Decimal digits only, up to 2^63 − 1.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
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
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    /// Holds each question against the kind of the field.
    #[derive(Default)]
    struct Asked(RefCell<BTreeSet<&'static str>>);

    impl Asked {
        fn note<T>(&self, field: Field, as_kind: Kind) -> Option<T> {
            assert_eq!(kind(field), Some(as_kind), "{}", field.name());
            self.0.borrow_mut().insert(field.name());
            None
        }
    }

    impl<'a> Values<'a> for Asked {
        fn number(&self, field: Field) -> Result<Option<u64>, Reason> {
            let asked = self.note(field, Kind::Number);
            // Without a time it would end early.
            Ok(if field == Field::Start { Some(1) } else { asked })
        }

        fn address(&self, field: Field) -> Result<Option<Address>, Reason> {
            Ok(self.note(field, Kind::Address))
        }

        fn identifier(&self, field: Field) -> Result<Option<&'a str>, Reason> {
            Ok(self.note(field, Kind::Identifier))
        }

        fn word(&self, field: Field) -> Result<Option<&'a str>, Reason> {
            Ok(self.note(field, Kind::Word))
        }
    }

    proptest::proptest! {
        #[test]
        fn identifiers_are_those_of_a_byte_at_a_time(text in "[a-zA-Z0-9_-]{0,70}[é!/:@\\[`{ -]?[a-z0-9-]{0,20}", length in 0usize..80) {
            let text = text.as_bytes();
            let length = length.min(text.len());
            proptest::prop_assert_eq!(begins_with_identifier(text, length), is_identifier(&text[..length]));
        }
    }

    #[test]
    fn a_record_is_made_of_the_fields_that_have_a_kind() {
        let asked = Asked::default();
        record(&asked).unwrap();
        let kinds = Field::ALL.iter().filter(|f| kind(**f).is_some()).map(|f| f.name());
        assert_eq!(asked.0.into_inner(), kinds.collect());
    }
}
