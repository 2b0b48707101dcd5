//! How many different ones: exact where the list beside it is complete, else a `HyperLogLog`.
//!
//! For reporting, and for `reject-burst`, which asks whether there are at least a few sources. The sketch is Apache `DataSketches`' HLL (lg k = 10,
//! four bits per register): relative standard error about 3.3 % once large, practically exact below
//! about a hundred. Its bytes depend on insertion order, so values always go in sorted.

use std::borrow::Cow;

use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Serialize};

use super::PortKey;
use crate::record::Address;

const LG_K: u8 = 10;

/// A number of different values. The empty state means: as many as the complete list beside it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct(Vec<u8>);

/// A value to count, the same bytes on every machine.
pub(super) type Token = [u8; 17];

impl Distinct {
    /// An address as a value to count.
    pub fn address(address: &Address) -> Token {
        let mut token = [0; 17];
        match address {
            Address::V4(a) => token[1..5].copy_from_slice(&a.octets()),
            Address::V6(a) => {
                token[0] = 1;
                token[1..].copy_from_slice(&a.octets());
            }
            Address::Mac(a) => {
                token[0] = 2;
                token[1..7].copy_from_slice(a);
            }
        }
        token
    }

    /// A port as a value to count.
    pub fn port(key: PortKey) -> Token {
        let mut token = [0; 17];
        token[0] = 3;
        token[1] = key.protocol;
        token[2..4].copy_from_slice(&key.port.to_be_bytes());
        token
    }

    /// A sketch of these values, which must come in sorted order.
    pub fn of(values: impl Iterator<Item = Token>) -> Self {
        let Ok(mut sketch) = HllSketch::new(LG_K, HllType::Hll4) else { return Self::default() };
        let mut last = None;
        for value in values {
            if last != Some(value) {
                sketch.update(value);
                last = Some(value);
            }
        }
        Self(sketch.serialize())
    }

    /// Whether there is a sketch: the list beside it is then incomplete.
    pub(super) fn is_sketch(&self) -> bool {
        !self.0.is_empty()
    }

    /// This sketch, or where there is none, that of the complete list beside it.
    pub fn or_of(&self, listed: impl Iterator<Item = Token>) -> Cow<'_, Self> {
        if self.0.is_empty() { Cow::Owned(Self::of(listed)) } else { Cow::Borrowed(self) }
    }

    /// Whether it has grown into registers: `DataSketches` writes a sketch's mode into the last two bits of its
    /// eighth byte.
    fn has_registers(&self) -> bool {
        self.0.get(7).is_some_and(|mode| mode & 3 == 2)
    }

    /// The sketch of both together.
    #[must_use]
    pub fn union(a: &Self, b: &Self) -> Self {
        let mut union = Union::default();
        union.add(a);
        union.add(b);
        union.to_distinct()
    }

    /// The estimated number, and the ends of its 95 % interval. `None` without a sketch.
    pub fn estimate(&self) -> Option<DistinctEstimate> {
        use datasketches::common::NumStdDev;
        let sketch = self.sketch()?;
        Some(DistinctEstimate {
            estimate: to_count(sketch.estimate()),
            low: to_count(sketch.lower_bound(NumStdDev::Two)),
            high: to_count(sketch.upper_bound(NumStdDev::Two).ceil()),
        })
    }

    fn sketch(&self) -> Option<HllSketch> {
        if self.0.is_empty() {
            return None;
        }
        HllSketch::deserialize(&self.0).ok()
    }

    /// Length of what is stored.
    pub fn stored_len(&self) -> usize {
        self.0.len()
    }
}

/// The count of many together, the same to the byte as if each had been packed with the one before.
#[derive(Debug, Default)]
pub(super) struct Union {
    /// Packed: few values, which keep an order that is another one each time they are unpacked.
    few: Option<Distinct>,
    /// As registers, which have no order. Packing and unpacking them is most of what adding to them costs.
    many: Option<HllUnion>,
}

impl Union {
    /// Whether anything was added.
    pub(super) fn has_any(&self) -> bool {
        self.few.is_some() || self.many.is_some()
    }

    /// Adds a sketch.
    pub(super) fn add(&mut self, counted: &Distinct) {
        if !self.has_any() && !counted.has_registers() {
            self.few = Some(counted.clone());
            return;
        }
        let (few, many) = (self.few.take(), self.many.take());
        let few = few.as_ref().and_then(Distinct::sketch);
        let sketch = counted.sketch();
        let has_registers = many.is_some() || (counted.has_registers() && sketch.is_some());
        let Some(mut union) = many.or_else(|| HllUnion::new(LG_K).ok()) else { return };
        for sketch in few.into_iter().chain(sketch) {
            union.update(&sketch);
        }
        let packed = if has_registers { None } else { Some(pack(&union)) };
        match packed.filter(|packed| !packed.has_registers()) {
            Some(packed) => self.few = Some(packed),
            None => self.many = Some(union),
        }
    }

    /// Packed, to be stored.
    pub(super) fn to_distinct(&self) -> Distinct {
        let packed = self.many.as_ref().map(pack).or_else(|| self.few.clone());
        packed.unwrap_or_default()
    }
}

fn pack(union: &HllUnion) -> Distinct {
    Distinct(union.to_sketch(HllType::Hll4).serialize())
}

/// An estimated number of different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DistinctEstimate {
    /// Best estimate.
    pub estimate: u64,
    /// Lower end of the 95 % interval.
    pub low: u64,
    /// Upper end of the 95 % interval.
    pub high: u64,
}

fn to_count(x: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "estimates are finite, not negative, and saturate"
    )]
    let n = x.round() as u64;
    n
}
