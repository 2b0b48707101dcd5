//! The ports of objects: where flow log objects are read from and listed (S3, or a folder).

pub mod contract;

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Bucket (or, locally, a folder's name).
    pub bucket: String,
    /// Key, decoded.
    pub key: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Entity tag, as S3 gives it, without quotes. Changes whenever the content does.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object (S3 says 404, or 403 without `s3:ListBucket`).
    #[error("the object is gone")]
    Gone,
    /// `If-Match` failed: another object has taken its place.
    #[error("the object was replaced while it was read")]
    Replaced,
    /// Access denied, or another refusal that will be repeated.
    #[error("the object may not be read: {0}")]
    Denied(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Throttled, timed out, connection lost, body cut: a later attempt may succeed.
    #[error("the object cannot be read now: {0}")]
    Retryable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a listing says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub object: ObjectRef,
    /// Its size and ETag, as [`Objects::head`] would give them.
    pub head: ObjectHead,
    /// When it was put there (epoch seconds).
    pub modified: i64,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Objects in the order of their keys' bytes; empty only at the end.
    pub objects: Vec<Listed>,
    /// Whether there are others after the last one.
    pub more: bool,
}

/// A body that arrives in pieces.
pub trait ObjectBody {
    /// The next piece, `None` at the end. An error ends the body; what came before it was right.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, ObjectError>>;
}

/// Reading objects. The adapters for S3 and for folders pass one contract suite.
pub trait Objects {
    /// The body that [`Objects::get`] returns.
    type Body: ObjectBody;

    /// Size and ETag.
    fn head(&self, at: &ObjectRef) -> impl Future<Output = Result<ObjectHead, ObjectError>>;

    /// The bytes of `range` (all of them with `None`), if the ETag is still `if_match`.
    /// The head is that of the whole object, whatever the range.
    fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> impl Future<Output = Result<(ObjectHead, Self::Body), ObjectError>>;

    /// Waits before the `attempt`-th repetition (from 1) of a read that broke. How long is the
    /// adapter's to know, which knows what it talks to; a disk is not waited for.
    fn pause(&self, attempt: u32) -> impl Future<Output = ()> {
        let _ = attempt;
        std::future::ready(())
    }
}

/// Finding out which objects there are. The adapters pass one contract suite here, too.
pub trait Listing {
    /// The objects whose keys begin with `prefix` and sort after `after`, as many as come at once.
    /// The last key of a page is the `after` of the next one.
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, ObjectError>>;

    /// How the keys that begin with `prefix` go on up to their next `/`: the prefix and that part
    /// with its slash, each once, sorted. Keys without a further slash are none.
    fn folders(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<String>, ObjectError>>;
}
