//! Keys, ETags and bodies of local files.

use flowlog_core::object::contract;
use flowlog_core::record::BatchId;
use tempfile::TempDir;

use super::*;

const AWS_NAME: &str =
    "123456789012_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_20261101T0000Z_1a2b3c4d.log.gz";

/// Writes files below a folder of this name, in a temporary place.
fn folder(name: &str, files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join(name);
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    (place, root)
}

fn keys(objects: &FolderObjects) -> Vec<String> {
    objects.objects().map(|(object, _)| format!("{}|{}", object.bucket, object.key)).collect()
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap()).collect()
}

#[tokio::test]
async fn keeps_the_contract() {
    for size in [10, PIECE - 1, PIECE, 2 * PIECE + 1] {
        let content = content(size);
        let (_place, root) = folder("b", &[("AWSLogs/x.log.gz", &content)]);
        let objects = FolderObjects::open(&[&root]).unwrap();
        let (at, _) = objects.objects().next().unwrap();
        let missing = ObjectRef { key: "AWSLogs/none".to_owned(), ..at.clone() };
        contract::all(&objects, at, &content, &missing).await.unwrap();
    }
}

#[tokio::test]
async fn lists_what_there_is() {
    let files = contract::LISTED.map(|key| (key, &b"x"[..]));
    let (_place, root) = folder("b", &files);
    // Named one by one: not all are called as flow logs are.
    let objects = FolderObjects::open(&contract::LISTED.map(|key| root.join(key))).unwrap();
    contract::listing(&objects, "b").await.unwrap();
    assert_eq!(objects.list("another", "", None).await.unwrap(), Page::default());
    // What has been deleted meanwhile is not there, on a page that it would have been on.
    std::fs::remove_file(root.join(contract::LISTED[1])).unwrap();
    let page = objects.list("b", "AWSLogs/1/", None).await.unwrap();
    assert_eq!(page.objects[0].object.key, contract::LISTED[2]);
}

#[test]
fn a_key_is_where_or_what_it_is() {
    let deep = format!("AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/01/{AWS_NAME}");
    let (_place, root) = folder(
        "backup",
        &[
            (&deep, b"1"),
            (&format!("flat/{AWS_NAME}"), b"2"),
            ("odd/notes.log", b"3"),
            ("odd/.DS_Store", b"4"),
            (".git/config", b"5"),
        ],
    );
    let objects = FolderObjects::open(&[&root]).unwrap();
    let hash = "4e07408562bedb8b60ce05c1decfe3ad";
    assert_eq!(
        keys(&objects),
        [format!("backup|{deep}"), format!("flat|{AWS_NAME}"), format!("odd|{hash}-notes.log")]
    );
    let ids: Vec<BatchId> =
        objects.objects().map(|(o, _)| BatchId::of_object(&o.bucket, &o.key)).collect();
    assert_eq!(ids[0], ids[1], "a delivery of AWS is the same wherever it lies");
    assert_eq!(ids[0], BatchId::of_object("the-real-bucket", &deep));

    let one = FolderObjects::open(&[root.join("odd/notes.log")]).unwrap();
    assert_eq!(keys(&one), [format!("odd|{hash}-notes.log")], "a file named by itself");
}

#[tokio::test]
async fn touching_changes_nothing_and_writing_changes_the_etag() {
    let (_place, root) = folder("b", &[("AWSLogs/x.log", b"0123456789")]);
    let objects = FolderObjects::open(&[&root]).unwrap();
    let (at, path) = objects.objects().next().unwrap();
    let head = objects.head(at).await.unwrap();
    let touched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(path).unwrap().set_modified(touched).unwrap();
    assert_eq!(objects.head(at).await.unwrap(), head);

    // The same size at once, so that size and time may well be the same.
    std::fs::write(path, b"9876543210").unwrap();
    assert_ne!(objects.head(at).await.unwrap().etag, head.etag);
    let replaced = objects.get(at, None, Some(&head.etag)).await.map(|_| ()).unwrap_err();
    assert!(matches!(replaced, ObjectError::Replaced));
    std::fs::remove_file(path).unwrap();
    assert!(matches!(objects.head(at).await, Err(ObjectError::Gone)));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_replaced() {
    let content = content(3 * PIECE);
    let (_place, root) = folder("b", &[("AWSLogs/x.log", &content)]);
    let objects = FolderObjects::open(&[&root]).unwrap();
    let (at, path) = objects.objects().next().unwrap();
    for change in [&content[..PIECE], &[&content[..], b"more"].concat()] {
        std::fs::write(path, &content).unwrap();
        let (_, mut body) = objects.get(at, None, None).await.unwrap();
        assert!(body.next().await.unwrap().is_some());
        std::fs::write(path, change).unwrap();
        let end = loop {
            match body.next().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(matches!(end, Err(ObjectError::Replaced)), "{end:?}");
    }
}

#[test]
fn copies_are_one_object_and_contradictions_are_named() {
    let same: [(&str, &[u8]); 2] =
        [("one/b/AWSLogs/x.log", b"same"), ("two/b/AWSLogs/x.log", b"same")];
    let (_place, root) = folder("r", &same);
    assert_eq!(FolderObjects::open(&[&root, &root.join("one")]).unwrap().len(), 1);
    std::fs::write(root.join("two/b/AWSLogs/x.log"), b"other").unwrap();
    let error = FolderObjects::open(&[&root]).unwrap_err();
    assert!(matches!(error, FolderError::Conflict { .. }), "{error}");

    let error = FolderObjects::open(&[root.join("absent")]).unwrap_err();
    assert!(error.to_string().contains("absent cannot be read"), "{error}");
    assert!(FolderObjects::open::<PathBuf>(&[]).unwrap().is_empty());
}
