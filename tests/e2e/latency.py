#!/usr/bin/env python3
"""`make latency`: seconds of wall-clock time from a put object, or a put log event, to the message in an inbox.

The deployed functions on the local AWS of `make e2e`, one delivery after the other, each with a port scan of an account of
its own, so that each is an alert. Whether a message came is checked; how long it took is only printed: it depends on the
machine, and ministack polls queues and streams in its own rhythm. What AWS adds before (it delivers in about 5 minutes to
CloudWatch Logs, 10 minutes to S3) and after (SNS to e-mail) is not here.

    latency.py --sam SAM --functions FOLDER [--samples 20]
"""

import argparse
import gzip
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dev"))

from checks import Checks
from emulator import Emulator, exit_on_signals
from stack import Stack, with_functions_of

HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
# As many doors as are told at `high`, so that the whole budget is there for them.
DOORS = 60
# Longest wait for one message, seconds.
PATIENCE = 60
FOLDER = "AWSLogs/123456789012/vpcflowlogs/us-east-1"


def scan(nth):
    """The rows of a host inside that tries 60 doors of one interface, and that interface."""
    eni, now = f"eni-0{nth:016x}", int(time.time()) - 60
    rows = [
        f"2 {200000000000 + nth} {eni} 10.9.{nth // 250}.{nth % 250 + 1} 10.0.0.5 50000 {1000 + door} 6 1 40 {now} {now + 1} REJECT OK"
        for door in range(DOORS)
    ]
    return eni, rows


def put_object(stack, nth, rows):
    at = time.strftime("%Y%m%dT%H%MZ", time.gmtime())
    day = time.strftime("%Y/%m/%d", time.gmtime())
    name = f"123456789012_vpcflowlogs_us-east-1_fl-0123456789abcdef0_{at}_{nth:08x}.log.gz"
    stack.put(f"{FOLDER}/{day}/{name}", gzip.compress("\n".join([HEADER, *rows, ""]).encode()))


def put_events(stack, nth, rows):
    logs, group, name = stack.client("logs"), stack.outputs["RejectLogGroupName"], f"latency-{nth}"
    logs.create_log_stream(logGroupName=group, logStreamName=name)
    events = [{"timestamp": int(time.time()) * 1000, "message": row} for row in rows]
    logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)


def arrives(stack, inbox, eni):
    """Waits for the message about an interface; others (a digest) are dropped."""
    sqs, deadline = stack.client("sqs"), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=inbox, ReceiptHandle=message["ReceiptHandle"])
            attributes = json.loads(message["Body"])["MessageAttributes"]
            if attributes.get("interface_id", {}).get("Value") == eni:
                return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sam", required=True, help="the executable of the SAM CLI")
    parser.add_argument("--functions", required=True, type=pathlib.Path, help="a folder for each function, as cargo-lambda builds")
    parser.add_argument("--samples", type=int, default=20, help="how many of each path")
    options = parser.parse_args()
    exit_on_signals()
    checks, draw = Checks(), random.Random(6)
    with tempfile.TemporaryDirectory(prefix="flowlog-latency-") as folder, Emulator() as aws:
        template = with_functions_of(options.functions.resolve(), pathlib.Path(folder))
        stack = Stack(aws, options.sam, template, [f"AlertBudgetPerHour={4 * options.samples + 20}"])
        inbox = stack.inbox("flowlog-latency-inbox")
        for what, put in (("S3 object", put_object), ("CloudWatch Logs event", put_events)):
            times = []
            # The first of each path starts the functions.
            for turn in range(options.samples + 1):
                nth = turn if put is put_object else turn + options.samples + 1
                eni, rows = scan(nth)
                time.sleep(draw.random())
                began = time.monotonic()
                put(stack, nth, rows)
                if checks.that(f"{what} {turn}: its message arrives", arrives(stack, inbox, eni)):
                    times.append(time.monotonic() - began)
            warm = times[1:]
            if len(warm) > 1:
                spread = statistics.quantiles(warm, n=10, method="inclusive")
                print(f"\n{what} → message: first {times[0]:.1f} s; then {len(warm)}, median {statistics.median(warm):.1f} s, "
                      f"{spread[0]:.1f} to {spread[-1]:.1f} s (tenth and ninetieth of a hundred), longest {max(warm):.1f} s\n", flush=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
