//! Records that come one by one without a header, as CloudWatch Logs sends them.

use super::lines::version_fits;
use super::row::{Rejection, parse_row, record_of};
use super::{Counts, Limits, Reason, RecordSink, RejectedLine, count};
use crate::format::Format;
use crate::record::{Field, Record};

/// Decodes messages of one of several configured formats.
///
/// The format is what the operator says it is. A message must fit one of them, version included; one
/// that fits none, or several that read it differently, is rejected, never guessed by its token count.
///
/// A subscription filter may name columns, and its author is an operator, too. A message that fits
/// no configured format is read by those names, if they are AWS's and say where and when; names that
/// contradict the format that the message fits are a second reading, so that it is rejected.
#[derive(Debug)]
pub struct MessageDecoder {
    limits: Limits,
    formats: Vec<Format>,
    announced: Option<Announced>,
    counts: Counts,
}

/// The format that the sink was told of last.
#[derive(Debug, PartialEq, Eq)]
enum Announced {
    /// One of the configured ones.
    Configured(usize),
    /// What a filter names.
    Named(Format),
}

/// A column that a filter names after a field, and its text.
pub type NamedColumn = (Field, Box<str>);

impl MessageDecoder {
    /// A decoder for these formats.
    pub fn new(limits: Limits, formats: Vec<Format>) -> Self {
        Self { limits, formats, announced: None, counts: Counts::default() }
    }

    /// What has been counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes in one message. `position` is its place in the payload, from 1.
    pub fn push<S: RecordSink>(&mut self, position: u64, message: &str, sink: &mut S) {
        self.push_named(position, message, &[], sink);
    }

    /// Takes in one message of which a filter has named columns.
    pub fn push_named<S: RecordSink>(
        &mut self,
        position: u64,
        message: &str,
        named: &[NamedColumn],
        sink: &mut S,
    ) {
        let text = message.trim_ascii();
        if text.is_empty() {
            return;
        }
        self.counts.read += 1;
        if let Err(Rejection { reason, column }) = self.decode(text, named, sink) {
            self.counts.reject(reason);
            sink.rejected(RejectedLine { line: position, offset: 0, reason, column });
        }
    }

    fn decode<S: RecordSink>(
        &mut self,
        text: &str,
        named: &[NamedColumn],
        sink: &mut S,
    ) -> Result<(), Rejection> {
        if text.len() > self.limits.line {
            return Err(Reason::LineTooLong.into());
        }
        if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(Reason::NotText.into());
        }
        match self.configured(text) {
            Ok((at, record)) => {
                if contradicts(text, &self.formats[at], named) {
                    return Err(Reason::FormatMismatch.into());
                }
                if self.announced != Some(Announced::Configured(at)) {
                    sink.format(&self.formats[at]);
                    self.announced = Some(Announced::Configured(at));
                }
                count(&mut self.counts, &record, sink);
                Ok(())
            }
            Err(rejection) => match format_of(named) {
                Some(format) => self.by_names(named, format, sink),
                None => Err(rejection),
            },
        }
    }

    /// The one reading of a message by the configured formats.
    fn configured<'a>(&self, text: &'a str) -> Result<(usize, Record<'a>), Rejection> {
        let mut fitting = None;
        let mut first_rejection = None;
        for (at, format) in self.formats.iter().enumerate() {
            if !version_fits(text, format) {
                continue;
            }
            match parse_row(text, format) {
                Ok(record) => match &fitting {
                    None => fitting = Some((at, record)),
                    Some((_, same)) if *same == record => {}
                    // Two readings of one row: which is right is not knowable.
                    Some(_) => return Err(Reason::FormatMismatch.into()),
                },
                Err(rejection) => {
                    first_rejection.get_or_insert(rejection);
                }
            }
        }
        fitting.ok_or(first_rejection.unwrap_or(Reason::FormatMismatch.into()))
    }

    fn by_names<S: RecordSink>(
        &mut self,
        named: &[NamedColumn],
        format: Format,
        sink: &mut S,
    ) -> Result<(), Rejection> {
        let tokens: Vec<&str> = named.iter().map(|(_, text)| &**text).collect();
        // They are parts of the message where AWS made them.
        if tokens.iter().any(|token| token.bytes().any(|b| b <= b' ' || b == 0x7f)) {
            return Err(Reason::NotText.into());
        }
        let record = record_of(tokens.as_slice(), &format)?;
        announce(&mut self.announced, format, sink);
        count(&mut self.counts, &record, sink);
        Ok(())
    }
}

/// Tells the sink of a format, unless it is the one that it was told of last.
fn announce<S: RecordSink>(announced: &mut Option<Announced>, format: Format, sink: &mut S) {
    let format = Announced::Named(format);
    if announced.as_ref() != Some(&format) {
        if let Announced::Named(format) = &format {
            sink.format(format);
        }
        *announced = Some(format);
    }
}

/// The format that names make, if they say of whom and when.
fn format_of(named: &[NamedColumn]) -> Option<Format> {
    let columns = named.iter().map(|(field, _)| field.name());
    let format = Format::from_names(columns, crate::format::MAX_COLUMNS).ok()?;
    let any = |fields: &[Field]| fields.iter().any(|field| format.has(*field));
    let whole = any(&[Field::Start, Field::End])
        && any(&[Field::InterfaceId, Field::TgwAttachmentId, Field::ResourceId]);
    whole.then_some(format)
}

/// Whether a column has another text by its name than by its place.
fn contradicts(text: &str, format: &Format, named: &[NamedColumn]) -> bool {
    named.iter().any(|(field, named)| {
        let token = format.position(*field).and_then(|at| text.split_ascii_whitespace().nth(at));
        token.is_some_and(|token| token != &**named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Verdict;

    struct Ports(Vec<Option<u16>>);

    impl RecordSink for Ports {
        fn record(&mut self, record: &Record<'_>) -> Verdict {
            self.0.push(record.dstport);
            Verdict::Counted
        }
    }

    fn decode(formats: &[&str], messages: &[&str]) -> (Vec<Option<u16>>, Counts) {
        let formats = formats.iter().map(|f| Format::from_log_format(f).unwrap()).collect();
        let mut decoder = MessageDecoder::new(Limits::default(), formats);
        let mut sink = Ports(Vec::new());
        for (n, message) in messages.iter().enumerate() {
            decoder.push(n as u64 + 1, message, &mut sink);
        }
        assert!(decoder.counts().balances());
        (sink.0, decoder.counts().clone())
    }

    #[test]
    fn the_version_tells_formats_apart() {
        let two = "${version} ${interface-id} ${dstport} ${start}";
        let three = "${version} ${dstport} ${vpc-id} ${start}";
        let (ports, counts) =
            decode(&[two, three], &["2 eni-1 22 1", "3 23 vpc-1 1", "3 eni-1 22 1", "4 1 1 1"]);
        assert_eq!(ports, [Some(22), Some(23)]);
        assert_eq!(counts.rejected[&Reason::BadNumber], 1);
        assert_eq!(counts.rejected[&Reason::FormatMismatch], 1);
    }

    #[test]
    fn two_readings_are_none() {
        let (ports, counts) = decode(&["${dstport} ${start}", "${start} ${dstport}"], &["22 1"]);
        assert!(ports.is_empty());
        assert_eq!(counts.rejected[&Reason::FormatMismatch], 1);
    }

    fn named(columns: &[(&str, &str)], message: &str) -> (Vec<Option<u16>>, Counts) {
        let named: Vec<NamedColumn> = columns
            .iter()
            .map(|(name, text)| (Field::from_name(name).unwrap(), Box::from(*text)))
            .collect();
        let mut decoder = MessageDecoder::new(Limits::default(), vec![Format::default_v2()]);
        let mut sink = Ports(Vec::new());
        decoder.push_named(1, message, &named, &mut sink);
        assert!(decoder.counts().balances());
        (sink.0, decoder.counts().clone())
    }

    const V2: &str = "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1 2 ACCEPT OK";

    #[test]
    fn names_are_used_where_no_format_fits() {
        let columns = [("interface_id", "eni-1"), ("dstport", "23"), ("start", "7")];
        assert_eq!(named(&columns, "eni-1 whatever 23 7").0, [Some(23)]);
        // By its place it is the same port, or it is rejected.
        assert_eq!(named(&[("dstport", "22"), ("vpc-id", "vpc-1")], V2).0, [Some(22)]);
        let (ports, counts) = named(&[("dstport", "20641")], V2);
        assert_eq!((ports.len(), counts.rejected[&Reason::FormatMismatch]), (0, 1));
        // Without a place or a time, names make no record.
        for less in [&columns[..2], &columns[1..]] {
            assert_eq!(named(less, "eni-1 23").1.rejected[&Reason::FormatMismatch], 1);
        }
        let odd = [("interface_id", "eni-1"), ("interface-tag", "a\u{1b}[2J"), ("start", "7")];
        assert_eq!(named(&odd, "eni-1 x 7").1.rejected[&Reason::NotText], 1);
        let wrong = [("interface_id", "eni-1"), ("dstport", "x"), ("start", "7")];
        assert_eq!(named(&wrong, "eni-1 x 7").1.rejected[&Reason::BadNumber], 1);
        let twice = [("interface_id", "eni-1"), ("start", "7"), ("start", "8")];
        assert_eq!(named(&twice, "eni-1 7 8").1.rejected[&Reason::FormatMismatch], 1);
    }
}
