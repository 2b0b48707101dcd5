#!/usr/bin/env python3
"""A rolling upgrade, and a way back: functions of an earlier commit and today's on the same tables, in turn.

Lambda replaces sandboxes one by one, so that for a while old and new ones take messages from one queue: what the old one has
begun the new one finishes, and the other way round. Whoever finds a delivery pinned to a mapping that it does not know must
leave it to somebody who does.

    upgrade.py --flowlog FLOWLOG --database DATABASE --functions FOLDER --earlier FOLDER
"""

import argparse
import itertools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dev"))

from checks import Checks
from emulator import exit_on_signals
from runtime import Ground, attributes
from runtime_api import Died, FunctionError, poll_stream, queue_event
from services import Faults, Topic
from totals import ledger


def deliver(function, name, body):
    """Whether the function took the message."""
    try:
        return not function.invoke(queue_event({name: body}))["batchItemFailures"]
    except (Died, FunctionError):
        return False


def mappings(database):
    """How many deliveries are pinned to each mapping version."""
    counts = {}
    for entry in ledger(database.items("FlowControl")).values():
        counts[int(entry["m"])] = counts.get(int(entry["m"]), 0) + 1
    return counts


def rolling(checks, ground, earlier, today):
    """Message by message the other version, each killed at a request that differs each time; then only today's."""
    calls, killing = itertools.count(1), {"every": 5, "now": None}

    def judge(_operation):
        n = next(calls)
        if killing["now"] and n % killing["every"] == 0:
            killing["every"] = 3 + (killing["every"] + 1) % 6
            killing["now"].process.kill()
            return "lose" if n % 2 else "throttle"
        return None

    with ground.database() as database, Faults(database.port, judge) as network:
        with earlier("s3-parser", network.url) as old, today("s3-parser", network.url) as new:
            done = set()
            for turn in range(6):
                for nth, (name, body) in enumerate(ground.messages.items()):
                    killing["now"] = old if (nth + turn) % 2 else new
                    if deliver(killing["now"], name, body):
                        done.add(name)
            killing["now"] = None
            print(f"pinned mappings after the roll-over: {mappings(database)}; {old.starts + new.starts - 2} kills")
            checks.that("upgrade: both versions took messages", old.starts > 1 and new.starts > 1, (old.starts, new.starts))
            left = {name: body for name, body in ground.messages.items() if not deliver(new, name, body)}
            checks.equal("upgrade: today's version finishes what is left", left, {})
        ground.exact(checks, "upgrade", database)


def back(checks, ground, earlier, today):
    """Today's version begins every delivery and is killed; the earlier one takes over; then today's once more."""
    state = {"kill": True, "new": None}

    def judge(operation):
        # After the claim and before the first partial.
        if state["kill"] and operation == "BatchWriteItem":
            state["new"].process.kill()
            return "throttle"
        return None

    with ground.database() as database, Faults(database.port, judge) as network:
        with today("s3-parser", network.url) as new:
            state["new"] = new
            for name, body in list(ground.messages.items())[::2]:
                deliver(new, name, body)
            state["kill"] = False
            begun = mappings(database)
            with earlier("s3-parser", network.url) as old:
                taken = {name for name, body in ground.messages.items() if deliver(old, name, body)}
                print(f"begun by today's: {begun}; then taken by the earlier: {len(taken)} of {len(ground.messages)}")
            # What it does not know it has left alone: each is either done, or as it was.
            entries = ledger(database.items("FlowControl")).values()
            states = {(entry["st"], int(entry["m"])) for entry in entries}
            known = {m for st, m in states if st == "D"}
            checks.that("roll-back: the earlier version finished only what it knows", all(st == "D" for st, m in states if m in known), states)
            left = {name: body for name, body in ground.messages.items() if not deliver(new, name, body)}
            checks.equal("roll-back: forward again, nothing is left", left, {})
        ground.exact(checks, "roll-back", database)


def alerts(checks, ground, earlier, today):
    """Both write partials; the earlier alerter judges them, then today's: each planted attack is told once."""
    planted = {(attack["expected"], attack["interface_id"]) for attack in ground.truth["attacks"]}
    with ground.database() as database, Topic() as topic:
        with earlier("s3-parser", database.url) as old, today("s3-parser", database.url) as new:
            for nth, (name, body) in enumerate(ground.messages.items()):
                deliver(old if nth % 2 else new, name, body)
        ground.exact(checks, "alerts", database)
        records = database.stream()
        environment = {"TOPIC_ARN": topic.arn, "AWS_ENDPOINT_URL_SNS": topic.url}
        refused = []
        with earlier("anomaly-alerter", database.url, **environment) as old:
            given_up, _ = poll_stream(old, records, attempts=2, report=refused.append)
            print(f"the earlier alerter gave up {len(given_up)} of {len(records)} records, and told {len(topic.published)} alert(s)")
        with today("anomaly-alerter", database.url, **environment) as new:
            checks.equal("alerts: today's alerter reads everything", poll_stream(new, records)[0], [])
        told = [attributes(form) for form in topic.published]
        found = {(alert["rule"], alert["interface_id"]) for alert in told}
        checks.that("alerts: every planted attack is told", planted <= found, (planted, found))
        ids = [alert["dedupe_id"] for alert in told]
        checks.equal("alerts: each once", len(ids), len(set(ids)))


def main():
    parser = argparse.ArgumentParser()
    for name in ("flowlog", "database", "functions", "earlier"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = parser.parse_args()
    exit_on_signals()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="flowlog-upgrade-") as folder:
        ground = Ground(options, pathlib.Path(folder))

        def version(functions):
            def function(name, database_url, **more):
                return ground.function(name, database_url, functions=functions, **more)

            return function

        earlier, today = version(options.earlier), version(options.functions)
        with ground.objects:
            for scenario in (rolling, back, alerts):
                scenario(checks, ground, earlier, today)
        ground.finish(checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
