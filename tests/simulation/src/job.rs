//! What the processes of a schedule are at.

use std::collections::BTreeSet;
use std::rc::Rc;

use flowlog_core::compact::Compacted;
use flowlog_core::record::{BatchId, Window};
use flowlog_core::store::reader::Answer;
use flowlog_core::store::{Series, StoreError};

use crate::check::Key;
use crate::executor::Task;
use crate::process::Code;
use crate::service::{Message, Service};

/// What a process is at.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// An invocation with these messages.
    Deliver(Vec<Message>),
    /// Compaction of an hour; whether it must come to an end.
    Compact(Series, Window, bool),
    /// The bucket is held against the ledger; what a run did not get to, the next one does.
    Reconcile,
    /// Somebody asks: what was done and there when they began?
    Read(Series, BTreeSet<BatchId>, BTreeSet<Key>),
}

/// What came of it.
pub(crate) enum Output {
    /// Which messages must come again.
    Delivered(Vec<bool>),
    Compacted(Result<Compacted, StoreError>),
    Reconciled(bool),
    Read(Result<Answer, StoreError>),
}

/// A process and what it is at.
pub(crate) struct Worker {
    pub(crate) code: Code,
    pub(crate) service: Rc<Service>,
    pub(crate) busy: Option<(Job, Task<'static, Output>)>,
}
