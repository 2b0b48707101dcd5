//! `flowlog nat-cost`: who is behind the bill for NAT gateways and traffic between Availability Zones,
//! and what endpoints would save.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use flowlog_core::decode::{Counts, Fallback};
use flowlog_core::record::Address;
use flowlog_core::transfer::{ADDRESSES, Bytes, INTERNET, Nat, Transfer, Zones};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::analyze::{self, Each};
use crate::cost::{INTERFACE_ENDPOINT_GB, INTERFACE_ENDPOINT_HOUR, NAT_GB, PRICES_OF, ZONE_GB};
use crate::input::declared;
use crate::output::{Output, OutputFormat, Said};
use crate::report::table;

/// Arguments of `flowlog nat-cost`.
#[derive(Debug, Args)]
pub struct NatCostArgs {
    /// Files, folders (every .log, .gz and .parquet file below), or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How many clients and pairs are shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    output: Output,
    /// The flow log's LogFormat, for files without a header line: '${version} ${account-id} …'.
    #[arg(long, value_name = "FORMAT", value_parser = declared)]
    log_format: Option<Fallback>,
}

/// Reads the files and says what they cost; all is well if every line could be read. `complain` gets a
/// line for each file that could not.
pub fn run(
    args: &NatCostArgs,
    complain: &mut dyn FnMut(String),
) -> Result<Said, Box<dyn std::error::Error>> {
    let fallback = args.log_format.clone().unwrap_or_default();
    let (sink, merge) = (Transfer::default, Transfer::merge);
    let Each { sink: transfer, counts, read, files, notes } =
        analyze::each(&args.paths, &fallback, true, sink, merge, complain);
    let bill = Bill::of(&transfer, Rests { read, files, counts, notes });
    let text = match args.output.format {
        OutputFormat::Table => bill.to_text(args.top),
        OutputFormat::Json => format!("{}\n", bill.to_json(args.top)),
    };
    Ok(Said { text, well: read == files && bill.rests.counts.rejected_total() == 0 })
}

/// What an endpoint for a service would save.
#[derive(Debug, Clone, PartialEq)]
struct Saving {
    service: String,
    bytes: u64,
    /// Dollars for the time of the records.
    now: f64,
    with: f64,
    how: &'static str,
}

/// What was read.
#[derive(Debug, Clone, Default)]
struct Rests {
    /// Files that could be read, of how many.
    read: usize,
    files: usize,
    counts: Counts,
    /// What was read and not counted.
    notes: Vec<String>,
}

impl Rests {
    fn is_complete(&self) -> bool {
        let Counts { skipdata, .. } = self.counts;
        self.read == self.files && self.read > 0 && skipdata + self.counts.rejected_total() == 0
    }

    fn to_text(&self) -> String {
        let counts = &self.counts;
        let [read, nodata, skipdata, rejected] =
            [counts.read, counts.nodata, counts.skipdata, counts.rejected_total()].map(HumanCount);
        let (of, files) = (self.read, self.files);
        let mut text = format!(
            "Rests on {of} of {files} files, {read} records: {nodata} NODATA, {skipdata} SKIPDATA, {rejected} that could not be read.\n"
        );
        if !self.is_complete() {
            text += "Incomplete: what AWS skipped or could not be read is not in it.\n";
        }
        text
    }
}

struct Bill<'a> {
    transfer: &'a Transfer,
    rests: Rests,
    nat: Nat,
    zones: Zones,
    hours: f64,
    savings: Vec<Saving>,
}

/// Services with a gateway endpoint, which costs nothing.
const GATEWAY: [&str; 2] = ["S3", "DYNAMODB"];
/// Services with an interface endpoint for what answers in their range. Many others have one, but for
/// something else than is reached there: `EC2` for its API, while its range is of anybody's instances.
const INTERFACE: [&str; 3] = ["AURORA_DSQL", "EBS", "KINESIS_VIDEO_STREAMS"];
/// Addresses of AWS that belong to no service with a range of its own.
const SOME_SERVICE: &str = "AMAZON";
/// Ranges of which something may be said beyond that no endpoint leads there.
const NO_ENDPOINT: [(&str, &str); 2] = [
    (
        "EC2",
        "anybody's public instances: no endpoint changes this, unless AWS runs a service there",
    ),
    ("API_GATEWAY", "public APIs: an endpoint (execute-api) leads to private ones only"),
];

fn gb(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let bytes = bytes as f64;
    bytes / 1e9
}

impl<'a> Bill<'a> {
    fn of(transfer: &'a Transfer, rests: Rests) -> Self {
        let seconds = transfer.span.map_or(0, |(first, last)| last - first);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let hours = seconds as f64 / 3600.0;
        let nat = transfer.nat();
        let savings =
            services(&nat).into_iter().filter_map(|(name, bytes)| saving(name, bytes, hours));
        let savings = savings.collect();
        Self { transfer, rests, nat, zones: transfer.zones(), hours, savings }
    }

    fn clients(&self) -> Vec<(Address, Bytes, String)> {
        let mut clients: Vec<(Address, Bytes, String)> = Vec::new();
        for (client, services) in &self.nat.clients {
            let mut sum = Bytes::default();
            let mut most: Vec<(&String, &Bytes)> = services.iter().collect();
            most.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.sum()));
            for bytes in services.values() {
                sum.add(*bytes);
            }
            let most = most
                .iter()
                .take(3)
                .map(|(name, bytes)| format!("{name} {}", HumanBytes(bytes.sum())));
            clients.push((*client, sum, most.collect::<Vec<_>>().join(", ")));
        }
        clients.sort_by_key(|(_, sum, _)| std::cmp::Reverse(sum.sum()));
        clients
    }

    fn through_nat(&self) -> u64 {
        let known = services(&self.nat).into_values().map(|bytes| bytes.sum());
        known.fold(self.nat.other_clients.sum(), u64::saturating_add)
    }

    fn crossing(&self) -> u64 {
        self.zones.crossings.iter().fold(0, |sum, c| sum.saturating_add(c.bytes))
    }

    /// What the records cannot tell, and what was made of it.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.rests.notes.clone();
        let Transfer { span, records, without_nat, without_zones, .. } = *self.transfer;
        if span.is_none() {
            return vec!["there is no record of traffic".to_owned()];
        }
        if records == 0 {
            notes.push("no record is of traffic that was let through".to_owned());
        }
        let mut lacking = |without: u64, fields: &str, what: &str| {
            if without == records && records > 0 {
                notes.push(format!("the records lack {fields}: {what} cannot be told"));
            } else if without > 0 {
                let [without, records] = [without, records].map(HumanCount);
                notes.push(format!(
                    "{without} of {records} records lack {fields}: {what} cannot be told of them"
                ));
            }
        };
        lacking(without_nat, "pkt-srcaddr or pkt-dstaddr", "who is behind a NAT gateway");
        lacking(without_zones, "az-id or flow-direction", "what crosses zones");
        let Nat { presumed, on_the_way, other_clients, .. } = &self.nat;
        if *on_the_way > 0 {
            let bytes = HumanBytes(*on_the_way);
            notes.push(format!(
                "{bytes} at other interfaces on the way, such as a transit gateway's, are the same traffic and not counted again"
            ));
        }
        if *presumed > 0 {
            let bytes = HumanBytes(*presumed);
            notes.push(format!(
                "{bytes} passed interfaces of which no record shows that they are NAT gateways: counted, once for each of them"
            ));
        }
        let ambiguous = self.zones.ambiguous.len();
        if ambiguous > 0 {
            let ambiguous = HumanCount(ambiguous as u64);
            notes.push(format!(
                "{ambiguous} address(es) were seen in more than one zone, as where VPCs overlap, and no vpc-id tells which was meant: the zone of that traffic counts as unknown"
            ));
        }
        if other_clients.sum() > 0 {
            let bytes = HumanBytes(other_clients.sum());
            notes.push(format!(
                "{bytes} are of clients beyond the first {}, counted at whatever interfaces they passed", HumanCount(ADDRESSES as u64)
            ));
        }
        notes
    }

    fn to_text(&self, top: usize) -> String {
        let mut text = String::new();
        let (nat, crossing) = (self.through_nat(), self.crossing());
        let _ = writeln!(
            text,
            "In {:.1} hours: {} through NAT gateways, ${:.2}; {} between zones, ${:.2}.",
            self.hours,
            HumanBytes(nat),
            gb(nat) * NAT_GB,
            HumanBytes(crossing),
            gb(crossing) * ZONE_GB,
        );
        let clients = self.clients();
        if !clients.is_empty() {
            let rows = clients.iter().take(top).map(|(client, sum, most)| {
                let (sent, received) = (HumanBytes(sum.sent), HumanBytes(sum.received));
                let dollars = gb(sum.sum()) * NAT_GB;
                let cells = [client.to_string(), sent.to_string(), received.to_string()];
                cells.into_iter().chain([format!("{dollars:.4}"), most.clone()]).collect()
            });
            let header = ["behind NAT", "sent", "received", "$", "mostly with"];
            let _ = write!(text, "\n{}", table(&header, &[1, 2, 3], rows.collect()));
        }
        if !self.savings.is_empty() {
            let rows = self.savings.iter().map(|saving| {
                let bytes = HumanBytes(saving.bytes).to_string();
                let dollars = [saving.now, saving.with].map(|dollars| format!("{dollars:.4}"));
                let cells = [saving.service.clone(), bytes].into_iter().chain(dollars);
                cells.chain([saving.how.to_owned()]).collect()
            });
            let header =
                ["AWS service", "bytes", "$ by NAT", "$ by endpoint", "what would change it"];
            let _ = write!(text, "\n{}", table(&header, &[1, 2, 3], rows.collect()));
        }
        if !self.zones.crossings.is_empty() {
            let rows = self.zones.crossings.iter().take(top).map(|crossing| {
                let ends = [&crossing.from, &crossing.to].map(|(at, az)| format!("{at} ({az})"));
                let bytes = HumanBytes(crossing.bytes).to_string();
                let dollars = format!("{:.4}", gb(crossing.bytes) * ZONE_GB);
                ends.into_iter().chain([bytes, dollars]).collect()
            });
            let header = ["from", "to", "bytes", "$"];
            let _ = write!(text, "\n{}", table(&header, &[2, 3], rows.collect()));
        }
        if self.zones.unknown > 0 {
            let unknown = HumanBytes(self.zones.unknown);
            let _ = writeln!(
                text,
                "note: {unknown} went to private addresses whose zone no record tells"
            );
        }
        for note in self.notes() {
            let _ = writeln!(text, "note: {note}");
        }
        text += &self.rests.to_text();
        let _ = writeln!(
            text,
            "Charges by the byte only: a NAT gateway's hours come on top. Prices of {PRICES_OF}."
        );
        text
    }

    fn to_json(&self, top: usize) -> Value {
        let clients: Vec<Value> = self
            .clients()
            .iter()
            .take(top)
            .map(|(client, sum, _)| {
                let services: serde_json::Map<String, Value> = self.nat.clients[client]
                    .iter()
                    .map(|(name, bytes)| {
                        (name.clone(), json!({ "sent": bytes.sent, "received": bytes.received }))
                    })
                    .collect();
                json!({
                    "client": client.to_string(), "sent": sum.sent, "received": sum.received,
                    "dollars": gb(sum.sum()) * NAT_GB, "services": services,
                })
            })
            .collect();
        let savings: Vec<Value> = self
            .savings
            .iter()
            .map(|s| {
                json!({
                    "service": s.service, "bytes": s.bytes, "dollars_by_nat": s.now,
                    "dollars_by_endpoint": s.with, "how": s.how,
                })
            })
            .collect();
        let crossings: Vec<Value> = self
            .zones
            .crossings
            .iter()
            .take(top)
            .map(|c| {
                json!({
                    "from": c.from.0.to_string(), "from_az": c.from.1,
                    "to": c.to.0.to_string(), "to_az": c.to.1,
                    "bytes": c.bytes, "dollars": gb(c.bytes) * ZONE_GB,
                })
            })
            .collect();
        json!({
            "hours": self.hours,
            "nat": {
                "bytes": self.through_nat(), "dollars": gb(self.through_nat()) * NAT_GB,
                "presumed": self.nat.presumed, "on_the_way": self.nat.on_the_way,
            },
            "clients": clients,
            "endpoints": savings,
            "zones": {
                "bytes": self.crossing(), "dollars": gb(self.crossing()) * ZONE_GB,
                "within": self.zones.within, "unknown": self.zones.unknown,
            },
            "crossings": crossings,
            "notes": self.notes(),
            "complete": self.rests.is_complete(),
            "files": { "read": self.rests.read, "of": self.rests.files },
            "records": {
                "read": self.rests.counts.read, "nodata": self.rests.counts.nodata,
                "skipdata": self.rests.counts.skipdata,
                "rejected": self.rests.counts.rejected_total(),
                "without_nat": self.transfer.without_nat,
                "without_zones": self.transfer.without_zones,
            },
            "prices_of": PRICES_OF,
        })
    }
}

/// By AWS service or [`INTERNET`]: what all clients exchange through NAT gateways.
fn services(nat: &Nat) -> BTreeMap<&str, Bytes> {
    let mut services: BTreeMap<&str, Bytes> = BTreeMap::new();
    for (service, bytes) in nat.clients.values().flatten() {
        services.entry(service).or_default().add(*bytes);
    }
    services
}

fn saving(name: &str, bytes: Bytes, hours: f64) -> Option<Saving> {
    let sum = bytes.sum();
    let now = gb(sum) * NAT_GB;
    let (with, how) = if name == INTERNET {
        return None;
    } else if GATEWAY.contains(&name) {
        (0.0, "a gateway endpoint in the clients' route tables, which is free (same Region only)")
    } else if INTERFACE.contains(&name) {
        let with = gb(sum) * INTERFACE_ENDPOINT_GB + hours * INTERFACE_ENDPOINT_HOUR;
        let how = if with < now {
            "an interface endpoint, in one zone (same Region only)"
        } else {
            "not worth an interface endpoint, in one zone"
        };
        (with, how)
    } else if name == SOME_SERVICE {
        let how = "addresses that AWS shares among services: find out which one before you add an endpoint";
        (now, how)
    } else {
        let known = NO_ENDPOINT.iter().find(|(service, _)| *service == name);
        (now, known.map_or("public addresses: no endpoint changes this", |(_, how)| how))
    };
    Some(Saving { service: name.to_owned(), bytes: sum, now, with, how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_worth_it_or_not() {
        let bytes = |gb: u64| Bytes { sent: gb * 1_000_000_000, received: 0 };
        let s3 = saving("S3", bytes(10), 1.0).unwrap();
        assert!((s3.now - 0.45).abs() < 1e-9 && s3.with.abs() < 1e-9 && s3.how.contains("free"));
        let much = saving("KINESIS_VIDEO_STREAMS", bytes(100), 24.0).unwrap();
        assert!(much.with < much.now && much.how.starts_with("an interface endpoint"));
        let little = saving("KINESIS_VIDEO_STREAMS", bytes(1), 24.0).unwrap();
        assert!(little.with > little.now && little.how.starts_with("not worth"));
        // Ranges of what no endpoint leads to, whatever the traffic.
        for name in [
            SOME_SERVICE,
            "API_GATEWAY",
            "CLOUD9",
            "CLOUDFRONT",
            "EC2",
            "EC2_INSTANCE_CONNECT",
            "GLOBALACCELERATOR",
            "ROUTE53",
            "ROUTE53_HEALTHCHECKS",
            "SOMETHING_NEW",
        ] {
            let none = saving(name, bytes(1000), 24.0).unwrap();
            assert!((none.with - none.now).abs() < 1e-9, "{none:?}");
            assert!(!none.how.starts_with("an interface endpoint"), "{none:?}");
        }
        assert_eq!(saving(INTERNET, bytes(1), 1.0), None);
    }
}
