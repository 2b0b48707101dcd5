//! What is done about a table that will not have a call now: repeat it, later and later, and write
//! with fewer hands.
//!
//! The SDK's own retries are switched off for the store, so that there is one policy and every
//! refusal is seen by it. A throttled call is repeated for longer than a function lives: it is
//! the function's deadline that ends it, and then the delivery comes again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowlog_core::store::StoreError;
use tokio::sync::Notify;

use crate::backoff;
use crate::error::{self, CallError};

/// The longest wait before the first repetition …
const FIRST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });
/// … and before any.
const LONGEST: Duration = Duration::from_millis(if cfg!(test) { 4 } else { 2000 });
/// Attempts in a row that a busy table may refuse: about a minute of waiting on average.
pub(super) const BUSY: u32 = 64;
/// Attempts in a row that may fail for another reason, such as a lost connection.
pub(super) const LOST: u32 = 5;

/// Counts the attempts at one call, and waits between them.
pub(super) struct Patience {
    operation: &'static str,
    busy: u32,
    lost: u32,
}

impl Patience {
    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation, busy: 0, lost: 0 }
    }

    /// Waits after a failure, if the call is worth another attempt; otherwise the error is final.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        let (count, most) =
            if error::is_busy(&error) { (&mut self.busy, BUSY) } else { (&mut self.lost, LOST) };
        *count += 1;
        if !error.is_retryable() || *count >= most {
            return Err(error);
        }
        tracing::debug!(error = %error, "call is repeated");
        backoff::pause(FIRST, LONGEST, *count).await;
        Ok(())
    }

    /// Waits after an answer that left something undone. Progress starts the count anew.
    pub(super) async fn after_some(&mut self, progress: bool) -> Result<(), StoreError> {
        if progress {
            (self.busy, self.lost) = (0, 0);
            backoff::pause(FIRST, LONGEST, 1).await;
            return Ok(());
        }
        let nothing = CallError::busy(self.operation, "the table keeps throttling");
        self.after(StoreError::Retryable(Box::new(nothing))).await
    }
}

/// Makes a call until it is answered, or it is not worth another attempt.
pub(super) async fn patiently<T>(
    operation: &'static str,
    call: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut patience = Patience::new(operation);
    loop {
        // Boxed: a call's future is large, and the callers' are made of several.
        match Box::pin(call()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.after(error).await?,
        }
    }
}

/// How many writes of a store are in flight at most: half as many after the table has throttled,
/// one more for each round in which it has not (additive increase, multiplicative decrease).
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    in_flight: u32,
    /// How often the limit was cut.
    cuts: u64,
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pace: &'a Pace,
    /// The cuts there had been when it was given out.
    cuts: u64,
}

impl Pace {
    /// At most this many at once, to begin with and ever.
    pub(super) const MOST: u16 = 16;

    pub(super) fn new() -> Self {
        let state = State { limit: f64::from(Self::MOST), in_flight: 0, cuts: 0 };
        Self { state: Mutex::new(state), freed: Notify::new() }
    }

    /// Waits for one to be free.
    pub(super) async fn slot(&self) -> Slot<'_> {
        loop {
            // Before looking: what is freed in between wakes this one, too.
            let freed = self.freed.notified();
            if let Some(slot) = self.free_slot() {
                return slot;
            }
            freed.await;
        }
    }

    fn free_slot(&self) -> Option<Slot<'_>> {
        let mut state = self.state();
        let free = f64::from(state.in_flight + 1) <= state.limit;
        free.then(|| {
            state.in_flight += 1;
            Slot { pace: self, cuts: state.cuts }
        })
    }

    /// No call unwinds in the middle of a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        self.state().limit
    }
}

impl Slot<'_> {
    /// Gives the slot back with what the table made of the request.
    pub(super) fn answered(self, throttled: bool) {
        let mut state = self.pace.state();
        if !throttled {
            state.limit = (state.limit + 1.0 / state.limit).min(f64::from(Pace::MOST));
        } else if self.cuts == state.cuts {
            // What was sent before the last cut says nothing about the pace since.
            state.limit = (state.limit / 2.0).max(1.0);
            state.cuts += 1;
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pace.state().in_flight -= 1;
        self.pace.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pace_halves_once_a_round_and_recovers() {
        let pace = Pace::new();
        let mut slots = Vec::new();
        while let Some(slot) = pace.free_slot() {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 16);
        // All of one round are refused: one cut, not sixteen.
        slots.drain(..).for_each(|slot| slot.answered(true));
        assert!((pace.limit() - 8.0).abs() < 1e-9);
        for expected in [4.0, 2.0, 1.0, 1.0] {
            pace.slot().await.answered(true);
            assert!((pace.limit() - expected).abs() < 1e-9, "{} {expected}", pace.limit());
        }
        let only = pace.slot().await;
        assert!(pace.free_slot().is_none(), "one at a time");
        only.answered(false);
        let mut answered = 1;
        while pace.limit() < 16.0 {
            pace.slot().await.answered(false);
            answered += 1;
        }
        assert!((100..200).contains(&answered), "{answered} answers until full pace");
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_who_gives_up_leaves_nothing_behind() {
        let pace = Pace::new();
        let mut slots: Vec<Slot<'_>> = std::iter::from_fn(|| pace.free_slot()).collect();
        let waiting = tokio::time::timeout(Duration::from_millis(1), pace.slot()).await;
        assert!(waiting.is_err(), "all are taken");
        let freed = slots.pop();
        let (slot, ()) = tokio::join!(pace.slot(), async { drop(freed) });
        drop((slot, slots));
        assert_eq!(pace.state().in_flight, 0);
    }
}
