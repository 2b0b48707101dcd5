#!/usr/bin/env python3
"""`make watch` and `make invoke-…`, as a developer uses them: three functions answer, and a changed source is built and served.

Nothing is changed but the time stamp of one source file. Run from a clone whose functions are built (`make functions`), else
the first answer takes as long as a build.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from checks import Checks
from emulator import ROOT, exit_on_signals, free_port, is_free, listening_addresses, stop

ANSWERS = {
    "s3-parser": {"batchItemFailures": []},
    "cwl-subscriber": {"events": 7},
    "anomaly-alerter": {"batchItemFailures": []},
}
SOURCE = ROOT / "crates" / "flowlog-s3-parser" / "src" / "handler.rs"
BUILD = "Compiling flowlog-s3-parser"


def invoke(function, port):
    """What `make invoke-…` prints, as JSON; None if it fails."""
    command = ["make", "--no-print-directory", f"invoke-{function}", f"PORT={port}"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    try:
        return json.loads(done.stdout)
    except ValueError:
        print(done.stdout, done.stderr, sep="\n")
        return None


def wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    return condition()


def main():
    exit_on_signals()
    checks = Checks()
    port = free_port()
    lines = []
    # A session of its own, so that what it starts ends with it.
    watch = subprocess.Popen(
        ["make", "--no-print-directory", "watch", f"PORT={port}"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )

    def read():
        for line in watch.stdout:
            lines.append(line.rstrip())

    threading.Thread(target=read, daemon=True).start()
    try:
        checks.that("watch listens", wait(lambda: not is_free(port), 60))
        checks.equal("on the loopback interface only", listening_addresses(port) - {"0100007F"}, set())
        for function, answer in ANSWERS.items():
            checks.equal(f"invoke-{function}", invoke(function, port), answer)
        before = len(lines)
        times = SOURCE.stat()
        SOURCE.touch()
        built = lambda: any(BUILD in line for line in lines[before:])
        checks.that("a changed source is built", wait(built, 60))
        checks.equal("and answers", invoke("s3-parser", port), ANSWERS["s3-parser"])
        # For the next build nothing has changed.
        os.utime(SOURCE, ns=(times.st_atime_ns, times.st_mtime_ns))
    finally:
        stop(watch)
        if checks.failed:
            print("\n── make watch", *lines[-60:], sep="\n")
    checks.that("nothing listens afterwards", wait(lambda: is_free(port), 10))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
