//! The embedded database as a process of its own, for tests that kill it: `database FILE PORT`.
//!
//! Says `listening on http://127.0.0.1:<port>` once the tables are there, and serves until it is
//! ended. Port 0 takes any that is free.

use std::io::Write as _;
use std::path::PathBuf;

use flowlog_cli::embedded::{EmbeddedDb, Location};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: database FILE PORT".into());
    };
    let port = port.to_str().ok_or("the port is no number")?.parse()?;
    let database = EmbeddedDb::open(Location::File(PathBuf::from(file))).await?;
    let server = database.serve(port)?;
    writeln!(std::io::stdout(), "listening on {}", server.endpoint())?;
    std::future::pending().await
}
