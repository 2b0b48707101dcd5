//! Serving the engine on a port of 127.0.0.1, in a thread of its own.
//!
//! The engine blocks its thread while SQLite works. On the command's runtime it would hold up the
//! very clients that wait for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// How long a stop waits for requests that are on their way. One that a cancelled client has sent
/// by half would otherwise be waited for by the very thread that has to finish sending it.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: mpsc::Receiver<()>,
}

impl Server {
    /// Starts serving on this port, or on a free one if it is 0; it can be connected to when this
    /// returns.
    pub(super) fn start(database: Database, port: u16) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopping) = oneshot::channel::<()>();
        let (stopped_now, stopped) = mpsc::channel();
        let serve = async move {
            let listener = TcpListener::from_std(listener).map_err(|e| e.to_string())?;
            let stopping = async {
                // A dropped sender is a stop, too.
                let _either_way = stopping.await;
            };
            dynoxide::server::serve_with_shutdown(listener, database, stopping).await
        };
        std::thread::Builder::new().name("flowlog-db".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(error, "the embedded database stopped");
            }
            // Connections keep the database open until they are dropped with their runtime.
            drop(runtime);
            drop(stopped_now);
        })?;
        Ok(Self { address, stop: Some(stop), stopped })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    /// Stops accepting, lets running requests end, and closes the file.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nothing is ever sent: what arrives is that the other end is gone, or that time is up.
        let _either_way = self.stopped.recv_timeout(PATIENCE);
    }
}
