//! What shells and `man` need to know of the command, made from the command itself.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use crate::output::named;

/// The script that completes commands and options in a shell.
pub fn completions(mut command: Command, shell: Shell) -> io::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "flowlog", &mut script);
    String::from_utf8(script).map_err(io::Error::other)
}

/// Writes a manual page for each command into a folder, and says where.
pub fn manual(command: Command, folder: &Path) -> io::Result<String> {
    let made = std::fs::create_dir_all(folder);
    made.and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| named(folder, error))?;
    Ok(format!("{}: man -M or man {0}/flowlog.1\n", folder.display()))
}
