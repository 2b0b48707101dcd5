//! What a rule needs of a flow log, and why one that lacks it cannot feed the rule.

use super::Rule;
use crate::record::Field;
use crate::rollup::Lacking;

/// The traffic that a flow log must record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Refused traffic (`REJECT` or `ALL`).
    Rejected,
    /// Accepted traffic (`ACCEPT` or `ALL`).
    Accepted,
    /// Both (`ALL`).
    Both,
    /// Whatever there is.
    Any,
}

impl Rule {
    /// The traffic it judges.
    pub fn traffic(self) -> Traffic {
        match self {
            Self::RejectBurst
            | Self::RejectAnomaly
            | Self::PortScan
            | Self::HostSweep
            | Self::SlowScan
            | Self::BlockPublicAccess => Traffic::Rejected,
            Self::BruteForce
            | Self::EgressVolume
            | Self::SensitivePortExposed
            | Self::Beacon
            | Self::Unencrypted => Traffic::Accepted,
            Self::RejectedThenAccepted | Self::EastWestReject | Self::AsymmetricPath => {
                Traffic::Both
            }
            Self::DataGap => Traffic::Any,
        }
    }

    /// The fields without which it finds nothing.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::DataGap => &[Field::LogStatus],
            Self::Unencrypted => &[Field::EncryptionStatus],
            Self::BlockPublicAccess => &[Field::Action, Field::RejectReason],
            Self::EgressVolume | Self::Beacon => &[],
            _ => &[Field::Action],
        }
    }

    /// Why a source cannot feed it, in words; `None` if it can. `accepted` and `rejected`: whether
    /// any such record was ever seen there.
    pub fn starved(self, lacking: Lacking, accepted: bool, rejected: bool) -> Option<String> {
        let missing: Vec<&str> = self
            .fields()
            .iter()
            .filter(|field| lacking.fields().any(|lacked| lacked == **field))
            .map(|field| field.name())
            .collect();
        if !missing.is_empty() {
            return Some(format!("the flow log's format lacks {}", missing.join(" and ")));
        }
        match self.traffic() {
            Traffic::Accepted if !accepted => Some("no ACCEPT record was seen".to_owned()),
            Traffic::Rejected if !rejected => Some("no REJECT record was seen".to_owned()),
            Traffic::Both if !accepted || !rejected => {
                Some("it needs ACCEPT and REJECT records, and both were not seen".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn a_source_says_which_rules_it_cannot_feed() {
        let default = Lacking::of(&Format::default_v2());
        let starved = |accepted, rejected| -> Vec<&str> {
            let rules = Rule::ALL.into_iter();
            rules
                .filter(|rule| rule.starved(default, accepted, rejected).is_some())
                .map(Rule::name)
                .collect()
        };
        assert_eq!(starved(true, true), ["unencrypted", "block-public-access"]);
        let only_rejects = starved(false, true);
        for rule in
            ["brute-force", "rejected-then-accepted", "egress-volume", "sensitive-port-exposed"]
        {
            assert!(only_rejects.contains(&rule), "{rule}");
        }
        assert!(!only_rejects.contains(&"port-scan") && !only_rejects.contains(&"data-gap"));
        let why = Rule::BlockPublicAccess.starved(default, true, true).unwrap();
        assert_eq!(why, "the flow log's format lacks reject-reason");
    }
}
