//! One object's bytes, in order, from as many requests as it takes.

use std::ops::Range;

use bytes::Bytes;
use flowlog_core::object::{ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects};

/// How often a broken body is resumed before the attempt is given up.
const RESUMES: u32 = 5;

/// A body that goes on where it broke, as long as it is the same object.
///
/// *Invariant*: every byte that it gives is of the object with the ETag that was asked for. Each
/// request says so (`If-Match`), and each answer is held against it.
#[derive(Debug)]
pub(crate) struct Download<'a, O: Objects> {
    objects: &'a O,
    at: &'a ObjectRef,
    head: ObjectHead,
    body: O::Body,
    /// Where the next piece begins, and where the last one ends.
    offset: u64,
    end: u64,
    resumes: u32,
}

impl<'a, O: Objects> Download<'a, O> {
    /// Opens the object if it still has this ETag.
    pub(crate) async fn open(
        objects: &'a O,
        at: &'a ObjectRef,
        etag: &str,
    ) -> Result<Self, ObjectError> {
        let (head, body) = objects.get(at, None, Some(etag)).await?;
        // Stores that do not know `If-Match` answer all the same.
        if head.etag != etag {
            return Err(ObjectError::Replaced);
        }
        let end = head.size;
        Ok(Self { objects, at, head, body, offset: 0, end, resumes: 0 })
    }

    /// Opens a range of an object that has been opened before, if it is still the same.
    pub(crate) async fn part(
        objects: &'a O,
        at: &'a ObjectRef,
        head: &ObjectHead,
        range: Range<u64>,
    ) -> Result<Self, ObjectError> {
        let Range { start: offset, end } = range.clone();
        let (found, body) = objects.get(at, Some(range), Some(&head.etag)).await?;
        if found != *head {
            return Err(ObjectError::Replaced);
        }
        Ok(Self { objects, at, head: found, body, offset, end, resumes: 0 })
    }

    /// Size and ETag of the whole object.
    pub(crate) fn head(&self) -> &ObjectHead {
        &self.head
    }

    /// The next piece, `None` after the last byte.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        loop {
            let cause = match self.body.next().await {
                Ok(Some(piece)) => {
                    self.offset += piece.len() as u64;
                    if self.offset > self.end {
                        let more = format!("the body goes on after byte {}", self.end);
                        return Err(ObjectError::Retryable(more.into()));
                    }
                    return Ok(Some(piece));
                }
                Ok(None) if self.offset == self.end => return Ok(None),
                Ok(None) => format!("ended at byte {} of {}", self.offset, self.end),
                // Nothing is missing, so the bytes are not what their checksum says: there is no
                // place to go on from, and the object must be read anew.
                Err(ObjectError::Retryable(cause)) if self.offset < self.end => {
                    format!("broke at byte {} of {}: {cause}", self.offset, self.end)
                }
                Err(error) => return Err(error),
            };
            self.resume(cause).await?;
        }
    }

    /// Asks for the rest. A request that fails for now counts as a resumption that broke at once.
    async fn resume(&mut self, mut cause: String) -> Result<(), ObjectError> {
        let rest = self.offset..self.end;
        loop {
            if self.resumes == RESUMES {
                let given_up = format!("the body {cause}, after {RESUMES} resumptions");
                return Err(ObjectError::Retryable(given_up.into()));
            }
            self.resumes += 1;
            tracing::warn!(object = %self.at, resumption = self.resumes, cause, "body is resumed");
            self.objects.pause(self.resumes).await;
            let rest = Some(rest.clone());
            match self.objects.get(self.at, rest, Some(&self.head.etag)).await {
                Ok((head, _)) if head != self.head => return Err(ObjectError::Replaced),
                Ok((_, body)) => {
                    self.body = body;
                    return Ok(());
                }
                Err(ObjectError::Retryable(error)) => {
                    cause = format!("cannot be resumed at {}: {error}", self.offset);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
