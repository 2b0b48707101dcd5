//! What a rule says: which rule, how loud, about whom, and why.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::{Address, Scope, Window};
use crate::rollup::{About, Evidence};

/// How loud a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Kept for whoever looks; nobody is told. It keeps an open alert open.
    Recorded,
    /// One line in the hourly summary.
    Digest,
    /// A notification.
    Notify,
    /// A notification with its own share of the budget.
    High,
}

impl Severity {
    /// Every severity, the quietest first.
    pub const ALL: [Self; 4] = [Self::Recorded, Self::Digest, Self::Notify, Self::High];

    /// `recorded`, `digest`, `notify` or `high`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Digest => "digest",
            Self::Notify => "notify",
            Self::High => "high",
        }
    }
}

/// The kind of a finding, which is the name of the rule that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// D1: many refused records at once.
    RejectBurst,
    /// D1b: more refused records than this interface's own past explains.
    RejectAnomaly,
    /// D2: one source tries many ports or hosts.
    PortScan,
    /// D3: one source tries one port on many hosts.
    HostSweep,
    /// D3b: one source tries a few doors a day, and nearly all are shut.
    SlowScan,
    /// D4: many short accepted connections to a login port.
    BruteForce,
    /// D5: a source that was refused at many doors has been let in.
    RejectedThenAccepted,
    /// D6: far more bytes to the Internet than usual, to new addresses.
    EgressVolume,
    /// D7: refused traffic between private addresses.
    EastWestReject,
    /// D7b: one way is let through and the other is refused.
    AsymmetricPath,
    /// D8: the Internet talks with a port that should not be public.
    SensitivePortExposed,
    /// D9: regular contacts with an address outside. Off.
    Beacon,
    /// D10: AWS skipped records, or an interface that always had some has none.
    DataGap,
    /// D11: traffic was not encrypted where the policy wants it.
    Unencrypted,
    /// D12: refused by VPC Block Public Access.
    BlockPublicAccess,
}

impl Rule {
    /// Every rule, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::RejectBurst,
        Self::RejectAnomaly,
        Self::PortScan,
        Self::HostSweep,
        Self::SlowScan,
        Self::BruteForce,
        Self::RejectedThenAccepted,
        Self::EgressVolume,
        Self::EastWestReject,
        Self::AsymmetricPath,
        Self::SensitivePortExposed,
        Self::Beacon,
        Self::DataGap,
        Self::Unencrypted,
        Self::BlockPublicAccess,
    ];

    /// The stable name, in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::RejectBurst => "reject-burst",
            Self::RejectAnomaly => "reject-anomaly",
            Self::PortScan => "port-scan",
            Self::HostSweep => "host-sweep",
            Self::SlowScan => "slow-scan",
            Self::BruteForce => "brute-force",
            Self::RejectedThenAccepted => "rejected-then-accepted",
            Self::EgressVolume => "egress-volume",
            Self::EastWestReject => "east-west-reject",
            Self::AsymmetricPath => "asymmetric-path",
            Self::SensitivePortExposed => "sensitive-port-exposed",
            Self::Beacon => "beacon",
            Self::DataGap => "data-gap",
            Self::Unencrypted => "unencrypted",
            Self::BlockPublicAccess => "block-public-access",
        }
    }

    /// The rule of a stable name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What most likely lies behind a finding, as far as flow records tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Strangers knock, and are refused.
    InternetScan,
    /// A host of ours knocks: an inventory scanner, or an intruder.
    InsideScan,
    /// Many sources, or one that makes nearly all: a flood, or a rule that now refuses what it accepted.
    FloodOrChangedRule,
    /// Somebody guesses passwords.
    PasswordGuessing,
    /// A door that was shut has been found open.
    WayIn,
    /// Data leaves.
    Exfiltration,
    /// A security group or inbound network ACL lacks a rule.
    SecurityGroupOrAcl,
    /// A stateless network ACL refuses the answers, or the return route is missing.
    NetworkAclOrReturnRoute,
    /// A port is open to the Internet that should not be.
    ExposedPort,
    /// AWS lost or withheld records.
    LostRecords,
    /// Traffic that should be encrypted is not.
    Plaintext,
    /// VPC Block Public Access does what it is for.
    BlockPublicAccess,
}

impl Cause {
    /// The stable name, in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::InternetScan => "internet-scan",
            Self::InsideScan => "inside-scan",
            Self::FloodOrChangedRule => "flood-or-changed-rule",
            Self::PasswordGuessing => "password-guessing",
            Self::WayIn => "way-in",
            Self::Exfiltration => "exfiltration",
            Self::SecurityGroupOrAcl => "security-group-or-acl",
            Self::NetworkAclOrReturnRoute => "network-acl-or-return-route",
            Self::ExposedPort => "exposed-port",
            Self::LostRecords => "lost-records",
            Self::Plaintext => "plaintext",
            Self::BlockPublicAccess => "block-public-access",
        }
    }
}

/// What was tried or reached, where it is one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Destination address; `None` where there are several.
    pub host: Option<Address>,
    /// Destination port; `None` where there are several.
    pub port: Option<u16>,
}

/// What a rule has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How loud.
    pub severity: Severity,
    /// On which interface; the VPC's or account's id where a rule looks at several.
    pub interface_id: String,
    /// Its owner; empty where unknown.
    pub account_id: String,
    /// Its VPC; empty where unknown.
    pub vpc_id: String,
    /// Whose interface it is, as far as the format says: free text, made printable when shown.
    pub about: About,
    /// Who did it, where it is one.
    pub source: Option<Address>,
    /// What it was done to, where it is one.
    pub target: Option<Target>,
    /// In which window it showed.
    pub window: Window,
    /// What most likely lies behind it.
    pub cause: Cause,
    /// Why it fired.
    pub evidence: Why,
    /// Who they are, where somebody was asked.
    #[serde(default)]
    pub parties: Parties,
}

/// Who an interface is, as people call it. Names are free text, made printable when shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `eni-…`.
    pub interface_id: String,
    /// Whose the interface is; empty where that is not known. Not kept: it only tells whether this is who is meant.
    #[serde(skip)]
    pub account_id: String,
    /// `vpc-…`; empty where that is not known. Absent in what older versions wrote.
    #[serde(default)]
    pub vpc_id: String,
    /// `i-…`; empty where the interface is no instance's.
    pub instance_id: String,
    /// Its tag `Name`, else its instance's.
    pub name: String,
    /// Its tag `Owner`, else its instance's.
    pub owner: String,
    /// What AWS or its creator wrote on it: `Interface for NAT Gateway nat-…`.
    pub description: String,
}

/// What was found out about the parties of a finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// The interface that recorded it.
    pub place: Option<Identity>,
    /// Who did it, if it is one of ours.
    pub source: Option<Identity>,
    /// What it was done to, if it is one of ours.
    pub target: Option<Identity>,
}

/// Why a rule fired: value against baseline and threshold, and what shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What was measured, in words: `rejected records`, `contacts`.
    pub measure: Cow<'static, str>,
    /// How much there was.
    pub value: u64,
    /// How much is usual here, where that is known.
    pub baseline: Option<u64>,
    /// How much would have been enough.
    pub threshold: u64,
    /// Over how many seconds, ending with the finding's window; of a lasting refusal from its first record to its last.
    pub seconds: i64,
    /// The window in which it began, where that is known to be an earlier one. Absent in what older
    /// versions wrote.
    #[serde(default)]
    pub since: Option<Window>,
    /// How many sources took part.
    pub sources: u64,
    /// Some of them by address, the busiest first, at most [`SOURCES_SHOWN`]; empty where the
    /// finding is about one.
    pub named: Vec<Address>,
    /// Destination ports, at most [`PORTS_SHOWN`].
    pub ports: Vec<u16>,
    /// Rejected records in the window.
    pub rejected: u64,
    /// SKIPDATA records in the windows looked at: AWS lost records, so there may have been more.
    pub skipdata: u64,
    /// Whole records, at most [`RECORDS_SHOWN`].
    pub records: Vec<Evidence>,
}

/// How many ports evidence lists.
pub const PORTS_SHOWN: usize = 16;
/// How many sources evidence names.
pub const SOURCES_SHOWN: usize = 20;
/// How many whole records evidence lists.
pub const RECORDS_SHOWN: usize = 5;

impl Finding {
    /// A finding about a window of an interface, to be filled in.
    pub(crate) fn new(
        rule: Rule,
        severity: Severity,
        cause: Cause,
        interface_id: &str,
        at: Window,
    ) -> Self {
        Self {
            rule,
            severity,
            interface_id: interface_id.to_owned(),
            account_id: String::new(),
            vpc_id: String::new(),
            about: About::default(),
            source: None,
            target: None,
            window: at,
            cause,
            evidence: Why::default(),
            parties: Parties::default(),
        }
    }
}

impl Finding {
    /// The window in which it began, as far as is known.
    pub fn since(&self) -> Window {
        self.evidence.since.map_or(self.window, |since| since.min(self.window))
    }
}

/// Whether an address is one of ours, as far as the address tells.
pub(crate) fn is_internal(address: &Address) -> bool {
    address.scope() == Scope::Private
}
