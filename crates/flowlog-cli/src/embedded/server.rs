//! The database over HTTP, for tests with several processes. The command never starts it.
//!
//! It answers programs on this machine only: who sends an `Origin` is a page in a browser, and who names another host
//! than the loopback one was led here by a name of the Internet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::engine::Calls;

/// How long a stop waits for requests that are on their way. One that a cancelled client has sent
/// by half would otherwise be waited for by the very thread that has to finish sending it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A database that is served on a port. Dropping it stops that.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: mpsc::Receiver<()>,
}

impl Server {
    /// Starts serving on this port, or on a free one if it is 0; it can be connected to when this
    /// returns.
    pub(super) fn start(calls: Calls, port: u16) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopping) = oneshot::channel::<()>();
        let (stopped_now, stopped) = mpsc::channel();
        // As much as DynamoDB takes.
        let limit = DefaultBodyLimit::max(16 << 20);
        let router = Router::new().route("/", post(answer)).layer(limit).with_state(calls);
        let serve = async move {
            let stopping = async {
                // A dropped sender is a stop, too.
                let _either_way = stopping.await;
            };
            let listener = TcpListener::from_std(listener)?;
            axum::serve(listener, router).with_graceful_shutdown(stopping).await
        };
        std::thread::Builder::new().name("flowlog-db-http".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "the embedded database is served no more");
            }
            drop(runtime);
            drop(stopped_now);
        })?;
        Ok(Self { address, stop: Some(stop), stopped })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    /// Stops accepting, and lets running requests end.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nothing is ever sent: what arrives is that the other end is gone, or that time is up.
        let _either_way = self.stopped.recv_timeout(PATIENCE);
    }
}

async fn answer(State(calls): State<Calls>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Any port: what breaks networks in tests has one of its own.
    let host = text("host").map(|host| host.split_once(':').map_or(host, |(name, _)| name));
    let is_local = matches!(host, Some("127.0.0.1" | "localhost"));
    if !is_local || headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "this is only for programs on this machine\n")
            .into_response();
    }
    let target = text("x-amz-target");
    let Some(operation) = target.and_then(|target| target.rsplit('.').next()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some((status, json)) = calls.ask(operation, &body).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], json).into_response()
}
