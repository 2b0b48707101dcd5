//! What one writes first: `lines`, `split_whitespace`, owned strings as keys, the standard hash map.
//! Sums per interface, window and action; refused connections; and the talkers, by their text. Unbounded, trusting.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

#[derive(Default)]
struct Sums {
    records: u64,
    packets: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, packets: u64, bytes: u64) {
        self.records += 1;
        self.packets += packets;
        self.bytes += bytes;
    }
}

fn main() -> std::io::Result<()> {
    let mut cells: HashMap<(String, u64, String), Sums> = HashMap::new();
    let mut talkers: HashMap<(String, u64, String, u16, String), Sums> = HashMap::new();
    let mut pairs: HashMap<(String, String, String, String), Sums> = HashMap::new();
    for path in std::env::args_os().skip(1) {
        let file = BufReader::new(std::fs::File::open(path)?);
        for line in BufReader::new(flate2::bufread::MultiGzDecoder::new(file)).lines().skip(1) {
            let line = line?;
            let f: Vec<&str> = line.split_whitespace().collect();
            if f.len() != 14 || f[13] != "OK" {
                continue;
            }
            let number = |at: usize| f[at].parse::<u64>().unwrap_or(0);
            let (packets, bytes, window) = (number(8), number(9), number(10) / 300);
            let cell = (f[2].to_owned(), window, f[12].to_owned());
            cells.entry(cell).or_default().add(packets, bytes);
            if f[12] == "REJECT" {
                let pair = (f[3].to_owned(), f[4].to_owned(), f[6].to_owned(), f[7].to_owned());
                pairs.entry(pair).or_default().add(packets, bytes);
            } else {
                let port = f[5].parse::<u16>().unwrap_or(0).min(f[6].parse().unwrap_or(0));
                let remote = if port == f[5].parse().unwrap_or(0) { f[4] } else { f[3] };
                let talker = (f[2].to_owned(), window, remote.to_owned(), port, f[7].to_owned());
                talkers.entry(talker).or_default().add(packets, bytes);
            }
        }
    }
    let mut all = Sums::default();
    for sums in cells.values() {
        all.records += sums.records;
        all.packets += sums.packets;
        all.bytes += sums.bytes;
    }
    println!(
        "{} talkers; {} records, {} packets, {} bytes, {} sums, {} refused connections",
        talkers.len(),
        all.records,
        all.packets,
        all.bytes,
        cells.len(),
        pairs.len()
    );
    Ok(())
}
