//! The command as a person runs it: what is printed where, and the exit status.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod files;
mod flow_logs;
mod rules;
mod status;
mod stores;
mod terminal;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
const ROW: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 203.0.113.12 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

fn flowlog(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flowlog")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn gzip(content: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn good() -> String {
    format!("{HEADER}\n{ROW}\n{ROW}\n")
}
