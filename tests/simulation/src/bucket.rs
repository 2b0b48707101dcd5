//! S3 as a process sees it: bodies in pieces, any of which may be the last for now.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use flowlog_core::object::{
    Listed, Listing, ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects, Page,
};

use crate::executor::turn;
use crate::fault::Fault;
use crate::pool::BEGIN;
use crate::world::{Stored, World};

/// Most pieces that a body comes in.
const PIECES: usize = 3;

/// The bucket, through a client of one process.
pub struct Bucket(pub Rc<World>);

/// A body on its way.
pub struct Body {
    world: Rc<World>,
    left: Bytes,
}

impl Bucket {
    /// A read has no effect, so what is lost is only the answer.
    async fn read(&self, what: &'static str) -> Result<(), ObjectError> {
        let fault = self.0.draw(what);
        turn().await;
        match fault {
            Some(Fault::DiesBefore | Fault::DiesAfter | Fault::Delayed) => self.0.die().await,
            Some(Fault::Refused | Fault::Lost) => Err(ObjectError::Retryable("no answer".into())),
            Some(Fault::Repeated) | None => Ok(()),
        }
    }

    fn stored(&self, at: &ObjectRef) -> Result<Stored, ObjectError> {
        self.0.objects.borrow().get(at).cloned().ok_or(ObjectError::Gone)
    }
}

impl Objects for Bucket {
    type Body = Body;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.read("head").await?;
        let Stored { etag, bytes } = self.stored(at)?;
        Ok(ObjectHead { etag, size: bytes.len() as u64 })
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Body), ObjectError> {
        self.read("get").await?;
        let Stored { etag, bytes } = self.stored(at)?;
        if if_match.is_some_and(|wanted| wanted != etag) {
            return Err(ObjectError::Replaced);
        }
        let size = bytes.len() as u64;
        let left = match range {
            None => bytes,
            Some(range) => {
                let at = |n: u64| usize::try_from(n.min(size)).unwrap_or(0);
                bytes.slice(at(range.start)..at(range.end))
            }
        };
        Ok((ObjectHead { etag, size }, Body { world: Rc::clone(&self.0), left }))
    }
}

/// Objects of a page, fewer than S3's thousand, so that there are several.
const PAGE: usize = 2;

impl Listing for Bucket {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Page, ObjectError> {
        self.read("list").await?;
        let stored = self.0.objects.borrow();
        let mut found = stored.iter().filter(|(at, _)| {
            let follows = after.is_none_or(|after| at.key.as_str() > after);
            at.bucket == bucket && at.key.starts_with(prefix) && follows
        });
        let listed = found.by_ref().take(PAGE).map(|(at, Stored { etag, bytes })| Listed {
            object: at.clone(),
            head: ObjectHead { etag: etag.clone(), size: bytes.len() as u64 },
            modified: BEGIN,
        });
        Ok(Page { objects: listed.collect(), more: found.next().is_some() })
    }

    async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, ObjectError> {
        self.read("list").await?;
        let stored = self.0.objects.borrow();
        let mut folders: Vec<String> = stored
            .keys()
            .filter(|at| at.bucket == bucket)
            .filter_map(|at| {
                let rest = at.key.strip_prefix(prefix)?;
                Some(format!("{prefix}{}/", rest.split_once('/')?.0))
            })
            .collect();
        folders.dedup();
        Ok(folders)
    }
}

impl ObjectBody for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let fault = self.world.draw("body");
        turn().await;
        match fault {
            Some(Fault::DiesBefore | Fault::DiesAfter | Fault::Delayed) => self.world.die().await,
            Some(Fault::Refused) => return Err(ObjectError::Retryable("connection reset".into())),
            // The connection closes as if that were all.
            Some(Fault::Lost) => return Ok(None),
            Some(Fault::Repeated) | None => {}
        }
        if self.left.is_empty() {
            return Ok(None);
        }
        let least = self.left.len().div_ceil(PIECES);
        let length = self.world.random.borrow_mut().between(least, self.left.len());
        Ok(Some(self.left.split_to(length)))
    }
}
