//! The network: two peered VPCs, their subnets and interfaces.
//!
//! ```text
//! A  vpc-… 10.0.0.0/16  public 10.0.0.0/23: nat-a bastion web-1 web-2 · private 10.0.16.0/20: app-1 app-2 cache-1 standby-a
//!    ║ peering
//! B  vpc-… 10.1.0.0/16  public 10.1.0.0/24: nat-b edge-1 · private 10.1.16.0/20: batch-1 standby-b · 10.1.32.0/20: db-1 db-2
//! ```
//!
//! Ids are hashes of fixed names: every seed shows the same network, so that two recordings can be compared.

use super::draw::hash;

/// The account that owns everything.
pub(super) const ACCOUNT: &str = "123456789012";
/// The region of both VPCs.
pub(super) const REGION: &str = "us-east-1";

/// An index into [`Network::interfaces`].
pub(super) type Eni = usize;

pub(super) const NAT_A: Eni = 0;
pub(super) const BASTION: Eni = 1;
pub(super) const WEB_1: Eni = 2;
pub(super) const WEB_2: Eni = 3;
pub(super) const APP_1: Eni = 4;
pub(super) const APP_2: Eni = 5;
pub(super) const CACHE_1: Eni = 6;
pub(super) const STANDBY_A: Eni = 7;
pub(super) const NAT_B: Eni = 8;
pub(super) const EDGE_1: Eni = 9;
pub(super) const BATCH_1: Eni = 10;
pub(super) const DB_1: Eni = 11;
pub(super) const DB_2: Eni = 12;
pub(super) const STANDBY_B: Eni = 13;
/// How many interfaces there are.
pub(super) const COUNT: usize = 14;

/// Interfaces that the Internet can address and whose security group refuses most of it.
pub(super) const EXPOSED: [Eni; 4] = [BASTION, WEB_1, WEB_2, EDGE_1];
/// Interfaces with a security group; a NAT gateway has none and so refuses nothing.
pub(super) const GUARDED: [Eni; 12] = [
    BASTION, WEB_1, WEB_2, APP_1, APP_2, CACHE_1, STANDBY_A, EDGE_1, BATCH_1, DB_1, DB_2, STANDBY_B,
];

/// Name, VPC, subnet, IPv4 address and the host part of an IPv6 address (0: none), in the order of the constants.
const INTERFACES: [(&str, usize, &str, [u8; 4], u128); COUNT] = [
    ("nat-a", 0, "public-a1", [10, 0, 0, 10], 0),
    ("bastion", 0, "public-a1", [10, 0, 0, 20], 0),
    ("web-1", 0, "public-a1", [10, 0, 0, 31], 0x31),
    ("web-2", 0, "public-a2", [10, 0, 1, 32], 0x32),
    ("app-1", 0, "private-a1", [10, 0, 16, 41], 0),
    ("app-2", 0, "private-a2", [10, 0, 17, 42], 0),
    ("cache-1", 0, "private-a1", [10, 0, 16, 51], 0),
    ("standby-a", 0, "private-a2", [10, 0, 17, 90], 0),
    ("nat-b", 1, "public-b1", [10, 1, 0, 10], 0),
    ("edge-1", 1, "public-b1", [10, 1, 0, 31], 0x31),
    ("batch-1", 1, "private-b1", [10, 1, 16, 21], 0),
    ("db-1", 1, "data-b1", [10, 1, 32, 11], 0),
    ("db-2", 1, "data-b2", [10, 1, 33, 12], 0),
    ("standby-b", 1, "private-b1", [10, 1, 16, 90], 0),
];

/// The IPv6 prefix of each VPC, inside the documentation range.
const V6_PREFIX: [u128; 2] = [0x2001_0db8_000a_0000 << 64, 0x2001_0db8_000b_0000 << 64];

/// A host of a third VPC, 10.2.0.0/16, which is peered with A only and keeps no flow log.
pub(super) const THIRD_VPC: Addr = Addr::V4(0x0a02_104d);

/// An address of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Addr {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6(u128),
}

impl Addr {
    /// From four octets.
    pub(super) fn v4(octets: [u8; 4]) -> Self {
        Self::V4(u32::from_be_bytes(octets))
    }
}

/// One network interface.
#[derive(Debug)]
pub(super) struct Interface {
    /// What people call it.
    pub(super) name: &'static str,
    /// 0 for A, 1 for B; also the index of the flow log that records it.
    pub(super) vpc: usize,
    /// Its primary private IPv4 address.
    pub(super) v4: Addr,
    /// Its IPv6 address, if it has one.
    pub(super) v6: Option<Addr>,
    /// `eni-…`.
    pub(super) eni_id: String,
    /// `subnet-…`.
    pub(super) subnet_id: String,
    /// `i-…`, or `-` where AWS manages the interface.
    pub(super) instance_id: String,
    /// The availability zone.
    pub(super) az_id: &'static str,
}

/// Both VPCs.
#[derive(Debug)]
pub(super) struct Network {
    /// Indexed by the constants of this module.
    pub(super) interfaces: Vec<Interface>,
    /// `vpc-…` of A and B.
    pub(super) vpc_ids: [String; 2],
    /// `fl-…` of A and B.
    pub(super) flow_log_ids: [String; 2],
}

impl Network {
    /// The one network there is.
    pub(super) fn new() -> Self {
        let interfaces = INTERFACES.map(|(name, vpc, subnet, v4, v6)| Interface {
            name,
            vpc,
            v4: Addr::v4(v4),
            v6: (v6 != 0).then_some(Addr::V6(V6_PREFIX[vpc] | v6)),
            eni_id: id("eni", name),
            subnet_id: id("subnet", subnet),
            instance_id: if name.starts_with("nat-") { "-".to_owned() } else { id("i", name) },
            az_id: if subnet.ends_with('1') { "use1-az4" } else { "use1-az6" },
        });
        Self {
            interfaces: interfaces.into(),
            vpc_ids: ["vpc-a", "vpc-b"].map(|name| id("vpc", name)),
            flow_log_ids: ["flow-log-a", "flow-log-b"].map(|name| id("fl", name)),
        }
    }

    /// The interface's address in the family of its peer; one without IPv6 answers with its IPv4 address.
    pub(super) fn address(&self, eni: Eni, peer: Addr) -> Addr {
        let interface = &self.interfaces[eni];
        match (peer, interface.v6) {
            (Addr::V6(_), Some(v6)) => v6,
            _ => interface.v4,
        }
    }

    /// `eni-…`.
    pub(super) fn id(&self, eni: Eni) -> String {
        self.interfaces[eni].eni_id.clone()
    }
}

/// A resource id as AWS writes them: 17 hexadecimal digits.
fn id(kind: &str, name: &str) -> String {
    format!("{kind}-0{:016x}", hash(format!("{kind}/{name}").as_bytes()))
}
