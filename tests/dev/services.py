"""Just enough of S3, SNS and of a bad network for functions behind `runtime_api.py`, on the loopback interface."""

import hashlib
import http.client
import pathlib
import re
import signal
import subprocess
import threading
import urllib.parse

from emulator import ACCOUNT, REGION, free_port
from loopback import Handler, Quiet

# What the functions need of the environment, whatever they talk to.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCOUNT,
    "AWS_SECRET_ACCESS_KEY": "loopback",
    "AWS_REGION": REGION,
    "AGGREGATES_TABLE": "FlowAggregates",
    "CONTROL_TABLE": "FlowControl",
}


class Serving:
    """`with` serves; `url` says where."""

    def __enter__(self):
        self.server = Quiet(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Objects(Serving):
    """A folder as a bucket of S3, to read from: GET and HEAD with ranges and If-Match."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.etags = {}

    def path(self, key):
        return self.folder / key

    def etag(self, path):
        if path not in self.etags:
            self.etags[path] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return self.etags[path]

    def handler(self):
        objects = self

        class S3(Handler):
            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                _, _, key = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/").partition("/")
                path = objects.path(key)
                if not path.is_file():
                    return self.error(404, "NoSuchKey")
                etag = f'"{objects.etag(path)}"'
                if self.headers.get("If-Match") not in (None, etag, etag.strip('"')):
                    return self.error(412, "PreconditionFailed")
                body = path.read_bytes()
                headers = [("ETag", etag), ("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT"), ("Accept-Ranges", "bytes")]
                if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                    first, last = int(part[1]), min(int(part[2] or len(body)), len(body) - 1)
                    if first > last:
                        return self.error(416, "InvalidRange")
                    headers.append(("Content-Range", f"bytes {first}-{last}/{len(body)}"))
                    return self.answer(206, body[first : last + 1], headers)
                return self.answer(200, body, headers)

            def error(self, status, code):
                body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                self.answer(status, body, [("Content-Type", "application/xml")])

        return S3


class Topic(Serving):
    """An SNS topic that keeps what is published: a dict of the form for each. `failing` more requests are answered with 503."""

    def __init__(self):
        self.published = []
        self.refused = 0
        self.failing = 0

    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"

    def handler(self):
        topic = self

        class Sns(Handler):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.body().decode()))
                if topic.failing > 0:
                    topic.failing -= 1
                    topic.refused += 1
                    error = b"<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code></Error></ErrorResponse>"
                    return self.answer(503, error, [("Content-Type", "text/xml")])
                topic.published.append(form)
                body = b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
                return self.answer(200, body, [("Content-Type", "text/xml")])

        return Sns


class Faults(Serving):
    """Stands between a function and the database. `judge(operation)` says what becomes of each request: None lets it pass,
    `throttle` refuses it as a table does whose capacity is used up, `lose` carries it out and closes without an answer."""

    def __init__(self, port, judge):
        self.port, self.judge = port, judge
        self.seen = {}

    def handler(self):
        faults = self

        class Proxy(Handler):
            def do_POST(self):
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                body = self.body()
                verdict = faults.judge(operation)
                faults.seen[operation, verdict] = faults.seen.get((operation, verdict), 0) + 1
                if verdict == "throttle":
                    kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
                    return self.answer(400, f'{{"__type":"{kind}","message":"slow down"}}'.encode())
                status, answer = self.forward(body)
                if verdict == "lose":
                    self.close_connection = True
                    return None
                return self.answer(status, answer, [("Content-Type", "application/x-amz-json-1.0")])

            def forward(self, body):
                names = ("Content-Type", "X-Amz-Target", "Authorization", "X-Amz-Date")
                connection = http.client.HTTPConnection("127.0.0.1", faults.port, timeout=30)
                try:
                    connection.request("POST", "/", body, {n: self.headers[n] for n in names if n in self.headers})
                    response = connection.getresponse()
                    return response.status, response.read()
                except OSError:
                    return 500, b'{"__type":"InternalServerError"}'
                finally:
                    connection.close()

        return Proxy


class Database:
    """The embedded DynamoDB as a process on one port, whoever serves it: `kill` and `start` as often as one likes."""

    def __init__(self, program, file):
        self.program, self.file, self.port = program, file, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self.process = subprocess.Popen(
            [self.program, self.file, str(self.port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the database did not start: {line!r}, exit status {self.process.wait()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def client(self, service="dynamodb"):
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="loopback",
            config=Config(retries={"max_attempts": 10, "mode": "standard"}),
        )

    def items(self, table):
        """Every item, with plain values."""
        from boto3.dynamodb.types import TypeDeserializer

        plain = TypeDeserializer().deserialize
        pages = self.client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def stream(self, table="FlowAggregates"):
        """Every record of the table's stream, as Lambda hands them to a function."""
        client = self.client("dynamodbstreams")
        arn = client.list_streams(TableName=table)["Streams"][0]["StreamArn"]
        found = []
        for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = client.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                answer = client.get_records(ShardIterator=iterator, Limit=1000)
                found += answer["Records"]
                iterator = answer.get("NextShardIterator") if answer["Records"] else None
        return [
            {
                "eventID": record["eventID"],
                "eventName": record["eventName"],
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": REGION,
                "dynamodb": {
                    "ApproximateCreationDateTime": int(record["dynamodb"]["ApproximateCreationDateTime"].timestamp()),
                    "Keys": record["dynamodb"]["Keys"],
                    "SizeBytes": record["dynamodb"].get("SizeBytes", 0),
                    "SequenceNumber": record["dynamodb"]["SequenceNumber"],
                    "StreamViewType": "NEW_IMAGE",
                },
            }
            for record in found
        ]
