//! The interfaces at both ends, as EC2 describes them now.

use std::collections::BTreeMap;

use flowlog_core::record::Address;
use flowlog_core::why::{End, Evidence};
use serde_json::Value;

use crate::doctor::{Aws, Refused, list_of, text};

/// One end's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) id: String,
    pub(super) subnet: String,
    pub(super) vpc: String,
    /// Security group ids.
    pub(super) groups: Vec<String>,
}

/// Both ends; `None` where no interface of the account has the address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) src: Option<Interface>,
    pub(super) dst: Option<Interface>,
}

impl Ends {
    pub(super) fn ask(aws: &dyn Aws, evidence: &Evidence) -> Result<Self, Refused> {
        Ok(Self {
            src: find(aws, evidence.path.src, &evidence.src)?,
            dst: find(aws, evidence.path.dst, &evidence.dst)?,
        })
    }
}

/// The interface that has an address. VPCs may share a range: one that the records name is preferred, then
/// one in a VPC that they name.
fn find(aws: &dyn Aws, address: Address, end: &End) -> Result<Option<Interface>, Refused> {
    let name = match address {
        Address::V4(_) => "addresses.private-ip-address",
        Address::V6(_) => "ipv6-addresses.ipv6-address",
        Address::Mac(_) => return Ok(None),
    };
    let filter = format!("Name={name},Values={address}");
    let answer = aws.ask(&["ec2", "describe-network-interfaces", "--filters", &filter])?;
    let all: BTreeMap<String, Interface> = list_of(&answer["NetworkInterfaces"])
        .iter()
        .map(interface)
        .map(|found| (found.id.clone(), found))
        .collect();
    let named = all.values().find(|found| end.interfaces.contains_key(&found.id));
    let vpcs: Vec<&str> = end.interfaces.values().map(|place| place.vpc_id.as_str()).collect();
    let near = || all.values().find(|found| vpcs.contains(&found.vpc.as_str()));
    let only = || if all.len() == 1 { all.values().next() } else { None };
    Ok(named.or_else(near).or_else(only).cloned())
}

fn interface(value: &Value) -> Interface {
    let group = |group: &Value| text(&group["GroupId"]).to_owned();
    Interface {
        id: text(&value["NetworkInterfaceId"]).to_owned(),
        subnet: text(&value["SubnetId"]).to_owned(),
        vpc: text(&value["VpcId"]).to_owned(),
        groups: list_of(&value["Groups"]).iter().map(group).collect(),
    }
}
