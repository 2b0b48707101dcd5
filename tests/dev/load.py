#!/usr/bin/env python3
"""`make load`: many objects through the parser as it is deployed, at several concurrencies, with kills, and for a while.

    notifications ─► workers, one process of flowlog-s3-parser each, behind a Runtime API ─► embedded DynamoDB (dynoxide)

Each part begins with empty tables and ends with a comparison: every sum of every interface and window, and the ledger's
counts, with what the generator says.

1. *Concurrency*: all objects by 1, 2, 4, 8 workers: rows/s, the time of an object (p50, p99), the largest resident set of any
   worker, write units.
2. *Kills*: again, while the database and workers are killed (SIGKILL) every so often.
3. *Soak* (--soak MINUTES): the objects over and over under new names, as new deliveries; resident sets over time.

Figures depend on the machine and on what else it does; they are for comparing lines of one run. Objects come from a server
in this very process, which takes its share of the processors.

    load.py --flowlog FLOWLOG --database DATABASE --parser BOOTSTRAP
"""

import argparse
import collections
import json
import os
import pathlib
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from checks import Checks
from emulator import exit_on_signals
from runtime_api import Died, Function, FunctionError, notification, queue_event
from services import ENVIRONMENT, Database, Objects
from totals import ledger, partials, truth_sums

BUCKET = "logs"
# When generated traffic begins: a week or two ago, since rows older than the horizon, 30 days, are late and in no sum.
WEEK = 7 * 86_400
START = (int(time.time()) // WEEK - 1) * WEEK
# Attempts at one message; kills may take a few.
ATTEMPTS = 50


class Aliases(Objects):
    """The objects under any number of names: what AWS puts at a name's end to tell two of one slot apart may be any eight
    hexadecimal digits."""

    def __init__(self, folder, keys):
        super().__init__(folder)
        self.keys = {key.rpartition("_")[0]: key for key in keys}

    def path(self, key):
        return super().path(self.keys.get(key.rpartition("_")[0], key))


def alias(key, turn):
    stem, _, rest = key.rpartition("_")
    digits, dot, suffix = rest.partition(".")
    return f"{stem}_{(int(digits, 16) + turn) & 0xFFFFFFFF:08x}{dot}{suffix}"


class Run:
    """Workers that empty a queue of keys. `seconds` of each object, and what the workers' memory was."""

    def __init__(self, options, objects, database_url, workers, arrived):
        self.options, self.objects, self.url, self.arrived = options, objects, database_url, arrived
        self.keys = queue.Queue(maxsize=2 * workers)
        self.seconds, self.dead, self.again = [], [], 0
        self.functions = [self.function() for _ in range(workers)]
        self.threads = [threading.Thread(target=self.work, args=(function,), daemon=True) for function in self.functions]

    def function(self):
        environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "AWS_ENDPOINT_URL_S3": self.objects.url,
            "RUST_LOG": "warn",
        }
        return Function(self.options.parser, environment)

    def __enter__(self):
        for function in self.functions:
            function.__enter__()
        for thread in self.threads:
            thread.start()
        return self

    def put(self, keys):
        for key in keys:
            self.keys.put((key, 1))

    def __exit__(self, *_):
        self.finish()
        for function in self.functions:
            function.__exit__()

    def finish(self):
        for _ in self.threads:
            self.keys.put(None)
        for thread in self.threads:
            thread.join()
        self.threads = []

    def work(self, function):
        while item := self.keys.get():
            key, attempt = item
            began = time.monotonic()
            while not self.done(function, key):
                attempt += 1
                self.again += 1
                if attempt > ATTEMPTS:
                    self.dead.append(key)
                    break
            self.seconds.append(time.monotonic() - began)

    def done(self, function, key):
        try:
            answer = function.invoke(queue_event({"m": notification(BUCKET, key, arrived=self.arrived)}))
        except (Died, FunctionError):
            return False
        return not answer["batchItemFailures"]

    def resident(self):
        """The workers' resident sets now, in KiB; peaks are kept."""
        return [function.measure() for function in self.functions]


def generate(options):
    """The objects and their truth; kept in .run/load for the next run of the same plan."""
    slots = (options.objects + 1) // 2
    minutes = slots * 5
    rate = max(20, -(-options.rows // minutes))
    folder = options.folder / f"{options.objects}-{options.rows}-{START}"
    plan = ["--format", "v2", "--minutes", str(minutes), "--rate", str(rate), "--start", str(START)]
    command = [options.flowlog, "generate", *plan, "-o", folder]
    try:
        truth = json.loads((folder / "truth.json").read_text())
    except (OSError, ValueError):
        truth = {}
    if not truth.get("complete"):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        truth = json.loads((folder / "truth.json").read_text())
    return folder, truth


def write_units(aggregates, control):
    """Write units by DynamoDB's rule, one per KiB begun: each partial and directory entry once, the ledger's entry twice."""
    units = sum(-(-size(item) // 1024) for item in aggregates)
    return units + 2 * sum(-(-size(item) // 1024) for item in control)


def size(item):
    """An item's size by DynamoDB's rule: names and values; a number has a byte for two digits, and one more."""
    total = 0
    for name, value in item.items():
        if isinstance(value, str):
            length = len(value.encode())
        elif hasattr(value, "value"):
            length = len(value.value)
        elif isinstance(value, (bytes, bytearray)):
            length = len(value)
        else:
            length = len(str(value)) // 2 + 2
        total += len(name) + length
    return total


def exact(checks, what, database, truth, times=1):
    aggregates, control = database.items("FlowAggregates"), database.items("FlowControl")
    expected = {
        at: {action: tuple(times * n for n in sums) for action, sums in cell.items()} for at, cell in truth_sums(truth).items()
    }
    checks.equal(f"{what}: every sum is the generator's", partials(aggregates), expected)
    entries = ledger(control).values()
    states = collections.Counter(entry["st"] for entry in entries)
    checks.equal(f"{what}: every delivery is done, once", dict(states), {"D": times * len(truth["objects"])})
    read = sum(json.loads(entry["c"])["read"] for entry in entries if entry["st"] == "D")
    checks.equal(f"{what}: the ledger's counts", read, times * truth["totals"]["read"])
    return aggregates, control


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def processor_seconds(pids):
    """User and system time of processes so far."""
    total = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def concurrency(checks, options, objects, truth, arrived, folder):
    rows = truth["totals"]["read"]
    keys = [entry["key"] for entry in truth["objects"]]
    print(f"\n{len(keys)} objects, {rows} rows")
    print("workers  seconds    rows/s  ratio  parser CPU s  p50 ms  p99 ms  peak MiB  write units  per object")
    base = None
    for workers in options.workers:
        with Database(options.database, folder / f"load-{workers}.db") as database:
            with Run(options, objects, database.url, workers, arrived) as run:
                began = time.monotonic()
                run.put(keys)
                run.finish()
                seconds = time.monotonic() - began
                run.resident()
                used = processor_seconds([function.process.pid for function in run.functions])
            aggregates, control = exact(checks, f"{workers} worker(s)", database, truth)
            checks.equal(f"{workers} worker(s): no attempt failed", (run.again, run.dead), (0, []))
            base = base or rows / seconds
            units = write_units(aggregates, control)
            print(
                f"{workers:7}  {seconds:7.1f}  {rows / seconds:8.0f}  {rows / seconds / base:5.2f}  {used:12.1f}  "
                f"{1000 * percentile(run.seconds, 0.5):6.1f}  {1000 * percentile(run.seconds, 0.99):6.1f}  "
                f"{max(function.peak for function in run.functions) / 1024:8.1f}  {units:11}  {units / len(keys):10.1f}",
                flush=True,
            )


def kills(checks, options, objects, truth, arrived, folder):
    """Somebody is killed every 200 ms: mostly a worker, every fifth time the database."""
    keys = [entry["key"] for entry in truth["objects"]]
    draw = random.Random(8)
    counted = collections.Counter()
    ended = threading.Event()
    with Database(options.database, folder / "kills.db") as database:
        with Run(options, objects, database.url, 4, arrived) as run:

            def kill():
                while not ended.wait(draw.uniform(0.1, 0.3)):
                    if draw.random() < 0.2:
                        database.kill()
                        database.start()
                        counted["database"] += 1
                    else:
                        draw.choice(run.functions).process.kill()
                        counted["worker"] += 1

            killer = threading.Thread(target=kill, daemon=True)
            killer.start()
            run.put(keys)
            run.finish()
            ended.set()
            killer.join()
        print(f"\nkilled during {len(keys)} objects: {dict(counted)}; {run.again} attempts failed and were repeated")
        checks.equal("kills: no delivery was given up", run.dead, [])
        checks.that("kills: there were some of both", counted["database"] > 0 and counted["worker"] > 0, counted)
        exact(checks, "kills", database, truth)


def soak(checks, options, objects, truth, arrived, folder):
    keys = [entry["key"] for entry in truth["objects"]]
    samples = []
    with Database(options.database, folder / "soak.db") as database:
        with Run(options, objects, database.url, 2, arrived) as run:
            began = time.monotonic()
            turns = 0
            every = options.soak * 60 / 60
            while time.monotonic() - began < options.soak * 60:
                for key in keys:
                    run.keys.put((alias(key, turns), 1))
                    if time.monotonic() - began > len(samples) * every:
                        samples.append((time.monotonic() - began, max(run.resident())))
                turns += 1
            run.finish()
        print(f"\nsoak: {options.soak} minutes, {turns} × {len(keys)} deliveries; resident set of the larger worker:")
        for at in sorted({0, *range(0, len(samples), max(1, len(samples) // 10)), len(samples) - 1}):
            print(f"  after {samples[at][0]:6.0f} s  {samples[at][1] / 1024:6.1f} MiB")
        third = len(samples) // 3
        early, late = (max(kib for _, kib in part) for part in (samples[third : 2 * third], samples[2 * third :]))
        checks.that("soak: the last third takes no more memory than the second, 1 MiB aside", late <= early + 1024, (early, late))
        exact(checks, "soak", database, truth, turns)


def main():
    parser = argparse.ArgumentParser()
    for name in ("flowlog", "database", "parser"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(".run/load"), help="for the objects, which are kept")
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--workers", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--soak", type=float, default=0, metavar="MINUTES")
    parser.add_argument("--only", choices=["concurrency", "kills", "soak"])
    options = parser.parse_args()
    exit_on_signals()
    checks = Checks()
    where, truth = generate(options)
    # Nothing is late: a notification of the last object's time.
    arrived = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(row["window"] for row in truth["interfaces"]) + 900))
    parts = {"concurrency": concurrency, "kills": kills, **({"soak": soak} if options.soak else {})}
    with tempfile.TemporaryDirectory(prefix="flowlog-load-") as folder:
        with Aliases(where, [entry["key"] for entry in truth["objects"]]) as objects:
            for name, part in parts.items():
                if options.only in (None, name):
                    part(checks, options, objects, truth, arrived, pathlib.Path(folder))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
