//! Objects in S3.

use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_types::SdkConfig;
use bytes::Bytes;
use flowlog_core::object::{ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects};

use crate::error::{self, CallError};
use crate::sdk;

/// The objects port on S3.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
}

impl S3Objects {
    /// Objects that these credentials may read.
    pub fn new(config: &SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(sdk::has_s3_endpoint(config))
            .build();
        Self { client: Client::from_conf(s3) }
    }

    /// The client, for what the port does not say: listing a bucket.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The head under a condition, for a read that turns out to ask for no byte at all.
    async fn head_if(
        &self,
        at: &ObjectRef,
        if_match: Option<&str>,
    ) -> Result<ObjectHead, ObjectError> {
        let head = self
            .client
            .head_object()
            .bucket(&at.bucket)
            .key(&at.key)
            .set_if_match(if_match.map(quoted))
            .send()
            .await
            .map_err(|e| error::object("HeadObject", &e))?;
        let size = head.content_length.and_then(|size| u64::try_from(size).ok());
        object_head("HeadObject", head.e_tag.as_deref(), size)
    }
}

impl Objects for S3Objects {
    type Body = S3Body;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.head_if(at, None).await
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok((self.head_if(at, if_match).await?, S3Body(None)));
        }
        let got = self
            .client
            .get_object()
            .bucket(&at.bucket)
            .key(&at.key)
            .set_range(range.as_ref().map(range_header))
            .set_if_match(if_match.map(quoted))
            .send()
            .await;
        let got = match got {
            Ok(got) => got,
            // The range begins at or after the end: there is nothing left to read.
            Err(e) if e.raw_response().is_some_and(|r| r.status().as_u16() == 416) => {
                return Ok((self.head_if(at, if_match).await?, S3Body(None)));
            }
            Err(e) => return Err(error::object("GetObject", &e)),
        };
        let size = match (&range, &got.content_range) {
            (Some(_), Some(content_range)) => total_size(content_range),
            (Some(_), None) => None,
            (None, _) => got.content_length.and_then(|size| u64::try_from(size).ok()),
        };
        let head = object_head("GetObject", got.e_tag.as_deref(), size)?;
        Ok((head, S3Body(Some(got.body))))
    }
}

/// A body from S3; `None` once there is nothing more to read.
#[derive(Debug)]
pub struct S3Body(Option<ByteStream>);

impl ObjectBody for S3Body {
    async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let Some(stream) = &mut self.0 else { return Ok(None) };
        match stream.next().await {
            Some(Ok(piece)) => Ok(Some(piece)),
            Some(Err(e)) => {
                self.0 = None;
                // Cut, stalled, or not what its checksum says: all of it is worth another request.
                let cause = CallError::new("GetObject", error::chain(&e));
                Err(ObjectError::Retryable(Box::new(cause)))
            }
            None => {
                self.0 = None;
                Ok(None)
            }
        }
    }
}

fn object_head(
    operation: &'static str,
    etag: Option<&str>,
    size: Option<u64>,
) -> Result<ObjectHead, ObjectError> {
    let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
    etag.filter(|etag| !etag.is_empty())
        .zip(size)
        .map(|(etag, size)| ObjectHead { etag, size })
        .ok_or_else(|| {
            let cause = CallError::new(operation, "the response lacks the ETag or the size");
            ObjectError::Retryable(Box::new(cause))
        })
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// HTTP's ranges include their last byte. One that reaches `u64::MAX` is open.
fn range_header(range: &Range<u64>) -> String {
    match range.end {
        u64::MAX => format!("bytes={}-", range.start),
        end => format!("bytes={}-{}", range.start, end.saturating_sub(1)),
    }
}

/// The size of the whole object, from `bytes 0-9/1234`.
fn total_size(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}
