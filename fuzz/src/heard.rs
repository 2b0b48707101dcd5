//! A sink that remembers a digest of what it was told, and the whole way of an object.

use std::hash::{Hash as _, Hasher};

use bytes::Bytes;
use flowlog_core::decode::{
    Counts, DecodeError, Decoded, Fallback, Limits, ObjectDecoder, ParquetDecoder, RecordSink,
    RejectedLine, Step, Verdict,
};
use flowlog_core::format::Format;
use flowlog_core::record::Record;
use foldhash::fast::FixedState;

use super::row::holds;

/// A digest of everything that was heard, in order.
#[derive(Debug)]
pub(crate) struct Heard {
    state: u64,
    told: u64,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { state: 0, told: 0 }
    }

    fn note(&mut self, say: impl FnOnce(&mut foldhash::fast::FoldHasher<'_>)) {
        use std::hash::BuildHasher as _;
        let state = FixedState::with_seed(self.state);
        let mut hasher = state.build_hasher();
        say(&mut hasher);
        self.state = hasher.finish();
        self.told += 1;
    }
}

impl RecordSink for Heard {
    fn record(&mut self, r: &Record<'_>) -> Verdict {
        holds(r);
        self.note(|h| {
            (r.account_id, r.interface_id, r.tgw_attachment_id, r.resource_id, r.vpc_id).hash(h);
            (r.subnet_id, r.instance_id, r.tag, r.reject_reason).hash(h);
            (r.srcaddr, r.dstaddr, r.pkt_srcaddr, r.pkt_dstaddr).hash(h);
            (r.srcport, r.dstport, r.protocol, r.packets, r.bytes, r.start, r.end).hash(h);
            (r.tcp_flags, r.traffic_path, r.encryption_status, r.packets_lost).hash(h);
            h.write_u8(r.action as u8);
            h.write_u8(r.log_status as u8);
            h.write_u8(r.flow_direction.map_or(9, |direction| direction as u8));
        });
        // Some are late, so that those are in the balance, too.
        if r.start.is_some_and(|start| start % 64 == 1) { Verdict::Late } else { Verdict::Counted }
    }

    fn rejected(&mut self, line: RejectedLine) {
        self.note(|h| (line.line, line.offset, line.reason, line.column).hash(h));
    }

    fn format(&mut self, format: &Format) {
        self.note(|h| format.header().hash(h));
    }
}

/// What became of an object: counts, what was heard, and where it ended; or the code of the error.
pub(crate) type Outcome = Result<(Counts, u64, String), &'static str>;

/// Decodes an object, whatever it is, in pieces of so many bytes.
pub(crate) fn decode(object: &[u8], piece: usize, limits: Limits) -> Outcome {
    let size = object.len() as u64;
    let mut decoder = ObjectDecoder::new(limits, Fallback::Default, Some(size), Heard::new());
    let mut failure = None;
    for piece in object.chunks(piece) {
        let pushed = decoder.push(piece);
        if decoder.is_parquet() {
            let decoded = decoder.into_parquet(size).and_then(|decoder| drive(decoder, object));
            return outcome(decoded, object);
        }
        if let Err(error) = pushed {
            failure = Some(error);
            break;
        }
    }
    let decoded = decoder.finish();
    if let (Some(failure), Err(error)) = (&failure, &decoded) {
        assert_eq!(failure, error, "an error is said again");
    }
    assert!(failure.is_none() || decoded.is_err(), "finished after {failure:?}");
    outcome(decoded, object)
}

/// Holds a whole object's result against what must hold for each.
pub(crate) fn outcome(decoded: Result<Decoded<Heard>, DecodeError>, object: &[u8]) -> Outcome {
    match decoded {
        Ok(Decoded { sink, counts, format, encoding, input_bytes }) => {
            assert!(counts.balances(), "{counts:?}");
            assert!(counts.read <= sink.told, "a line that nobody was told of");
            assert_eq!(input_bytes, object.len() as u64);
            let format = format.map_or_else(String::new, |format| format.header());
            Ok((counts, sink.state, format!("{} {format}", encoding.name())))
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.len() < 300 && !words.chars().any(char::is_control), "{words:?}");
            Err(error.code())
        }
    }
}

/// Brings the ranges that a Parquet decoder asks for, and holds them against the file and the limits.
pub(crate) fn drive<S: RecordSink>(
    mut decoder: ParquetDecoder<S>,
    file: &[u8],
) -> Result<Decoded<S>, DecodeError> {
    // Each step asks for something, or brings a row at least, or ends a row group.
    for _ in 0..4 * file.len() + 64 {
        match decoder.step()? {
            Step::Need(ranges) => {
                let bytes = ranges.iter().map(|range| {
                    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                    let found = file.get(at(range.start)..at(range.end));
                    let found = found.unwrap_or_else(|| panic!("{range:?} of {}", file.len()));
                    Bytes::copy_from_slice(found)
                });
                let bytes: Vec<Bytes> = bytes.collect();
                assert!(bytes.iter().map(Bytes::len).sum::<usize>() <= file.len());
                decoder.push(bytes)?;
            }
            Step::Rows => {}
            Step::Done => return decoder.finish(),
        }
    }
    panic!("no end")
}
