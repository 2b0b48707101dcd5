//! `flowlog serve`: the page on this machine, made anew for each look.
//!
//! It listens on the loopback interface only, and answers only those who name it so: a page from the
//! Internet that makes a browser look up its own name as 127.0.0.1 gets nothing, and neither does one that embeds or
//! fetches what is here.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::future::{self, Future};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::command::AskError;
use super::report::page_of;
use super::source::AskArgs;
use crate::page::{self, Page};

/// Options of `flowlog serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8484)]
    port: u16,
    /// Let the browser load the page anew after so many seconds; 0: only when you do.
    ///
    /// What is open, focused and half-typed is lost then. What is chosen is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    refresh: u32,
    #[command(flatten)]
    ask: AskArgs,
}

/// A request on its way to the store, which one task asks: its futures stay in that task.
type Request = oneshot::Sender<Result<Page, AskError>>;

#[derive(Clone)]
struct Served {
    pages: mpsc::Sender<Request>,
    port: u16,
    refresh: u32,
}

/// What keeps other pages of the same browser from using an answer. The page's own policy cannot say who may frame it:
/// only a header can.
const GUARDS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Serves until the process is ended; `ready` is told where.
pub async fn serve(args: ServeArgs, ready: impl FnOnce(SocketAddr)) -> Result<(), AskError> {
    let opened = args.ask.store.open().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    let address = listener.local_addr()?;
    let (pages, requests) = mpsc::channel::<Request>(16);
    let served = Served { pages, port: address.port(), refresh: args.refresh };
    let router =
        Router::new().route("/", get(html)).route("/report.json", get(json)).with_state(served);
    ready(address);
    tokio::select! {
        ended = axum::serve(listener, router).into_future() => Ok(ended?),
        () = each(requests, || page_of(&opened.store, &args.ask)) => Ok(()),
    }
}

/// Makes a page for each request, one after the other. One that panics is not answered, and the next one is: nothing is
/// changed by making a page, so nothing is left half done.
async fn each<F>(mut requests: mpsc::Receiver<Request>, make: impl Fn() -> F)
where
    F: Future<Output = Result<Page, AskError>>,
{
    while let Some(request) = requests.recv().await {
        let mut answer = pin!(async { make().await });
        let answer = future::poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
            polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
        });
        if let Some(answer) = answer.await {
            // Who asked may have gone.
            let _ = request.send(answer);
        }
    }
}

async fn html(State(served): State<Served>, headers: HeaderMap) -> Response {
    served.answer(&headers, "text/html; charset=utf-8", page::render).await
}

async fn json(State(served): State<Served>, headers: HeaderMap) -> Response {
    served.answer(&headers, "application/json", serde_json::to_string).await
}

impl Served {
    async fn answer(
        &self,
        headers: &HeaderMap,
        kind: &'static str,
        write: impl FnOnce(&Page) -> Result<String, serde_json::Error>,
    ) -> Response {
        if !self.is_meant(headers) {
            let why = "this is only for the machine that it runs on\n";
            return (StatusCode::FORBIDDEN, why).into_response();
        }
        let (back, page) = oneshot::channel();
        if self.pages.send(back).await.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let Ok(made) = page.await else {
            let why = "the page could not be made: flowlog serve printed why\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
        };
        match made.and_then(|page| Ok(write(&page)?)) {
            Ok(text) => {
                let mut answer = ([(header::CONTENT_TYPE, kind)], text).into_response();
                let own = answer.headers_mut();
                own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                for (name, value) in GUARDS {
                    own.insert(name, HeaderValue::from_static(value));
                }
                if self.refresh > 0 {
                    own.insert(header::REFRESH, HeaderValue::from(self.refresh));
                }
                answer
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        }
    }

    /// Whether a request names this server by its loopback address, and no other page made the browser send it.
    fn is_meant(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let port = self.port;
        let is_named = text("host").is_some_and(|host| {
            ["127.0.0.1", "localhost"].iter().any(|name| {
                // Browsers leave the usual port of a scheme away.
                host == format!("{name}:{port}") || (port == 80 && host == *name)
            })
        });
        is_named && matches!(text("sec-fetch-site"), None | Some("none" | "same-origin"))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_browser_leaves_the_usual_port_away() {
        let is_meant = |port, host: &'static str| {
            let served = Served { pages: mpsc::channel(1).0, port, refresh: 0 };
            let host = (header::HOST, HeaderValue::from_static(host));
            served.is_meant(&HeaderMap::from_iter([host]))
        };
        assert!(
            is_meant(80, "127.0.0.1") && is_meant(80, "localhost") && is_meant(80, "localhost:80")
        );
        assert!(is_meant(8484, "127.0.0.1:8484") && !is_meant(8484, "127.0.0.1"));
        assert!(!is_meant(80, "attacker.example") && !is_meant(80, "localhost:8484"));
    }

    #[tokio::test]
    async fn a_request_that_panics_is_not_the_last() {
        let (pages, requests) = mpsc::channel(2);
        let (first, second) = (oneshot::channel(), oneshot::channel());
        pages.send(first.0).await.unwrap();
        pages.send(second.0).await.unwrap();
        drop(pages);
        let calls = Cell::new(0);
        each(requests, || async {
            calls.set(calls.get() + 1);
            assert!(calls.get() > 1, "the first one panics");
            Err(AskError::Empty(0))
        })
        .await;
        first.1.await.unwrap_err();
        assert!(matches!(second.1.await, Ok(Err(AskError::Empty(_)))));
    }
}
