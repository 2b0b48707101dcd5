//! The one table of defaults: every threshold of every rule, with its meaning.
//!
//! A threshold is set for everybody in a rules file under `[rules.<rule>]`, and for one VPC or
//! interface in an `[[override]]`; what is not named keeps its default. A range in brackets is what a rules file may set:
//! beyond it the rule could find nothing, since lists, hours and days end there.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Rule, Severity};

/// A number that a rules file sets, between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Within<T, const LEAST: i64, const MOST: i64>(T);

impl<'de, T, const LEAST: i64, const MOST: i64> Deserialize<'de> for Within<T, LEAST, MOST>
where
    T: Deserialize<'de> + Copy + TryInto<i64>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = T::deserialize(from)?;
        match value.try_into() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(value)),
            _ => Err(D::Error::custom(format_args!("must be between {LEAST} and {MOST}"))),
        }
    }
}

/// The type of a threshold in a patch.
macro_rules! patched {
    ($Type:ty) => { $Type };
    ($Type:ty, $least:literal, $most:literal) => { Within<$Type, $least, $most> };
}

/// The value of a threshold in a patch.
macro_rules! value_of {
    ($value:ident) => {
        $value
    };
    ($value:ident, $least:literal) => {
        $value.0
    };
}

/// Declares the thresholds of every rule, their defaults, and the patches a rules file may carry.
macro_rules! thresholds {
    ($(
        $(#[$about:meta])*
        $rule:ident $name:literal = $Rule:ident / $Patch:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $Type:ty $([$least:literal..=$most:literal])? = $default:expr,
            )*
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
            #[serde(rename_all = "kebab-case")]
            pub struct $Rule {
                $( $(#[$doc])* pub $field: $Type, )*
            }

            impl Default for $Rule {
                fn default() -> Self {
                    Self { $( $field: $default, )* }
                }
            }

            #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
            #[serde(deny_unknown_fields, rename_all = "kebab-case")]
            pub(super) struct $Patch {
                $( $field: Option<patched!($Type $(, $least, $most)?)>, )*
            }

            impl $Patch {
                fn apply(&self, to: &mut $Rule) {
                    $( if let Some(value) = self.$field {
                        to.$field = value_of!(value $(, $least)?);
                    } )*
                }
            }
        )*

        /// Every rule with its thresholds.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct Rules {
            $( $(#[$about])* #[serde(rename = $name)] pub $rule: $Rule, )*
        }

        /// What a rules file changes.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RulesPatch {
            $( #[serde(rename = $name, default)] $rule: Option<$Patch>, )*
        }

        /// The number nearest to this one that a threshold may have; `None` where it has no range.
        pub(super) fn nearest(rule: &str, threshold: &str, number: i64) -> Option<i64> {
            $( $( $(
                if rule == $name && threshold == stringify!($field).replace('_', "-") {
                    return Some(number.clamp($least, $most));
                }
            )? )* )*
            None
        }

        impl Rules {
            /// Whether a rule runs.
            pub fn is_enabled(&self, rule: Rule) -> bool {
                match rule.name() {
                    $( $name => self.$rule.enabled, )*
                    _ => false,
                }
            }
        }

        impl RulesPatch {
            /// Sets what this names.
            pub(super) fn apply(&self, to: &mut Rules) {
                $( if let Some(patch) = &self.$rule { patch.apply(&mut to.$rule); } )*
            }

            /// Whether this changes a rule.
            pub(super) fn names(&self, rule: Rule) -> bool {
                match rule.name() {
                    $( $name => self.$rule.is_some(), )*
                    _ => false,
                }
            }
        }
    };
}

thresholds! {
    /// D1: many refused records on one interface in one window.
    reject_burst "reject-burst" = RejectBurst / RejectBurstPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Notify,
        /// While the interface is not known (six hours): this many rejected records in 5 minutes.
        cold: u64 = 200,
        /// Once it is known: this many times what is usual …
        times: u64 = 10,
        /// … and at least this many.
        least: u64 = 50,
        /// From at least this many sources …
        sources: u64 = 3,
        /// … or from one that makes this share of it (percent).
        one_source_percent: u64 [0..=100] = 80,
    }
    /// D1b: more refused records than the interface's own past explains.
    reject_anomaly "reject-anomaly" = RejectAnomaly / RejectAnomalyPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Digest,
        /// How loud where private sources make most of it.
        inside: Severity = Severity::Notify,
        /// A window is never anomalous with fewer rejected records.
        least: u64 = 10,
    }
    /// D2: one source is refused at many (host, port) pairs of one interface.
    port_scan "port-scan" = PortScan / PortScanPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud for a private source.
        severity: Severity = Severity::Notify,
        /// How loud for a public source.
        external: Severity = Severity::Digest,
        /// This many contacts in 15 minutes are worth recording.
        recorded: u32 [0..=64] = 10,
        /// This many contacts in 15 minutes are a scan.
        contacts: u32 [0..=64] = 25,
        /// This many ports in 60 minutes make a private source's scan high.
        ports: usize [0..=64] = 50,
    }
    /// D3: one source, one port, many interfaces in 60 minutes.
    host_sweep "host-sweep" = HostSweep / HostSweepPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud for a private source.
        severity: Severity = Severity::Notify,
        /// How loud for a public source.
        external: Severity = Severity::Digest,
        /// This many interfaces refused it at one port.
        interfaces: usize = 5,
        /// This many, if the source is public.
        external_interfaces: usize = 20,
    }
    /// D3b: a source whose first contacts are nearly all refused, over 24 hours.
    slow_scan "slow-scan" = SlowScan / SlowScanPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Digest,
    }
    /// D4: many short accepted connections to a login port.
    brute_force "brute-force" = BruteForce / BruteForcePatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Notify,
        /// This many short flows from one source to one port in 30 minutes.
        flows: u64 = 30,
        /// With at least so many bytes each on average: what a log-in with a key exchange takes; half of it where there
        /// is none.
        bytes: u64 = 500,
    }
    /// D5: a source that was refused at many doors is let in.
    rejected_then_accepted "rejected-then-accepted" = RejectedThenAccepted / RejectedThenAcceptedPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::High,
        /// It was refused at this many (host, port) pairs within the last hour …
        contacts: u32 [0..=64] = 10,
        /// … and the accepted flows brought back at least this many bytes.
        bytes: u64 = 1_024,
    }
    /// D6: far more bytes to the Internet than usual, to new addresses.
    egress_volume "egress-volume" = EgressVolume / EgressVolumePatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Notify,
        /// Standard deviations above the usual (of ln(1 + bytes)).
        sigmas: u32 = 6,
        /// At least this many bytes in an hour.
        bytes: u64 = 500_000_000,
        /// At least this share (percent) went to addresses that had nothing in the 23 hours before.
        new_percent: u64 [0..=100] = 50,
    }
    /// D7: refused traffic between private addresses.
    east_west_reject "east-west-reject" = EastWestReject / EastWestRejectPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud: the same few tuples, again and again.
        severity: Severity = Severity::Notify,
        /// How loud: one host that tries many.
        lateral: Severity = Severity::High,
        /// The same tuple was refused in this many windows in a row.
        windows: u64 [1..=12] = 5,
        /// One source was refused at this many hosts …
        hosts: usize = 5,
        /// … or ports of an interface in one hour.
        ports: usize [0..=64] = 10,
    }
    /// D7b: one way is let through, the other is refused.
    asymmetric_path "asymmetric-path" = AsymmetricPath / AsymmetricPathPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Notify,
        /// This many refused answers.
        records: u64 = 3,
    }
    /// D8: a public source talks with a port that should not be public.
    sensitive_port_exposed "sensitive-port-exposed" = SensitivePortExposed / SensitivePortExposedPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Notify,
        /// With at least this many bytes each way.
        bytes: u64 = 1_024,
    }
    /// D9: regular contacts with one public address. Off: a record is an interval, not a packet.
    beacon "beacon" = Beacon / BeaconPatch {
        /// Whether the rule runs.
        enabled: bool = false,
        /// How loud.
        severity: Severity = Severity::Digest,
        /// This many contacts within a day …
        contacts: usize [0..=288] = 12,
        /// … whose distances differ by at most this many windows.
        jitter: i64 = 1,
    }
    /// D10: AWS skipped records, or an interface that always had some has none.
    data_gap "data-gap" = DataGap / DataGapPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud: SKIPDATA.
        severity: Severity = Severity::Digest,
        /// How loud: silence.
        silence: Severity = Severity::Notify,
        /// An interface with records in this many windows in a row …
        active: u16 = 12,
        /// … has had none for this many seconds, which is also what delivery may take;
        /// it is news for a day.
        silent: i64 [0..=86_100] = 1_800,
    }
    /// D11: traffic was not encrypted.
    unencrypted "unencrypted" = Unencrypted / UnencryptedPatch {
        /// Whether the rule runs: only where the policy wants encryption.
        enabled: bool = false,
        /// How loud.
        severity: Severity = Severity::Digest,
    }
    /// D12: VPC Block Public Access refused traffic.
    block_public_access "block-public-access" = BlockPublicAccess / BlockPublicAccessPatch {
        /// Whether the rule runs.
        enabled: bool = true,
        /// How loud.
        severity: Severity = Severity::Digest,
    }
}
