//! What to generate: the plan, its limits and what can go wrong.
//!
//! The plan is the whole input. Two equal plans give equal bytes, so the plan is also what `truth.json` is kept under.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::attack::{Attack, UnknownName};
use super::clock::WINDOW;
use super::draw::{Draw, hash};
use super::plant::Planted;

/// The fewest records a minute: one for each interface of the network, which reports at least that it had nothing.
pub(super) const MIN_RATE: u32 = 20;
/// The most records a minute; a single object then holds some 250 million rows.
pub(super) const MAX_RATE: u32 = 50_000_000;
/// A leap year: the truth keeps one set of sums per interface and window in memory, about 80 MB for a year.
pub(super) const MAX_MINUTES: u32 = 366 * 24 * 60;
/// The last start (2100-01-01), so that every later moment still has a four-digit year and a ten-digit epoch.
const MAX_START: i64 = 4_102_444_800;

/// Everything that decides the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Chooses the traffic, the moments of the attacks and the names of the objects.
    pub seed: u64,
    /// The first second, in epoch seconds; a multiple of 300.
    pub start: i64,
    /// How long the recording lasts, in minutes.
    pub minutes: u32,
    /// Records per minute over the whole network, on average; busier by day than by night, attacks on top.
    pub rate: u32,
    /// The columns of the objects.
    pub format: Layout,
    /// How the objects are stored.
    #[serde(skip_serializing_if = "FileFormat::is_plain_text")]
    pub file_format: FileFormat,
    /// What is hidden in the traffic. Attacks leave the benign rows as they are, but for those that say otherwise.
    pub attacks: Vec<Attack>,
    /// How much of each attack there is, in per cent of what its description says.
    #[serde(skip_serializing_if = "is_usual")]
    pub intensity: u32,
}

/// The intensity of the descriptions.
pub const USUAL: u32 = 100;
/// The highest intensity.
const MAX_INTENSITY: u32 = 1_000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_usual(intensity: &u32) -> bool {
    *intensity == USUAL
}

/// How objects are stored, by the names of a flow log's `DestinationOptions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Lines, compressed by gzip.
    #[default]
    PlainText,
    /// Columns, compressed by gzip each.
    Parquet,
}

impl FileFormat {
    /// Every one, in the order of a help text.
    pub const ALL: [Self; 2] = [Self::PlainText, Self::Parquet];

    fn name(self) -> &'static str {
        match self {
            Self::PlainText => "plain-text",
            Self::Parquet => "parquet",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn is_plain_text(&self) -> bool {
        *self == Self::PlainText
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileFormat {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| UnknownName::new("file format", text, &Self::ALL))
    }
}

/// Which columns a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// The 14 fields of the default format.
    V2,
    /// The default format, then every field of versions 3 to 5: 29 in all.
    V5,
    /// The same, then `reject-reason`.
    V8,
}

impl Layout {
    /// Every layout, in the order of a help text.
    pub const ALL: [Self; 3] = [Self::V2, Self::V5, Self::V8];

    /// The header line, without its line feed.
    pub fn header(self) -> &'static str {
        match self {
            Self::V2 => {
                "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                 action log-status"
            }
            Self::V5 => {
                "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                 action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id \
                 sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
            }
            Self::V8 => {
                "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                 action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id \
                 sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path \
                 reject-reason"
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V5 => "v5",
            Self::V8 => "v8",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|layout| layout.name() == text);
        known.ok_or_else(|| UnknownName::new("format", text, &Self::ALL))
    }
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl GenerateError {
    /// Whether it is about what was asked for, and not about writing it.
    pub fn is_usage(&self) -> bool {
        use GenerateError::{Intensity, Minutes, Rate, Start, TooShort};
        matches!(self, Start(_) | Minutes(_) | Rate(_) | Intensity(_) | TooShort { .. })
    }
}

impl Plan {
    /// Refuses a plan whose numbers are out of range, before anything is written.
    pub(super) fn check(&self) -> Result<(), GenerateError> {
        if !(0..=MAX_START).contains(&self.start) || self.start % WINDOW != 0 {
            return Err(GenerateError::Start(self.start));
        }
        if !(1..=MAX_MINUTES).contains(&self.minutes) {
            return Err(GenerateError::Minutes(self.minutes));
        }
        if !(MIN_RATE..=MAX_RATE).contains(&self.rate) {
            return Err(GenerateError::Rate(self.rate));
        }
        if !(1..=MAX_INTENSITY).contains(&self.intensity) {
            return Err(GenerateError::Intensity(self.intensity));
        }
        Ok(())
    }

    /// Chooses moment and cast of every attack, each from a stream of its own, so that one more changes no other.
    pub(super) fn plant(&self) -> Result<Vec<Planted>, GenerateError> {
        let mut planted = Vec::with_capacity(self.attacks.len());
        for (nth, attack) in (0_u64..).zip(&self.attacks) {
            if self.minutes < attack.min_minutes() {
                return Err(GenerateError::TooShort {
                    attack: *attack,
                    needs: attack.min_minutes(),
                });
            }
            let draw = Draw::new(self.seed, attack.name(), nth);
            planted.push(Planted::new(*attack, self, draw));
        }
        Ok(planted)
    }

    /// A number for the whole plan: objects of different plans have different names, so that a store never takes one
    /// for another.
    pub(super) fn hash(&self) -> u64 {
        let attacks: Vec<String> = self.attacks.iter().map(ToString::to_string).collect();
        let Self { seed, start, minutes, rate, format, .. } = self;
        let mut text = format!("{seed} {start} {minutes} {rate} {format} {}", attacks.join(","));
        if self.file_format == FileFormat::Parquet {
            text.push_str(" parquet");
        }
        if self.intensity != USUAL {
            text = format!("{text} {}%", self.intensity);
        }
        hash(text.as_bytes())
    }

    /// So many attempts of a description, at this plan's intensity; one at least.
    pub(super) fn scaled(&self, attempts: u64) -> u64 {
        (attempts * u64::from(self.intensity) / u64::from(USUAL)).max(1)
    }

    /// The second after the last one.
    pub(super) fn end(&self) -> i64 {
        self.start + i64::from(self.minutes) * 60
    }
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The start is negative, too late, or between two windows.
    #[error("start {0} is not a multiple of 300 between 0 and {MAX_START}")]
    Start(i64),
    /// No minutes, or more than a year.
    #[error("{0} minutes is not between 1 and {MAX_MINUTES}")]
    Minutes(u32),
    /// Too few records for the interfaces there are, or absurdly many.
    #[error("a rate of {0} records per minute is not between {MIN_RATE} and {MAX_RATE}")]
    Rate(u32),
    /// No attack at all, or absurdly much.
    #[error("an intensity of {0} % is not between 1 and {MAX_INTENSITY}")]
    Intensity(u32),
    /// The attack takes longer than the recording.
    #[error("{attack} needs a recording of at least {needs} minutes")]
    TooShort {
        /// The attack that does not fit.
        attack: Attack,
        /// The shortest recording that holds it, in minutes.
        needs: u32,
    },
    /// The folder belongs to another plan.
    #[error("{} already holds flow logs of another plan: choose another folder, or remove it", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl GenerateError {
    /// An I/O error with the path it concerns, which the system's own message leaves out.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}
