//! The contract of every implementation of the ports of objects. A broken promise panics.
#![expect(clippy::missing_panics_doc, reason = "panicking is how a check reports")]

use std::ops::Range;

use super::{Listing, ObjectBody as _, ObjectError, ObjectHead, ObjectRef, Objects};

/// Every check, on an object that has this content (at least ten bytes) and one that is not there.
pub async fn all<O: Objects>(
    objects: &O,
    at: &ObjectRef,
    content: &[u8],
    missing: &ObjectRef,
) -> Result<(), ObjectError> {
    heads_agree(objects, at, content).await?;
    ranges_are_parts(objects, at, content).await?;
    another_etag_is_replaced(objects, at).await?;
    what_is_missing_is_gone(objects, missing).await
}

async fn read<O: Objects>(
    objects: &O,
    at: &ObjectRef,
    range: Option<Range<u64>>,
    if_match: Option<&str>,
) -> Result<(ObjectHead, Vec<u8>), ObjectError> {
    let (head, mut body) = objects.get(at, range, if_match).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await? {
        assert!(!piece.is_empty(), "a piece has something in it");
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(body.next().await?, None, "an end stays an end");
    Ok((head, bytes))
}

/// `head` and `get` say the same of an object, and say it again.
pub async fn heads_agree<O: Objects>(
    objects: &O,
    at: &ObjectRef,
    content: &[u8],
) -> Result<(), ObjectError> {
    let head = objects.head(at).await?;
    assert_eq!(head.size, content.len() as u64);
    assert!(!head.etag.is_empty() && !head.etag.contains('"'), "{:?}", head.etag);
    for if_match in [None, Some(head.etag.as_str())] {
        let (got, bytes) = read(objects, at, None, if_match).await?;
        assert_eq!(got, head);
        assert!(bytes == content, "the content");
    }
    assert_eq!(objects.head(at).await?, head);
    Ok(())
}

/// A range is that part of the content, cut at its end, under the head of the whole object.
pub async fn ranges_are_parts<O: Objects>(
    objects: &O,
    at: &ObjectRef,
    content: &[u8],
) -> Result<(), ObjectError> {
    let head = objects.head(at).await?;
    let size = head.size;
    let ranges = [
        0..size,
        0..1,
        3..7,
        size - 1..size,
        5..u64::MAX,
        size - 2..size + 10,
        size..u64::MAX,
        size + 5..size + 6,
        4..4,
    ];
    for range in ranges {
        let (got, bytes) = read(objects, at, Some(range.clone()), Some(&head.etag)).await?;
        assert_eq!(got, head, "{range:?}");
        let [start, end] = [range.start, range.end]
            .map(|at| usize::try_from(at.min(size)).unwrap_or(content.len()));
        assert!(bytes == content[start..end], "{range:?}");
    }
    Ok(())
}

/// Under another ETag nothing is read, whatever the range.
pub async fn another_etag_is_replaced<O: Objects>(
    objects: &O,
    at: &ObjectRef,
) -> Result<(), ObjectError> {
    let size = objects.head(at).await?.size;
    for range in [None, Some(0..5), Some(5..u64::MAX), Some(size..u64::MAX), Some(2..2)] {
        let got = read(objects, at, range.clone(), Some("0123abcd")).await;
        assert!(matches!(got, Err(ObjectError::Replaced)), "{range:?}: {got:?}");
    }
    Ok(())
}

/// What is not there is gone.
pub async fn what_is_missing_is_gone<O: Objects>(
    objects: &O,
    missing: &ObjectRef,
) -> Result<(), ObjectError> {
    let head = objects.head(missing).await;
    assert!(matches!(head, Err(ObjectError::Gone)), "{head:?}");
    let got = read(objects, missing, Some(0..5), Some("0123abcd")).await;
    assert!(matches!(got, Err(ObjectError::Gone)), "{got:?}");
    Ok(())
}

/// Keys that a bucket must hold, and nothing else, for [`listing`]: in no order, names within
/// names, a name that is the beginning of another, bytes that sort around the slash.
pub const LISTED: [&str; 9] = [
    "AWSLogs/2/b.gz",
    "AWSLogs/1/a.gz",
    "AWSLogs/1/a.gz.old",
    "AWSLogs/1/c/x.gz",
    "AWSLogs/1/c/y.gz",
    "AWSLogs/1-2/z.gz",
    "AWSLogs/10/z.gz",
    "AWSLogs/top.gz",
    "AWSLogs/a b/é+%.gz",
];

/// Every check of a listing, on a bucket that holds [`LISTED`].
pub async fn listing<O: Objects + Listing>(objects: &O, bucket: &str) -> Result<(), ObjectError> {
    let mut keys = LISTED;
    keys.sort_unstable();
    for prefix in ["", "AWSLogs/", "AWSLogs/1", "AWSLogs/1/", "AWSLogs/1/a.gz", "AWSLogs/none", "x"]
    {
        let below: Vec<&str> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(walk(objects, bucket, prefix, None).await?, below, "below {prefix:?}");
        // After each key, after what would sort between two, and after the last.
        for after in below.iter().flat_map(|key| [(*key).to_owned(), format!("{key}!")]) {
            let rest: Vec<&str> = below.iter().copied().filter(|key| **key > *after).collect();
            let walked = walk(objects, bucket, prefix, Some(after.clone())).await?;
            assert_eq!(walked, rest, "below {prefix:?} after {after:?}");
        }
        // A place before the prefix, or behind everything.
        assert_eq!(walk(objects, bucket, prefix, Some("A".to_owned())).await?, below);
        assert_eq!(walk(objects, bucket, prefix, Some("zz".to_owned())).await?, [""; 0]);
    }
    for (prefix, expected) in [
        ("", vec!["AWSLogs/"]),
        ("AWSL", vec!["AWSLogs/"]),
        (
            "AWSLogs/",
            vec!["AWSLogs/1-2/", "AWSLogs/1/", "AWSLogs/10/", "AWSLogs/2/", "AWSLogs/a b/"],
        ),
        ("AWSLogs/1", vec!["AWSLogs/1-2/", "AWSLogs/1/", "AWSLogs/10/"]),
        ("AWSLogs/1/", vec!["AWSLogs/1/c/"]),
        ("AWSLogs/1/c/", vec![]),
        ("none/", vec![]),
    ] {
        assert_eq!(objects.folders(bucket, prefix).await?, expected, "folders of {prefix:?}");
    }
    Ok(())
}

/// Every key below a prefix, page by page; what the listing says must be what `head` says.
async fn walk<O: Objects + Listing>(
    objects: &O,
    bucket: &str,
    prefix: &str,
    mut after: Option<String>,
) -> Result<Vec<String>, ObjectError> {
    let mut keys = Vec::new();
    loop {
        let page = objects.list(bucket, prefix, after.as_deref()).await?;
        for listed in &page.objects {
            assert_eq!(listed.object.bucket, bucket);
            assert_eq!(listed.head, objects.head(&listed.object).await?, "{}", listed.object);
            assert!(listed.modified > 0, "{} has no time", listed.object);
        }
        keys.extend(page.objects.into_iter().map(|listed| listed.object.key));
        if !page.more {
            return Ok(keys);
        }
        assert_ne!(keys.last(), after.as_ref(), "a page that is not the last brings something");
        after = keys.last().cloned();
    }
}
