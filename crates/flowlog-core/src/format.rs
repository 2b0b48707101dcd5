//! Which column of a line holds which field.
//!
//! A format comes from an object's header line, from Parquet column names, from the flow log's own
//! `LogFormat` string, or is the default (version 2) format; it is never guessed from the number of
//! tokens. Columns that flowlog does not know keep their place and are carried past.

use crate::record::{Family, Field};

/// The most columns a format may have, unless configured otherwise.
pub const MAX_COLUMNS: usize = 64;

/// The default format (version 2) as a header line.
pub const DEFAULT_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport \
                                  protocol packets bytes start end action log-status";

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// A field of AWS's.
    Known(Field),
    /// A name that flowlog does not know, as the header spells it.
    Unknown(String),
}

/// The fields whose absence limits what can be answered.
const USED: [Field; 15] = [
    Field::Action,
    Field::LogStatus,
    Field::FlowDirection,
    Field::TcpFlags,
    Field::PktSrcaddr,
    Field::PktDstaddr,
    Field::TrafficPath,
    Field::RejectReason,
    Field::EncryptionStatus,
    Field::VpcId,
    Field::TgwSrcVpcId,
    Field::PacketsLostNoRoute,
    Field::PacketsLostBlackhole,
    Field::PacketsLostMtuExceeded,
    Field::PacketsLostTtlExpired,
];

/// Why a line or string describes no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No column at all.
    #[error("the format names no field")]
    Empty,
    /// None of the names is a flow log field.
    #[error("none of the {0} names is a flow log field")]
    NoKnownField(usize),
    /// More columns than the limit.
    #[error("{0} columns, more than the limit of {1}")]
    TooManyColumns(usize, usize),
    /// The same field twice: which one to believe is not knowable.
    #[error("the field {0} stands twice, as columns {1} and {2}")]
    Duplicate(&'static str, usize, usize),
}

/// An ordered list of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    columns: Vec<Column>,
    /// Column of each field by `Field as usize`; [`ABSENT`] where there is none.
    positions: [u8; Field::ALL.len()],
}

/// Marks a field that the format does not have.
const ABSENT: u8 = u8::MAX;

impl Format {
    /// The default format: the fourteen fields of version 2, in AWS's order.
    pub fn default_v2() -> Self {
        let columns = Field::ALL[..14].iter().map(|f| Column::Known(*f)).collect();
        // The fields of version 2 are distinct and fewer than any limit.
        Self::from_columns(columns, MAX_COLUMNS)
            .unwrap_or(Self { columns: Vec::new(), positions: [ABSENT; Field::ALL.len()] })
    }

    /// Reads a header line: names separated by runs of spaces or tabs, with hyphens (text) or
    /// underscores (Parquet exported to text).
    pub fn from_header(line: &str, max_columns: usize) -> Result<Self, FormatError> {
        Self::from_names(line.split_ascii_whitespace(), max_columns)
    }

    /// Reads a flow log's `LogFormat`, `${version} ${account-id} …`; bare names and commas do too.
    pub fn from_log_format(text: &str) -> Result<Self, FormatError> {
        let separates = |c: char| c.is_ascii_whitespace() || c == ',';
        let names = text.split(separates).filter(|t| !t.is_empty()).map(|token| {
            let name = token.strip_prefix("${").and_then(|t| t.strip_suffix('}'));
            name.filter(|name| !name.is_empty()).unwrap_or(token)
        });
        Self::from_names(names, MAX_COLUMNS)
    }

    /// A format of these names, in this order.
    pub fn from_names<'a>(
        names: impl Iterator<Item = &'a str>,
        max_columns: usize,
    ) -> Result<Self, FormatError> {
        let columns: Vec<Column> = names
            .map(|name| {
                Field::from_name(name)
                    .map_or_else(|| Column::Unknown(name.to_owned()), Column::Known)
            })
            .collect();
        Self::from_columns(columns, max_columns)
    }

    fn from_columns(columns: Vec<Column>, max_columns: usize) -> Result<Self, FormatError> {
        let max_columns = max_columns.min(usize::from(ABSENT));
        if columns.is_empty() {
            return Err(FormatError::Empty);
        }
        if columns.len() > max_columns {
            return Err(FormatError::TooManyColumns(columns.len(), max_columns));
        }
        let mut positions = [ABSENT; Field::ALL.len()];
        for (at, column) in columns.iter().enumerate() {
            let Column::Known(field) = column else { continue };
            let slot = &mut positions[*field as usize];
            if *slot != ABSENT {
                return Err(FormatError::Duplicate(field.name(), usize::from(*slot) + 1, at + 1));
            }
            // `at` is below `max_columns`, which is at most 255.
            *slot = u8::try_from(at).unwrap_or(ABSENT);
        }
        if positions.iter().all(|p| *p == ABSENT) {
            return Err(FormatError::NoKnownField(columns.len()));
        }
        Ok(Self { columns, positions })
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many columns a line of this format has.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Never true: a format has at least one column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The column (from 0) that holds a field.
    pub fn position(&self, field: Field) -> Option<usize> {
        let at = self.positions[field as usize];
        (at != ABSENT).then_some(usize::from(at))
    }

    /// Whether the format has a field.
    pub fn has(&self, field: Field) -> bool {
        self.position(field).is_some()
    }

    /// The names of the columns that flowlog does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|c| match c {
            Column::Unknown(name) => Some(name.as_str()),
            Column::Known(_) => None,
        })
    }

    /// Whether this is exactly the default format.
    pub fn is_default(&self) -> bool {
        self.columns.len() == 14
            && self.columns.iter().zip(Field::ALL).all(|(c, f)| *c == Column::Known(*f))
    }

    /// What roll-ups and rules use, and this format does not have although its kind of flow log could.
    pub fn lacking(&self) -> impl Iterator<Item = Field> {
        let gateway = Field::ALL
            .iter()
            .any(|field| field.family() == Family::TransitGateway && self.has(*field));
        let other = if gateway { Family::Vpc } else { Family::TransitGateway };
        USED.into_iter().filter(move |field| field.family() != other && !self.has(*field))
    }

    /// A short name for people: `v2` for the default format, else `v<highest version> (<n> fields)`,
    /// with the version of the newest known field, as AWS numbers custom formats.
    pub fn describe(&self) -> String {
        if self.is_default() {
            return "v2".to_owned();
        }
        let version = self.columns.iter().filter_map(|c| match c {
            Column::Known(f) => Some(f.since()),
            Column::Unknown(_) => None,
        });
        format!("v{} ({} fields)", version.max().unwrap_or(2), self.columns.len())
    }

    /// The header line that S3 objects of this format begin with.
    pub fn header(&self) -> String {
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|c| match c {
                Column::Known(f) => f.name(),
                Column::Unknown(name) => name,
            })
            .collect();
        names.join(" ")
    }
}

/// Whether a line reads like a header rather than a record: every token is a lower-case name, and
/// the first one or at least half of them are flow log fields. No record is: each has a number, an
/// address, `-` or an upper-case word where a header has a name.
pub fn looks_like_header(line: &str) -> bool {
    let name = |t: &str| {
        t.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let (mut tokens, mut known, mut first) = (0usize, 0usize, false);
    for token in line.split_ascii_whitespace() {
        if !name(token) {
            return false;
        }
        let is_field = Field::from_name(token).is_some();
        first |= tokens == 0 && is_field;
        tokens += 1;
        known += usize::from(is_field);
    }
    known > 0 && (first || known * 2 >= tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_the_default_header() {
        let v2 = Format::from_header(DEFAULT_HEADER, MAX_COLUMNS).unwrap();
        assert_eq!(v2, Format::default_v2());
        assert!(v2.is_default());
        assert_eq!(v2.header(), DEFAULT_HEADER);
        assert_eq!(v2.position(Field::LogStatus), Some(13));
        assert!(!v2.has(Field::VpcId));
    }

    #[test]
    fn any_order_unknown_columns_and_log_format() {
        let f = Format::from_log_format("${log-status} ${shiny-new} ${start}").unwrap();
        assert_eq!(f.position(Field::LogStatus), Some(0));
        assert_eq!(f.position(Field::Start), Some(2));
        assert_eq!(f.unknown().collect::<Vec<_>>(), ["shiny-new"]);
        assert_eq!(
            Format::from_header("vpc_id start", 64).unwrap().position(Field::VpcId),
            Some(0)
        );
    }

    #[test]
    fn what_is_lacking_is_what_its_kind_of_flow_log_has() {
        let lacking = |text: &str| {
            let format = Format::from_log_format(text).unwrap();
            format.lacking().map(Field::name).collect::<Vec<_>>()
        };
        let v2 = ["flow-direction", "tcp-flags", "pkt-srcaddr", "pkt-dstaddr", "traffic-path"];
        let v2 = [&v2[..], &["reject-reason", "encryption-status", "vpc-id"]].concat();
        assert_eq!(lacking(DEFAULT_HEADER), v2);
        let gateway = "${tgw-attachment-id} ${tgw-src-vpc-id} ${start} ${packets-lost-no-route}";
        let rest =
            ["packets-lost-blackhole", "packets-lost-mtu-exceeded", "packets-lost-ttl-expired"];
        let gateway_lacks = [&["log-status", "flow-direction", "tcp-flags"], &rest[..]].concat();
        assert_eq!(lacking(gateway), gateway_lacks);
        let all: Vec<_> =
            Field::ALL.iter().filter(|f| f.family() != Family::TransitGateway).collect();
        let all = all.iter().map(|field| field.name()).collect::<Vec<_>>().join(" ");
        assert_eq!(lacking(&all), Vec::<&str>::new());
    }

    #[test]
    fn bad_formats_say_why() {
        let err = |text| Format::from_header(text, 4).unwrap_err();
        assert_eq!(err(""), FormatError::Empty);
        assert_eq!(err("foo bar"), FormatError::NoKnownField(2));
        assert_eq!(err("start end start"), FormatError::Duplicate("start", 1, 3));
        assert_eq!(err("a b c d start"), FormatError::TooManyColumns(5, 4));
    }

    #[test]
    fn headers_are_told_from_records() {
        for line in [DEFAULT_HEADER, "start", "interface-id foo bar", "account_id vpc_id"] {
            assert!(looks_like_header(line), "{line}");
        }
        for line in [
            "2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA",
            "eni-0a1b2c3d OK",
            "hello world",
            "vpc-1234 subnet-1",
            "unknown eni-1 us-east-1",
            "",
        ] {
            assert!(!looks_like_header(line), "{line}");
        }
    }
}
