//! What every reader of a gzip must pay: flate2 over zlib-rs, every member, into one reused buffer, to
//! nothing.

use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut bytes = 0;
    let mut buffer = vec![0; 256 << 10];
    for path in std::env::args_os().skip(1) {
        let file = std::io::BufReader::with_capacity(256 << 10, std::fs::File::open(path)?);
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
