//! Objects in local folders: the objects port without S3.
//!
//! A file's identity is its content, never its name on this disk alone and never its time of
//! modification, so that copying, moving or touching an archive makes no new delivery:
//!
//! | file | bucket | key |
//! |---|---|---|
//! | `…/backup/AWSLogs/123456789012/…` | `backup` | the path from `AWSLogs/` on, as in S3 |
//! | named as AWS names deliveries | its folder | its name, from which the delivery's id is made |
//! | any other | its folder | content hash, `-`, its name |

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flowlog_core::object::{
    Listed, Listing, ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects, Page,
};
use flowlog_core::record::Source;
use sha2::{Digest as _, Sha256};

use crate::input::flow_logs;

/// Objects that a listing gives at once.
const PAGE: usize = if cfg!(test) { 2 } else { 1000 };
/// Bytes that a body gives at once.
const PIECE: usize = 128 * 1024;
/// The folder that AWS puts flow logs under.
const AWS_LOGS: &str = "AWSLogs";
/// Hex digits of the content hash in a key: 128 bits.
const HASH_IN_KEY: usize = 32;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two files would be the same object, and are not.
    #[error("{first} and {second} are both {object} but differ; name one of them")]
    Conflict {
        /// The object.
        object: ObjectRef,
        /// One file.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
}

/// The objects port on the files below some folders.
#[derive(Debug, Default)]
pub struct FolderObjects {
    files: BTreeMap<ObjectRef, PathBuf>,
    /// What is known of contents, so that a file is hashed once and not at every call.
    known: Mutex<BTreeMap<PathBuf, (Stamp, ObjectHead)>>,
}

/// What of a file's metadata changes when its content does. It decides only whether a hash that
/// this process made still holds; it is never an ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// Two writes within this time may leave the same time of modification.
    const TICK: Duration = Duration::from_secs(1);

    fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Whether a later write is sure to make another stamp.
    #[expect(clippy::disallowed_methods, reason = "compared with the file's clock, never stored")]
    fn is_settled(&self) -> bool {
        let age = self.modified.and_then(|then| SystemTime::now().duration_since(then).ok());
        age.is_some_and(|age| age > Self::TICK)
    }
}

impl FolderObjects {
    /// The files named, and the flow logs below the folders named: the same files as all commands read of
    /// a folder.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, FolderError> {
        let mut folder = Self::default();
        for path in paths {
            let path = path.as_ref();
            // Absolute, so that `.` has a name.
            let root = path.canonicalize().map_err(|source| failed(path, source))?;
            if root.is_file() {
                folder.add(root)?;
                continue;
            }
            for file in flow_logs(&root) {
                folder.add(file.map_err(|error| {
                    let at = error.path().unwrap_or(path).to_owned();
                    failed(&at, error.into())
                })?)?;
            }
        }
        Ok(folder)
    }

    /// The objects, sorted, with their files.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectRef, &Path)> {
        self.files.iter().map(|(object, path)| (object, path.as_path()))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No object at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn add(&mut self, path: PathBuf) -> Result<(), FolderError> {
        let object = match object_at(&path) {
            Some(object) => object,
            None => self.object_by_content(&path).map_err(|source| failed(&path, source))?,
        };
        let Some(first) = self.files.get(&object).filter(|first| **first != path) else {
            self.files.insert(object, path);
            return Ok(());
        };
        let etag = |path: &Path| {
            self.head_of(path).map(|head| head.etag).map_err(|source| failed(path, source))
        };
        // The same object in two places, for instance in two copies of a bucket.
        if etag(first)? == etag(&path)? {
            return Ok(());
        }
        Err(FolderError::Conflict { object, first: first.clone(), second: path })
    }

    fn object_by_content(&self, path: &Path) -> std::io::Result<ObjectRef> {
        let etag = self.head_of(path)?.etag;
        let key = format!("{}-{}", &etag[..HASH_IN_KEY], file_name(path));
        Ok(ObjectRef { bucket: folder_name(path.parent()), key })
    }

    /// Size and hash of a file, from memory if it has not changed since.
    fn head_of(&self, path: &Path) -> std::io::Result<ObjectHead> {
        self.head_of_open(path, &mut File::open(path)?)
    }

    fn head_of_open(&self, path: &Path, file: &mut File) -> std::io::Result<ObjectHead> {
        let stamp = Stamp::of(&file.metadata()?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, head)) = known.get(path).filter(|(then, _)| *then == stamp) {
            return Ok(head.clone());
        }
        let head = hash(file)?;
        if stamp.is_settled() {
            known.insert(path.to_owned(), (stamp, head.clone()));
        }
        Ok(head)
    }

    /// The files of a bucket whose keys begin with `prefix` and sort after `after`.
    fn below<'a>(
        &'a self,
        bucket: &str,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectRef, &'a PathBuf)> + use<'a> {
        let first = ObjectRef { bucket: bucket.to_owned(), key: prefix.max(after).to_owned() };
        let bucket = bucket.to_owned();
        self.files
            .range(first..)
            .take_while(move |(object, _)| {
                object.bucket == bucket && object.key.starts_with(prefix)
            })
            .filter(move |(object, _)| *object.key > *after)
    }

    fn path_of(&self, at: &ObjectRef) -> Result<&Path, ObjectError> {
        self.files.get(at).map(PathBuf::as_path).ok_or(ObjectError::Gone)
    }
}

impl Objects for FolderObjects {
    type Body = FileBody;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.head_of(self.path_of(at)?).map_err(unreadable)
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        let path = self.path_of(at)?;
        let mut file = File::open(path).map_err(unreadable)?;
        let head = self.head_of_open(path, &mut file).map_err(unreadable)?;
        if if_match.is_some_and(|etag| etag != head.etag) {
            return Err(ObjectError::Replaced);
        }
        let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
        let range = range.unwrap_or(0..head.size);
        let start = range.start.min(head.size);
        file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        let left = range.end.min(head.size).saturating_sub(start);
        Ok((head, FileBody { file: Some(file), left, stamp }))
    }
}

impl Listing for FolderObjects {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Page, ObjectError> {
        let mut below = self.below(bucket, prefix, after.unwrap_or_default()).peekable();
        let mut page = Page::default();
        while let Some((object, path)) = below.next_if(|_| page.objects.len() < PAGE) {
            let listed = self.head_of(path).and_then(|head| {
                let modified = std::fs::metadata(path)?.modified()?;
                let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let modified = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                Ok(Listed { object: object.clone(), head, modified })
            });
            match listed.map_err(unreadable) {
                Ok(listed) => page.objects.push(listed),
                Err(ObjectError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        page.more = below.peek().is_some();
        Ok(page)
    }

    async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let folders: BTreeSet<String> = self
            .below(bucket, prefix, "")
            .filter_map(|(object, _)| {
                let end = prefix.len() + object.key.get(prefix.len()..)?.find('/')?;
                Some(object.key[..=end].to_owned())
            })
            .collect();
        Ok(folders.into_iter().collect())
    }
}

/// A part of a file. It ends with an error if the file was written to meanwhile.
#[derive(Debug)]
pub struct FileBody {
    /// `None` once there is nothing more to read.
    file: Option<File>,
    left: u64,
    stamp: Stamp,
}

impl FileBody {
    fn read(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        if self.left == 0 {
            let now = Stamp::of(&file.metadata().map_err(unreadable)?);
            return if now == self.stamp { Ok(None) } else { Err(ObjectError::Replaced) };
        }
        let wanted = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; wanted];
        file.read_exact(&mut piece).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ObjectError::Replaced,
            _ => unreadable(error),
        })?;
        self.left -= wanted as u64;
        Ok(Some(Bytes::from(piece)))
    }
}

impl ObjectBody for FileBody {
    async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let piece = self.read();
        if !matches!(piece, Ok(Some(_))) {
            self.file = None;
        }
        piece
    }
}

/// The object that a path names by itself.
pub(crate) fn object_at(path: &Path) -> Option<ObjectRef> {
    let parts: Vec<&str> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    // The last one: an archive may lie below a folder that is itself called so.
    if let Some(at) = parts.iter().rposition(|part| *part == AWS_LOGS) {
        let bucket = at.checked_sub(1).and_then(|before| parts.get(before)).unwrap_or(&"local");
        return Some(ObjectRef { bucket: (*bucket).to_owned(), key: parts[at..].join("/") });
    }
    let name = file_name(path);
    let is_delivery = Source::of_object("", &name).to_string().starts_with("fl-");
    is_delivery.then(|| ObjectRef { bucket: folder_name(path.parent()), key: name })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder_name(folder: Option<&Path>) -> String {
    let name = folder.map(file_name).unwrap_or_default();
    if name.is_empty() { "local".to_owned() } else { name }
}

/// Reads a file to its end.
fn hash(file: &mut File) -> std::io::Result<ObjectHead> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    file.seek(SeekFrom::Start(0))?;
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            break;
        }
        hasher.update(&piece[..n]);
        size += n as u64;
    }
    let etag = hex::encode(hasher.finalize());
    Ok(ObjectHead { etag, size })
}

fn failed(path: &Path, source: std::io::Error) -> FolderError {
    FolderError::Io { path: path.to_owned(), source }
}

/// What cannot be read now may be readable later, except for what is not there or not ours.
fn unreadable(error: std::io::Error) -> ObjectError {
    match error.kind() {
        std::io::ErrorKind::NotFound => ObjectError::Gone,
        std::io::ErrorKind::PermissionDenied => ObjectError::Denied(Box::new(error)),
        _ => ObjectError::Retryable(Box::new(error)),
    }
}
