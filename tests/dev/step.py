#!/usr/bin/env python3
"""One step of a test run: runs a command, shows its output, and notes what it counted.

    step.py NAME [--limit SECONDS] -- COMMAND …    run it; the exit status is the command's
    step.py NAME --skip WHY                        note that it was not run, and why
    step.py --table FILE                           the table of everything noted; exit 1 if something failed or no test ran

The command's output passes through. What it says in one of these ways is counted:

    test result: ok. 7 passed; 0 failed; 1 ignored; …    a Rust test binary (each one adds up)
    7 passed, 0 failed, 1 skipped                        anything of ours, alone on its line
    skipped: why                                         at the start of a line: a reason, for the table

The note is a line of JSON, appended to the file that STEPS names; without STEPS nothing is kept. A step that exits with 0
although it counted a failure has failed all the same. Standard library only.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time

from emulator import exit_on_signals, stop

RUST = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
OURS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
REASON = re.compile(r"^skipped: (.+)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# More reasons than this are not read by anybody.
MOST_REASONS = 8


class Counter:
    """What lines of output add up to."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.why = []

    def read(self, line):
        line = COLOUR.sub("", line).strip()
        counts = RUST.search(line) or OURS.match(line)
        if counts:
            passed, failed, skipped = map(int, counts.groups())
            self.passed += passed
            self.failed += failed
            self.skipped += skipped
        elif (reason := REASON.match(line)) and reason[1] not in self.why and len(self.why) < MOST_REASONS:
            self.why.append(reason[1])


def note(step):
    """Appends in one write, so that steps that run at the same time do not mix their lines."""
    if path := os.environ.get("STEPS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(step) + "\n")


def run(name, command, limit):
    counter = Counter()
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )

    def show():
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            sys.stdout.write(line)
            sys.stdout.flush()
            counter.read(line)

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    ended = None
    try:
        status = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        ended = f"stopped after {limit} s"
        status = 124
    finally:
        # Also what the command left behind, which would hold its output open.
        stop(process)
    reader.join(timeout=5)
    if status == 0 and counter.failed:
        status = 1
    if status < 0:
        ended = f"ended by signal {-status}"
        status = 128 - status
    seconds = time.monotonic() - started
    step = {"name": name, "status": status, "seconds": seconds, **vars(counter)}
    if ended:
        step["why"] = [ended, *counter.why]
    note(step)
    print(f"── {summary(step)}", flush=True)
    return status


def summary(step):
    return f"{step['name']}: {verdict(step)} in {step['seconds']:.0f} s"


def verdict(step):
    if step["status"]:
        return f"FAILED ({step['status']})"
    return "skipped" if step.get("unrun") else "ok"


def table(path):
    try:
        with open(path, encoding="utf-8") as file:
            steps = [json.loads(line) for line in file]
    except FileNotFoundError:
        steps = []
    width = max([len(step["name"]) for step in steps] + [len("step")])
    print(f"{'step':{width}}  {'result':12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}  skipped, and why")
    for step in steps:
        print(
            f"{step['name']:{width}}  {verdict(step):12} {step['passed']:7} {step['failed']:7} {step['skipped']:8} "
            f"{step['seconds']:8.0f}  {'; '.join(step['why'])}".rstrip()
        )
    total = {key: sum(step[key] for step in steps) for key in ("passed", "failed", "skipped", "seconds")}
    failed = [step["name"] for step in steps if step["status"]]
    print(
        f"{'all':{width}}  {'FAILED' if failed else 'ok':12} {total['passed']:7} {total['failed']:7} "
        f"{total['skipped']:8} {total['seconds']:8.0f}"
    )
    if not total["passed"]:
        print("no test ran", file=sys.stderr)
    return 1 if failed or not total["passed"] else 0


def main():
    arguments = sys.argv[1:]
    command = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description="Runs a command as a step of a test run.")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--limit", type=float, help="seconds after which the command is stopped")
    parser.add_argument("--skip", metavar="WHY", help="note that the step was not run")
    parser.add_argument("--table", metavar="FILE", help="print what was noted in this file")
    options = parser.parse_args(arguments)
    if options.table:
        return table(options.table)
    if not options.name or bool(command) == bool(options.skip):
        parser.error("a step has a name, and either a command after -- or --skip WHY")
    if options.skip:
        print(f"── {options.name}: skipped: {options.skip}", flush=True)
        note({"name": options.name, "status": 0, "seconds": 0, "unrun": True} | vars(Counter()) | {"why": [options.skip]})
        return 0
    exit_on_signals()
    return run(options.name, command, options.limit)


if __name__ == "__main__":
    sys.exit(main())
