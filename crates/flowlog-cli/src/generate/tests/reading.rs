//! Reads a folder of objects back, by a code path of its own: inflate, split at spaces, look fields up by the header.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::GzDecoder;

use super::super::Layout;

/// One row.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: &'static str,
    /// The slot in the object's name.
    pub(super) slot: i64,
    pub(super) columns: &'static [&'static str],
    pub(super) fields: Vec<&'static str>,
}

/// All rows of a folder. Texts are leaked: a test is short, and borrowed fields keep it readable.
pub(super) struct Recording {
    pub(super) objects: BTreeMap<String, &'static str>,
    pub(super) lines: Vec<Line>,
}

impl Recording {
    pub(super) fn read(folder: &Path, layout: Layout) -> Self {
        let columns: &[&str] = Vec::leak(layout.header().split(' ').collect());
        let (mut objects, mut lines) = (BTreeMap::new(), Vec::new());
        for (key, bytes) in folder_bytes(folder).into_iter().filter(|(key, _)| key != "truth.json")
        {
            let (key, text) = (String::leak(key), String::leak(inflate(&bytes)));
            let slot = slot_of(key);
            assert!(text.ends_with('\n'));
            let mut rows = text.lines();
            assert_eq!(rows.next(), Some(layout.header()));
            for row in rows {
                let fields: Vec<&str> = row.split(' ').collect();
                assert_eq!(fields.len(), columns.len(), "{row}");
                lines.push(Line { key, slot, columns, fields });
            }
            objects.insert(key.to_owned(), &*text);
        }
        Self { objects, lines }
    }

    /// The rows with a flow.
    pub(super) fn flows(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.status() == "OK")
    }
}

impl Line {
    pub(super) fn get(&self, column: &str) -> &'static str {
        let nth = self.columns.iter().position(|name| *name == column).unwrap();
        self.fields[nth]
    }

    pub(super) fn number(&self, column: &str) -> u64 {
        self.get(column).parse().unwrap()
    }

    pub(super) fn start(&self) -> i64 {
        self.number("start").cast_signed()
    }

    pub(super) fn status(&self) -> &'static str {
        self.get("log-status")
    }

    pub(super) fn rejected(&self) -> bool {
        self.get("action") == "REJECT"
    }

    /// The address in that column is ours.
    pub(super) fn inside(&self, column: &str) -> bool {
        let addr = self.get(column);
        ["10.0.", "10.1.", "2001:db8:a:", "2001:db8:b:"]
            .iter()
            .any(|prefix| addr.starts_with(prefix))
    }

    /// Unasked for, to a NAT gateway, which has no security group.
    pub(super) fn to_gateway(&self) -> bool {
        ["10.0.0.10", "10.1.0.10"].contains(&self.get("dstaddr"))
    }
}

/// Every file below a folder, by its path.
pub(super) fn folder_bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(key, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn inflate(bytes: &[u8]) -> String {
    assert_eq!(&bytes[4..8], [0; 4], "no modification time");
    let mut decoder = GzDecoder::new(Vec::new());
    decoder.write_all(bytes).unwrap();
    String::from_utf8(decoder.finish().unwrap()).unwrap()
}

/// Reads `…/2023/11/14/123456789012_vpcflowlogs_us-east-1_fl-…_20231114T2215Z_1a2b3c4d.log.gz` back into seconds.
fn slot_of(key: &str) -> i64 {
    let (folder, name) = key.rsplit_once('/').unwrap();
    let name = name.strip_suffix(".log.gz").unwrap();
    let parts: Vec<&str> = name.split('_').collect();
    let [account, "vpcflowlogs", region, flow_log, time, hash] = parts[..] else { panic!("{key}") };
    assert_eq!((account, region), ("123456789012", "us-east-1"));
    assert!(flow_log.starts_with("fl-0") && flow_log.len() == 20, "{key}");
    assert!(hash.len() == 8 && u32::from_str_radix(hash, 16).is_ok(), "{key}");
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%MZ", time).unwrap();
    let day = time.strftime("%Y/%m/%d");
    assert_eq!(folder, format!("AWSLogs/123456789012/vpcflowlogs/us-east-1/{day}"));
    jiff::tz::Offset::UTC.to_timestamp(time).unwrap().as_second()
}

/// The most different values within any `seconds`.
pub(super) fn most_distinct<T: Ord + Copy>(events: &[(i64, T)], seconds: i64) -> usize {
    let mut events = events.to_vec();
    events.sort();
    let within = |from: i64| {
        let near = events.iter().filter(move |(at, _)| (from..from + seconds).contains(at));
        near.map(|(_, value)| *value).collect::<BTreeSet<T>>().len()
    };
    events.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}
