//! What one writes first: `lines`, `split_whitespace`, owned strings as keys, the standard hash map.

use std::io::{BufRead, BufReader};

use flowlog_bench::tally::{Row, Tally};

fn main() -> std::io::Result<()> {
    let mut tally = Tally::default();
    for path in std::env::args_os().skip(1) {
        let file = BufReader::new(std::fs::File::open(path)?);
        for line in BufReader::new(flate2::bufread::MultiGzDecoder::new(file)).lines().skip(1) {
            let line = line?;
            let f: Vec<&str> = line.split_whitespace().collect();
            if f.len() != 14 || f[13] != "OK" {
                continue;
            }
            tally.add(&Row {
                interface_id: f[2],
                srcaddr: f[3],
                dstaddr: f[4],
                srcport: f[5].parse().unwrap_or(0),
                dstport: f[6].parse().unwrap_or(0),
                protocol: f[7].parse().unwrap_or(0),
                packets: f[8].parse().unwrap_or(0),
                bytes: f[9].parse().unwrap_or(0),
                start: f[10].parse().unwrap_or(0),
                action: f[12],
            });
        }
    }
    println!("{tally}");
    Ok(())
}
