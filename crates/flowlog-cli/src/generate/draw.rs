//! Seeded draws: the only source of variety.
//!
//! The stream is `ChaCha8`, which is specified bit for bit. The distributions are written here, on integers, because those
//! of `rand` may change between versions and logarithms differ between machines; either would change the objects.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::clock::CaptureWindow;

/// 1.8ᵏ in sixteenths. Drawn with probability 2⁻ᵏ they give a Pareto tail with exponent ln 2 / ln 1.8 ≈ 1.18, the
/// usual measurement for transfer sizes: most flows are small, a few carry most of the bytes.
const TAIL: [u64; 16] = [
    16, 29, 52, 93, 168, 302, 544, 980, 1_763, 3_174, 5_713, 10_283, 18_510, 33_317, 59_971,
    107_948,
];

/// One named stream of draws.
#[derive(Debug)]
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of this name under this seed; `nth` tells equal names apart.
    pub(super) fn new(seed: u64, name: &str, nth: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&hash(name.as_bytes()).to_le_bytes());
        key[16..24].copy_from_slice(&nth.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `0..n`; 0 when there is nothing to choose from.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// The same for seconds.
    pub(super) fn seconds(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).unwrap_or(0);
        low.saturating_add_unsigned(self.below(width + 1))
    }

    /// A port in `low..=high`.
    pub(super) fn port(&mut self, low: u16, high: u16) -> u16 {
        u16::try_from(self.between(u64::from(low), u64::from(high))).unwrap_or(high)
    }

    /// A port as a client's system hands them out.
    pub(super) fn ephemeral(&mut self) -> u16 {
        self.port(32_768, 60_999)
    }

    /// True in `per_mille` of 1,000 cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of the choices. The list is never empty; an empty one would be a mistake of this module.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// An index below `len`.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Favours small numbers: uniform below a uniform bound, so that a pool has regulars and strangers.
    pub(super) fn skewed(&mut self, n: u64) -> u64 {
        let bound = self.below(n);
        self.below(bound + 1)
    }

    /// A heavy-tailed amount of at least about `base`.
    pub(super) fn heavy(&mut self, base: u64) -> u64 {
        let bits = self.0.next_u64();
        let step = TAIL[(bits.trailing_zeros() as usize).min(TAIL.len() - 1)];
        let within = 64 + (bits >> 58);
        base * step / 16 * within / 64
    }

    /// A span of at most `longest` seconds inside the capture window.
    pub(super) fn span(&mut self, window: &CaptureWindow, longest: i64) -> (i64, i64) {
        let start = self.seconds(window.from, window.to);
        let end = start + self.seconds(0, longest);
        (start, end.min(window.to))
    }
}

/// FNV-1a, stirred so that names which differ in one letter get ids that look unrelated. For fixed names, not for
/// anything a stranger chooses.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let once = (hash ^ (hash >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 32)
}
