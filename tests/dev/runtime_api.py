"""A built function behind a Lambda Runtime API of our own, and the pollers that Lambda has for queues and streams.

The emulator leaves parts of Lambda out; here they are, as small as they can be: one process of the function, one event at a
time, a deadline, the process ended by force and started anew, a queue's partial batch responses, a stream's with bisection
and a limit on attempts.
"""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import uuid

from loopback import Handler, Quiet

RESULT = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)$")


class Died(Exception):
    """The process ended, or was ended, before it answered."""


class FunctionError(Exception):
    """The function answered with an error: its Diagnostic, as a dict."""


class Function:
    """`with Function(bootstrap, environment) as f: f.invoke(event)`. Not for several threads at once."""

    def __init__(self, bootstrap, environment, log=None, timeout=60, memory=512):
        self.bootstrap, self.log, self.timeout = bootstrap, log, timeout
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.environment = {
            "PATH": os.environ["PATH"],
            **environment,
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        }
        self.process = None
        # The highest resident set of any of its processes, in KiB.
        self.peak = 0
        self.starts = 0

    def __enter__(self):
        self.server = Quiet(("127.0.0.1", 0), self.handler())
        self.environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self.server.shutdown()
        self.server.server_close()

    def start(self):
        self.starts += 1
        self.process = subprocess.Popen(
            [self.bootstrap],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log or subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    def kill(self):
        """SIGKILL, as when a sandbox is thrown away."""
        self.measure()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def measure(self):
        """The process's peak resident set so far, in KiB; 0 where there is no /proc."""
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
                text = status.read()
        except OSError:
            return 0
        field = lambda name: int(m[1]) if (m := re.search(rf"{name}:\s+(\d+) kB", text)) else 0
        self.peak = max(self.peak, field("VmHWM"))
        return field("VmRSS")

    def invoke(self, event):
        """The function's answer to this event. A process that is gone is started anew first."""
        if self.process.poll() is not None:
            self.start()
        request = str(uuid.uuid4())
        self.events.put((request, json.dumps(event).encode()))
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                answered, kind, body = self.answers.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    # What has not been fetched must not reach the next process.
                    while not self.events.empty():
                        self.events.get_nowait()
                    self.kill()
                    raise Died(f"no answer, exit status {self.process.returncode}") from None
                continue
            if answered != request:
                continue
            if kind == "error":
                raise FunctionError(body)
            return body

    def handler(self):
        function = self

        class RuntimeApi(Handler):
            def do_GET(self):
                # Waits as Lambda does, but not for the event of a process that is no more.
                process = function.process
                while function.process is process and process.poll() is None:
                    try:
                        request, body = function.events.get(timeout=0.05)
                    except queue.Empty:
                        continue
                    if function.process is not process:
                        function.events.put((request, body))
                        break
                    headers = [
                        ("Lambda-Runtime-Aws-Request-Id", request),
                        ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + function.timeout) * 1000))),
                        ("Content-Type", "application/json"),
                        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:function"),
                    ]
                    self.answer(200, body, headers)
                    return
                self.close_connection = True

            def do_POST(self):
                body = self.body()
                if found := RESULT.search(self.path):
                    function.answers.put((found[1], found[2], json.loads(body)))
                self.answer(202)

        return RuntimeApi


def queue_event(bodies):
    """An SQS batch: {message id: body}."""
    records = [
        {"messageId": name, "eventSource": "aws:sqs", "awsRegion": "us-east-1", "body": body, "attributes": {}}
        for name, body in bodies.items()
    ]
    return {"Records": records}


def notification(bucket, key, etag=None, arrived=None):
    """S3's notification of a new object, as JSON text."""
    import urllib.parse

    what = {"key": urllib.parse.quote_plus(key, safe="/"), **({"eTag": etag} if etag else {})}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        **({"eventTime": arrived} if arrived else {}),
        "s3": {"bucket": {"name": bucket}, "object": what},
    }
    return json.dumps({"Records": [record]})


def poll_queue(function, bodies, batch=10, attempts=8):
    """Delivers messages as the queue's poller does, until none is left: what was not reported failed is deleted, what was
    comes again, and after so many attempts it is a dead letter. Gives the dead letters and how often each was delivered."""
    waiting, delivered, dead = dict(bodies), dict.fromkeys(bodies, 0), []
    while waiting:
        names = list(waiting)[:batch]
        for name in names:
            delivered[name] += 1
        sent = {name: waiting.pop(name) for name in names}
        try:
            answer = function.invoke(queue_event(sent))
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        except (Died, FunctionError):
            failed = set(sent)
        for name in failed:
            if delivered[name] >= attempts:
                dead.append(name)
            else:
                waiting[name] = sent[name]
    return dead, delivered


def poll_stream(function, records, batch=100, attempts=10, report=None):
    """Delivers stream records as Lambda does with ReportBatchItemFailures and BisectBatchOnFunctionError: in order; from the
    first failure on again; a batch that fails as a whole is halved; what failed so many times goes to the failure queue. Gives
    the records that went there and the sizes of all batches, in order."""
    given_up, sizes = [], []
    # (records, attempts so far), in order.
    work = [(records[at : at + batch], 0) for at in range(0, len(records), batch)]
    while work:
        chunk, tried = work.pop(0)
        sizes.append(len(chunk))
        try:
            answer = function.invoke({"Records": chunk})
            failures = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        except (Died, FunctionError) as error:
            if report:
                report(error)
            if len(chunk) > 1:
                # Halving is no attempt.
                half = len(chunk) // 2
                work[:0] = [(chunk[:half], tried), (chunk[half:], tried)]
            elif tried + 1 >= attempts:
                given_up += chunk
            else:
                work.insert(0, (chunk, tried + 1))
            continue
        if failures:
            numbers = [record["dynamodb"]["SequenceNumber"] for record in chunk]
            first = min(numbers.index(failure) for failure in failures)
            rest = chunk[first:]
            if tried + 1 >= attempts:
                given_up += rest
            else:
                work.insert(0, (rest, tried + 1))
    return given_up, sizes
