#!/usr/bin/env python3
"""Writes every file under events/: the sample payloads, and the flow log object that the S3 ones name.

The payloads are committed, so that tests and `cargo lambda invoke` need no Python; this script says how they came about.
Everything in it is fixed (no clock, no randomness), so a second run writes the same files.

    make_events.py            write the files
    make_events.py --check    exit 1 if a committed file says something else (compressed data is compared unpacked,
                              because two zlib builds may pack the same bytes differently)

Standard library only.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import sys
import urllib.parse

EVENTS = pathlib.Path(__file__).resolve().parents[2] / "events"

ACCOUNT = "123456789012"
REGION = "us-east-1"
BUCKET = "flowlog-dev-logs"
FLOW_LOG = "fl-0123456789abcdef0"
MIDNIGHT = 1793491200  # 2026-11-01T00:00:00Z
# AWS names an object by the start of the five minutes in which its records *end*.
OBJECT = f"{ACCOUNT}_vpcflowlogs_{REGION}_{FLOW_LOG}_20261101T0000Z_7c1fdc3c.log.gz"
KEY = f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/2026/11/01/{OBJECT}"
LOG_GROUP = "/flowlog/flowlog-dev/vpc-flow-logs"

HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol "
    "packets bytes start end action log-status"
)

# VPC A (10.10.0.0/16) is the one that FLOW_LOG watches; VPC B (10.20.0.0/16) is its peer.
WEB, WEB_IP = "eni-0a1b2c3d4e5f60718", "10.10.1.20"
DATABASE, DATABASE_IP = "eni-0b2c3d4e5f6071829", "10.10.2.15"
IDLE = "eni-0c3d4e5f60718293a"
PEER_CLIENT, PEER_SCANNER = "10.20.1.30", "10.20.1.99"
S3_ENDPOINT, STRANGER, PROBER = "52.216.9.35", "203.0.113.77", "198.51.100.23"

TCP, UDP = 6, 17


def record(interface, src, dst, srcport, dstport, protocol, packets, size, minute, action):
    """One line of the default (version 2) format; its capture window is the given minute after midnight."""
    start = MIDNIGHT + 60 * minute + 3
    return (
        f"2 {ACCOUNT} {interface} {src} {dst} {srcport} {dstport} {protocol} "
        f"{packets} {size} {start} {start + 56} {action} OK"
    )


def no_data(interface, minute, status):
    start = MIDNIGHT + 60 * minute + 3
    return f"2 {ACCOUNT} {interface} - - - - - - - {start} {start + 56} - {status}"


def object_lines():
    """Four minutes of VPC A: ordinary traffic, a few strangers, and a scan from inside the peered VPC."""
    lines = [HEADER]
    for minute in range(4):
        lines += [
            # A client in VPC B uses the web server over the peering connection: both directions are records.
            record(WEB, PEER_CLIENT, WEB_IP, 40112 + minute, 443, TCP, 24, 6120, minute, "ACCEPT"),
            record(WEB, WEB_IP, PEER_CLIENT, 443, 40112 + minute, TCP, 31, 48230, minute, "ACCEPT"),
            # The web server uses the database, seen at both interfaces.
            record(WEB, WEB_IP, DATABASE_IP, 51820 + minute, 5432, TCP, 12, 2040, minute, "ACCEPT"),
            record(DATABASE, WEB_IP, DATABASE_IP, 51820 + minute, 5432, TCP, 12, 2040, minute, "ACCEPT"),
            # … and S3 through the gateway endpoint.
            record(WEB, WEB_IP, S3_ENDPOINT, 38112 + minute, 443, TCP, 90, 131072, minute, "ACCEPT"),
            record(WEB, STRANGER, WEB_IP, 55021 + minute, 23, TCP, 1, 40, minute, "REJECT"),
        ]
    lines.append(record(WEB, PROBER, WEB_IP, 123, 123, UDP, 1, 76, 1, "REJECT"))
    # Sixty ports of one host in three minutes.
    for i in range(60):
        lines.append(record(WEB, PEER_SCANNER, WEB_IP, 61000 + i, 8000 + 7 * i, TCP, 1, 44, 1 + i // 20, "REJECT"))
    lines.append(no_data(IDLE, 0, "NODATA"))
    lines.append(no_data(DATABASE, 3, "SKIPDATA"))
    return lines


def packed(data):
    return gzip.compress(data, mtime=0)


def s3_record(body):
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-11-01T00:09:41.512Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AROAEXAMPLEEXAMPLE:LogDelivery"},
        "requestParameters": {"sourceIPAddress": "192.0.2.10"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "flowlog-ingest",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{BUCKET}",
            },
            "object": {
                # Form-encoded, as S3 sends it (a Hive-style key would carry %3D here).
                "key": urllib.parse.quote_plus(KEY, safe="/"),
                "size": len(body),
                "eTag": hashlib.md5(body).hexdigest(),
                "sequencer": "0069055C15A2B3C4D5",
            },
        },
    }


def sqs_message(body, number):
    text = json.dumps(body, separators=(",", ":"))
    return {
        "messageId": f"059f36b4-87a3-44ab-83d2-66197587230{number}",
        "receiptHandle": f"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a-{number}",
        "body": text,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1793491782004",
            "SenderId": "AIDAJHIPRHEMV73VRJEBU",
            "ApproximateFirstReceiveTimestamp": "1793491782011",
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(text.encode()).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:flowlog-dev-ingest",
        "awsRegion": REGION,
    }


def sqs(*bodies):
    return {"Records": [sqs_message(body, number) for number, body in enumerate(bodies)]}


def sns_envelope(message):
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:flow-log-objects"
    return {
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": topic,
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message, separators=(",", ":")),
        "Timestamp": "2026-11-01T00:09:41.870Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEpH+DcEwjAPg8O9mY8dReBSwksfg2S7WKQcikcNKWLQjwu6A4VbeS0QHVCkhRS7fUQvi2egU3N858fiTDN6bkkOxYDVrY0Ad8L10Hs3zH81mtnPk5uvvolIC1CXGu43obcgFxeL3khZl8IKvO61GWB6jI9b5+gLPoBc1Q=",
        "SigningCertURL": f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-0000000000000000000000.pem",
        "UnsubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={topic}:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55",
    }


def sqs_raw(message):
    """A queue's subscription with raw message delivery: what S3 sent, without the topic's envelope."""
    event = sqs(message)
    event["Records"][0]["attributes"]["SenderId"] = "AIDAISMY7JYY5F7RTT6AO"
    event["Records"][0]["messageAttributes"] = {
        "topic": {"stringValue": "flow-log-objects", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
    }
    return event


def sns_invocation(message):
    """A topic that invokes the function itself."""
    envelope = sns_envelope(message)
    certificate, unsubscribe = envelope.pop("SigningCertURL"), envelope.pop("UnsubscribeURL")
    topic = envelope["TopicArn"]
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55",
                "Sns": {
                    **envelope,
                    "SigningCertUrl": certificate,
                    "UnsubscribeUrl": unsubscribe,
                    "MessageAttributes": {},
                },
            }
        ]
    }


def eventbridge(body):
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2026-11-01T00:09:41Z",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {
                "key": KEY,  # EventBridge sends the key as it is
                "size": len(body),
                "etag": hashlib.md5(body).hexdigest(),
                "sequencer": "0069055C15A2B3C4D5",
            },
            "request-id": "C3D13FE58DE4C810",
            "requester": "delivery.logs.amazonaws.com",
            "source-ip-address": "192.0.2.10",
            "reason": "PutObject",
        },
    }


def reconcile():
    """What the schedule sends: which buckets to hold against the ledger."""
    return {"flowlog": "reconcile", "buckets": [BUCKET], "prefixes": [""], "lookback_days": 1}


def test_event():
    """What S3 sends once, when a notification is configured: there is no object behind it."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-10-31T18:02:11.120Z",
        "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }


def log_events(lines):
    """CloudWatch Logs stamps an event with its record's start, and numbers it with 56 digits."""
    events = []
    for i, line in enumerate(lines):
        start = int(line.split(" ")[10])
        events.append(
            {
                "id": f"{39862511000000000000000000000000000000000000000000000000 + start * 10**20 + i:056d}",
                "timestamp": start * 1000,
                "message": line,
            }
        )
    return events


def awslogs(message):
    return {"awslogs": {"data": base64.b64encode(packed(json.dumps(message, separators=(",", ":")).encode())).decode()}}


def data_message():
    """One log stream's records: no header line, hence the configured format."""
    lines = [
        record(WEB, PEER_CLIENT, WEB_IP, 40210, 443, TCP, 24, 6120, 5, "ACCEPT"),
        record(WEB, WEB_IP, PEER_CLIENT, 443, 40210, TCP, 31, 48230, 5, "ACCEPT"),
        record(WEB, STRANGER, WEB_IP, 55100, 23, TCP, 1, 40, 5, "REJECT"),
        record(WEB, PROBER, WEB_IP, 43991, 3389, TCP, 2, 88, 6, "REJECT"),
        record(WEB, PEER_SCANNER, WEB_IP, 61200, 22, TCP, 1, 44, 6, "REJECT"),
        record(WEB, PEER_SCANNER, WEB_IP, 61201, 445, TCP, 1, 44, 6, "REJECT"),
        no_data(WEB, 7, "NODATA"),
    ]
    return awslogs(
        {
            "messageType": "DATA_MESSAGE",
            "owner": ACCOUNT,
            "logGroup": LOG_GROUP,
            "logStream": f"{WEB}-all",
            "subscriptionFilters": ["flowlog-cwl-subscriber"],
            "logEvents": log_events(lines),
        }
    )


def control_message():
    """CloudWatch Logs' own probe that the destination can be reached: nothing to count."""
    return awslogs(
        {
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [
                {
                    "id": "",
                    "timestamp": 1793491505000,
                    "message": "CWL CONTROL MESSAGE: Checking health of destination Lambda function.",
                }
            ],
        }
    )


def stream_insert():
    """A doorbell: one partial was written. The function reads the window's items by these keys."""
    keys = {
        "pk": {"S": f"E#{FLOW_LOG}#{WEB}#20261101"},
        "sk": {"S": f"W{MIDNIGHT}#P#AAAAAAAAAAAAAAAAAAAAAA#000"},
    }
    return {
        "Records": [
            {
                "eventID": "c4ca4238a0b923820dcc509a6f75849b",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": REGION,
                "dynamodb": {
                    "ApproximateCreationDateTime": 1793491783,
                    "Keys": keys,
                    "NewImage": {**keys, "t": {"S": "P"}, "ttl": {"N": str(MIDNIGHT + 300 + 35 * 86400)}},
                    "SequenceNumber": "111000000000000000000001",
                    "SizeBytes": 142,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/FlowAggregates/stream/2026-10-31T18:00:00.000",
            }
        ]
    }


def sweep():
    """What the alerter's schedule sends."""
    return {"flowlog": "sweep"}


def compact():
    """What the alerter's other schedule sends."""
    return {"flowlog": "compact"}


def payloads(body):
    direct = {"Records": [s3_record(body)]}
    return {
        "s3-parser/sqs-s3-notification.json": sqs(direct),
        "s3-parser/s3-direct.json": direct,
        "s3-parser/sns-sqs-s3.json": sqs(sns_envelope(direct)),
        "s3-parser/sns-raw-sqs-s3.json": sqs_raw(direct),
        "s3-parser/sns-s3.json": sns_invocation(direct),
        "s3-parser/eventbridge-object-created.json": eventbridge(body),
        "s3-parser/eventbridge-sqs.json": sqs(eventbridge(body)),
        "s3-parser/s3-test-event.json": sqs(test_event()),
        "s3-parser/reconcile.json": reconcile(),
        "cwl-subscriber/data-message.json": data_message(),
        "cwl-subscriber/control-message.json": control_message(),
        "anomaly-alerter/dynamodb-stream-insert.json": stream_insert(),
        "anomaly-alerter/sweep.json": sweep(),
        "anomaly-alerter/compact.json": compact(),
    }


def unpacked(payload):
    """A payload with its compressed part opened, for comparing."""
    data = payload.get("awslogs", {}).get("data")
    return json.loads(gzip.decompress(base64.b64decode(data))) if data else payload


def main():
    text = ("\n".join(object_lines()) + "\n").encode()
    path = EVENTS / "s3-parser" / OBJECT
    if "--check" not in sys.argv[1:]:
        body = packed(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        for name, payload in payloads(body).items():
            (EVENTS / name).parent.mkdir(parents=True, exist_ok=True)
            (EVENTS / name).write_text(json.dumps(payload, indent=2) + "\n")
        return 0
    wrong = []
    body = path.read_bytes()
    if gzip.decompress(body) != text:
        wrong.append(path.name)
    for name, payload in payloads(body).items():
        if unpacked(json.loads((EVENTS / name).read_text())) != unpacked(payload):
            wrong.append(name)
    for name in wrong:
        print(f"events/{name}: differs from what tests/dev/make_events.py writes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
