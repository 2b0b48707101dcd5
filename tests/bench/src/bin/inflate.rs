//! What every reader of a gzip must pay: flate2 over zlib-rs, every member, into one reused buffer, to
//! nothing. The file is read as `flowlog analyze` does it, 64 KiB at a time.

use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut bytes = 0;
    let mut buffer = vec![0; 256 << 10];
    for path in std::env::args_os().skip(1) {
        let file = std::io::BufReader::with_capacity(64 << 10, std::fs::File::open(path)?);
        let mut gzip = flate2::bufread::MultiGzDecoder::new(file);
        loop {
            let n = gzip.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            bytes += n;
        }
    }
    println!("{bytes} bytes");
    Ok(())
}
