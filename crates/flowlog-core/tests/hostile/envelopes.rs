//! Every envelope in which the name of an object arrives, and what is no envelope.

use flowlog_core::event::{EventError, Ignored, Notifications, parse_notifications};
use serde_json::{Value, json};

const KEY: &str = "AWSLogs/123456789012/vpcflowlogs/us-gov-east-1/2026/11/01/\
                   123456789012_vpcflowlogs_us-gov-east-1_fl-1_20261101T0000Z_1a2b3c4d.log.gz";

/// One record of S3's own notification.
fn record(event: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-gov-east-1",
        "eventTime": "2026-11-01T00:09:41.512Z", "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "x",
            "bucket": { "name": "logs", "arn": "arn:aws:s3:::logs" },
            "object": { "key": key, "size": 836, "eTag": "9e9ccc04", "sequencer": "0069" },
        },
    })
}

fn s3(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn created() -> String {
    s3(&[record("ObjectCreated:Put", KEY)])
}

fn sqs(bodies: &[String]) -> String {
    let record =
        |body: &String| json!({ "eventSource": "aws:sqs", "messageId": "1", "body": body });
    json!({ "Records": bodies.iter().map(record).collect::<Vec<_>>() }).to_string()
}

fn sns(message: &str) -> String {
    json!({ "Type": "Notification", "TopicArn": "t", "Subject": "Amazon S3 Notification",
            "Message": message, "MessageAttributes": {} })
    .to_string()
}

fn sns_direct(message: &str) -> String {
    json!({ "Records": [{ "EventVersion": "1.0", "EventSource": "aws:sns",
                          "Sns": { "Type": "Notification", "Message": message } }] })
    .to_string()
}

fn event_bridge(kind: &str, key: &str) -> String {
    json!({ "version": "0", "source": "aws.s3", "detail-type": kind, "time": "2026-11-01T00:09:41Z",
            "detail": { "version": "0", "bucket": { "name": "logs" }, "reason": "PutObject",
                        "object": { "key": key, "size": 836, "etag": "9e9ccc04" } } })
    .to_string()
}

fn keys(body: &str) -> Vec<String> {
    let Notifications { created, ignored } = parse_notifications(body).unwrap();
    assert_eq!(ignored, []);
    created.into_iter().map(|n| n.object.key).collect()
}

#[test]
fn the_same_object_in_every_envelope() {
    let bodies = [
        created(),
        sqs(&[created()]),
        sqs(&[sns(&created())]),
        sns(&created()),
        sns_direct(&created()),
        event_bridge("Object Created", KEY),
        sqs(&[event_bridge("Object Created", KEY)]),
        sns(&event_bridge("Object Created", KEY)),
        sqs(&[sns(&event_bridge("Object Created", KEY))]),
        sqs(&[sns_direct(&created())]),
    ];
    for body in bodies {
        let found = parse_notifications(&body).unwrap();
        let [one] = &found.created[..] else { panic!("{body}: {found:?}") };
        assert_eq!((&*one.object.bucket, &*one.object.key), ("logs", KEY), "{body}");
        assert_eq!((one.etag.as_deref(), one.size), (Some("9e9ccc04"), Some(836)));
        assert_eq!(one.time, Some(1_793_491_781));
        assert_eq!(found.ignored, []);
    }
}

#[test]
fn versions_and_fields_that_are_not_known_change_nothing() {
    for version in ["2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.99"] {
        let mut record = record("ObjectCreated:CompleteMultipartUpload", KEY);
        record["eventVersion"] = json!(version);
        record["s3"]["bucket"]["awsGeneratedTags"] = json!({ "a": ["b", null, 1.5] });
        record["s3"]["object"]["versionId"] = json!(null);
        record["glacierEventData"] = json!({ "restoreEventData": {} });
        record["new"] = json!([[[[]]]]);
        assert_eq!(keys(&s3(&[record])), [KEY]);
    }
    // What is told but not needed may be missing or of another type.
    for field in ["eTag", "size", "sequencer"] {
        for value in [json!(null), json!([]), json!("x"), json!(-1), json!(1e300)] {
            let mut record = record("ObjectCreated:Put", KEY);
            record["s3"]["object"][field] = value;
            record["eventTime"] = json!("yesterday");
            let found = parse_notifications(&s3(&[record])).unwrap();
            assert_eq!(found.created[0].time, None);
        }
    }
    let mut quoted = record("ObjectCreated:Copy", KEY);
    quoted["s3"]["object"]["eTag"] = json!("\"9e9ccc04-2\"");
    let found = parse_notifications(&s3(&[quoted])).unwrap();
    assert_eq!(found.created[0].etag.as_deref(), Some("9e9ccc04-2"));
}

#[test]
fn several_records_keep_their_order() {
    let three: Vec<Value> =
        ["a", "b", "a"].iter().map(|key| record("ObjectCreated:Put", key)).collect();
    assert_eq!(keys(&s3(&three)), ["a", "b", "a"]);
    let mixed = sqs(&[s3(&three), sns(&s3(&three[1..])), event_bridge("Object Created", "e")]);
    assert_eq!(keys(&mixed), ["a", "b", "a", "b", "a", "e"]);
}

#[test]
fn other_events_are_passed_over_aloud() {
    let test =
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs" }).to_string();
    for body in
        [test.clone(), sqs(std::slice::from_ref(&test)), sqs(&[sns(&test)]), sns_direct(&test)]
    {
        let found = parse_notifications(&body).unwrap();
        assert_eq!((found.created.len(), found.ignored), (0, vec![Ignored::TestEvent]));
    }
    for name in [
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:Completed",
        "LifecycleExpiration:Delete",
        "ObjectTagging:Put",
        "s3:ObjectRemoved:Delete",
        "ObjectCreated",
        "",
    ] {
        let body = s3(&[record(name, KEY), record("ObjectCreated:Put", "kept")]);
        let found = parse_notifications(&body).unwrap();
        assert_eq!(found.ignored, [Ignored::OtherEvent(name.to_owned())]);
        assert_eq!(found.created[0].object.key, "kept");
    }
    let found = parse_notifications(&event_bridge("Object Deleted", KEY)).unwrap();
    assert_eq!(found.ignored, [Ignored::OtherEvent("Object Deleted".to_owned())]);
    // What goes to a log is short, whoever made the name up.
    let found = parse_notifications(&s3(&[record(&"x".repeat(9_000), KEY)])).unwrap();
    assert_eq!(found.ignored, [Ignored::OtherEvent("x".repeat(64))]);
}

#[test]
fn keys_are_decoded_as_their_sender_encodes_them() {
    for (sent, key) in [
        ("a+b/c", "a b/c"),
        ("a%2Bb", "a+b"),
        ("a%2bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("Happy%20Face.jpg", "Happy Face.jpg"),
        ("%C3%A9t%C3%A9", "été"),
        ("day%3D01/hour%3D00/x", "day=01/hour=00/x"),
        ("day=01/x", "day=01/x"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%F0%9F%98%80", "😀"),
        ("", ""),
    ] {
        assert_eq!(keys(&s3(&[record("ObjectCreated:Put", sent)])), [key], "{sent}");
        assert_eq!(keys(&event_bridge("Object Created", sent)), [sent], "as it is");
    }
    // A Hive key as S3 sends it.
    let hive = "p/AWSLogs/aws-account-id%3D123456789012/aws-service%3Dvpcflowlogs/x.log.gz";
    let key = "p/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/x.log.gz";
    assert_eq!(keys(&s3(&[record("ObjectCreated:Put", hive)])), [key]);
}

#[test]
fn what_is_missing_is_named() {
    let without = |path: &[&str]| {
        let mut record = record("ObjectCreated:Put", KEY);
        let (last, parents) = path.split_last().unwrap();
        let mut place = &mut record;
        for name in parents {
            place = &mut place[*name];
        }
        place.as_object_mut().unwrap().remove(*last);
        s3(&[record])
    };
    for (path, missing) in [
        (&["eventName"][..], "eventName"),
        (&["s3"], "s3"),
        (&["s3", "object"], "s3.object"),
        (&["s3", "object", "key"], "s3.object.key"),
        (&["s3", "bucket"], "s3.bucket.name"),
        (&["s3", "bucket", "name"], "s3.bucket.name"),
    ] {
        assert_eq!(parse_notifications(&without(path)), Err(EventError::Missing(missing)));
        let nested = sqs(&[sns(&without(path))]);
        assert_eq!(parse_notifications(&nested), Err(EventError::Missing(missing)));
    }
    for (body, error) in [
        (r#"{"Records":[{"eventSource":"aws:sqs"}]}"#, EventError::Missing("body")),
        (r#"{"Records":[{"eventSource":"aws:sqs","body":7}]}"#, EventError::Missing("body")),
        (r#"{"Records":[{"EventSource":"aws:sns","Sns":{}}]}"#, EventError::Missing("Sns.Message")),
        (r#"{"Type":"Notification"}"#, EventError::Missing("Message")),
        (r#"{"source":"aws.s3"}"#, EventError::Missing("detail-type")),
        (r#"{"source":"aws.s3","detail-type":"Object Created"}"#, EventError::Missing("detail")),
    ] {
        assert_eq!(parse_notifications(body), Err(error), "{body}");
    }
}

#[test]
fn what_is_no_envelope_is_an_error_and_never_nothing() {
    for body in [
        "{}",
        "[]",
        "null",
        "1",
        "\"x\"",
        r#"{"Records":{}}"#,
        r#"{"Records":[1]}"#,
        r#"{"Records":[{}]}"#,
        r#"{"Records":[null]}"#,
        r#"{"Records":[{"eventSource":1}]}"#,
        r#"{"Records":[{"eventSource":"aws:dynamodb"}]}"#,
        r#"{"source":"aws.ec2"}"#,
        r#"{"awslogs":{"data":""}}"#,
        r#"{"Type":"SubscriptionConfirmation","Message":"x"}"#,
        r#"{"Event":"s3:OtherEvent"}"#,
        r#"{"Records":[]}"#,
    ] {
        assert_eq!(parse_notifications(body), Err(EventError::Unknown), "{body}");
        assert_eq!(
            parse_notifications(&sqs(&[body.to_owned()])),
            Err(EventError::Unknown),
            "{body}"
        );
    }
    for body in ["", " ", "{", "\u{feff}{}", "{}{}", "{\"a\":\u{0}}", "\"\\ud800\"", "nul"] {
        assert!(matches!(parse_notifications(body), Err(EventError::Json(_))), "{body:?}");
        let nested = sqs(&[sns(body)]);
        assert!(matches!(parse_notifications(&nested), Err(EventError::Json(_))), "{body:?}");
    }
}

#[test]
fn depth_and_length_have_bounds() {
    // JSON as deep as it likes, in a field that nobody reads and in one that is read.
    for depth in [100, 1_000, 1_000_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"Records":[{}],"x":{deep}}}"#, record("ObjectCreated:Put", "k"));
        let found = parse_notifications(&body);
        assert!(if depth < 120 {
            found.is_ok()
        } else {
            matches!(found, Err(EventError::Json(_)))
        });
        assert!(parse_notifications(&deep).is_err());
    }
    // Envelopes within envelopes.
    let mut body = created();
    for depth in 1..6 {
        body = sqs(&[body]);
        let found = parse_notifications(&body);
        assert_eq!(found.is_err(), depth > 3, "{depth}");
    }
    assert_eq!(parse_notifications(&body), Err(EventError::TooDeep(4)));
    let many: Vec<Value> = (0..2_000).map(|_| record("ObjectCreated:Put", KEY)).collect();
    assert_eq!(parse_notifications(&s3(&many)).unwrap().created.len(), 2_000);
}
