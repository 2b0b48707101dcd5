//! The versions of the function record → window → chunk → bytes.

use std::fmt;

/// A version of the mapping. A delivery is pinned to the version of its first attempt, so a binary
/// implements the current version and those before; any other fails closed.
///
/// What a version fixes: the window of a record, what state costs ([`super::Budget`]) and so where
/// chunks are cut, which items a chunk becomes, and their bytes. Any change of that is a new
/// version beside the old ones; golden items of each are frozen in the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mapping {
    /// The first: one partial per interface and window.
    V1,
    /// Since 2026-11-25: adds rejected tuples with their verdicts, services, bytes by traffic path
    /// and who the interface is to the roll-up, and scope partials (VPC and account views) to the
    /// items.
    V2,
    /// Since 2026-11-30: what an established connection leaves behind is known by its flags, too, and is no contact.
    /// Encoded as version 2.
    #[default]
    V3,
}

impl Mapping {
    /// What new deliveries use.
    pub const CURRENT: Self = Self::V3;
    /// Every version that this binary implements, oldest first.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::V3];

    /// The number that is stored.
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version behind a stored number, if this binary implements it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.number() == number)
    }

    /// Most bytes of an encoded roll-up. Since version 2 such that the whole item, its key and totals
    /// included, costs at most eight write units.
    pub(super) fn blob_limit(self) -> usize {
        match self {
            Self::V1 => super::BLOB_LIMIT,
            Self::V2 | Self::V3 => super::BLOB_LIMIT - 512,
        }
    }

    /// Whether rejected tuples, services and descriptions are kept.
    pub(super) fn has_connections(self) -> bool {
        self >= Self::V2
    }

    /// The number of the encoding of its roll-ups.
    pub(super) fn encoding(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 | Self::V3 => 2,
        }
    }

    /// Whether refusals that are no attempts to reach a port are known by their flags, too.
    pub(super) fn knows_attempts(self) -> bool {
        self >= Self::V3
    }

    /// Whether a chunk becomes scope partials, too.
    pub fn has_scopes(self) -> bool {
        self >= Self::V2
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}
