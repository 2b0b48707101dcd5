"""Objects and messages that are no good, between good ones: what becomes of each, exactly, and of nothing else."""

import base64
import gzip
import json
import os
import subprocess
import time

import pipeline
from stack import metrics, wait
from totals import TOTALS

# A flow log of its own, so that what is written here is told from the rest.
FLOW_LOG = "fl-0badbadbadbadbad0"
INTERFACE = "eni-0badbadbadbadbad0"
ACCOUNT, REGION = "123456789012", "us-east-1"
HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)


def key(name):
    day = time.strftime("%Y/%m/%d", time.gmtime())
    return (
        f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{day}/"
        f"{ACCOUNT}_vpcflowlogs_{REGION}_{FLOW_LOG}_{day.replace('/', '')}T0000Z_{name}.log.gz"
    )


def rows(start, count, packets):
    return [
        f"2 {ACCOUNT} {INTERFACE} 10.1.0.9 10.0.0.31 {40000 + n} 443 6 {packets} {packets * 100} {start} {start + 50} ACCEPT OK"
        for n in range(count)
    ]


def text(lines):
    return "\n".join([HEADER, *lines, ""]).encode()


def damaged(packed):
    """The same object with another checksum: every line is there, and none can be trusted."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


def objects(checks, stack, _flowlog, _folder):
    window = int(time.time()) // 300 * 300 - 600
    good = stack.poison_good = gzip.compress(text(rows(window + 3, 50, 7)))
    mixed = rows(window + 3, 10, 1)
    mixed[3:3] = ["2 too few fields", rows(window + 3, 1, 1)[0].replace("10.1.0.9", "10.1.0.900")]
    verdicts = {
        "good1": (good, "D", None),
        "crc": (damaged(good), "Q", "corrupt_gzip"),
        "noise": (b"\x1f\x8b\x08\x00" + bytes(range(256)) * 4, "Q", "corrupt_gzip"),
        "cut": (good[: len(good) // 2], "Q", "truncated_gzip"),
        "good2": (good + good, "D", None),
        "bomb": (gzip.compress(bytes(64 << 20)), "Q", "decompression_bomb"),
        "csv": (b"id,name\n1,somebody\n", "Q", "not_a_flow_log"),
        "header": (text([]).replace(b"version", b"srcaddr", 1), "Q", "bad_header"),
        "empty": (b"", "Q", "empty"),
        "gone": (good, "Q", "object_gone"),
        "mixed": (text(mixed), "D", None),
    }
    before = metrics(stack.log("s3-parser"))[0]
    # All of them wait in the queue before the first is read, so that they share batches; one is deleted meanwhile.
    mapping = stack.mapping("sqs")["UUID"]
    stack.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    time.sleep(2)
    for name, (body, _, _) in verdicts.items():
        stack.put(key(name), body)
    stack.put(key("trail").replace("vpcflowlogs", "CloudTrail"), b"{}")
    stack.client("s3").delete_object(Bucket=stack.outputs["LogBucketName"], Key=key("gone"))
    waiting = stack.in_queue(stack.outputs["IngestQueueUrl"])[0]
    checks.equal("poison: every object waits in the queue", waiting, len(verdicts) + 1)
    stack.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)

    keys = [key(name) for name in verdicts]
    wait("a verdict on each", lambda: pipeline.settled(stack, keys), seconds=60)
    emptied = lambda: stack.in_queue(stack.outputs["IngestQueueUrl"]) == (0, 0)
    wait("the queue is empty", emptied, seconds=30)
    entries = pipeline.ledger(stack)
    bucket = stack.outputs["LogBucketName"]
    for name, (_, state, reason) in verdicts.items():
        entry = entries.get(f"s3://{bucket}/{key(name)}", {})
        checks.equal(f"poison: {name} is {reason or 'done'}", (entry.get("st"), entry.get("q")), (state, reason))
    checks.that("poison: another service's object is passed over", not any("CloudTrail" in origin for origin in entries))
    counts = json.loads(entries.get(f"s3://{bucket}/{key('mixed')}", {}).get("c", "{}"))
    checks.equal(
        "poison: bad lines are counted by reason, beside the good ones",
        (counts.get("read"), counts.get("parsed"), counts.get("rejected")),
        (12, 10, {"too_few_fields": 1, "bad_address": 1}),
    )
    # 50 of the first, 100 of two members in one file, 10 of the mixed one; of the others nothing.
    sums = {action: (0, 0, 0) for action in TOTALS}
    sums["accept"] = (160, 150 * 7 + 10, (150 * 7 + 10) * 100)
    checks.equal("poison: the good ones' sums, and nothing else", pipeline.partials(stack, FLOW_LOG), {(INTERFACE, window): sums})
    after = metrics(stack.log("s3-parser"))[0]
    quarantined = sum(1 for _, state, _ in verdicts.values() if state == "Q")
    grown = {name: after.get(name, 0) - before.get(name, 0) for name in ("DeliveriesQuarantined", "RecordsRejected")}
    checks.equal("poison: the metrics say so", grown, {"DeliveriesQuarantined": quarantined, "RecordsRejected": 2})
    left = {name: stack.in_queue(stack.outputs[name]) for name in pipeline.DEAD_LETTERS}
    checks.equal("poison: none of it is a dead letter", left, dict.fromkeys(pipeline.DEAD_LETTERS, (0, 0)))
    stack.poison_quarantined, stack.poison_done, stack.poison_parsed = quarantined, len(verdicts) - quarantined, 160


def requeued(checks, stack, flowlog, _folder):
    """An object that was missing is restored: its delivery stays given up until somebody brings it back."""
    before = pipeline.partials(stack, FLOW_LOG)
    (at,) = before
    stack.put(key("gone"), stack.poison_good)
    again = lambda: metrics(stack.log("s3-parser"))[0].get("DeliveriesQuarantined", 0) > stack.poison_quarantined
    wait("the notification of the object that is back", again, seconds=30)
    stack.poison_quarantined += 1
    checks.equal("requeue: a notification does not bring it back", pipeline.state_of(stack, key("gone")), "Q")
    environment = {
        **os.environ,
        **stack.aws.environment,
        "AGGREGATES_TABLE": stack.outputs["AggregatesTable"],
        "CONTROL_TABLE": stack.outputs["ControlTable"],
    }
    command = [flowlog, "requeue", "--reason", "object_gone", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    checks.that("requeue: the command says that it is back", done.returncode == 0, done)
    checks.equal("requeue: it is done now", pipeline.state_of(stack, key("gone")), "D")
    records, packets, size = before[at]["accept"]
    sums = {**before[at], "accept": (records + 50, packets + 350, size + 35000)}
    checks.equal("requeue: and counted, once", pipeline.partials(stack, FLOW_LOG), {at: sums})
    checks.equal("requeue: what is no flow log is left alone", pipeline.state_of(stack, key("csv")), "Q")


def messages(checks, stack, _flowlog, _folder):
    """What nobody can read goes to the dead-letter queue, after as many attempts as the template says."""
    sqs, queue = stack.client("sqs"), stack.outputs["IngestQueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    attempts = int(json.loads(policy)["maxReceiveCount"])
    # The template's six minutes between attempts would take the better part of an hour.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    before = metrics(stack.log("s3-parser"))[0].get("DeliveriesRetried", 0)
    unknown = ['{"hello": 1}', "no JSON at all"]
    for body in unknown:
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    window = int(time.time()) // 300 * 300 - 600
    stack.put(key("neighbour"), gzip.compress(text(rows(window + 3, 5, 1))))
    dead = stack.outputs["IngestDeadLettersUrl"]
    wait("the unreadable messages are dead letters", lambda: stack.in_queue(dead)[0] == len(unknown), seconds=60)
    checks.equal("messages: their neighbour is done", pipeline.state_of(stack, key("neighbour")), "D")
    stack.poison_done += 1
    stack.poison_parsed += 5
    retried = metrics(stack.log("s3-parser"))[0].get("DeliveriesRetried", 0) - before
    checks.equal(f"messages: each was tried {attempts} times", retried, attempts * len(unknown))
    checks.equal("messages: dead letters are those two, as they were", sorted(stack.receive(dead)), sorted(unknown))

    # A subscription payload that cannot be unpacked: the whole event is kept after every attempt.
    event = {"awslogs": {"data": base64.b64encode(b"no gzip").decode()}}
    name = stack.outputs["CwlSubscriberFunctionName"]
    stack.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    failures = stack.outputs["CwlSubscriberFailuresUrl"]
    wait("the payload is kept", lambda: stack.in_queue(failures)[0], seconds=60)
    kept = [json.loads(body) for body in stack.receive(failures)]
    checks.equal("messages: an unreadable payload is kept whole", [letter.get("requestPayload") for letter in kept], [event])
