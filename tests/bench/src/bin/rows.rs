//! `rows N > rows.log.gz`: one busy flow log's rows of ten minutes, gzip -6. `flowlog_bench::rows` says what they are like.

use std::io::{BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> std::io::Result<()> {
    let rows: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5_000_000);
    let gzip = GzEncoder::new(std::io::stdout().lock(), Compression::new(6));
    let mut out = BufWriter::with_capacity(1 << 20, gzip);
    flowlog_bench::rows::write(&mut out, rows)?;
    let gzip = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    gzip.finish()?.flush()
}
