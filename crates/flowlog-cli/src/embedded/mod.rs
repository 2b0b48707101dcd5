//! An embedded DynamoDB: one SQLite file, served over HTTP inside this process.
//!
//! The command runs the functions' own handlers and adapters, so it needs what they talk to. The
//! file may be temporary; it is never the engine's in-memory database, which cannot be given the
//! index that keeps stream reads and writes from slowing down with every record (see `index`).

mod file;
mod index;
mod server;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dynoxide::Database;
use flowlog_aws::sdk::{self, SdkConfig};
use flowlog_aws::{DynamoDbStore, Tables, schema};
use flowlog_core::store::StoreError;
use tempfile::TempDir;

pub use file::FileReader;
use server::Server;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a temporary file, gone when the database is closed.
    Temporary,
    /// In this file, which is made if it is not there.
    File(PathBuf),
}

/// Why the embedded database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder cannot be made, or the port cannot be had.
    #[error("the embedded database cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// Something else has this name.
    #[error("{} is no store of flowlog's; `flowlog local --store FILE` makes one", .0.display())]
    NoStore(PathBuf),
    /// The file is a database that cannot be read, or one of a newer engine.
    #[error("the database file {path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The engine's words.
        reason: String,
    },
    /// The engine's own tables are not as this version expects them.
    #[error("the database file {path} cannot be indexed: {source}")]
    Index {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// The tables cannot be created.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running embedded database. Dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedDb {
    path: PathBuf,
    config: SdkConfig,
    tables: Tables,
    // Before the folder: what serves the file must let go of it first.
    server: Server,
    _folder: Option<TempDir>,
}

impl EmbeddedDb {
    /// Opens the file, serves it on a free port and creates what is missing of the two tables.
    pub async fn open(location: Location) -> Result<Self, EmbeddedError> {
        Self::open_on(location, 0).await
    }

    /// The same on this port of 127.0.0.1: clients of a database that died find the next one there.
    pub async fn open_on(location: Location, port: u16) -> Result<Self, EmbeddedError> {
        let (path, folder) = match location {
            Location::Temporary => {
                let folder = TempDir::with_prefix("flowlog-")?;
                (folder.path().join("flowlog.db"), Some(folder))
            }
            Location::File(path) => {
                if !may_be_store(&path) {
                    return Err(EmbeddedError::NoStore(path));
                }
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                (path, None)
            }
        };
        let database = open_engine(&path, folder.is_some())?;
        index::prepare(&path, flowlog_aws::env::now())
            .map_err(|source| EmbeddedError::Index { path: path.clone(), source })?;
        let server = Server::start(database, port)?;
        let config = sdk::local(&server.endpoint());
        let embedded = Self { path, config, tables: Tables::default(), server, _folder: folder };
        schema::create_tables(&embedded.store()).await?;
        Ok(embedded)
    }

    /// The configuration for clients of this database.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The store in this database.
    pub fn store(&self) -> DynamoDbStore {
        DynamoDbStore::new(&self.config, self.tables.clone())
    }

    /// Who reads the same file without the engine.
    pub fn reader(&self) -> FileReader {
        FileReader::new(&self.path)
    }

    /// The names of its tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a file begins as SQLite's do.
pub(crate) fn is_database(path: &Path) -> bool {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut first = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == MAGIC
}

/// Whether a file can be opened as a store, or made one: it is a database, or nothing yet.
fn may_be_store(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.is_file() && (metadata.len() == 0 || is_database(path)),
        Err(_) => true,
    }
}

/// Opens the engine on a file.
fn open_engine(path: &Path, temporary: bool) -> Result<Database, EmbeddedError> {
    let refused = |reason: String| EmbeddedError::Open { path: path.to_owned(), reason };
    let text = path.to_str().ok_or_else(|| refused("its path is not UTF-8".to_owned()))?;
    let database = Database::new(text).map_err(|e| refused(e.to_string()))?;
    // No sync at all for a file that nobody opens again. For one that is kept, leaving the mode is
    // how the engine goes over to synchronous = NORMAL: a power cut may lose the last writes, all
    // of them from some point on, and a batch that was not done is simply read again.
    let modes = database.enable_bulk_loading();
    let modes =
        if temporary { modes } else { modes.and_then(|()| database.disable_bulk_loading()) };
    modes.map_err(|e| refused(e.to_string()))?;
    Ok(database)
}
