//! The engine, in a thread of its own.
//!
//! It blocks its thread while SQLite works. On the command's runtime it would hold up the very clients that wait for
//! it.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use dynoxide::{Database, DynoxideError};
use flowlog_aws::sdk::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::EmbeddedError;

/// How long closing waits for the request that the engine is at.
const PATIENCE: Duration = Duration::from_secs(2);

enum Call {
    Request { operation: String, body: Vec<u8>, back: oneshot::Sender<(u16, String)> },
    Stop,
}

/// The way to the engine. It may outlive the engine, and then there are no answers.
#[derive(Debug, Clone)]
pub(super) struct Calls(mpsc::Sender<Call>);

impl Calls {
    /// Asks the engine.
    pub(super) fn ask(&self, operation: &str, body: &[u8]) -> Answer {
        let (back, answer) = oneshot::channel();
        let (operation, body) = (operation.to_owned(), body.to_owned());
        // To an engine that is closed nothing can be sent, and `back` is dropped.
        let _ = self.0.send(Call::Request { operation, body, back });
        Box::pin(async { answer.await.ok() })
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    calls: Calls,
    stopped: mpsc::Receiver<()>,
}

impl Engine {
    /// Starts answering.
    pub(super) fn start(database: Database) -> std::io::Result<Self> {
        let (calls, asked) = mpsc::channel();
        let (stopped_now, stopped) = mpsc::channel();
        std::thread::Builder::new().name("flowlog-db".to_owned()).spawn(move || {
            while let Ok(Call::Request { operation, body, back }) = asked.recv() {
                // Who asked may have gone.
                let _ = back.send(answer(&database, &operation, &body));
            }
            drop(database);
            drop(stopped_now);
        })?;
        Ok(Self { calls: Calls(calls), stopped })
    }

    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }
}

impl Drop for Engine {
    /// Lets the running request end, and closes the file.
    fn drop(&mut self) {
        let _ = self.calls.0.send(Call::Stop);
        // Nothing is ever sent: what arrives is that the other end is gone, or that time is up.
        let _either_way = self.stopped.recv_timeout(PATIENCE);
    }
}

/// Opens the engine on a file.
pub(super) fn open(path: &Path, temporary: bool) -> Result<Database, EmbeddedError> {
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

/// What the engine answers: a status, and a body as DynamoDB writes it.
fn answer(database: &Database, operation: &str, body: &[u8]) -> (u16, String) {
    match run(database, operation, body) {
        Ok(json) => (200, json),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

/// Every operation of which the functions, the command or a test makes use.
fn run(db: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<String> {
    match operation {
        "BatchGetItem" => written(db.batch_get_item(parsed(body)?)),
        "BatchWriteItem" => written(db.batch_write_item(parsed(body)?)),
        "CreateTable" => written(db.create_table(parsed(body)?)),
        "DeleteItem" => written(db.delete_item(parsed(body)?)),
        "DescribeStream" => written(db.describe_stream(parsed(body)?)),
        "DescribeTable" => written(db.describe_table(parsed(body)?)),
        "DescribeTimeToLive" => written(db.describe_time_to_live(parsed(body)?)),
        "GetItem" => written(db.get_item(parsed(body)?)),
        "GetRecords" => written(db.get_records(parsed(body)?)),
        "GetShardIterator" => written(db.get_shard_iterator(parsed(body)?)),
        "ListStreams" => written(db.list_streams(parsed(body)?)),
        "ListTables" => written(db.list_tables(parsed(body)?)),
        "PutItem" => written(db.put_item(parsed(body)?)),
        "Query" => written(db.query(parsed(body)?)),
        "Scan" => written(db.scan(parsed(body)?)),
        "UpdateItem" => written(db.update_item(parsed(body)?)),
        "UpdateTable" => written(db.update_table(parsed(body)?)),
        "UpdateTimeToLive" => written(db.update_time_to_live(parsed(body)?)),
        _ => Err(DynoxideError::ValidationException(format!("{operation} is not offered here"))),
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body).map_err(|e| DynoxideError::SerializationException(e.to_string()))
}

fn written<T: Serialize>(response: dynoxide::Result<T>) -> dynoxide::Result<String> {
    let json = serde_json::to_string(&response?);
    json.map_err(|e| DynoxideError::InternalServerError(e.to_string()))
}
