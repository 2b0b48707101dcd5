//! What a flow log record is: its fields, its values and the identities that flowlog gives things.
//!
//! Nothing here parses a line (that is [`crate::decode`]); this module owns the vocabulary.

mod address;
mod batch;
mod field;
mod window;

pub(crate) use address::FIRST_BYTES;
pub use address::{Address, Scope};
pub use batch::{BatchId, Source};
pub use field::{Family, Field};
pub use window::{
    DAY_SECONDS, HOUR_SECONDS, WINDOW_SECONDS, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window,
};

use serde::{Deserialize, Serialize};

/// `action`: what the security groups and network ACLs did with the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// `ACCEPT`.
    Accept,
    /// `REJECT`.
    Reject,
    /// The format has no action (transit gateway, custom formats), or the row says `-`.
    Other,
}

/// `log-status` of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogStatus {
    /// Data was logged normally.
    Ok,
    /// There was no traffic in the capture window: healthy.
    NoData,
    /// AWS skipped records in the capture window: a known gap.
    SkipData,
}

/// `flow-direction`, relative to the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Towards the interface.
    Ingress,
    /// From the interface.
    Egress,
    /// Neither given by the format nor inferable from the interface's own address.
    Unknown,
}

/// The fields of one record that flowlog uses, borrowed from the line. `None` is `-` or a field
/// that the format does not have; which of the two, [`crate::format::Format::has`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Owner of the interface; `unknown` for interfaces made by AWS services.
    pub account_id: Option<&'a str>,
    /// `eni-…`; absent for regional NAT gateways (then see `resource_id`).
    pub interface_id: Option<&'a str>,
    /// Transit gateway attachment (v6 records).
    pub tgw_attachment_id: Option<&'a str>,
    /// Regional NAT gateway (v9).
    pub resource_id: Option<&'a str>,
    /// `vpc-…` of the interface.
    pub vpc_id: Option<&'a str>,
    /// `subnet-…` of the interface.
    pub subnet_id: Option<&'a str>,
    /// `i-…`, where the interface belongs to an instance.
    pub instance_id: Option<&'a str>,
    /// `interface-tag`, else `instance-tag`, percent-encoded: free text.
    pub tag: Option<&'a str>,
    /// Source address; at the interface's own side its primary private address.
    pub srcaddr: Option<Address>,
    /// Destination address.
    pub dstaddr: Option<Address>,
    /// Source port, 0 for ICMP.
    pub srcport: Option<u16>,
    /// Destination port, 0 for ICMP.
    pub dstport: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// Packets in the capture window.
    pub packets: u64,
    /// Bytes in the capture window.
    pub bytes: u64,
    /// First packet (epoch seconds); where the format has no `start`, the same as `end`.
    pub start: Option<i64>,
    /// Last packet (epoch seconds).
    pub end: Option<i64>,
    /// Accepted, rejected, or not said.
    pub action: Action,
    /// OK, NODATA or SKIPDATA; a format without log-status counts as OK.
    pub log_status: LogStatus,
    /// FIN 1, SYN 2, RST 4, SYN-ACK 18, ORed over the capture window.
    pub tcp_flags: Option<u8>,
    /// The packet's own source, where a NAT gateway or pod stands between.
    pub pkt_srcaddr: Option<Address>,
    /// The packet's own destination.
    pub pkt_dstaddr: Option<Address>,
    /// The AWS service (`S3`, `DYNAMODB`, `AMAZON`, …) that the packet's source address belongs to.
    pub pkt_src_aws_service: Option<&'a str>,
    /// The same of the packet's destination.
    pub pkt_dst_aws_service: Option<&'a str>,
    /// Availability Zone of the interface (`use1-az1`).
    pub az_id: Option<&'a str>,
    /// Relative to the interface.
    pub flow_direction: Option<Direction>,
    /// 1–8, the way that egress traffic takes.
    pub traffic_path: Option<u8>,
    /// `BPA`, `EC`, or what AWS adds.
    pub reject_reason: Option<&'a str>,
    /// 0 none, 1 Nitro, 2 application, 3 both.
    pub encryption_status: Option<u8>,
    /// Packets that a transit gateway lost: no route, black hole, MTU exceeded, TTL expired.
    pub packets_lost: [u64; 4],
}

impl Record<'_> {
    /// A record with nothing in it but a status, for NODATA, SKIPDATA and tests.
    pub fn empty() -> Self {
        Self {
            account_id: None,
            interface_id: None,
            tgw_attachment_id: None,
            resource_id: None,
            vpc_id: None,
            subnet_id: None,
            instance_id: None,
            tag: None,
            srcaddr: None,
            dstaddr: None,
            srcport: None,
            dstport: None,
            protocol: None,
            packets: 0,
            bytes: 0,
            start: None,
            end: None,
            action: Action::Other,
            log_status: LogStatus::Ok,
            tcp_flags: None,
            pkt_srcaddr: None,
            pkt_dstaddr: None,
            pkt_src_aws_service: None,
            pkt_dst_aws_service: None,
            az_id: None,
            flow_direction: None,
            traffic_path: None,
            reject_reason: None,
            encryption_status: None,
            packets_lost: [0; 4],
        }
    }

    /// What the record is counted under: the interface, else the transit gateway attachment, else
    /// the regional NAT gateway, else `-`.
    pub fn subject(&self) -> &str {
        self.interface_id.or(self.tgw_attachment_id).or(self.resource_id).unwrap_or("-")
    }

    /// The window that the record belongs to: that of its `start`, else of its `end`.
    pub fn window(&self) -> Option<Window> {
        Window::of(self.start.or(self.end)?)
    }
}
