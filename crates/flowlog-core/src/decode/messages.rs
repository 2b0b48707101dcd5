//! Records that come one by one without a header, as CloudWatch Logs sends them.

use super::lines::version_fits;
use super::row::{Rejection, parse_row};
use super::{Counts, Limits, Reason, RecordSink, RejectedLine, count};
use crate::format::Format;

/// Decodes messages of one of several configured formats.
///
/// The format is what the operator says it is. A message must fit one of them, version included; one
/// that fits none, or several that read it differently, is rejected, never guessed by its token count.
#[derive(Debug)]
pub struct MessageDecoder {
    limits: Limits,
    formats: Vec<Format>,
    announced: Option<usize>,
    counts: Counts,
}

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
        let text = message.trim_ascii();
        if text.is_empty() {
            return;
        }
        self.counts.read += 1;
        if let Err(Rejection { reason, column }) = self.decode(text, sink) {
            self.counts.reject(reason);
            sink.rejected(RejectedLine { line: position, offset: 0, reason, column });
        }
    }

    fn decode<S: RecordSink>(&mut self, text: &str, sink: &mut S) -> Result<(), Rejection> {
        if text.len() > self.limits.line {
            return Err(Reason::LineTooLong.into());
        }
        if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(Reason::NotText.into());
        }
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
        let (at, record) =
            fitting.ok_or(first_rejection.unwrap_or(Reason::FormatMismatch.into()))?;
        if self.announced != Some(at) {
            sink.format(&self.formats[at]);
            self.announced = Some(at);
        }
        count(&mut self.counts, &record, sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Verdict;
    use crate::record::Record;

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
}
