//! The first few records of every refused source, until it is known which become evidence.
//!
//! There is one, at least, for each source that strangers invent, and whole records take 72 bytes: more than
//! anything else of a chunk's state. So those that say nothing unusual, nearly all, are kept in 28.

use std::net::Ipv4Addr;

use super::Evidence;
use super::lists::Source;
use super::table::{Table, Wide};
use crate::record::{Action, Address};

/// How many records of one source may become evidence.
const SAMPLES: usize = 5;

/// The samples of all sources.
#[derive(Debug)]
pub(super) struct Samples {
    narrow: Vec<Narrow>,
    wide: Vec<Evidence>,
}

/// A refused record between IPv4 addresses whose numbers are small.
#[derive(Debug, Clone, Copy)]
struct Narrow {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    start: u32,
    packets: u32,
    bytes: u32,
    /// Seconds from start to end.
    seconds: u16,
    srcport: u16,
    dstport: u16,
    protocol: u8,
}

const _: () = assert!(size_of::<Narrow>() == 28);

impl Narrow {
    /// The same in less, if it fits.
    fn of(sample: &Evidence) -> Option<Self> {
        let (Some(Address::V4(src)), Some(Address::V4(dst)), Action::Reject) =
            (sample.srcaddr, sample.dstaddr, sample.action)
        else {
            return None;
        };
        Some(Self {
            src,
            dst,
            start: sample.start.try_into().ok()?,
            packets: sample.packets.try_into().ok()?,
            bytes: sample.bytes.try_into().ok()?,
            seconds: sample.end.checked_sub(sample.start)?.try_into().ok()?,
            srcport: sample.srcport,
            dstport: sample.dstport,
            protocol: sample.protocol,
        })
    }

    /// As it was.
    fn widen(self) -> Evidence {
        let start = i64::from(self.start);
        Evidence {
            start,
            end: start + i64::from(self.seconds),
            srcaddr: Some(Address::V4(self.src)),
            dstaddr: Some(Address::V4(self.dst)),
            srcport: self.srcport,
            dstport: self.dstport,
            protocol: self.protocol,
            packets: self.packets.into(),
            bytes: self.bytes.into(),
            action: Action::Reject,
        }
    }
}

/// Where the samples of one source are, in the order in which they came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    /// Of narrow ones the place, of wide ones that and [`WIDE`].
    places: [u32; SAMPLES],
    count: u8,
}

const WIDE: u32 = 1 << 31;

impl Places {
    /// How many there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is no room for another.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len() == SAMPLES
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.places.into_iter().take(self.len())
    }
}

impl Samples {
    /// None yet, and memory for so many, which is touched as they come: they never move.
    pub(super) fn with_room(room: usize) -> Self {
        Self { narrow: Vec::with_capacity(room), wide: Vec::with_capacity(room) }
    }

    /// Adds one of a source, which must have room for it.
    #[expect(clippy::cast_possible_truncation, reason = "a budget has room for fewer than 2^31")]
    pub(super) fn add(&mut self, of_source: &mut Places, sample: &Evidence) {
        let Some(place) = of_source.places.get_mut(usize::from(of_source.count)) else { return };
        if let Some(narrow) = Narrow::of(sample) {
            *place = self.narrow.len() as u32;
            self.narrow.push(narrow);
        } else {
            *place = self.wide.len() as u32 | WIDE;
            self.wide.push(*sample);
        }
        of_source.count += 1;
    }

    /// One of a source, counted from 0.
    pub(super) fn nth(&self, of_source: &Places, nth: usize) -> Option<Evidence> {
        let place = of_source.iter().nth(nth)?;
        let at = (place & !WIDE) as usize;
        if place & WIDE == 0 {
            self.narrow.get(at).map(|narrow| narrow.widen())
        } else {
            self.wide.get(at).copied()
        }
    }

    /// Keeps those of these sources.
    pub(super) fn retain(&mut self, sources: &mut Table<Wide<Source>>) {
        const GONE: u32 = u32::MAX;
        // Where each one goes.
        let mut narrow = vec![GONE; self.narrow.len()];
        let mut wide = vec![GONE; self.wide.len()];
        for place in sources.iter().flat_map(|source| source.value.samples.iter()) {
            let moved = if place & WIDE == 0 { &mut narrow } else { &mut wide };
            moved[(place & !WIDE) as usize] = 0;
        }
        for moved in [&mut narrow, &mut wide] {
            let kept = moved.iter_mut().filter(|to| **to != GONE);
            (0..).zip(kept).for_each(|(at, to)| *to = at);
        }
        let mut each = narrow.iter();
        self.narrow.retain(|_| each.next() != Some(&GONE));
        let mut each = wide.iter();
        self.wide.retain(|_| each.next() != Some(&GONE));
        for source in sources.iter_mut() {
            let Places { places, count } = &mut source.value.samples;
            for place in places.iter_mut().take(usize::from(*count)) {
                *place = if *place & WIDE == 0 {
                    narrow[*place as usize]
                } else {
                    wide[(*place & !WIDE) as usize] | WIDE
                };
            }
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.narrow.clear();
        self.wide.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foldhash::fast::RandomState;
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::table::{Entry as _, Key};

    /// Of a number of so many bits: its ends, what is around them, anything.
    fn around(bits: u32) -> impl Strategy<Value = u64> {
        let most = 1_u64 << bits;
        prop_oneof![0..3_u64, most - 2..most + 2, any::<u64>()]
    }

    fn address() -> impl Strategy<Value = Option<Address>> {
        prop_oneof![
            8 => any::<Ipv4Addr>().prop_map(|v4| Some(Address::V4(v4))),
            1 => any::<u128>().prop_map(|v6| Some(Address::V6(v6.into()))),
            1 => Just(None),
        ]
    }

    fn sample() -> impl Strategy<Value = Evidence> {
        let times = (around(32), around(16)).prop_map(|(start, seconds)| {
            let start = start.cast_signed();
            (start, start.wrapping_add(seconds.cast_signed()))
        });
        let rejected = prop_oneof![8 => Just(Action::Reject), 1 => Just(Action::Other)];
        let numbers = (any::<(u16, u16, u8)>(), around(32), around(32));
        (times, address(), address(), numbers, rejected).prop_map(
            |((start, end), srcaddr, dstaddr, numbers, action)| {
                let ((srcport, dstport, protocol), packets, bytes) = numbers;
                Evidence {
                    start,
                    end,
                    srcaddr,
                    dstaddr,
                    srcport,
                    dstport,
                    protocol,
                    packets,
                    bytes,
                    action,
                }
            },
        )
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8, Evidence),
        /// Sources whose bit is not set go.
        Retain(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0..12_u8, sample()).prop_map(|(source, sample)| Step::Add(source, sample)),
            1 => any::<u16>().prop_map(Step::Retain),
        ];
        proptest::collection::vec(step, 0..100)
    }

    proptest! {
        /// The first five of each source, as they were, whichever sources go meanwhile.
        #[test]
        fn samples_come_out_as_they_went_in(steps in steps()) {
            let address = |source: u8| Address::V4([10, 0, 0, source].into());
            let mut sources = Table::new(12, RandomState::default());
            let mut samples = Samples::with_room(100);
            let mut expected: BTreeMap<Address, Vec<Evidence>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Add(source, sample) => {
                        let address = address(source);
                        let key = Key::source(0, address);
                        let source = sources.entry(key, |key| Wide::new(key, Source::default()));
                        let source = &mut source.value;
                        let of_source = expected.entry(address).or_default();
                        prop_assert_eq!(source.samples.is_full(), of_source.len() == SAMPLES);
                        samples.add(&mut source.samples, &sample);
                        of_source.push(sample);
                        of_source.truncate(SAMPLES);
                    }
                    Step::Retain(kept) => {
                        let stays = |source: &u8| kept >> source & 1 == 1;
                        let gone = (0..12).filter(|source| !stays(source)).map(address);
                        gone.for_each(|address| _ = expected.remove(&address));
                        let remotes = sources.iter().map(|source| source.key().remote());
                        let keep: Vec<_> = remotes.map(|a| expected.contains_key(&a)).collect();
                        sources.retain(&keep);
                        samples.retain(&mut sources);
                    }
                }
            }
            let held: usize = expected.values().map(Vec::len).sum();
            prop_assert_eq!(samples.narrow.len() + samples.wide.len(), held);
            let found: BTreeMap<_, Vec<_>> = sources
                .iter()
                .map(|source| {
                    let all = (0..).map_while(|nth| samples.nth(&source.value.samples, nth));
                    (source.key().remote(), all.collect())
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
