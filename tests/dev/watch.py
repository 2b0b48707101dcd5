#!/usr/bin/env python3
"""`make watch`: the functions under `cargo lambda watch`, with everything they need on the loopback interface.

Starts the emulator, creates what the files under events/ name (the bucket and its object, both tables, a topic), tells
the functions where it is, and prints the alerts that reach the topic. Ctrl-C ends all of it.

    watch.py [--port 9000] [--directory .] [-- arguments for cargo lambda watch]

Run by the Python of .venv/emulator, with cargo-lambda on the PATH.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import threading

import make_events
from emulator import HOST, ROOT, Emulator, exit_on_signals, free_port, is_free, stop

# How `make invoke-…` finds the port.
PORT_FILE = ROOT / ".run" / "watch.port"
LOG_LEVEL_FILE = ROOT / ".run" / "watch.env"
AGGREGATES, CONTROL, TOPIC = "FlowAggregates", "FlowControl", "flowlog-dev-alerts"


def create_tables(aws):
    dynamodb = aws.client("dynamodb")
    for name in (AGGREGATES, CONTROL):
        stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            **(stream if name == AGGREGATES else {}),
        )
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    # No TTL, unlike the template: the sample's date is fixed, and the emulator would soon delete what was just written.


def create_object(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=make_events.BUCKET)
    body = (make_events.EVENTS / "s3-parser" / make_events.OBJECT).read_bytes()
    s3.put_object(Bucket=make_events.BUCKET, Key=make_events.KEY, Body=body)


def create_topic(aws):
    """The topic, and a queue behind it, so that somebody sees what is published."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name=TOPIC)["TopicArn"]
    queue = sqs.create_queue(QueueName=f"{TOPIC}-seen")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, queue


def print_alerts(aws, queue, ended):
    sqs = aws.client("sqs")
    while not ended.is_set():
        try:
            answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        except Exception:  # the emulator is going away
            return
        for message in answer.get("Messages", []):
            notice = json.loads(message["Body"])
            print(f"\n── alert on {TOPIC}: {notice.get('Subject')}\n{notice.get('Message')}\n──", flush=True)
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def function_environment(aws, topic):
    """One environment for the three functions; each reads its own part."""
    return {
        **aws.environment,
        "AGGREGATES_TABLE": AGGREGATES,
        "CONTROL_TABLE": CONTROL,
        "TOPIC_ARN": topic,
        "LOG_FORMAT": " ".join(f"${{{field}}}" for field in make_events.HEADER.split(" ")),
        # The most they accept. The parser judges lateness by the notification's own time; the subscriber has only the
        # clock, so that its sample, of November 2026, is counted as late from December on.
        "HORIZON_DAYS": "30",
        "ALERT_COOLDOWN_SECONDS": "3600",
        "ALERT_BUDGET_PER_HOUR": "20",
    }


def write_log_level():
    """RUST_LOG goes by way of a file: in the environment, cargo-lambda would take it for its own, and talk a lot."""
    LOG_LEVEL_FILE.write_text(f"RUST_LOG={os.environ.get('RUST_LOG', 'info')}\n")
    return {name: value for name, value in os.environ.items() if name != "RUST_LOG"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, help="where to invoke (default: 9000, or a free one if that is taken)")
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT, help="the Cargo workspace")
    parser.add_argument("arguments", nargs="*", help="for cargo lambda watch")
    options = parser.parse_args()
    if options.port and not is_free(options.port):
        parser.error(f"port {options.port} is taken")
    port = options.port or (9000 if is_free(9000) else free_port())

    exit_on_signals()
    ended = threading.Event()
    with Emulator() as aws:
        create_tables(aws)
        create_object(aws)
        topic, queue = create_topic(aws)
        variables = function_environment(aws, topic)
        threading.Thread(target=print_alerts, args=(aws, queue, ended), daemon=True).start()
        print(f"emulator   {aws.url}", f"functions  http://{HOST}:{port}", sep="\n")
        for name in sorted(set(variables) - set(aws.environment)):
            print(f"           {name}={variables[name]}")
        print("in another terminal: make invoke-s3-parser, then make invoke-anomaly-alerter", flush=True)
        PORT_FILE.parent.mkdir(exist_ok=True)
        ours = write_log_level()
        watch = subprocess.Popen(
            # By default it listens on every interface.
            ["cargo-lambda", "lambda", "watch", "--invoke-address", HOST, "--invoke-port", str(port)]
            + ["--env-file", str(LOG_LEVEL_FILE)]
            + options.arguments,
            cwd=options.directory,
            env={**ours, **variables},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            PORT_FILE.write_text(f"{port}\n")
            return watch.wait()
        finally:
            ended.set()
            PORT_FILE.unlink(missing_ok=True)
            LOG_LEVEL_FILE.unlink(missing_ok=True)
            stop(watch)


if __name__ == "__main__":
    sys.exit(main())
