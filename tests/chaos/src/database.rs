//! The database process: dynoxide on a file, its endpoint on standard output.

use std::io::{Read as _, Write as _};

use flowlog_cli::embedded::{EmbeddedDb, Location};

use crate::Trouble;

/// Serves the file until it is killed, or its parent is gone.
pub(crate) fn serve(file: &str) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let database = runtime.block_on(EmbeddedDb::open(Location::File(file.into())))?;
    let server = database.serve(0)?;
    println!("{}", server.endpoint());
    std::io::stdout().flush()?;
    // The server has a thread of its own.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
