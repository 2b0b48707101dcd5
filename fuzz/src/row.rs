//! One row of any format: what is read of it is what is written.

use std::fmt::Write as _;

use flowlog_core::decode::parse_row;
use flowlog_core::format::{Column, Format, MAX_COLUMNS};
use flowlog_core::record::{Action, Direction, Field, LogStatus, Record};

/// A header line, a line end, a row. Without a header that is one, the row is of the default format.
///
/// What is read can be written as a row of that format, which is read as the same.
pub fn row(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (header, line) = text.split_once('\n').unwrap_or(("", text));
    let format = Format::from_header(header, MAX_COLUMNS).unwrap_or_else(|_| Format::default_v2());
    let record = match parse_row(line, &format) {
        Ok(record) => record,
        Err(rejection) => {
            if let Some(column) = rejection.column {
                assert!((1..=format.len()).contains(&column), "{rejection:?}");
            }
            return;
        }
    };
    holds(&record);
    let written = render(&record, &format, line);
    assert_eq!(parse_row(&written, &format), Ok(record), "{written:?}");
    let spaced = written.replace(' ', " \t ");
    assert_eq!(parse_row(&format!("  {spaced}\t"), &format), Ok(record), "{spaced:?}");
    assert!(parse_row(&format!("{written} -"), &format).is_err(), "a token too many");
}

/// What every record keeps to, wherever it comes from.
pub(crate) fn holds(record: &Record<'_>) {
    let ids = [
        record.account_id,
        record.interface_id,
        record.tgw_attachment_id,
        record.resource_id,
        record.vpc_id,
        record.subnet_id,
        record.instance_id,
        record.reject_reason,
    ];
    for id in ids.into_iter().flatten().chain([record.subject()]) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!((1..=64).contains(&id.len()) && id.bytes().all(plain), "{id:?}");
    }
    assert_eq!(record.start.is_some(), record.end.is_some());
    let times = record.start.zip(record.end);
    assert!(times.is_none_or(|(start, end)| 0 <= start && start <= end && end < 10_000_000_000));
    assert!(record.log_status != LogStatus::Ok || record.window().is_some());
}

/// A record as a row of a format; fields that no record has keep their token.
fn render(record: &Record<'_>, format: &Format, line: &str) -> String {
    let mut out = String::new();
    for (column, token) in format.columns().iter().zip(line.split_ascii_whitespace()) {
        if !out.is_empty() {
            out.push(' ');
        }
        match column {
            Column::Known(field) => render_field(record, *field, token, &mut out),
            Column::Unknown(_) => out.push_str(token),
        }
    }
    out
}

fn render_field(record: &Record<'_>, field: Field, token: &str, out: &mut String) {
    let lost = record.packets_lost;
    let id = match field {
        Field::AccountId => record.account_id,
        Field::InterfaceId => record.interface_id,
        Field::TgwAttachmentId => record.tgw_attachment_id,
        Field::ResourceId => record.resource_id,
        Field::VpcId => record.vpc_id,
        Field::SubnetId => record.subnet_id,
        Field::InstanceId => record.instance_id,
        Field::RejectReason => record.reject_reason,
        Field::InterfaceTag => record.tag,
        Field::Action => match record.action {
            Action::Accept => Some("ACCEPT"),
            Action::Reject => Some("REJECT"),
            Action::Other => None,
        },
        Field::LogStatus => match record.log_status {
            LogStatus::Ok => Some("OK"),
            LogStatus::NoData => Some("NODATA"),
            LogStatus::SkipData => Some("SKIPDATA"),
        },
        Field::FlowDirection => record.flow_direction.map(|direction| match direction {
            Direction::Ingress => "ingress",
            _ => "egress",
        }),
        _ => {
            let address = match field {
                Field::Srcaddr => Some(record.srcaddr),
                Field::Dstaddr => Some(record.dstaddr),
                Field::PktSrcaddr => Some(record.pkt_srcaddr),
                Field::PktDstaddr => Some(record.pkt_dstaddr),
                _ => None,
            };
            if let Some(address) = address {
                let _ = match address {
                    Some(address) => write!(out, "{address}"),
                    None => write!(out, "-"),
                };
                return;
            }
            let number = match field {
                Field::Srcport => record.srcport.map(i64::from),
                Field::Dstport => record.dstport.map(i64::from),
                Field::Protocol => record.protocol.map(i64::from),
                Field::TcpFlags => record.tcp_flags.map(i64::from),
                Field::TrafficPath => record.traffic_path.map(i64::from),
                Field::EncryptionStatus => record.encryption_status.map(i64::from),
                Field::Packets => Some(record.packets.cast_signed()),
                Field::Bytes => Some(record.bytes.cast_signed()),
                Field::PacketsLostNoRoute => Some(lost[0].cast_signed()),
                Field::PacketsLostBlackhole => Some(lost[1].cast_signed()),
                Field::PacketsLostMtuExceeded => Some(lost[2].cast_signed()),
                Field::PacketsLostTtlExpired => Some(lost[3].cast_signed()),
                Field::Start => record.start,
                Field::End => record.end,
                _ => {
                    out.push_str(token);
                    return;
                }
            };
            let _ = match number {
                Some(number) => write!(out, "{number}"),
                None => write!(out, "-"),
            };
            return;
        }
    };
    out.push_str(id.unwrap_or("-"));
}
