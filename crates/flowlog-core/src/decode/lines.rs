//! Lines: text arrives in any pieces, each line is counted exactly once.

use super::digits::has_control;
use super::quick::{Batch, QuickReader};
use super::row::{Rejection, parse_row};
use super::{Counts, DecodeError, Fallback, Limits, Reason, RecordSink, RejectedLine, count};
use crate::format::{Column, Format, looks_like_header};
use crate::record::Field;

/// Cuts text into lines and lines into records.
#[derive(Debug)]
pub struct LineDecoder {
    limits: Limits,
    fallback: Fallback,
    format: Option<Format>,
    counts: Counts,
    /// The beginning of a line whose end has not arrived, at most [`BEYOND`] bytes over the limit.
    carry: Vec<u8>,
    /// Number of the line that begins next, from 1.
    line: u64,
    /// Offset of the line that begins next.
    offset: u64,
    /// Bytes of the current line seen so far, also those that `carry` does not keep.
    carried: u64,
    /// For formats that it reads.
    quick: Option<QuickReader>,
}

/// A byte order mark: no part of the line that it begins.
const MARK: &[u8] = b"\xEF\xBB\xBF";
/// How many bytes over the limit are kept of a line: one that loses bytes must still be too long
/// without its mark and its carriage return.
const BEYOND: usize = MARK.len() + 1 + 1;

impl LineDecoder {
    /// A decoder that has seen nothing.
    pub fn new(limits: Limits, fallback: Fallback) -> Self {
        Self {
            limits,
            fallback,
            format: None,
            counts: Counts::default(),
            carry: Vec::new(),
            line: 1,
            offset: 0,
            carried: 0,
            quick: None,
        }
    }

    /// The format in force, once a line has told.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// How many lines have ended, blank ones and comments too.
    pub(super) fn lines(&self) -> u64 {
        self.line - 1
    }

    /// What has been counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes in the next piece of text, of any length.
    pub fn push<S: RecordSink>(
        &mut self,
        mut text: &[u8],
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        loop {
            if self.carried == 0 {
                text = self.quick_rows(text, sink)?;
            }
            let Some(end) = memchr::memchr(b'\n', text) else { break };
            let (head, rest) = (&text[..end], &text[end + 1..]);
            if self.carried == 0 {
                self.line(head, sink)?;
            } else {
                self.hold(head);
                let line = std::mem::take(&mut self.carry);
                let result = self.line(&line, sink);
                self.carry = line;
                self.carry.clear();
                result?;
            }
            self.offset += self.carried.max(head.len() as u64) + 1;
            self.line += 1;
            self.carried = 0;
            text = rest;
        }
        self.hold(text);
        Ok(())
    }

    /// The text is over: what is left is a line without a line end.
    pub fn finish<S: RecordSink>(&mut self, sink: &mut S) -> Result<(), DecodeError> {
        if self.carried > 0 {
            let line = std::mem::take(&mut self.carry);
            self.line(&line, sink)?;
            self.carried = 0;
        }
        if self.format.is_none() && self.counts.read == 0 {
            Err(DecodeError::Empty)
        } else {
            Ok(())
        }
    }

    /// Lets the quick reader take rows for as long as it can; returns what it leaves.
    fn quick_rows<'t, S: RecordSink>(
        &mut self,
        text: &'t [u8],
        sink: &mut S,
    ) -> Result<&'t [u8], DecodeError> {
        let mut rest = text;
        if self.quick.is_none() {
            return Ok(rest);
        }
        let mut batch = Batch::new();
        while let Some(quick) = &mut self.quick
            && batch.fill(quick, rest)
        {
            let mut done = 0;
            while done < batch.rows().len() {
                let taken = sink.quick(&batch.rows()[done..]);
                let taken_bytes = batch.length(done..done + taken);
                self.counts.read += taken as u64;
                self.counts.parsed += taken as u64;
                self.line += taken as u64;
                self.offset += taken_bytes as u64;
                rest = &rest[taken_bytes..];
                done += taken;
                if done < batch.rows().len() {
                    // One that the sink does not know what to do with. What stood for an address may
                    // hold the line's end.
                    let length = batch.length(done..done + 1);
                    let end = memchr::memchr(b'\n', rest).unwrap_or(length - 1);
                    self.line(&rest[..end], sink)?;
                    self.offset += end as u64 + 1;
                    self.line += 1;
                    rest = &rest[end + 1..];
                    if end + 1 < length {
                        break;
                    }
                    done += 1;
                }
            }
        }
        Ok(rest)
    }

    /// Keeps the beginning of a line.
    fn hold(&mut self, piece: &[u8]) {
        self.carried += piece.len() as u64;
        let room = (self.limits.line + BEYOND).saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn line<S: RecordSink>(&mut self, line: &[u8], sink: &mut S) -> Result<(), DecodeError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Files with marks that were put one behind another have them in the middle, too.
        let line = line.strip_prefix(MARK).unwrap_or(line);
        if line.len() > self.limits.line {
            return self.reject(Reason::LineTooLong.into(), sink);
        }
        let Some(text) = as_text(line) else {
            return self.reject(Reason::NotText.into(), sink);
        };
        let text = text.trim_ascii();
        if text.is_empty() || (text.starts_with('#') && !self.begins_with_tag(text)) {
            return Ok(());
        }
        // A record that begins with its version, as nearly all do, cannot be a header.
        if !text.as_bytes()[0].is_ascii_digit() && self.is_header(text) {
            return self.header(text, sink);
        }
        match &self.format {
            None => self.first_line(text, sink),
            Some(format) => match parse_row(text, format) {
                Ok(record) => {
                    self.counts.read += 1;
                    count(&mut self.counts, &record, sink);
                    if let Some(quick) = &mut self.quick
                        && let Some(head) = quick.learn(text.as_bytes())
                    {
                        sink.head(head);
                    }
                    Ok(())
                }
                Err(rejection) => self.reject(rejection, sink),
            },
        }
    }

    /// Whether a line is a header, as far as the format in force leaves it open.
    ///
    /// A row of a format with a time is none: a time is no name. Where there is no time, all of a
    /// row may be words that strangers choose (tags, names of services), and `start` is a word. So
    /// there, a line as long as the format is a row, unless it is that format's own header.
    fn is_header(&self, text: &str) -> bool {
        let row = self.format.as_ref().is_some_and(|format| {
            let words = || text.split_ascii_whitespace();
            !format.has(Field::Start)
                && !format.has(Field::End)
                && words().count() == format.len()
                && !words().eq(format.header().split_ascii_whitespace())
        });
        !row && looks_like_header(text)
    }

    /// Whether a line that begins like a comment is a record whose first column is a tag that does:
    /// whoever may tag an interface must not make its records disappear.
    fn begins_with_tag(&self, text: &str) -> bool {
        let declared = match &self.fallback {
            Fallback::Declared(format) => Some(format),
            Fallback::Default => None,
        };
        self.format.as_ref().or(declared).is_some_and(|format| {
            let free_text = match format.columns().first() {
                Some(Column::Known(field)) => field.name().contains("-tag"),
                Some(Column::Unknown(_)) => true,
                None => false,
            };
            free_text && parse_row(text, format).is_ok()
        })
    }

    fn header<S: RecordSink>(&mut self, text: &str, sink: &mut S) -> Result<(), DecodeError> {
        let format = Format::from_header(text, self.limits.columns)
            .map_err(|source| DecodeError::BadHeader { line: self.line, source })?;
        if self.format.as_ref() != Some(&format) {
            self.begin(format, sink);
        }
        Ok(())
    }

    fn begin<S: RecordSink>(&mut self, format: Format, sink: &mut S) {
        self.quick = S::QUICK.then(|| QuickReader::of(&format, self.limits.line)).flatten();
        sink.format(&format);
        self.format = Some(format);
    }

    /// A first line that is no header must be a record of the fallback format, version included.
    fn first_line<S: RecordSink>(&mut self, text: &str, sink: &mut S) -> Result<(), DecodeError> {
        let format = match &self.fallback {
            Fallback::Default => Format::default_v2(),
            Fallback::Declared(format) => format.clone(),
        };
        let fits = parse_row(text, &format).and_then(|record| {
            version_fits(text, &format).then_some(record).ok_or(Reason::FormatMismatch.into())
        });
        match fits {
            Ok(record) => {
                self.begin(format, sink);
                self.counts.read += 1;
                count(&mut self.counts, &record, sink);
                Ok(())
            }
            Err(Rejection { reason, .. }) => {
                Err(DecodeError::NotAFlowLog { line: self.line, reason })
            }
        }
    }

    fn reject<S: RecordSink>(
        &mut self,
        rejection: Rejection,
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        let Rejection { reason, column } = rejection;
        if self.format.is_none() {
            return Err(DecodeError::NotAFlowLog { line: self.line, reason });
        }
        self.counts.read += 1;
        self.counts.reject(reason);
        sink.rejected(RejectedLine { line: self.line, offset: self.offset, reason, column });
        Ok(())
    }
}

/// Whether a line's version is the one that AWS would write for a format: the highest version among
/// its fields. A format without the version field, or with columns that are not known, fits any.
pub(super) fn version_fits(text: &str, format: &Format) -> bool {
    let Some(at) = format.position(Field::Version) else { return true };
    if format.unknown().next().is_some() {
        return true;
    }
    let expected = Field::ALL.iter().filter(|f| format.has(**f)).map(|f| f.since()).max();
    let version = text.split_ascii_whitespace().nth(at);
    version.filter(|t| !t.starts_with('+')).and_then(|t| t.parse().ok()) == expected
}

/// UTF-8 without control characters other than the tab.
fn as_text(line: &[u8]) -> Option<&str> {
    if has_control(line) { None } else { std::str::from_utf8(line).ok() }
}
