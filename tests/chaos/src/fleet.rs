//! Child processes, and the queue that they work on.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Trouble;

/// A child that is killed when it is let go of.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A place for a child: whoever holds it may kill what is in it.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Child>>);

impl Process {
    /// Starts this program once more, with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self, Trouble> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Its next line; `None` if it is dead.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.output.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// Puts the child where it can be killed; what is left can only talk to it.
    fn into_slot(self, slot: &Slot) -> (ChildStdin, BufReader<ChildStdout>) {
        slot.put(self.child);
        (self.input, self.output)
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, child: Child) {
        self.kill();
        *self.lock() = Some(child);
    }

    /// Kills what is in it, as `kill -9` does. Whether there was anything alive.
    pub(crate) fn kill(&self) -> bool {
        let Some(mut child) = self.lock().take() else { return false };
        let alive = matches!(child.try_wait(), Ok(None));
        let _ = child.kill();
        let _ = child.wait();
        alive
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.kill();
    }
}

/// At least once: what was not acknowledged is handed out again.
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<String>>,
    /// Handed out and not yet answered to.
    busy: AtomicUsize,
    /// Acknowledged.
    pub(crate) done: AtomicU64,
    /// Handed out once more.
    pub(crate) again: AtomicU64,
}

impl Queue {
    /// A queue of these messages.
    pub(crate) fn of(messages: Vec<String>) -> Self {
        Self {
            waiting: Mutex::new(messages.into()),
            busy: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<String> {
        let mut waiting = self.lock();
        let message = waiting.pop_front()?;
        self.busy.fetch_add(1, Ordering::SeqCst);
        Some(message)
    }

    fn answer(&self, message: String, done: bool) {
        let mut waiting = self.lock();
        if done {
            self.done.fetch_add(1, Ordering::SeqCst);
        } else {
            self.again.fetch_add(1, Ordering::SeqCst);
            waiting.push_back(message);
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_over(&self) -> bool {
        let waiting = self.lock();
        waiting.is_empty() && self.busy.load(Ordering::SeqCst) == 0
    }
}

/// Keeps one worker at work until the queue is over, starting another when it dies.
pub(crate) fn keep_working(
    queue: &Queue,
    slot: &Slot,
    arguments: &dyn Fn() -> Vec<String>,
) -> Result<(), Trouble> {
    let mut pipes = None;
    while !queue.is_over() {
        let Some(message) = queue.take() else {
            std::thread::sleep(std::time::Duration::from_millis(5));
            continue;
        };
        let (input, output) = match &mut pipes {
            Some(pipes) => pipes,
            none => {
                let arguments = arguments();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                none.insert(Process::start(&arguments)?.into_slot(slot))
            }
        };
        let mut line = String::new();
        let asked = writeln!(input, "{message}").and_then(|()| output.read_line(&mut line));
        let answer = asked.map(|_| line.trim_end());
        if !matches!(answer, Ok("done" | "again")) {
            // It was killed, perhaps after it had finished.
            pipes = None;
        }
        queue.answer(message, matches!(answer, Ok("done")));
    }
    Ok(())
}
