#!/usr/bin/env python3
"""The built functions behind a Runtime API of our own: what the emulator of `run.py` does not do.

The database is the embedded one (dynoxide) in a process of its own, S3 and SNS are as small as they can be
(tests/dev/services.py), and the queue's and the stream's pollers keep Lambda's rules (tests/dev/runtime_api.py): partial
batch responses, bisection, attempts that run out. Between function and database stands a network that throttles and loses
answers on command, and everything is killed at some time or other. What every function calls meanwhile is recorded, and has to be
what infra/permissions.json declares, which is what its role is granted.

    runtime.py --flowlog FLOWLOG --database DATABASE --functions FOLDER
"""

import argparse
import itertools
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dev"))

import make_events
from checks import Checks
from emulator import exit_on_signals
from recording import Recording, undeclared
from runtime_api import Died, Function, FunctionError, notification, poll_queue, poll_stream, queue_event
from services import ENVIRONMENT, Database, Faults, Objects, Topic
from totals import generate, ledger, partials, truth_sums

BUCKET = "logs"
UNREADABLE = '{"hello": 1}'


class Ground:
    """What the scenarios stand on: generated objects, their truth, and a fresh database for each scenario."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.numbers = itertools.count()
        objects = folder / "objects"
        self.truth, bodies = generate(options.flowlog, objects, "--rate", "200", "--seed", "3")
        self.messages = {str(n): notification(BUCKET, key) for n, (key, _) in enumerate(bodies)}
        self.objects = Objects(objects)
        self.log_file = folder / "functions.log"
        self.log = self.log_file.open("wb")
        self.recordings = []

    def database(self):
        return Database(self.options.database, self.folder / f"database-{next(self.numbers)}.db")

    def function(self, name, database_url, functions=None, **more):
        recording = Recording(int(database_url.rsplit(":", 1)[1])).__enter__()
        self.recordings.append((name, recording))
        environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL_DYNAMODB": recording.url,
            "AWS_ENDPOINT_URL_S3": self.objects.url,
            "RUST_LOG": "info",
            **more,
        }
        folder = functions or self.options.functions
        return Function(folder / f"flowlog-{name}" / "bootstrap", environment, self.log)

    def exact(self, checks, what, database):
        checks.equal(f"{what}: every sum is the generator's", partials(database.items("FlowAggregates")), truth_sums(self.truth))
        states = {entry["st"] for entry in ledger(database.items("FlowControl")).values()}
        checks.equal(f"{what}: every delivery is done", states, {"D"})

    def finish(self, checks):
        """What was called; after a failure, what the functions said."""
        self.log.close()
        calls = {}
        for name, recording in self.recordings:
            recording.__exit__()
            calls.setdefault(name, set()).update(recording.calls)
        for name, called in sorted(calls.items()):
            checks.equal(f"permissions: {name} calls what is declared, {len(called)} kinds", undeclared(name, called), [])
        if checks.failed:
            print("\n── the last lines of the functions")
            print(self.log_file.read_text(errors="replace")[-8000:])


def envelopes(checks, ground):
    """Every sample payload through the function that gets it in AWS."""
    sample = Objects(make_events.EVENTS / "s3-parser")
    # The samples name a key; the file lies beside them.
    sample.folder = ground.folder / "sample"
    (sample.folder / make_events.KEY).parent.mkdir(parents=True)
    (sample.folder / make_events.KEY).write_bytes((make_events.EVENTS / "s3-parser" / make_events.OBJECT).read_bytes())
    with ground.database() as database, sample, Topic() as topic:
        ground_objects, ground.objects = ground.objects, sample
        with ground.function("s3-parser", database.url) as parser:
            for path in sorted((make_events.EVENTS / "s3-parser").glob("*.json")):
                if path.stem == "reconcile":
                    # The schedule's, which lists a bucket: this ground only serves objects.
                    continue
                answer = parser.invoke(json.loads(path.read_text()))
                good = answer == {"batchItemFailures": []} or answer.get("objects") == 1
                checks.that(f"envelopes: {path.name}", good, answer)
        # Beyond December the sample's log events are late, and late is counted, not written.
        formats = " ".join(f"${{{field}}}" for field in make_events.HEADER.split(" "))
        with ground.function("cwl-subscriber", database.url, LOG_FORMAT=formats) as subscriber:
            for path in sorted((make_events.EVENTS / "cwl-subscriber").glob("*.json")):
                answer = subscriber.invoke(json.loads(path.read_text()))
                checks.equal(f"envelopes: {path.name}", answer, {"events": 0 if "control" in path.name else 7})
        environment = {"TOPIC_ARN": topic.arn, "AWS_ENDPOINT_URL_SNS": topic.url}
        with ground.function("anomaly-alerter", database.url, **environment) as alerter:
            for path in sorted((make_events.EVENTS / "anomaly-alerter").glob("*.json")):
                answer = alerter.invoke(json.loads(path.read_text()))
                checks.that(f"envelopes: {path.name}", not answer.get("batchItemFailures"), answer)
        ground.objects = ground_objects
        entries = ledger(database.items("FlowControl"))
        objects = [entry for origin, entry in entries.items() if origin.startswith("s3://")]
        checks.equal("envelopes: they all name one object", [json.loads(o["c"])["read"] for o in objects], [87])


def partial_batches(checks, ground):
    """A queue's batch: what fails comes again, its neighbours do not."""
    with ground.database() as database, ground.function("s3-parser", database.url) as parser:
        some = dict(list(ground.messages.items())[:3])
        names = ["0", "unreadable", "1", "no json", "2"]
        bodies = {name: some.get(name, UNREADABLE if name == "unreadable" else "x") for name in names}
        answer = parser.invoke(queue_event(bodies))
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        checks.equal("batches: exactly the unreadable messages are reported", failed, ["unreadable", "no json"])
        dead, delivered = poll_queue(parser, {**ground.messages, "unreadable": UNREADABLE}, batch=7, attempts=4)
        checks.equal("batches: only it becomes a dead letter", dead, ["unreadable"])
        checks.equal(
            "batches: the others were delivered once",
            delivered,
            {**dict.fromkeys(ground.messages, 1), "unreadable": 4},
        )
        ground.exact(checks, "batches", database)
        dead, _ = poll_queue(parser, ground.messages)
        checks.equal("batches: a second delivery of everything fails nowhere", dead, [])
        ground.exact(checks, "batches, all of it twice", database)


def throttled(checks, ground):
    """A table without capacity, then a third of it, then all: late, and nothing lost or doubled."""
    calls = itertools.count()
    judge = lambda _operation: "throttle" if (n := next(calls)) < 60 or (n < 400 and n % 3) else None
    with ground.database() as database, Faults(database.port, judge) as network:
        with ground.function("s3-parser", network.url) as parser:
            # Whether a message waits in the function or comes again is the function's own matter.
            dead, _ = poll_queue(parser, ground.messages, batch=5, attempts=20)
        refused = sum(n for (_, verdict), n in network.seen.items() if verdict == "throttle")
        checks.that("throttling: requests were refused", refused >= 60, network.seen)
        checks.equal("throttling: no dead letter", dead, [])
        ground.exact(checks, "throttling", database)


def lost_answers(checks, ground):
    """Every third request is carried out and its answer lost."""
    calls = itertools.count(1)
    with ground.database() as database, Faults(database.port, lambda _: None if next(calls) % 3 else "lose") as network:
        with ground.function("s3-parser", network.url) as parser:
            dead, _ = poll_queue(parser, ground.messages, batch=5, attempts=20)
        lost = {operation for (operation, verdict) in network.seen if verdict == "lose"}
        checks.that("lost answers: of every kind of write", {"PutItem", "UpdateItem", "BatchWriteItem"} <= lost, lost)
        checks.equal("lost answers: no dead letter", dead, [])
        ground.exact(checks, "lost answers", database)


def killed(checks, ground):
    """The function is killed at a request to the database that differs each time, before or after it took effect; the
    database is killed in between."""
    state = {"calls": 0, "next": 3, "kills": 0, "parser": None}

    def judge(_operation):
        state["calls"] += 1
        if state["calls"] < state["next"] or state["kills"] >= 25:
            return None
        state["next"] = state["calls"] + 1 + state["kills"] % 4
        state["kills"] += 1
        if state["kills"] % 5 == 0:
            database.kill()
            database.start()
        state["parser"].process.kill()
        return "lose" if state["kills"] % 2 else "throttle"

    with ground.database() as database, Faults(database.port, judge) as network:
        with ground.function("s3-parser", network.url) as parser:
            state["parser"] = parser
            dead, _ = poll_queue(parser, ground.messages, batch=3, attempts=40)
            checks.that("kills: processes were killed and started", parser.starts > 15, parser.starts)
        checks.equal("kills: no dead letter", dead, [])
        ground.exact(checks, "kills", database)


def foreign_mapping(checks, ground):
    """A claim by a version that this one does not know: it fails closed, and nothing is written."""
    with ground.database() as database, ground.function("s3-parser", database.url) as parser:
        name, body = next(iter(ground.messages.items()))
        parser.invoke(queue_event({name: body}))
        (entry,) = ledger(database.items("FlowControl")).values()
        database.client().update_item(
            TableName="FlowControl",
            Key={"pk": {"S": entry["pk"]}, "sk": {"S": entry["sk"]}},
            UpdateExpression="SET st = :c, m = :m",
            ExpressionAttributeValues={":c": {"S": "C"}, ":m": {"N": "250"}},
        )
        before = sorted(item["pk"] + item["sk"] for item in database.items("FlowAggregates"))
        dead, delivered = poll_queue(parser, {name: body}, attempts=3)
        checks.equal("unknown mapping: it is left to somebody who knows it", (dead, delivered), ([name], {name: 3}))
        after = sorted(item["pk"] + item["sk"] for item in database.items("FlowAggregates"))
        checks.equal("unknown mapping: nothing is written", len(after), len(before))


def stream(checks, ground):
    """A stream's batches: from the first failure on again; one that fails as a whole is halved until the culprit is alone."""
    planted = {(attack["expected"], attack["interface_id"]) for attack in ground.truth["attacks"]}
    with ground.database() as database, Topic() as topic:
        with ground.function("s3-parser", database.url) as parser:
            poll_queue(parser, ground.messages)
        records = database.stream()
        checks.that("stream: there is something to judge", len(records) > 100, len(records))
        environment = {"TOPIC_ARN": topic.arn, "AWS_ENDPOINT_URL_SNS": topic.url}
        # As many requests as the SDK tries a publication, twice: two invocations report a failure.
        topic.failing = 10
        with ground.function("anomaly-alerter", database.url, **environment) as alerter:
            whole = poll_stream(alerter, records, batch=100)
            told = [attributes(form) for form in topic.published]
            checks.that("stream: publications failed", topic.refused == 10, topic.refused)
            checks.that("stream: batches came again from the failure on", len(whole[1]) > (len(records) + 99) // 100, whole[1])
            checks.equal("stream: nothing was given up", whole[0], [])
            ids = [alert["dedupe_id"] for alert in told]
            found = {(alert["rule"], alert["interface_id"]) for alert in told}
            checks.that("stream: every planted attack is alerted", planted <= found, (planted, found))
            checks.equal("stream: each once", len(ids), len(set(ids)))

            broken = {**records[0], "dynamodb": "no record"}
            batch = [*records[:20], broken, *records[20:60]]
            errors = []
            given_up, sizes = poll_stream(alerter, batch, batch=100, attempts=8, report=errors.append)
            checks.that("stream: an unreadable record fails its batch", errors and all(isinstance(e, FunctionError) for e in errors), errors)
            checks.equal("stream: bisection leaves it alone", given_up, [broken])
            checks.equal("stream: which begins with the whole", sizes[0], len(batch))
            checks.equal("stream: and nobody is told again", len(topic.published), len(told))

            alerter.kill()
            checks.equal("stream: after a kill everything comes again", poll_stream(alerter, records)[0], [])
            checks.equal("stream: which still tells nobody", len(topic.published), len(told))


def attributes(form):
    """The message attributes of a Publish form."""
    found = {}
    for name, value in form.items():
        if name.startswith("MessageAttributes.entry.") and name.endswith(".Name"):
            found[value] = form[name.removesuffix("Name") + "Value.StringValue"]
    return found


def main():
    parser = argparse.ArgumentParser()
    for name, what in (("flowlog", "the command"), ("database", "the embedded database as a program")):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path, help=what)
    parser.add_argument("--functions", required=True, type=pathlib.Path, help="a folder for each function, as cargo-lambda builds")
    parser.add_argument("--only", help="one scenario")
    options = parser.parse_args()
    exit_on_signals()
    checks = Checks()
    scenarios = (envelopes, partial_batches, throttled, lost_answers, killed, foreign_mapping, stream)
    with tempfile.TemporaryDirectory(prefix="flowlog-runtime-") as folder:
        ground = Ground(options, pathlib.Path(folder))
        with ground.objects:
            for scenario in scenarios:
                if options.only in (None, scenario.__name__):
                    scenario(checks, ground)
        ground.finish(checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
