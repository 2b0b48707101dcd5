#!/usr/bin/env python3
"""`make sizing`: how long the parser takes for an object, by the memory that Lambda is given, and what that costs.

Lambda gives a function a share of one processor that grows with its memory, one whole at 1,769 MB. Here the share is a quota of
the kernel's (cgroup, 20 ms at a time) on a warm process of the parser behind a Runtime API, with an embedded DynamoDB and a local
server of objects outside of the quota. The seconds are this machine's; what holds elsewhere is how they go down with memory, and
where that ends: where the parser waits for writes.

Needs root, for the quota. Each time is the middle one of several deliveries of the object.

    sizing.py --flowlog FLOWLOG --database DATABASE --parser BOOTSTRAP [--object FILE.log.gz]
"""

import argparse
import contextlib
import gzip
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from emulator import exit_on_signals
from forged import HEADER, KEY
from load import BUCKET, START, Aliases, alias
from runtime_api import Function, notification, queue_event
from services import ENVIRONMENT, Database

MEMORY = (128, 256, 512, 1024, 1769)
WHOLE = 1769
PERIOD = 20_000
# Interfaces of one object, three windows each: nearly all of what it costs is writing.
WIDE = 2_000
ARRIVED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + 1_200))
V1, V2 = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")


@contextlib.contextmanager
def share_of_a_processor(pid, share):
    """Holds a process to this share of one processor."""
    unified = (V2 / "cgroup.controllers").exists()
    group = (V2 if unified else V1) / f"flowlog-sizing-{pid}"
    group.mkdir()
    quota = int(PERIOD * share)
    try:
        if unified:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def generated(flowlog, folder, rows):
    """The key of an object of nearly so many rows."""
    plan = ["--format", "v2", "--minutes", "5", "--rate", str(rows // 5), "--seed", str(rows), "--start", str(START)]
    command = [flowlog, "generate", *plan, "-o", folder]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = max(folder.rglob("*.log.gz"), key=lambda path: path.stat().st_size)
    return str(found.relative_to(folder))


def place(folder):
    """Where an object of its own goes."""
    path = folder / KEY
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def wide(folder):
    """The key of an object of many interfaces, ten connections of each in each of three windows."""
    path = place(folder)
    with gzip.open(path, "wt", compresslevel=6, newline="") as file:
        file.write(HEADER + "\n")
        for n in range(WIDE * 30):
            interface, start = n % WIDE, START + n // WIDE % 3 * 300
            remote = f"10.{interface >> 8}.{interface & 255}.{n // WIDE}"
            file.write(
                f"2 123456789012 eni-{interface:017x} {remote} 10.200.{interface >> 8}.{interface & 255} {40000 + n % 9999} 443 6 "
                f"10 4000 {start} {start + 50} ACCEPT OK\n"
            )
    return KEY


def measure(options, folder, what, key, memory, work):
    """Prints a line of the table."""
    with Database(options.database, work / f"{folder.name}-{memory}.db") as database, Aliases(folder, [key]) as objects:
        environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": database.url, "AWS_ENDPOINT_URL_S3": objects.url, "RUST_LOG": "warn"}
        with Function(options.parser, environment, timeout=900, memory=memory) as function:
            seconds = []
            # The first is for connections and tables.
            for turn in range(options.times + 1):
                event = queue_event({"m": notification(BUCKET, alias(key, turn), arrived=ARRIVED)})
                with share_of_a_processor(function.process.pid, memory / WHOLE):
                    began = time.monotonic()
                    answer = function.invoke(event)
                    seconds.append(time.monotonic() - began)
                assert answer["batchItemFailures"] == [], answer
            function.measure()
            peak = function.peak / 1024
    middle = statistics.median(seconds[1:])
    print(f"| {what} | {memory} | {middle:.2f} | {middle * memory / 1024:.3f} | {peak:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("flowlog", "database", "parser"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")], default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--object", type=pathlib.Path, help="one more, of the default format")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    exit_on_signals()
    if os.geteuid() != 0:
        print("skipped: a share of a processor wants root")
        return
    with tempfile.TemporaryDirectory(prefix="flowlog-sizing-") as work:
        work = pathlib.Path(work)
        found = [(work / str(rows), generated(options.flowlog.resolve(), work / str(rows), rows)) for rows in options.rows]
        if options.object:
            shutil.copyfile(options.object, place(work / "object"))
            found.append((work / "object", KEY))
        plans = []
        for folder, key in found:
            text = gzip.decompress((folder / key).read_bytes())
            plans.append((f"{text.count(10) - 1:,} rows, {len(text) / 1e6:.1f} MB of text", folder, key))
        plans.append((f"{WIDE:,} interfaces × 3 windows, {WIDE * 30:,} rows", work / "wide", wide(work / "wide")))
        print("| object | memory, MB | seconds | GB-seconds | peak MiB |\n|---|--:|--:|--:|--:|")
        for what, folder, key in plans:
            for memory in MEMORY:
                measure(options, folder, what, key, memory, work)


if __name__ == "__main__":
    main()
