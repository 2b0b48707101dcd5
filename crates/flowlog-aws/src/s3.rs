//! Objects in S3.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_types::SdkConfig;
use bytes::Bytes;
use flowlog_core::object::{
    Listed, Listing, ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects, Page,
};

use crate::error::{self, CallError};
use crate::{backoff, sdk};

/// The longest wait before the first repetition of a read that broke.
const RESUME_FIRST: Duration = Duration::from_millis(100);
/// … and before any: five of them cost a function's minute little.
const RESUME_LONGEST: Duration = Duration::from_millis(1600);

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

    async fn pause(&self, attempt: u32) {
        backoff::pause(RESUME_FIRST, RESUME_LONGEST, attempt).await;
    }
}

impl Listing for S3Objects {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Page, ObjectError> {
        let mut page = Page::default();
        let mut token = None;
        // S3 promises no least number of objects for a page that is not the last.
        loop {
            let got = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .set_start_after(after.filter(|after| !after.is_empty()).map(str::to_owned))
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|e| error::object("ListObjectsV2", &e))?;
            for object in got.contents.unwrap_or_default() {
                let size = object.size.and_then(|size| u64::try_from(size).ok());
                let head = object_head("ListObjectsV2", object.e_tag.as_deref(), size)?;
                let modified = object.last_modified.map_or(0, |time| time.secs());
                let key = object.key.unwrap_or_default();
                let object = ObjectRef { bucket: bucket.to_owned(), key };
                page.objects.push(Listed { object, head, modified });
            }
            token = got.next_continuation_token.filter(|_| got.is_truncated == Some(true));
            page.more = token.is_some();
            if !page.more || !page.objects.is_empty() {
                return Ok(page);
            }
        }
    }

    async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let mut folders = Vec::new();
        let mut token = None;
        loop {
            let got = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .delimiter("/")
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|e| error::object("ListObjectsV2", &e))?;
            folders.extend(
                got.common_prefixes.unwrap_or_default().into_iter().filter_map(|p| p.prefix),
            );
            token = got.next_continuation_token.filter(|_| got.is_truncated == Some(true));
            if token.is_none() {
                folders.sort_unstable();
                folders.dedup();
                return Ok(folders);
            }
        }
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

#[cfg(test)]
mod tests {
    use flowlog_core::object::contract;

    use std::fmt::Write as _;

    use super::*;
    use crate::replay::{Asked, Canned, Wire};

    const CONTENT: &str = "version account-id interface-id";

    fn object() -> ObjectRef {
        ObjectRef { bucket: "flow-logs".to_owned(), key: "AWSLogs/a b/x+y.log.gz".to_owned() }
    }

    fn error(status: u16, code: &str) -> Canned {
        let body = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
        (status, Vec::new(), body)
    }

    /// As much of S3 as one object needs.
    fn s3(asked: &Asked) -> Option<Canned> {
        let size = CONTENT.len();
        let head = asked.method == "HEAD";
        if !asked.uri.contains("/AWSLogs/a%20b/x%2By.log.gz") {
            return Some(if head { (404, vec![], String::new()) } else { error(404, "NoSuchKey") });
        }
        if asked.header("if-match").is_some_and(|etag| etag != "\"e7a9\"") {
            return Some(if head {
                (412, vec![], String::new())
            } else {
                error(412, "PreconditionFailed")
            });
        }
        let mut headers = vec![("etag", "\"e7a9\"".to_owned())];
        if head {
            headers.push(("content-length", size.to_string()));
            return Some((200, headers, String::new()));
        }
        let Some(range) = asked.header("range") else {
            headers.push(("content-length", size.to_string()));
            return Some((200, headers, CONTENT.to_owned()));
        };
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let from: usize = from.parse().ok()?;
        if from >= size {
            return Some(error(416, "InvalidRange"));
        }
        let to = to.parse::<usize>().map_or(size - 1, |to| to.min(size - 1));
        headers.push(("content-range", format!("bytes {from}-{to}/{size}")));
        headers.push(("content-length", (to - from + 1).to_string()));
        Some((206, headers, CONTENT[from..=to].to_owned()))
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let wire = Wire::serving(s3);
        let missing = ObjectRef { key: "none".to_owned(), ..object() };
        let objects = S3Objects::new(&wire.config());
        contract::all(&objects, &object(), CONTENT.as_bytes(), &missing).await.unwrap();
    }

    /// As much of `ListObjectsV2` as a bucket of a few objects needs, two of them on a page.
    fn bucket(asked: &Asked) -> Option<Canned> {
        let etag = |key: &str| format!("\"{:x}\"", key.len());
        let (path, query) = asked.uri.split_once('?').unwrap_or((&asked.uri, ""));
        if asked.method == "HEAD" {
            let key = path.strip_prefix("https://flow-logs.s3.eu-west-1.amazonaws.com/")?;
            let key = decoded(key);
            let headers = vec![("etag", etag(&key)), ("content-length", "1".to_owned())];
            return Some((200, headers, String::new()));
        }
        let asks = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(n, _)| *n == name).map(|(_, value)| decoded(value))
        };
        assert_eq!(asks("list-type").as_deref(), Some("2"));
        let prefix = asks("prefix").unwrap_or_default();
        let after = asks("continuation-token").or(asks("start-after")).unwrap_or_default();
        let mut keys = contract::LISTED.map(str::to_owned);
        keys.sort_unstable();
        let mut entries: Vec<(String, bool)> = Vec::new();
        for key in keys.into_iter().filter(|key| key.starts_with(&prefix)) {
            let rest = &key[prefix.len()..];
            let folder = asks("delimiter").and_then(|slash| rest.find(&slash));
            let entry = match folder {
                Some(at) => (key[..=prefix.len() + at].to_owned(), true),
                None => (key, false),
            };
            if entry.0 > after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let more = entries.len() > 2;
        entries.truncate(2);
        let mut body = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>");
        if more {
            let token = &entries[1].0;
            let _ = write!(body, "<NextContinuationToken>{token}</NextContinuationToken>");
        }
        for (name, is_folder) in entries {
            let _ = if is_folder {
                write!(body, "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")
            } else {
                let etag = etag(&name).replace('"', "&quot;");
                write!(
                    body,
                    "<Contents><Key>{name}</Key><LastModified>2026-11-01T00:10:00.000Z</LastModified>\
                     <ETag>{etag}</ETag><Size>1</Size></Contents>"
                )
            };
        }
        Some((200, vec![], format!("{body}</ListBucketResult>")))
    }

    fn decoded(text: &str) -> String {
        percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
    }

    #[tokio::test]
    async fn lists_what_there_is() {
        let wire = Wire::serving(bucket);
        let objects = S3Objects::new(&wire.config());
        contract::listing(&objects, "flow-logs").await.unwrap();
    }

    #[tokio::test]
    async fn a_listing_goes_on_after_a_key_and_over_empty_pages() {
        let empty = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                     <NextContinuationToken>t0</NextContinuationToken></ListBucketResult>";
        let one = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>\
                   <Key>p/y</Key><LastModified>2026-11-01T00:10:00.500Z</LastModified>\
                   <ETag>&quot;e7a9&quot;</ETag><Size>31</Size></Contents></ListBucketResult>";
        let wire = Wire::new([empty, one].map(|body| (200, vec![], body.to_owned())));
        let objects = S3Objects::new(&wire.config());
        let page = objects.list("flow-logs", "p/", Some("p/x")).await.unwrap();
        let head = ObjectHead { etag: "e7a9".to_owned(), size: 31 };
        let object = ObjectRef { bucket: "flow-logs".to_owned(), key: "p/y".to_owned() };
        assert_eq!(page.objects, [Listed { object, head, modified: 1_793_491_800 }]);
        assert!(!page.more);
        let uris: Vec<String> = wire.asked().into_iter().map(|asked| asked.uri).collect();
        let host = "https://flow-logs.s3.eu-west-1.amazonaws.com/";
        let first = format!("{host}?list-type=2&prefix=p%2F&start-after=p%2Fx");
        let second =
            format!("{host}?list-type=2&prefix=p%2F&continuation-token=t0&start-after=p%2Fx");
        assert_eq!(uris, [first, second]);
    }

    #[tokio::test]
    async fn asks_for_a_range_of_the_same_object() {
        let wire = Wire::serving(s3);
        let objects = S3Objects::new(&wire.config());
        let (head, _) = objects.get(&object(), Some(8..18), Some("e7a9")).await.unwrap();
        assert_eq!(head, ObjectHead { etag: "e7a9".to_owned(), size: 31 });
        let asked = &wire.asked()[0];
        assert_eq!(asked.method, "GET");
        assert!(asked.uri.starts_with("https://flow-logs.s3.eu-west-1.amazonaws.com/AWSLogs/"));
        assert_eq!(asked.header("range"), Some("bytes=8-17"));
        assert_eq!(asked.header("if-match"), Some("\"e7a9\""));
    }

    #[tokio::test]
    async fn an_emulator_has_no_host_per_bucket() {
        let wire = Wire::serving(s3);
        let config = wire.config().into_builder().endpoint_url("http://localhost:9000").build();
        S3Objects::new(&config).head(&object()).await.unwrap();
        let uri = &wire.asked()[0].uri;
        assert!(uri.starts_with("http://localhost:9000/flow-logs/AWSLogs/"), "{uri}");
    }

    #[tokio::test]
    async fn errors_are_classified() {
        let get = async |status, code| {
            let objects = S3Objects::new(&Wire::new([error(status, code)]).config());
            objects.get(&object(), None, None).await.map(|_| ()).unwrap_err()
        };
        assert!(matches!(get(404, "NoSuchKey").await, ObjectError::Gone));
        assert!(matches!(get(404, "NoSuchBucket").await, ObjectError::Gone));
        assert!(matches!(get(412, "PreconditionFailed").await, ObjectError::Replaced));
        assert!(matches!(get(403, "AccessDenied").await, ObjectError::Denied(_)));
        assert!(matches!(get(403, "InvalidObjectState").await, ObjectError::Denied(_)));
        assert!(matches!(get(403, "RequestTimeTooSkewed").await, ObjectError::Retryable(_)));
        assert!(matches!(get(400, "ExpiredToken").await, ObjectError::Retryable(_)));
        assert!(matches!(get(503, "SlowDown").await, ObjectError::Retryable(_)));
        assert!(matches!(get(500, "InternalError").await, ObjectError::Retryable(_)));
    }

    #[tokio::test]
    async fn a_body_that_is_not_its_checksum_is_read_again() {
        let headers = vec![
            ("etag", "\"e7a9\"".to_owned()),
            ("content-length", "5".to_owned()),
            ("x-amz-checksum-crc32", "AAAAAA==".to_owned()),
        ];
        let wire = Wire::new([(200, headers, "bytes".to_owned())]);
        let objects = S3Objects::new(&wire.config());
        let (_, mut body) = objects.get(&object(), None, None).await.unwrap();
        let mut next = body.next().await;
        while matches!(next, Ok(Some(_))) {
            next = body.next().await;
        }
        assert!(matches!(next, Err(ObjectError::Retryable(_))), "{next:?}");
        assert!(matches!(body.next().await, Ok(None)));
    }
}
