//! One thread, no timer, no waker: who goes on next is drawn from the seed.
//!
//! A task is polled when it is drawn and at no other time, so a future that gave way at
//! [`turn`] stands there until then, and can be dropped there: that is a crash.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A process at work.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Gives way once, so that others may go first.
pub async fn turn() {
    let mut given = false;
    poll_fn(|_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// Polls once.
pub fn poll<T>(task: &mut Task<'_, T>) -> Option<T> {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a future alone to its end.
pub fn alone<T>(future: impl Future<Output = T>) -> T {
    let mut task: Task<'_, T> = Box::pin(future);
    loop {
        if let Some(output) = poll(&mut task) {
            return output;
        }
    }
}
