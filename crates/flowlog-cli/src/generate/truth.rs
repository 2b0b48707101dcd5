//! What the objects really hold, kept while they are written.
//!
//! These sums share no code with any reader: a table indexed by window and interface, added to row by row. A test of
//! the pipeline compares its answers with them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::clock::WINDOW;
use super::network::{ACCOUNT, COUNT, Eni, Network};
use super::plan::{GenerateError, Plan};
use super::row::{Gap, Row, Verdict};

/// Raised when the same plan gives other bytes than before.
const GENERATOR: u32 = 1;
/// The file's name below the output folder.
const FILE: &str = "truth.json";

/// The truth about one run; also written as `truth.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The generator's version: the same plan and version give the same bytes.
    pub generator: u32,
    /// False only in the file of a run that has not finished.
    pub complete: bool,
    /// The plan that was carried out.
    pub plan: Plan,
    /// Row counts over all objects.
    pub totals: Totals,
    /// What the interface ids stand for.
    pub names: Vec<InterfaceName>,
    /// What was planted, in the plan's order.
    pub attacks: Vec<AttackTruth>,
    /// Sums per interface and window, sorted by interface id, then window; only those with at least one flow.
    pub interfaces: Vec<InterfaceWindow>,
    /// Every object, sorted by key.
    pub objects: Vec<ObjectTruth>,
}

/// Row counts: `read = parsed + nodata + skipdata`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// All rows, without header lines.
    pub read: u64,
    /// Rows with log status OK.
    pub parsed: u64,
    /// Rows that say there was no traffic.
    pub nodata: u64,
    /// Rows that say records were skipped.
    pub skipdata: u64,
}

/// Sums of one action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Number of records.
    pub records: u64,
    /// Their packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The sums of one interface in one window of 300 s, placed by the records' start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceWindow {
    /// The owner.
    pub account_id: &'static str,
    /// The interface.
    pub interface_id: String,
    /// The window's first second.
    pub window: i64,
    /// What was let through.
    pub accept: Sums,
    /// What was refused.
    pub reject: Sums,
}

/// The people's name of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceName {
    /// `eni-…`.
    pub interface_id: String,
    /// For instance `web-1`.
    pub name: &'static str,
    /// The VPC it is in.
    pub vpc_id: String,
    /// The flow log that records it.
    pub flow_log_id: String,
}

/// One planted attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttackTruth {
    /// The attack's name, without parameters.
    pub kind: &'static str,
    /// The finding it must lead to.
    pub expected: &'static str,
    /// Findings it may rightly lead to as well; they are no false alarms.
    pub also: &'static [&'static str],
    /// The interface under attack; none if there are several.
    pub interface_id: Option<String>,
    /// Every interface under attack, sorted.
    pub interface_ids: Vec<String>,
    /// The one address that began it; none if there are many, or no traffic at all.
    pub source: Option<String>,
    /// How many addresses it comes from.
    pub sources: u64,
    /// The start of its first record.
    pub start: i64,
    /// The start of its last record.
    pub end: i64,
    /// The windows that hold its records.
    pub windows: Vec<i64>,
    /// How many rows it added, at all interfaces that saw it.
    pub rows: u64,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectTruth {
    /// Its S3 key, which is also its path below the output folder.
    pub key: String,
    /// All rows, without the header line.
    pub read: u64,
    /// Rows with log status OK.
    pub parsed: u64,
    /// Rows that say there was no traffic.
    pub nodata: u64,
    /// Rows that say records were skipped.
    pub skipdata: u64,
}

impl Totals {
    /// Counts a row with a flow.
    pub(super) fn flow(&mut self) {
        self.read += 1;
        self.parsed += 1;
    }

    /// Counts a row without one.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.read += 1;
        match gap {
            Gap::NoData => self.nodata += 1,
            Gap::SkipData => self.skipdata += 1,
        }
    }
}

/// The running sums.
#[derive(Debug)]
pub(super) struct Tally {
    first_window: i64,
    /// Accepted and refused, per window, then interface.
    cells: Vec<[(Sums, Sums); COUNT]>,
    pub(super) totals: Totals,
}

impl Tally {
    /// Empty sums for the plan's windows.
    pub(super) fn new(plan: &Plan) -> Self {
        let windows = usize::try_from((plan.end() - plan.start + WINDOW - 1) / WINDOW).unwrap_or(0);
        let cells = vec![[(Sums::default(), Sums::default()); COUNT]; windows];
        Self { first_window: plan.start, cells, totals: Totals::default() }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, row: &Row) {
        self.totals.flow();
        let nth = usize::try_from((row.start - self.first_window) / WINDOW).unwrap_or(0);
        let cell = &mut self.cells[nth][row.eni];
        let sums = match row.verdict {
            Verdict::Accept => &mut cell.0,
            Verdict::Reject => &mut cell.1,
        };
        sums.records += 1;
        sums.packets += row.volume.packets;
        sums.bytes += row.volume.bytes;
    }

    fn interfaces(&self, network: &Network) -> Vec<InterfaceWindow> {
        let by_id: BTreeMap<String, Eni> = (0..COUNT).map(|eni| (network.id(eni), eni)).collect();
        let mut found = Vec::new();
        for (interface_id, eni) in by_id {
            let mut window = self.first_window;
            for cells in &self.cells {
                let (accept, reject) = cells[eni];
                if accept.records + reject.records > 0 {
                    let interface_id = interface_id.clone();
                    found.push(InterfaceWindow {
                        account_id: ACCOUNT,
                        interface_id,
                        window,
                        accept,
                        reject,
                    });
                }
                window += WINDOW;
            }
        }
        found
    }
}

impl Truth {
    /// Puts the parts of a finished run together.
    pub(super) fn new(
        plan: &Plan,
        network: &Network,
        tally: &Tally,
        attacks: Vec<AttackTruth>,
        mut objects: Vec<ObjectTruth>,
    ) -> Self {
        objects.sort();
        let names = network.interfaces.iter().map(|interface| InterfaceName {
            interface_id: interface.eni_id.clone(),
            name: interface.name,
            vpc_id: network.vpc_ids[interface.vpc].clone(),
            flow_log_id: network.flow_log_ids[interface.vpc].clone(),
        });
        Self {
            generator: GENERATOR,
            complete: true,
            plan: plan.clone(),
            totals: tally.totals,
            names: names.collect(),
            attacks,
            interfaces: tally.interfaces(network),
            objects,
        }
    }

    /// Writes `truth.json`.
    pub(super) fn save(&self, out: &Path) -> Result<(), GenerateError> {
        save(self, out)
    }
}

/// Takes the folder for this plan: leaves an incomplete truth there, or refuses a folder that holds other objects.
pub(super) fn claim(plan: &Plan, out: &Path) -> Result<(), GenerateError> {
    let path = out.join(FILE);
    let mine = Claim { generator: GENERATOR, complete: false, plan };
    let found: Option<Value> = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(GenerateError::io(&path, error)),
    };
    let same = found.is_some_and(|found| {
        serde_json::to_value(&mine).is_ok_and(|mine| {
            ["generator", "plan"].iter().all(|field| found.get(field) == mine.get(field))
        })
    });
    if !same && out.join("AWSLogs").exists() {
        return Err(GenerateError::Occupied { path: out.to_path_buf() });
    }
    save(&mine, out)
}

/// What stands in `truth.json` until the run has finished.
#[derive(Serialize)]
struct Claim<'a> {
    generator: u32,
    complete: bool,
    plan: &'a Plan,
}

fn save(what: &impl Serialize, out: &Path) -> Result<(), GenerateError> {
    let path = out.join(FILE);
    let written = serde_json::to_vec(what).map_err(std::io::Error::from).and_then(|mut text| {
        text.push(b'\n');
        fs::File::create(&path)?.write_all(&text)
    });
    written.map_err(|source| GenerateError::io(&path, source))
}
