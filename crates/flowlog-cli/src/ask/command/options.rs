//! What each question takes on the command line.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::path::PathBuf;

use clap::Args;
use flowlog_core::decode::Fallback;
use flowlog_core::record::Address;
use flowlog_core::why::Path;

use crate::ask::source::AskArgs;
use crate::ask::{By, a_time};
use crate::input::declared;
use crate::usage::Usage;
use crate::why::{self, Destination};

/// Options of `flowlog top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// What to rank by.
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    pub(super) by: By,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(super) most: usize,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// Options of `flowlog rejected`.
#[derive(Debug, Args)]
pub struct RejectedArgs {
    /// How many rows of each list.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(super) most: usize,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// Options of `flowlog who`.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// An IPv4 or IPv6 address.
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) address: Address,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// Options of `flowlog coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// Options of `flowlog why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Who opens the connection: an IPv4 or IPv6 address.
    #[arg(value_name = "SRC", value_parser = parse_address)]
    pub(super) src: Address,
    /// Who is to answer, and at which port: 10.1.0.31:443, [2001:db8::1]:443, or without a port.
    #[arg(value_name = "DST[:PORT]")]
    pub(super) dst: Destination,
    /// tcp, udp, icmp, icmpv6 or a number; without it whatever shows.
    #[arg(long, value_name = "PROTOCOL", value_parser = why::parse_protocol)]
    pub(super) protocol: Option<u8>,
    /// Flow log files or folders of both interfaces, read record by record: more precise than a store.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["store", "interface", "vpc", "account"])]
    pub(super) data: Vec<PathBuf>,
    /// The flow log's LogFormat, for files of --data without a header line.
    #[arg(long, value_name = "FORMAT", requires = "data", value_parser = declared)]
    pub(super) log_format: Option<Fallback>,
    /// Also ask EC2, by the command `aws`, for the security groups, network ACLs, routes and peerings on the
    /// way as they are now, and name the one that explains it. Needs to describe only.
    #[arg(long)]
    pub(super) narrow: bool,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

impl WhyArgs {
    /// What no records could answer.
    pub(super) fn check(&self) -> Result<(), Usage> {
        if let (Some(1 | 58), Some(port)) = (self.protocol, self.dst.port) {
            return Err(Usage(format!("ICMP has no ports: leave :{port} away")));
        }
        if self.src == self.dst.address {
            return Err(Usage::from(
                "source and destination are the same address: such traffic never leaves the interface",
            ));
        }
        Ok(())
    }

    pub(super) fn path(&self) -> Path {
        let Destination { address, port } = self.dst;
        Path { src: self.src, dst: address, port, protocol: self.protocol }
    }
}

/// Options of `flowlog diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Compare with the time that begins here, as long as the one asked about; without it, with the
    /// time just before.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(super) against: Option<String>,
    /// How many rows of each list.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(super) most: usize,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// Options of `flowlog compliance`.
#[derive(Debug, Args)]
pub struct ComplianceArgs {
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

/// One address. What is often given in its place is refused with what to write instead.
fn parse_address(text: &str) -> Result<Address, String> {
    match Address::parse(text) {
        Some(Address::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => Err(format!("this is an IPv4 address, which records write as {v4}")),
            None => Ok(Address::V6(v6)),
        },
        Some(address) => Ok(address),
        None => Err(no_address(text)),
    }
}

fn no_address(text: &str) -> String {
    if let Some((address, _)) = text.split_once('/')
        && Address::parse(address).is_some()
    {
        return "this is a range; ask about one address of it".to_owned();
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return format!("write it without the brackets: {address}");
    }
    if ["eni-", "tgw-attach-"].iter().any(|prefix| text.starts_with(prefix)) {
        return format!("this is an interface: `flowlog top --interface {text}` asks about it");
    }
    "neither an IPv4 nor an IPv6 address".to_owned()
}
