//! A server on loopback that writes down which actions of AWS are called, on what.
//!
//! DynamoDB's requests go on to the embedded database and come back with its answers; S3 has the
//! objects it is given, SNS takes everything, EC2 knows one interface. What is noted is what IAM would be asked: the action,
//! and the table and the first letters of the partition key, or the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Resource → actions. A resource is `FlowAggregates`, `FlowControl`, `objects`, `topic` or
/// `network interfaces`.
pub(crate) type Calls = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
struct Noted {
    calls: Calls,
    /// Beginnings of the partition keys that FlowControl was asked for, up to the `#`.
    leading: BTreeSet<String>,
}

pub(crate) struct Recorder {
    address: SocketAddr,
    noted: Arc<Mutex<Noted>>,
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    raw: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

impl Recorder {
    /// Starts; `objects` are S3's, by key, whatever the bucket.
    pub(crate) fn start(dynamodb: &str, objects: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let noted = Arc::new(Mutex::new(Noted::default()));
        let (dynamodb, objects) =
            (dynamodb.strip_prefix("http://").unwrap().to_owned(), Arc::new(objects));
        let written = Arc::clone(&noted);
        // Threads end with the process: nothing they hold outlives it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (written, dynamodb, objects) =
                    (Arc::clone(&written), dynamodb.clone(), Arc::clone(&objects));
                std::thread::spawn(move || {
                    serve(&stream, |request| answer(request, &written, &dynamodb, &objects));
                });
            }
        });
        Self { address, noted }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was called so far, and the keys of FlowControl; the next scenario starts afresh.
    pub(crate) fn take(&self) -> (Calls, BTreeSet<String>) {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap());
        (noted.calls, noted.leading)
    }
}

fn serve(stream: &TcpStream, answer: impl Fn(&Request) -> Vec<u8>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        let response = answer(&request);
        let mut writer = stream;
        if writer.write_all(&response).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut raw = Vec::new();
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        raw.extend_from_slice(&line);
        let text = String::from_utf8(line).unwrap().trim_end().to_owned();
        if text.is_empty() {
            break;
        }
        lines.push(text);
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())))
        .collect();
    let mut request = Request { method, target, headers, raw, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.raw.extend_from_slice(&body);
    request.body = body;
    Some(request)
}

fn answer(
    request: &Request,
    noted: &Mutex<Noted>,
    dynamodb: &str,
    objects: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let note = |resource: &str, action: String| {
        noted.lock().unwrap().calls.entry(resource.to_owned()).or_default().insert(action);
    };
    if let Some(target) = request.header("x-amz-target") {
        let operation = target.rsplit('.').next().unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        for table in tables(&body) {
            note(&table, format!("dynamodb:{operation}"));
            // IAM lets whoever may write batches delete by them; that nobody does is seen here.
            if body
                .pointer("/RequestItems")
                .is_some_and(|i| i.to_string().contains("\"DeleteRequest\":"))
            {
                note(&table, "dynamodb:DeleteItem".to_owned());
            }
        }
        let keys = leading_keys(&body);
        noted.lock().unwrap().leading.extend(keys);
        return forward(dynamodb, &request.raw);
    }
    if request.method == "POST" {
        let form = String::from_utf8_lossy(&request.body);
        let action = form.split('&').find_map(|p| p.strip_prefix("Action=")).unwrap();
        if form.contains("Version=2016-11-15") {
            note("network interfaces", format!("ec2:{action}"));
            return response(200, &[("content-type", "text/xml")], INTERFACE.as_bytes(), true);
        }
        note("topic", format!("sns:{action}"));
        let body = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
        return response(200, &[("content-type", "text/xml")], body.as_bytes(), true);
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    // Path style: /bucket/key, percent-encoded.
    let mut parts = path.splitn(3, '/').skip(1);
    let (_bucket, key) = (parts.next().unwrap(), parts.next().unwrap_or(""));
    if query.contains("list-type=2") {
        note("objects", "s3:ListBucket".to_owned());
        return response(
            200,
            &[("content-type", "application/xml")],
            listing(query, objects).as_bytes(),
            true,
        );
    }
    let versioned = query.contains("versionId=");
    note("objects", if versioned { "s3:GetObjectVersion" } else { "s3:GetObject" }.to_owned());
    let key = key.replace("%3D", "=");
    let whole = request.method != "HEAD";
    if let Some(body) = objects.get(&key) {
        return response(200, &[("etag", &format!("\"{key}\""))], body, whole);
    }
    let body = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
    response(404, &[("content-type", "application/xml")], body.as_bytes(), whole)
}

/// EC2's answer: an interface of an instance, whose tags are asked for next.
const INTERFACE: &str = "<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
    <attachment><instanceId>i-1</instanceId></attachment></item></networkInterfaceSet></R>";

/// The tables that a request names.
fn tables(body: &Value) -> Vec<String> {
    if let Some(table) = body["TableName"].as_str() {
        return vec![table.to_owned()];
    }
    body["RequestItems"]
        .as_object()
        .map(|items| items.keys().cloned().collect())
        .unwrap_or_default()
}

/// Beginnings of FlowControl's partition keys, wherever a request has one.
fn leading_keys(body: &Value) -> Vec<String> {
    if !tables(body).iter().any(|table| table == "FlowControl") {
        return Vec::new();
    }
    let mut keys = Vec::new();
    let mut walk = vec![body];
    while let Some(value) = walk.pop() {
        match value {
            Value::Object(map) => {
                for (name, item) in map {
                    match item["S"].as_str() {
                        Some(key) if name == "pk" || name == ":pk" => keys.push(prefix(key)),
                        _ => walk.push(item),
                    }
                }
            }
            Value::Array(items) => walk.extend(items),
            _ => {}
        }
    }
    keys
}

fn prefix(key: &str) -> String {
    key.split_once('#').map_or_else(|| key.to_owned(), |(first, _)| format!("{first}#*"))
}

fn forward(address: &str, raw: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(raw).unwrap();
    let mut reader = BufReader::new(&stream);
    let response = read_request(&mut reader).unwrap();
    response.raw
}

/// All on one page; with a delimiter, folders in place of what is below them.
fn listing(query: &str, objects: &BTreeMap<String, Vec<u8>>) -> String {
    let asked = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
    let prefix = asked("prefix=").unwrap_or_default().replace("%2F", "/").replace("%3D", "=");
    let folders = asked("delimiter=").is_some();
    let mut entries = BTreeSet::new();
    for (key, body) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        entries.insert(match key[prefix.len()..].find('/').filter(|_| folders) {
            Some(end) => {
                let folder = &key[..=prefix.len() + end];
                format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")
            }
            None => format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-01T00:10:00.000Z</LastModified>\
                 <ETag>&quot;{key}&quot;</ETag><Size>{}</Size></Contents>",
                body.len()
            ),
        });
    }
    let entries: String = entries.into_iter().collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
}

fn response(status: u16, headers: &[(&str, &str)], body: &[u8], with_body: bool) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if with_body {
        out.extend_from_slice(body);
    }
    out
}
