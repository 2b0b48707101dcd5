//! The attacks, by name: what each one is, and which finding it must lead to.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Sources of a `source-flood` without a number.
const FLOOD: u32 = 20_000;
/// As many spoofed addresses as can be told apart.
pub(super) const MAX_FLOOD: u32 = 1 << 28;

/// Something to hide in the traffic. Its moment and its cast are drawn from the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attack {
    /// A host inside the peered VPC B tries 60 to 120 ports of one host in VPC A within five minutes; all refused.
    PortScan,
    /// Some 200 external sources are refused 600 to 900 times at one public interface, within one five-minute window.
    RejectBurst,
    /// One internal host tries one port on every other host of both VPCs, twice.
    HostSweep,
    /// One external source opens 60 to 150 short SSH connections to the bastion within 20 minutes; all accepted.
    BruteForce,
    /// As many spoofed sources as asked for, each refused once at one public interface, within one five-minute
    /// window: `source-flood=1000000`. Costs a reader memory if it keeps a table of sources.
    SourceFlood {
        /// How many sources; each row has another one.
        sources: u32,
    },
    /// One external source tries 24 to 48 doors of the public interfaces, spread over the whole recording.
    SlowScan,
    /// One external source is refused at 40 ports of the bastion, and a little later let in at another one.
    RejectedThenAccepted,
    /// The bastion sends 5 to 7 GB to three addresses nobody has talked to before, within 20 minutes.
    EgressVolume,
    /// A forgotten security group rule: the edge server asks for the cache across the peering, twice a minute, for 40
    /// minutes; every time refused.
    Misconfiguration,
    /// A host that was taken over tries administration ports (SSH, SMB, RDP, `WinRM`) on every other host.
    LateralMovement,
    /// A stateless network ACL lets connections out across the peering and refuses the answers.
    AsymmetricPath,
    /// An outbound rule is missing: an application's packets to the cache are refused as they leave.
    EgressRefused,
    /// A stateless network ACL lets questions in across the peering and refuses the answers as they leave.
    AnswerRefused,
    /// The sender's route table lacks the peering: packets leave the interface and arrive nowhere.
    MissingRoute,
    /// The answering side's route table lacks the peering: answers leave the interface and arrive nowhere.
    MissingReturnRoute,
    /// A host of VPC B sends to a third VPC that is peered with A only: peering is not transitive.
    TransitivePeering,
    /// A public address holds RDP sessions with the edge server, bytes both ways.
    SensitivePortExposed,
    /// AWS skips records of a database interface: three SKIPDATA rows.
    DataGap,
    /// For two hours nothing is delivered of one interface, not even NODATA. Takes benign rows away.
    Silence,
    /// The same for VPC B as a whole, as if its flow log had been deleted.
    SilentVpc,
    /// For an hour VPC Block Public Access is what refuses strangers at the public interfaces, 150 to 250 more of them
    /// than usual. Only the format `v8` says why a packet was refused.
    BlockPublicAccess,
}

impl Attack {
    /// Every attack, in the order of a help text.
    pub const ALL: [Self; 21] = [
        Self::PortScan,
        Self::RejectBurst,
        Self::HostSweep,
        Self::BruteForce,
        Self::SourceFlood { sources: FLOOD },
        Self::SlowScan,
        Self::RejectedThenAccepted,
        Self::EgressVolume,
        Self::Misconfiguration,
        Self::LateralMovement,
        Self::AsymmetricPath,
        Self::EgressRefused,
        Self::AnswerRefused,
        Self::MissingRoute,
        Self::MissingReturnRoute,
        Self::TransitivePeering,
        Self::SensitivePortExposed,
        Self::DataGap,
        Self::Silence,
        Self::SilentVpc,
        Self::BlockPublicAccess,
    ];

    /// The name, without parameters.
    pub fn name(self) -> &'static str {
        match self {
            Self::PortScan => "port-scan",
            Self::RejectBurst => "reject-burst",
            Self::HostSweep => "host-sweep",
            Self::BruteForce => "brute-force",
            Self::SourceFlood { .. } => "source-flood",
            Self::SlowScan => "slow-scan",
            Self::RejectedThenAccepted => "rejected-then-accepted",
            Self::EgressVolume => "egress-volume",
            Self::Misconfiguration => "misconfiguration",
            Self::LateralMovement => "lateral-movement",
            Self::AsymmetricPath => "asymmetric-path",
            Self::EgressRefused => "egress-refused",
            Self::AnswerRefused => "answer-refused",
            Self::MissingRoute => "missing-route",
            Self::MissingReturnRoute => "missing-return-route",
            Self::TransitivePeering => "transitive-peering",
            Self::SensitivePortExposed => "sensitive-port-exposed",
            Self::DataGap => "data-gap",
            Self::Silence => "silence",
            Self::SilentVpc => "silent-vpc",
            Self::BlockPublicAccess => "block-public-access",
        }
    }

    /// The type of the finding that must follow; empty where no rule can tell, since packets that get lost
    /// between two interfaces leave no refusal: `flowlog why` is to find those.
    pub fn expected(self) -> &'static str {
        match self {
            Self::SourceFlood { .. } => "reject-burst",
            Self::Misconfiguration | Self::LateralMovement | Self::EgressRefused => {
                "east-west-reject"
            }
            Self::AnswerRefused => "asymmetric-path",
            Self::Silence | Self::SilentVpc => "data-gap",
            Self::MissingRoute | Self::MissingReturnRoute | Self::TransitivePeering => "",
            other => other.name(),
        }
    }

    /// Types of findings that may rightly follow as well.
    pub fn also(self) -> &'static [&'static str] {
        match self {
            Self::PortScan => {
                &["east-west-reject", "reject-burst", "reject-anomaly", "asymmetric-path"]
            }
            Self::RejectBurst | Self::SourceFlood { .. } => &["reject-anomaly"],
            Self::HostSweep => &["east-west-reject", "reject-anomaly", "asymmetric-path"],
            Self::BruteForce => &["sensitive-port-exposed"],
            Self::SlowScan
            | Self::EgressVolume
            | Self::DataGap
            | Self::Silence
            | Self::SilentVpc
            | Self::BlockPublicAccess
            | Self::MissingRoute
            | Self::MissingReturnRoute
            | Self::TransitivePeering => &[],
            Self::RejectedThenAccepted => &[
                "port-scan",
                "reject-burst",
                "reject-anomaly",
                "slow-scan",
                "sensitive-port-exposed",
            ],
            Self::Misconfiguration | Self::EgressRefused => {
                &["asymmetric-path", "reject-anomaly", "reject-burst"]
            }
            Self::LateralMovement => &["host-sweep", "reject-anomaly", "asymmetric-path"],
            Self::AsymmetricPath | Self::AnswerRefused => &["east-west-reject", "reject-anomaly"],
            Self::SensitivePortExposed => &["brute-force"],
        }
    }

    /// The shortest recording that holds the attack.
    pub(super) fn min_minutes(self) -> u32 {
        match self {
            Self::PortScan
            | Self::RejectBurst
            | Self::SourceFlood { .. }
            | Self::AsymmetricPath
            | Self::DataGap => 5,
            Self::HostSweep | Self::SensitivePortExposed => 10,
            Self::BruteForce
            | Self::RejectedThenAccepted
            | Self::EgressVolume
            | Self::LateralMovement => 20,
            Self::Misconfiguration
            | Self::EgressRefused
            | Self::AnswerRefused
            | Self::MissingRoute
            | Self::MissingReturnRoute
            | Self::TransitivePeering => 40,
            Self::BlockPublicAccess => 60,
            Self::SlowScan | Self::Silence | Self::SilentVpc => 180,
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceFlood { sources } if *sources != FLOOD => {
                write!(f, "{}={sources}", self.name())
            }
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Attack {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let flood = text.strip_prefix("source-flood=").and_then(|number| number.parse().ok());
        if let Some(sources) = flood.filter(|sources| (1..=MAX_FLOOD).contains(sources)) {
            return Ok(Self::SourceFlood { sources });
        }
        let known = Self::ALL.into_iter().find(|attack| attack.name() == text);
        known.ok_or_else(|| UnknownName::new("attack", text, &Self::ALL))
    }
}

impl Serialize for Attack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name that stands for nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {name:?}; known are {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: String,
}

impl UnknownName {
    /// With the list of what would have been understood.
    pub(super) fn new(what: &'static str, name: &str, known: &[impl fmt::Display]) -> Self {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        Self { what, name: name.to_owned(), known: known.join(", ") }
    }
}
