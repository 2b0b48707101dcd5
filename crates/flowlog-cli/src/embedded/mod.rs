//! An embedded DynamoDB: one SQLite file, for clients in this process.
//!
//! The command runs the functions' own handlers and adapters, so it needs what they talk to. Their requests do not
//! leave the process: whatever listened would be open to everybody on the machine, and to pages in its browsers. The
//! file may be temporary; it is never the engine's in-memory database, which cannot be given the
//! index that keeps stream reads and writes from slowing down with every record (see `index`).

mod engine;
mod file;
mod index;
mod server;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use flowlog_aws::sdk::{self, SdkConfig};
use flowlog_aws::{DynamoDbStore, Tables, schema};
use flowlog_core::store::StoreError;
use tempfile::TempDir;

use engine::Engine;
pub use file::FileReader;
pub use server::Server;

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
    /// The folder or the file cannot be made.
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

/// An open embedded database. Dropping it closes it.
#[derive(Debug)]
pub struct EmbeddedDb {
    path: PathBuf,
    config: SdkConfig,
    tables: Tables,
    // Before the folder: what has the file open must let go of it first.
    engine: Engine,
    _folder: Option<TempDir>,
}

impl EmbeddedDb {
    /// Opens the file and creates what is missing of the two tables.
    pub async fn open(location: Location) -> Result<Self, EmbeddedError> {
        let (path, folder) = match location {
            Location::Temporary => {
                let folder = TempDir::with_prefix("flowlog-")?;
                (folder.path().join("flowlog.db"), Some(folder))
            }
            Location::File(path) => {
                if !may_be_store(&path) {
                    return Err(EmbeddedError::NoStore(path));
                }
                create(&path)?;
                (path, None)
            }
        };
        let database = engine::open(&path, folder.is_some())?;
        index::prepare(&path, flowlog_aws::env::now())
            .map_err(|source| EmbeddedError::Index { path: path.clone(), source })?;
        let engine = Engine::start(database)?;
        let calls = engine.calls();
        let config = sdk::in_process(move |operation, body| calls.ask(operation, body));
        let embedded = Self { path, config, tables: Tables::default(), engine, _folder: folder };
        schema::create_tables(&embedded.store()).await?;
        Ok(embedded)
    }

    /// Serves it over HTTP as well, on this port of 127.0.0.1 or on a free one if it is 0, while both live. For tests
    /// with several processes: everybody on the machine may ask, and nobody has to say who they are.
    pub fn serve(&self, port: u16) -> std::io::Result<Server> {
        Server::start(self.engine.calls(), port)
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

/// Creates a file that is not there, and folders that are not, for nobody but who runs this. What SQLite puts beside
/// the file gets the file's mode. What is there keeps its own.
fn create(path: &Path) -> std::io::Result<()> {
    let (mut folder, mut file) = (DirBuilder::new(), OpenOptions::new());
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        folder.recursive(true).create(parent)?;
    }
    match file.write(true).create_new(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
