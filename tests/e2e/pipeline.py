"""What should happen when all is well: totals are the generator's, alerts are the planted ones, and nothing is left over."""

import gzip
import json
import time

import totals
from stack import metrics, wait
from totals import generate, generate_mixed, truth_sums

DEAD_LETTERS = ("IngestDeadLettersUrl", "CwlSubscriberFailuresUrl", "AnomalyAlerterFailuresUrl")
# Messages that have arrived in the inbox, for all scenarios of a run.
RECEIVED = []


def deployed(checks, stack, _flowlog, _folder):
    checks.equal("every resource of the template is there", stack.incomplete(), {})
    sources = sorted(mapping["EventSourceArn"].split(":")[2] for mapping in stack.mappings)
    checks.equal("a queue and a stream call functions", sources, ["dynamodb", "sqs"])
    stack.inbox_url = stack.inbox("flowlog-e2e-inbox")


def partials(stack, prefix):
    return totals.partials(stack.items("AggregatesTable"), prefix)


def ledger(stack):
    return totals.ledger(stack.items("ControlTable"))


def state_of(stack, key):
    return ledger(stack).get(f"s3://{stack.outputs['LogBucketName']}/{key}", {}).get("st")


def states(stack, keys):
    """The ledger's letters for these objects; None for those that it does not know."""
    entries = ledger(stack)
    bucket = stack.outputs["LogBucketName"]
    return {key: entries.get(f"s3://{bucket}/{key}", {}).get("st") for key in keys}


def settled(stack, keys):
    return all(state in ("D", "Q") for state in states(stack, keys).values())


def received(stack):
    """Every alert that has arrived in the inbox so far, as SNS wraps it."""
    notices = (json.loads(body) for body in stack.receive(stack.inbox_url))
    # The hourly digest is about no interface.
    RECEIVED.extend(notice for notice in notices if "interface_id" in notice["MessageAttributes"])
    return RECEIVED


def finding(notice):
    """(rule, interface) of a notification: people's text and programs' JSON are told apart by the protocol."""
    attributes = notice["MessageAttributes"]
    return attributes["rule"]["Value"], attributes["interface_id"]["Value"]


def planted(truth, told_of=()):
    """(rule, interface) of the attacks that somebody is to be told of: those of hosts that were told of already go on quietly."""
    return {(a["expected"], a["interface_id"]) for a in truth["attacks"] if a["interface_id"] and a["source"] not in told_of}


def check_alerts(checks, what, notices, truth, told_of=()):
    expected = planted(truth, told_of)
    allowed = expected | {(rule, i) for a in truth["attacks"] for rule in a["also"] for i in a["interface_ids"]}
    found = {finding(notice) for notice in notices}
    checks.that(f"{what}: every planted attack is alerted", expected <= found, f"missing {expected - found}, found {found}")
    checks.that(f"{what}: nothing else is", found <= allowed, f"beyond what was planted: {found - allowed}")
    ids = [notice["MessageAttributes"]["dedupe_id"]["Value"] for notice in notices]
    checks.equal(f"{what}: nobody is told twice", len(ids), len(set(ids)))
    for notice in notices:
        document = json.loads(notice["Message"])
        # An OCSF Detection Finding.
        sound = document["class_uid"] == 2004 and document["finding_info"]["analytic"]["uid"] == finding(notice)[0]
        subject = notice["Subject"]
        checks.that(f"{what}: {subject}", sound and subject.isascii() and len(subject) < 100, notice)


def planted_arrive(stack, already, truth, told_of=(), seconds=90):
    """Waits for an alert about each planted attack, then a little for what should not come."""
    expected = planted(truth, told_of)
    wait("an alert for each attack", lambda: expected <= {finding(n) for n in received(stack)[already:]}, seconds)
    time.sleep(3)
    return received(stack)[already:]


def objects(checks, stack, flowlog, folder):
    truth, bodies = generate_mixed(flowlog, folder / "objects", "--seed", "7", "--rate", "200", "--format", "v5")
    stack.objects_truth = truth
    kinds = {key.rpartition(".")[2] for key, _ in bodies}
    checks.equal("S3: objects are lines and columns", kinds, {"gz", "parquet"})
    for key, body in bodies:
        stack.put(key, body)
    keys = [key for key, _ in bodies]
    wait("every object is in the ledger", lambda: settled(stack, keys), seconds=90)
    checks.equal(f"S3: {len(keys)} objects are done", states(stack, keys), dict.fromkeys(keys, "D"))
    check_ledger(checks, "S3", stack, truth)
    checks.equal("S3: packets and bytes by interface and window", partials(stack, "fl-"), truth_sums(truth))
    check_alerts(checks, "S3", planted_arrive(stack, 0, truth), truth)

    # The same objects, put once more, and one of them copied below another prefix, as replication does.
    count = len(received(stack))
    for key, body in bodies:
        stack.put(key, body)
    stack.put(f"AWSLogs/replica/{keys[0]}", bodies[0][1])
    duplicates = len(keys) + 1
    seen = lambda: metrics(stack.log("s3-parser"))[0].get("DeliveriesDuplicate", 0) >= duplicates
    wait("every repetition is noticed", seen, seconds=90)
    checks.equal("S3: repeated objects change nothing", partials(stack, "fl-"), truth_sums(truth))
    checks.equal("S3: and are counted as repeated", metrics(stack.log("s3-parser"))[0].get("DeliveriesDuplicate"), duplicates)
    time.sleep(2)
    checks.equal("S3: and nobody is told again", len(received(stack)), count)


def check_ledger(checks, what, stack, truth):
    counts = {}
    bucket = stack.outputs["LogBucketName"]
    for origin, entry in ledger(stack).items():
        if entry["st"] == "D":
            counts[origin.removeprefix(f"s3://{bucket}/")] = json.loads(entry["c"])
    fields = ("read", "parsed", "nodata", "skipdata")
    expected = {entry["key"]: tuple(entry[field] for field in fields) for entry in truth["objects"]}
    found = {key: tuple(counts[key][field] for field in fields) for key in expected if key in counts}
    checks.equal(f"{what}: the ledger's counts of each object", found, expected)
    lost = {key: (counts[key]["late"], counts[key]["rejected"]) for key in found if counts[key]["late"] or counts[key]["rejected"]}
    checks.equal(f"{what}: nothing late, nothing rejected", lost, {})


def rejected_events(folder, truth):
    """{log stream: events} of a flow log of rejected traffic: a stream for each interface, as AWS names it."""
    streams = {}
    for entry in truth["objects"]:
        lines = gzip.decompress((folder / entry["key"]).read_bytes()).decode().splitlines()
        at = {name: nth for nth, name in enumerate(lines[0].split(" "))}
        for line in lines[1:]:
            fields = line.split(" ")
            if fields[at["action"]] == "REJECT":
                event = {"timestamp": int(fields[at["start"]]) * 1000, "message": line}
                streams.setdefault(f"{fields[at['interface-id']]}-reject", []).append(event)
    return streams


def log_events(checks, stack, flowlog, folder):
    # Other attacks than the objects had, else the cooldown would keep them quiet.
    told = {finding(notice) for notice in received(stack)}
    for seed in range(20, 60):
        where = folder / f"events-{seed}"
        truth, _ = generate(flowlog, where, "--seed", str(seed), "--rate", "200", "--format", "v2")
        if not told & {(attack["expected"], attack["interface_id"]) for attack in truth["attacks"]}:
            break
    streams = rejected_events(where, truth)
    stack.events = sum(len(events) for events in streams.values())
    already = len(received(stack))
    logs, group = stack.client("logs"), stack.outputs["RejectLogGroupName"]
    deliveries = 0
    for stream, events in streams.items():
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events.sort(key=lambda event: event["timestamp"])
        for at in range(0, len(events), 500):
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events[at : at + 500])
            deliveries += 1
    done = lambda: metrics(stack.log("cwl-subscriber"))[0].get("DeliveriesDone", 0) >= deliveries
    wait("every payload is ingested", done, seconds=60)
    counted = metrics(stack.log("cwl-subscriber"))[0]
    checks.equal(
        f"logs: {stack.events} events in {deliveries} payloads",
        (counted.get("RecordsParsed"), counted.get("DeliveriesDone")),
        (stack.events, deliveries),
    )
    checks.equal("logs: packets and bytes by interface and window", partials(stack, "cw-"), truth_sums(truth, ("reject",)))
    checks.equal("logs: the objects' sums are as they were", partials(stack, "fl-"), truth_sums(stack.objects_truth))
    # A host of ours that scans is one alert wherever it is seen, and the objects had the same scanner.
    scanners = {attack["source"] for attack in stack.objects_truth["attacks"] if attack["source"]}
    check_alerts(checks, "logs", planted_arrive(stack, already, truth, scanners), truth, scanners)


def at_the_end(checks, stack):
    """After everything, the poison included: what the logs say adds up, and no message is left."""
    parser, malformed = metrics(stack.log("s3-parser"))
    truth = stack.objects_truth["totals"]
    expected = {
        "RecordsParsed": truth["parsed"] + stack.poison_parsed,
        "RecordsNodata": truth["nodata"],
        "RecordsSkipdata": truth["skipdata"],
        "RecordsLate": 0,
        "DeliveriesDone": len(stack.objects_truth["objects"]) + stack.poison_done,
        "DeliveriesQuarantined": stack.poison_quarantined,
        "DigestChanged": 0,
    }
    checks.equal("metrics: the parser's add up", {name: parser.get(name) for name in expected}, expected)
    alerter, more = metrics(stack.log("anomaly-alerter"))
    checks.equal("metrics: every published alert arrived", alerter.get("AlertsPublished"), len(received(stack)))
    checks.equal("metrics: every line is one that CloudWatch takes", malformed + more + metrics(stack.log("cwl-subscriber"))[1], 0)
    lines = stack.log("s3-parser") + stack.log("cwl-subscriber")
    ingested = [json.loads(line) for line in lines if '"object ingested"' in line or '"payload ingested"' in line]
    named = {"batch" in entry and "requestId" in entry["spans"][0] for entry in ingested}
    checks.equal("logs: every ingestion names its batch and its request", named, {True})
    queues = (*DEAD_LETTERS, "IngestQueueUrl")
    left = {name: stack.in_queue(stack.outputs[name]) for name in queues}
    checks.equal("queues: nothing is left in any", left, dict.fromkeys(queues, (0, 0)))
