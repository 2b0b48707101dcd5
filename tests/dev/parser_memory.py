#!/usr/bin/env python3
"""`make parser-memory`: the most memory that the parser's program takes for an object, with as many writes in flight as it ever has,
and its processor time.

    parser_memory.py --parser BOOTSTRAP --flowlog FLOWLOG [--limit MIB] [--objects wide,hosts,…]

One process behind a Runtime API for each object, so that nothing is left over from another. Objects come from a local server; the
table is a server that answers each request after --delay ms and keeps nothing, so that the parser has all its requests in flight
(16 of 25 items, `patience.rs`) for as long as there is something to write. Fails above the limit, or if an object of many partials
never had 64 writes in flight, which would say nothing. The goal is 96 MiB; the limit leaves a sixth for noise.

    wide, interfaces, hosts, windows, large   of `forged.py`
    sources                                   an attack from so many invented sources (--sources)
    columns                                   Parquet of 29 fields (--rows)
    a path                                    that file, whose records must not be late
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import forged
from emulator import exit_on_signals
from load import BUCKET
from loopback import Handler
from runtime_api import Function, notification, queue_event
from services import ENVIRONMENT, Objects, Serving

KINDS = ("wide", "interfaces", "hosts", "windows", "large", "sources", "columns")


class Table(Serving):
    """Takes every write and keeps none; `most` says how many items were in flight at once, `written` how many there were."""

    def __init__(self, delay):
        self.delay, self.lock = delay, threading.Lock()
        self.now = self.most = self.written = 0

    def handler(self):
        table = self

        class DynamoDb(Handler):
            def do_POST(self):
                body = self.body()
                items = body.count(b'"PutRequest"')
                with table.lock:
                    table.now += items
                    table.written += items
                    table.most = max(table.most, table.now)
                time.sleep(table.delay)
                with table.lock:
                    table.now -= items
                self.answer(200, b'{"UnprocessedItems":{}}' if items else b"{}", [("Content-Type", "application/x-amz-json-1.0")])

        return DynamoDb


def generate(options, kind, folder, start):
    """The key of the largest object that `flowlog generate` makes of this kind."""
    plan = {
        "sources": ["--format", "v2", "--minutes", "20", "--rate", "1000", "--attack", f"source-flood={options.sources}"],
        "columns": ["--file-format", "parquet", "--minutes", "5", "--rate", str(options.rows // 5)],
    }[kind]
    command = [options.flowlog, "generate", *plan, "--start", str(start), "-o", folder]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = max((path for path in folder.rglob("*.log.*") if path.is_file()), key=lambda path: path.stat().st_size)
    return str(found.relative_to(folder))


def measure(options, kind, work, start):
    """Peak MiB and processor seconds of the parser's process, and how many items were in flight and written."""
    given = pathlib.Path(kind)
    folder = work / given.name
    key = forged.KEY
    if given.is_file():
        (folder / key).parent.mkdir(parents=True)
        shutil.copyfile(given, folder / key)
    elif kind in ("sources", "columns"):
        key = generate(options, kind, folder, start)
    else:
        forged.write(kind, folder / key, start)
    arrived = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Table(options.delay / 1000) as table, Objects(folder) as objects:
        environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": table.url, "AWS_ENDPOINT_URL_S3": objects.url, "RUST_LOG": "warn"}
        with Function(options.parser, environment, timeout=1800) as function:
            answer = function.invoke(queue_event({"m": notification(BUCKET, key, arrived=arrived)}))
            function.measure()
    if answer["batchItemFailures"]:
        sys.exit(f"{kind}: the delivery failed: {json.dumps(answer)}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return function.peak / 1024, seconds, table.most, table.written, (folder / key).stat().st_size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parser", required=True, type=pathlib.Path)
    parser.add_argument("--flowlog", required=True, type=pathlib.Path)
    parser.add_argument("--limit", type=float, default=112, help="MiB")
    parser.add_argument("--delay", type=float, default=20, help="ms that the table takes for an answer")
    parser.add_argument("--sources", type=int, default=2_000_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--objects", type=lambda text: text.split(","), default=KINDS)
    options = parser.parse_args()
    exit_on_signals()
    # Two hours ago: nothing is late, whenever this runs.
    start = int(time.time()) // 300 * 300 - 7200
    failed = 0
    print("| object | MB | items written | in flight at most | CPU s | peak MiB |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="flowlog-parser-memory-") as work:
        for kind in options.objects:
            peak, seconds, most, written, size = measure(options, kind, pathlib.Path(work), start)
            print(f"| {kind} | {size / 1e6:.1f} | {written:,} | {most} | {seconds:.2f} | {peak:.0f} |", flush=True)
            failed += peak > options.limit or (kind in ("wide", "interfaces", "hosts", "windows") and most < 64)
    print(f"\n{len(options.objects) - failed} passed, {failed} failed (at most {options.limit:g} MiB each)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
