//! Parquet files as AWS and others write them: the same rows in text and in columns are the same
//! roll-ups, whatever the types, the codec, the version of the pages and the row groups.

use std::sync::Arc;

use bytes::Bytes;
use flowlog_core::decode::{
    Counts, DecodeError, Decoded, Fallback, Limits, ObjectDecoder, ParquetDecoder, QuickRow,
    Reason, RecordSink, RejectedLine, Step, Verdict,
};
use flowlog_core::format::{DEFAULT_HEADER, Format};
use flowlog_core::record::{Family, Field, Record};
use flowlog_core::rollup::{Accumulator, Budget, Chunk};
use parquet::basic::{Compression, GzipLevel, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::support::Random;

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) codec: Compression,
    pub(crate) numbers: Numbers,
    pub(crate) texts: Texts,
    pub(crate) version: WriterVersion,
    pub(crate) dictionary: bool,
    pub(crate) group_rows: usize,
    pub(crate) page_rows: usize,
    /// `_` or `-` in names.
    pub(crate) separator: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// 32 bits for ports, protocol and flags, 64 for the rest.
    AsAws,
    Wide,
    Text,
}

/// What stands for a text that is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// `-`, where there could be a null, as AWS writes it.
    Dashes,
    Nulls,
    /// `-`, since there can be no null.
    Required,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            codec: Compression::GZIP(GzipLevel::default()),
            numbers: Numbers::AsAws,
            texts: Texts::Dashes,
            version: WriterVersion::PARQUET_1_0,
            dictionary: true,
            group_rows: 1_000_000,
            page_rows: 20_000,
            separator: "_",
        }
    }
}

/// How a column is stored.
fn physical(name: &str, numbers: Numbers) -> Physical {
    let wide = ["packets", "bytes", "start", "end"].contains(&name) || name.contains("-lost-");
    let narrow = ["version", "srcport", "dstport", "protocol", "tcp-flags"].contains(&name)
        || ["traffic-path", "encryption-status"].contains(&name);
    match numbers {
        Numbers::AsAws if narrow => Physical::INT32,
        Numbers::AsAws | Numbers::Wide if wide || narrow => Physical::INT64,
        _ => Physical::BYTE_ARRAY,
    }
}

/// The rows of a text, header first, as a Parquet file.
pub(crate) fn parquet(text: &str, layout: &Layout) -> Vec<u8> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    let columns = names.iter().map(|name| {
        let physical = physical(name, layout.numbers);
        let required = physical == Physical::BYTE_ARRAY && layout.texts == Texts::Required;
        let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let name = name.replace('-', layout.separator);
        let column = Type::primitive_type_builder(&name, physical).with_repetition(repetition);
        Arc::new(column.build().unwrap())
    });
    let schema = Type::group_type_builder("schema").with_fields(columns.collect()).build().unwrap();
    let properties = WriterProperties::builder()
        .set_compression(layout.codec)
        .set_writer_version(layout.version)
        .set_dictionary_enabled(layout.dictionary)
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows.min(1024))
        .build();
    let mut file = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(properties)).unwrap();
    for rows in rows.chunks(layout.group_rows) {
        let mut group = writer.next_row_group().unwrap();
        for at in 0..names.len() {
            let column = group.next_column().unwrap().unwrap();
            write(column, rows.iter().map(|row| row[at]), names[at], layout);
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    file
}

fn write<'a>(
    column: SerializedColumnWriter<'_>,
    tokens: impl Iterator<Item = &'a str>,
    name: &str,
    layout: &Layout,
) {
    match physical(name, layout.numbers) {
        Physical::INT32 => {
            values::<Int32Type>(column, tokens.map(|t| (t != "-").then(|| t.parse().unwrap())));
        }
        Physical::INT64 => {
            values::<Int64Type>(column, tokens.map(|t| (t != "-").then(|| t.parse().unwrap())));
        }
        _ => {
            let null = |token: &str| layout.texts == Texts::Nulls && token == "-";
            let text = |token: &str| ByteArray::from(token.as_bytes().to_vec());
            values::<ByteArrayType>(column, tokens.map(|t| (!null(t)).then(|| text(t))));
        }
    }
}

fn values<T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) {
    let values: Vec<Option<T::T>> = values.collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
}

/// Brings the ranges that the decoder asks for.
pub(crate) fn drive<S: RecordSink>(
    mut decoder: ParquetDecoder<S>,
    file: &[u8],
) -> Result<Decoded<S>, DecodeError> {
    for _ in 0..1_000_000 {
        match decoder.step()? {
            Step::Need(ranges) => {
                let at = |n| usize::try_from(n).unwrap();
                let bytes = ranges
                    .iter()
                    .map(|range| Bytes::copy_from_slice(&file[at(range.start)..at(range.end)]));
                decoder.push(bytes.collect())?;
            }
            Step::Rows => {}
            Step::Done => return decoder.finish(),
        }
    }
    panic!("the decoder does not come to an end");
}

/// Decodes whatever it is, as a driver does.
pub(crate) fn decode_any<S: RecordSink>(
    file: &[u8],
    limits: Limits,
    sink: S,
) -> Result<Decoded<S>, DecodeError> {
    let size = file.len() as u64;
    let mut decoder = ObjectDecoder::new(limits, Fallback::Default, Some(size), sink);
    match decoder.push(file) {
        Err(_) if decoder.is_parquet() => drive(decoder.into_parquet(size)?, file),
        Err(error) => Err(error),
        Ok(()) => decoder.finish(),
    }
}

/// Rolls up and remembers what was rejected, and how many quick rows came.
#[derive(Debug)]
struct Watched<const QUICK: bool> {
    accumulator: Accumulator,
    rejected: Vec<RejectedLine>,
    format: Option<Format>,
    quick: usize,
}

impl<const QUICK: bool> RecordSink for Watched<QUICK> {
    const QUICK: bool = QUICK;

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        let taken = self.accumulator.quick(rows);
        self.quick += taken;
        taken
    }

    fn head(&mut self, head: u32) {
        self.accumulator.head(head);
    }

    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.accumulator.record(record)
    }

    fn rejected(&mut self, line: RejectedLine) {
        self.rejected.push(line);
    }

    fn format(&mut self, format: &Format) {
        self.accumulator.format(format);
        self.format = Some(format.clone());
    }
}

type Found = (Counts, Vec<Chunk>, Vec<(u64, Reason, Option<usize>)>);

/// What is found in a file by the plain decoder; rows are numbered from 1, whatever stands before them.
fn found(file: &[u8], header_lines: u64) -> Found {
    let (found, quick) = found_by::<false>(file, header_lines, Budget::default());
    assert_eq!(quick, 0);
    found
}

/// The same by either way, and how many rows went the quick one.
fn found_by<const QUICK: bool>(file: &[u8], header_lines: u64, budget: Budget) -> (Found, usize) {
    let accumulator = Accumulator::new(budget, None);
    let sink = Watched::<QUICK> { accumulator, rejected: Vec::new(), format: None, quick: 0 };
    let decoded = decode_any(file, Limits::default(), sink).unwrap();
    assert!(decoded.counts.balances());
    assert_eq!(decoded.input_bytes, file.len() as u64);
    assert_eq!(decoded.format, decoded.sink.format);
    let rejected = decoded.sink.rejected.iter();
    let rejected = rejected.map(|r| (r.line - header_lines, r.reason, r.column)).collect();
    ((decoded.counts, decoded.sink.accumulator.finish(), rejected), decoded.sink.quick)
}

/// Rows of a format, with what may be missing missing now and then and some that are wrong.
pub(crate) fn rows(header: &str, rows: u64, wrong: bool) -> String {
    let mut random = Random::new(rows);
    let names: Vec<&str> = header.split(' ').collect();
    let mut text = format!("{header}\n");
    for _ in 0..rows {
        let start = 1_793_491_200 + random.below(900);
        let tokens: Vec<String> =
            names.iter().map(|name| token(name, start, wrong, &mut random)).collect();
        text.push_str(&tokens.join(" "));
        text.push('\n');
    }
    text
}

/// Rows as networks have them: what says whose they are depends on the interface, and its address stands at
/// its side of most of them.
fn ordinary(header: &str, rows: u64) -> String {
    let mut random = Random::new(rows);
    let names: Vec<&str> = header.split(' ').collect();
    let mut text = format!("{header}\n");
    for _ in 0..rows {
        let mut one_in = |n: u64| random.below(n) == 0;
        let (outward, wide, stray, turned) = (one_in(2), one_in(4), one_in(40), one_in(40));
        let packets = [one_in(15), one_in(15)];
        let (eni, other) = (random.below(5), random.below(60));
        let start = 1_793_491_200 + random.below(900);
        let (own, remote) = match (stray, wide) {
            (true, _) => ("198.51.100.7".to_owned(), format!("10.0.0.{other}")),
            (_, true) => (format!("2001:db8::9:{eni}"), format!("2001:db8::{other:x}")),
            _ => (format!("10.9.0.{eni}"), format!("10.0.0.{other}")),
        };
        let sides = if outward { [&own, &remote] } else { [&remote, &own] };
        let by_packet = |side: usize| match other % 4 {
            _ if !packets[side] => sides[side].clone(),
            0 => "-".to_owned(),
            1 => "02:00:5e:10:00:ff".to_owned(),
            _ => format!("203.0.113.{other}"),
        };
        let mut value = |name: &str| match name {
            "srcaddr" => sides[0].clone(),
            "dstaddr" => sides[1].clone(),
            "pkt-srcaddr" => by_packet(0),
            "pkt-dstaddr" => by_packet(1),
            "flow-direction" if stray && other == 1 => "-".to_owned(),
            "flow-direction" => if outward == turned { "ingress" } else { "egress" }.to_owned(),
            "reject-reason" if other == 0 => "BPA".to_owned(),
            "reject-reason" | "resource-id" | "instance-tag" => "-".to_owned(),
            "account-id" => format!("00000000000{}", eni % 2),
            "instance-id" if eni == 2 => "-".to_owned(),
            "interface-tag" if other == 3 => "another".to_owned(),
            "interface-tag" | "vpc-id" | "subnet-id" | "instance-id" | "interface-id" => {
                format!("{}-0123456789{eni}", &name[..3])
            }
            _ if other % 20 == 7 => token(name, start, true, &mut random),
            _ => loop {
                let token = token(name, start, false, &mut random);
                if token != "-" {
                    break token;
                }
            },
        };
        text.push_str(&names.iter().map(|name| value(name)).collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text
}

fn token(name: &str, start: u64, wrong: bool, random: &mut Random) -> String {
    let mut pick = |of: u64| random.below(of);
    let bad = wrong && pick(200) == 0;
    if name != "start" && name != "end" && pick(12) == 0 {
        return "-".to_owned();
    }
    match name {
        "version" => "11".to_owned(),
        "start" if bad => (start + 1_000).to_string(),
        "start" => start.to_string(),
        "end" => (start + 60).to_string(),
        "srcport" | "dstport" if bad => "70000".to_owned(),
        "srcport" | "dstport" => {
            [22, 443, 50_000 + pick(200)][usize::try_from(pick(3)).unwrap()].to_string()
        }
        "protocol" => [6, 17, 1][usize::try_from(pick(3)).unwrap()].to_string(),
        "tcp-flags" => pick(20).to_string(),
        "traffic-path" => (1 + pick(8)).to_string(),
        "encryption-status" => pick(4).to_string(),
        "packets" => pick(1_000).to_string(),
        "bytes" => pick(1 << 40).to_string(),
        "action" if bad => "DROP".to_owned(),
        "action" => ["ACCEPT", "REJECT"][usize::try_from(pick(2)).unwrap()].to_owned(),
        "log-status" if pick(30) == 0 => "NODATA".to_owned(),
        "log-status" if pick(30) == 0 => "SKIPDATA".to_owned(),
        "log-status" => "OK".to_owned(),
        "flow-direction" => ["ingress", "egress"][usize::try_from(pick(2)).unwrap()].to_owned(),
        "reject-reason" => ["BPA", "EC", "Accepted"][usize::try_from(pick(3)).unwrap()].to_owned(),
        _ if name.contains("-lost-") => pick(5).to_string(),
        _ if name.ends_with("addr") && bad => "10.0.0.256".to_owned(),
        _ if name.ends_with("addr") && pick(5) == 0 => format!("2001:db8::{:x}", pick(300)),
        _ if name.ends_with("addr") => format!("10.0.{}.{}", pick(4), pick(256)),
        "account-id" => format!("00000000000{}", pick(3)),
        "interface-id" if bad => "eni/1".to_owned(),
        _ if name.ends_with("-id") => format!("{}-{:08x}", &name[..3], pick(6)),
        _ => format!("{name}%2D{}", pick(50)),
    }
}

fn header(of: impl Fn(Family) -> bool) -> String {
    let fields = Field::ALL.iter().filter(|f| of(f.family()));
    fields.map(|f| f.name()).collect::<Vec<_>>().join(" ")
}

#[test]
fn text_and_parquet_of_the_same_rows_are_the_same_roll_ups() {
    let vpc = header(|family| family != Family::TransitGateway);
    let tgw = header(|family| family != Family::Vpc);
    assert_eq!((vpc.split(' ').count(), tgw.split(' ').count()), (54, 36));
    let mut layouts = 0;
    for header in [&vpc, &tgw, "end interface-id some-new-column action bytes log-status"] {
        let text = rows(header, 3_000, true);
        let expected = found(text.as_bytes(), 1);
        assert!(expected.0.parsed > 2_000 && expected.0.nodata > 0, "{:?}", expected.0);
        for codec in [
            Compression::GZIP(GzipLevel::default()),
            Compression::SNAPPY,
            Compression::UNCOMPRESSED,
        ] {
            for numbers in [Numbers::AsAws, Numbers::Wide, Numbers::Text] {
                for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                    let odd = layouts % 2 == 1;
                    let layout = Layout {
                        codec,
                        numbers,
                        version,
                        texts: [Texts::Dashes, Texts::Nulls, Texts::Required][layouts % 3],
                        // In version 2 what is no dictionary is delta encoded, which is for numbers.
                        dictionary: version == WriterVersion::PARQUET_2_0 || !odd,
                        group_rows: [700, 1_000_000][layouts % 2],
                        page_rows: [20_000, 90][layouts % 2],
                        separator: ["_", "-"][layouts % 2],
                    };
                    layouts += 1;
                    let file = parquet(&text, &layout);
                    let found = found(&file, 0);
                    assert_eq!(found.0, expected.0, "{layout:?}");
                    assert_eq!(found.2, expected.2, "{layout:?}");
                    assert!(found.1 == expected.1, "{layout:?}: other roll-ups");
                }
            }
        }
    }
    assert_eq!(layouts, 54);
}

#[test]
fn quick_rows_of_columns_are_what_plain_ones_are() {
    let whole = header(|family| family != Family::TransitGateway);
    let undirected = whole.replace(" flow-direction", "").replace(" pkt-dstaddr", "");
    let small = Budget { state_bytes: 40 << 10, pruned_entries: 3, ..Budget::default() };
    for header in [&*whole, &*undirected, DEFAULT_HEADER] {
        let text = ordinary(header, 3_000);
        // Where chunks are cut all the time, much is forgotten.
        for (budget, at_least) in [(Budget::default(), 1_000), (small, 200)] {
            let (expected, none) = found_by::<false>(text.as_bytes(), 1, budget);
            assert_eq!(none, 0);
            assert!(expected.0.parsed > 2_500 && !expected.2.is_empty(), "{:?}", expected.0);
            let (lines, quick) = found_by::<true>(text.as_bytes(), 1, budget);
            assert!(quick > at_least, "{quick} quick rows of text");
            assert!(lines == expected, "other roll-ups of text");
            for texts in [Texts::Dashes, Texts::Nulls, Texts::Required] {
                for (group_rows, page_rows) in [(1_000_000, 20_000), (700, 90)] {
                    let layout = Layout { texts, group_rows, page_rows, ..Layout::default() };
                    let file = parquet(&text, &layout);
                    let (plain, _) = found_by::<false>(&file, 0, budget);
                    let (found, quick) = found_by::<true>(&file, 0, budget);
                    assert!(quick > at_least, "{quick} quick rows of {layout:?}");
                    assert!(plain == expected && found == expected, "{layout:?}: other roll-ups");
                }
            }
        }
    }
    // Where texts have no dictionary, nothing says quickly whose rows they are.
    let text = ordinary(DEFAULT_HEADER, 500);
    let file = parquet(&text, &Layout { dictionary: false, ..Layout::default() });
    let (plain, found) = (found(&file, 0), found_by::<true>(&file, 0, Budget::default()));
    assert!((plain, 0) == found);
}

#[test]
fn the_file_that_aws_wrote_is_read_whole() {
    let Some(data) = std::env::var_os("EVAL_DATA").map(std::path::PathBuf::from) else {
        std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: EVAL_DATA names no folder with samples\n",
        )
        .unwrap();
        return;
    };
    let name = "samples/111111111111_vpcflowlogs_eu-west-3_fl-032a163fae170ae52_20220831T1255Z_2ad4bef5.parquet";
    let file = std::fs::read(data.join(name)).unwrap();
    let (counts, chunks, rejected) = found(&file, 0);
    assert_eq!(rejected, []);
    assert_eq!(counts.rejected_total(), 0);
    assert!(counts.parsed > 0);
    assert_eq!(chunks.len(), 1);
}
