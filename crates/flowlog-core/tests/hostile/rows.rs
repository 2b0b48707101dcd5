//! What AWS may write is what is read: rows of any subset of the fields in any order, rendered in any
//! of the ways there are, parse to the values that they were rendered from.

use flowlog_core::decode::{Fallback, Limits, Reason, parse_row};
use flowlog_core::format::{Format, MAX_COLUMNS};
use flowlog_core::record::{Action, Address, Direction, Field, LogStatus, Record};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::support::{Expected, Settings, counts};

/// A value of a field, as it stands in a row.
#[derive(Debug, Clone)]
enum Value {
    Dash,
    Number(u64),
    Address(Address),
    Word(String),
}

impl Value {
    fn render(&self) -> String {
        match self {
            Self::Dash => "-".to_owned(),
            Self::Number(n) => n.to_string(),
            Self::Address(a) => a.to_string(),
            Self::Word(word) => word.clone(),
        }
    }

    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    fn number(&self) -> Option<u64> {
        if let Self::Number(n) = self { Some(*n) } else { None }
    }

    fn small<T: TryFrom<u64, Error: std::fmt::Debug>>(&self) -> Option<T> {
        self.number().map(|n| T::try_from(n).unwrap())
    }

    fn address(&self) -> Option<Address> {
        if let Self::Address(a) = self { Some(*a) } else { None }
    }
}

/// The values of all fields of one row, in the order of [`Field::ALL`].
#[derive(Debug, Clone)]
struct Row {
    values: Vec<Value>,
    /// Start and end are written in milliseconds, with these fractions.
    milliseconds: Option<[u64; 2]>,
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        4 => any::<[u8; 4]>().prop_map(|a| Address::V4(a.into())),
        2 => any::<[u8; 16]>().prop_map(|a| Address::V6(a.into())),
        // Runs of zeros, which are written in many ways.
        1 => any::<(u8, u16)>().prop_map(|(place, n)| {
            let mut groups = [0; 8];
            groups[usize::from(place % 8)] = n;
            Address::V6(groups.into())
        }),
        1 => any::<[u8; 6]>().prop_map(Address::Mac),
    ]
}

fn words(all: &'static [&'static str]) -> BoxedStrategy<Value> {
    select(all).prop_map(|w| Value::Word(w.to_owned())).boxed()
}

fn value(field: Field) -> BoxedStrategy<Value> {
    let numbers = |most: u64| (0..=most).prop_map(Value::Number).boxed();
    let some = match field {
        Field::Srcaddr | Field::Dstaddr | Field::PktSrcaddr | Field::PktDstaddr => {
            address().prop_map(Value::Address).boxed()
        }
        Field::Srcport | Field::Dstport => numbers(65_535),
        Field::Protocol | Field::TcpFlags => numbers(255),
        Field::TrafficPath => numbers(8),
        Field::EncryptionStatus => numbers(3),
        Field::Packets
        | Field::Bytes
        | Field::PacketsLostNoRoute
        | Field::PacketsLostBlackhole
        | Field::PacketsLostMtuExceeded
        | Field::PacketsLostTtlExpired => {
            prop_oneof![numbers(1_000_000), numbers(i64::MAX.cast_unsigned())].boxed()
        }
        // Both together, so that they are in order; see `row`.
        Field::Start | Field::End => Just(Value::Dash).boxed(),
        Field::Version => (2..=11_u64).prop_map(Value::Number).boxed(),
        Field::Action => words(&["ACCEPT", "REJECT"]),
        Field::LogStatus => words(&["OK", "OK", "OK", "NODATA", "SKIPDATA"]),
        Field::FlowDirection => words(&["ingress", "egress"]),
        Field::RejectReason => words(&["BPA", "EC", "Accepted"]),
        Field::AccountId => {
            prop_oneof!["[0-9]{12}".prop_map(Value::Word), Just(Value::Word("unknown".to_owned())),]
                .boxed()
        }
        field if field.name().contains("-tag") => any::<String>()
            .prop_map(|tag| utf8_percent_encode(&tag, NON_ALPHANUMERIC).to_string())
            .prop_map(|tag| Value::Word(if tag.is_empty() { "-".to_owned() } else { tag }))
            .boxed(),
        field if field.name().ends_with("-arn") => {
            "arn:aws:ecs:[a-z]{2}-west-[1-9]:[0-9]{12}:[a-z]{4,9}/[A-Za-z0-9_/-]{1,60}"
                .prop_map(Value::Word)
                .boxed()
        }
        _ => "[a-z]{2,8}-[0-9a-f]{8,17}".prop_map(Value::Word).boxed(),
    };
    prop_oneof![1 => Just(Value::Dash), 5 => some].boxed()
}

fn row() -> impl Strategy<Value = Row> {
    let values: Vec<_> = Field::ALL.iter().map(|f| value(*f)).collect();
    let times = (0..5_000_000_000_u64, 0..700_u64, any::<[bool; 2]>());
    // Milliseconds are told by their size, so they are not of the first years.
    let milliseconds = proptest::option::of((0..1_000_u64).prop_map(|ms| [ms, 999]));
    (values, times, milliseconds).prop_map(|(mut values, (start, length, there), milliseconds)| {
        let start = start.max(if milliseconds.is_some() { 100_000_001 } else { 0 });
        for (field, time, there) in
            [(Field::Start, start, there[0]), (Field::End, start + length, there[1])]
        {
            values[field as usize] = if there { Value::Number(time) } else { Value::Dash };
        }
        Row { values, milliseconds }
    })
}

impl Row {
    /// What a field says in a format that may not have it.
    fn value(&self, format: &Format, field: Field) -> &Value {
        if format.has(field) { &self.values[field as usize] } else { &Value::Dash }
    }

    fn tokens(&self, fields: &[Field]) -> Vec<String> {
        let render = |field: &Field| match (&self.values[*field as usize], self.milliseconds) {
            (Value::Number(n), Some([ms, _])) if *field == Field::Start => {
                (n * 1_000 + ms).to_string()
            }
            (Value::Number(n), Some([_, ms])) if *field == Field::End => {
                (n * 1_000 + ms).to_string()
            }
            (value, _) => value.render(),
        };
        fields.iter().map(render).collect()
    }

    /// The record that a row of this format must parse to.
    fn expected(&self, format: &Format) -> Result<Record<'_>, Reason> {
        let of =
            |field| if format.has(field) { &self.values[field as usize] } else { &Value::Dash };
        let seconds = |field| of(field).number().map(|n| i64::try_from(n).unwrap());
        let (start, end) = (seconds(Field::Start), seconds(Field::End));
        let log_status = match self.value(format, Field::LogStatus).word() {
            Some("NODATA") => LogStatus::NoData,
            Some("SKIPDATA") => LogStatus::SkipData,
            _ => LogStatus::Ok,
        };
        if log_status == LogStatus::Ok && start.or(end).is_none() {
            return Err(Reason::NoTimestamp);
        }
        let sum = |field| of(field).number().unwrap_or(0);
        Ok(Record {
            account_id: of(Field::AccountId).word(),
            interface_id: of(Field::InterfaceId).word(),
            tgw_attachment_id: of(Field::TgwAttachmentId).word(),
            resource_id: of(Field::ResourceId).word(),
            vpc_id: of(Field::VpcId).word().or(of(Field::TgwSrcVpcId).word()),
            subnet_id: of(Field::SubnetId).word(),
            instance_id: of(Field::InstanceId).word(),
            tag: [Field::InterfaceTag, Field::InstanceTag]
                .into_iter()
                .find_map(|field| of(field).word().filter(|tag| *tag != "-")),
            srcaddr: of(Field::Srcaddr).address(),
            dstaddr: of(Field::Dstaddr).address(),
            srcport: of(Field::Srcport).small(),
            dstport: of(Field::Dstport).small(),
            protocol: of(Field::Protocol).small(),
            packets: sum(Field::Packets),
            bytes: sum(Field::Bytes),
            start: start.or(end),
            end: end.or(start),
            action: match of(Field::Action).word() {
                Some("ACCEPT") => Action::Accept,
                Some("REJECT") => Action::Reject,
                _ => Action::Other,
            },
            log_status,
            tcp_flags: of(Field::TcpFlags).small(),
            pkt_srcaddr: of(Field::PktSrcaddr).address(),
            pkt_dstaddr: of(Field::PktDstaddr).address(),
            pkt_src_aws_service: of(Field::PktSrcAwsService).word(),
            pkt_dst_aws_service: of(Field::PktDstAwsService).word(),
            az_id: of(Field::AzId).word(),
            flow_direction: match of(Field::FlowDirection).word() {
                Some("ingress") => Some(Direction::Ingress),
                Some("egress") => Some(Direction::Egress),
                _ => None,
            },
            traffic_path: of(Field::TrafficPath).small(),
            reject_reason: of(Field::RejectReason).word(),
            encryption_status: of(Field::EncryptionStatus).small(),
            packets_lost: [
                sum(Field::PacketsLostNoRoute),
                sum(Field::PacketsLostBlackhole),
                sum(Field::PacketsLostMtuExceeded),
                sum(Field::PacketsLostTtlExpired),
            ],
        })
    }
}

/// Any fields in any order.
fn fields() -> impl Strategy<Value = Vec<Field>> {
    subsequence(Field::ALL.to_vec(), 1..=MAX_COLUMNS).prop_shuffle()
}

fn header(fields: &[Field]) -> String {
    fields.iter().map(|f| f.name()).collect::<Vec<_>>().join(" ")
}

/// Columns that are not known, each at its place.
fn with_unknown(columns: &mut Vec<String>, unknown: &[(Index, String)], names: bool) {
    for (n, (place, word)) in unknown.iter().enumerate() {
        let word = if names { format!("new-{n}") } else { word.clone() };
        columns.insert(place.index(columns.len() + 1), word);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_and_render_are_inverse(fields in fields(), row in row()) {
        let format = Format::from_header(&header(&fields), MAX_COLUMNS).unwrap();
        prop_assert_eq!(format.header(), header(&fields));
        let log_format: Vec<String> = fields.iter().map(|f| format!("${{{}}}", f.name())).collect();
        prop_assert_eq!(&Format::from_log_format(&log_format.join(" ")).unwrap(), &format);
        let line = row.tokens(&fields).join(" ");
        let parsed = parse_row(&line, &format).map_err(|rejection| rejection.reason);
        prop_assert_eq!(parsed, row.expected(&format));
    }

    /// Spaces, line ends, blank lines, comments, repeated headers and columns that are not known are
    /// no part of what a row says.
    #[test]
    fn an_object_says_what_its_rows_say(
        fields in subsequence(Field::ALL.to_vec(), 1..=40).prop_shuffle(),
        rows in proptest::collection::vec(row(), 0..6),
        unknown in proptest::collection::vec((any::<Index>(), "[!-~]{1,30}"), 0..4),
        space in select(&[" ", "  ", "\t", " \t  "][..]),
        end in select(&["\n", "\r\n"][..]),
        // Without a number: where the first column may hold anything, `# 1 2 3` can be a record.
        noise in select(&["", "\n", "  \r\n", "# words only\n", "#\n"][..]),
        last_end in any::<bool>(),
        mark in any::<bool>(),
        repeat in any::<bool>(),
    ) {
        let mut names: Vec<String> = fields.iter().map(|f| f.name().to_owned()).collect();
        with_unknown(&mut names, &unknown, true);
        let header = names.join(space);
        let format = Format::from_header(&header, MAX_COLUMNS).unwrap();
        // Half of the names must be known, or the first: else it is no header line.
        prop_assume!(unknown.len() <= fields.len());
        // A row that begins like a comment is one, unless its first column may hold anything.
        let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
        text += &format!("{header}{end}");
        let mut expected = counts(0, 0, 0, &[]);
        for row in &rows {
            let mut tokens = row.tokens(&fields);
            with_unknown(&mut tokens, &unknown, false);
            text += noise;
            if repeat {
                text += &format!("{header}{end}");
            }
            text += &format!("{}{end}", tokens.join(space));
            expected.read += 1;
            match row.expected(&format) {
                Ok(Record { log_status: LogStatus::Ok, .. }) => expected.parsed += 1,
                Ok(Record { log_status: LogStatus::NoData, .. }) => expected.nodata += 1,
                Ok(Record { log_status: LogStatus::SkipData, .. }) => expected.skipdata += 1,
                Err(reason) => expected.reject(reason),
            }
        }
        // A line that begins with `#` and is no record is a comment: such a row is not there at all.
        let hidden = rows.iter().any(|row| {
            let mut tokens = row.tokens(&fields);
            with_unknown(&mut tokens, &unknown, false);
            tokens[0].starts_with('#') && row.expected(&format).is_err()
        });
        prop_assume!(!hidden);
        if !last_end {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        let limits = Limits { line: 1 << 20, ..Limits::default() };
        let settings = Settings { limits, fallback: Fallback::Default, horizon: 0 };
        prop_assert_eq!(settings.decode(text.as_bytes()).verdict, Expected::Read(expected));
    }

    /// Any bytes at all: no panic, and one verdict for every way to cut them.
    #[test]
    fn any_bytes_have_one_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        Settings::default().decode(&bytes);
        Settings::default().decode(&[crate::support::V2.as_bytes(), &bytes].concat());
        Settings::default().decode(&[b"\x1f\x8b\x08\0\0\0\0\0\0\0", &bytes[..]].concat());
    }

    /// Lines of flow log words in any order.
    #[test]
    fn any_words_have_one_verdict(
        words in proptest::collection::vec(
            select(&["start", "end", "interface-id", "2", "-", "eni-1", "OK", "NODATA", "10.0.0.1",
                     "#", "\n", "\r\n", "\r", "\n\n", "\u{feff}", "x", "1793491200", "\0", "5"][..]),
            0..60,
        ),
    ) {
        Settings::default().decode(words.join(" ").as_bytes());
    }
}

/// The longest row that there can be: 54 fields, tags of 256 characters that encode to twelve bytes.
#[test]
fn the_longest_row_is_read() {
    let fields: Vec<Field> = Field::ALL[..54].to_vec();
    let tag = utf8_percent_encode(&"😀".repeat(256), NON_ALPHANUMERIC).to_string();
    let words: Vec<String> = fields
        .iter()
        .map(|field| match field.name() {
            name if name.contains("-tag") => tag.clone(),
            name if name.starts_with("ecs-") => "a".repeat(400),
            "start" | "end" => "1793491200".to_owned(),
            _ => "-".to_owned(),
        })
        .collect();
    let object = format!("{}\n{}\n", header(&fields), words.join(" "));
    assert!(object.len() > 20_000);
    crate::support::check("the longest row", object.as_bytes(), &crate::support::parsed(1));
}
