#!/usr/bin/env python3
"""`make e2e`: the deployed pipeline, from a put object to the message in an inbox.

    S3 put ─► notification ─► SQS ─► flowlog-s3-parser ─────────┐
                                                                ├─► tables ─► stream ─► flowlog-anomaly-alerter ─► SNS ─► inbox
    log events ─► subscription filter ─► flowlog-cwl-subscriber ┘

`sam deploy` creates the template's resources in the emulator (ministack), which starts the built functions as Lambda would:
each in a process of its own that asks the Runtime API for its next event. What comes out is compared with what the generator
says it wrote. Then come objects and messages that are no good, between good ones.

What ministack does not do, and so is not shown here: it ignores ReportBatchItemFailures on streams and never bisects a
batch, never throttles, evaluates no policy, and drops no asynchronous event. `runtime.py` beside this file covers the first two.

    run.py --sam SAM --flowlog FLOWLOG --functions FOLDER
"""

import argparse
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dev"))

import pipeline
import poison
import resources
from checks import Checks
from emulator import Emulator, exit_on_signals
from stack import FUNCTIONS, Stack, with_functions_of

POISON = (poison.objects, poison.requeued, poison.messages)


def diagnose(stack, aws):
    """What one would look for first."""
    for function in FUNCTIONS:
        print(f"\n── the last lines of {function}")
        print(*stack.log(function)[-40:], sep="\n")
    print("\n── queues: (waiting, being worked on)")
    for name, url in stack.outputs.items():
        if name.endswith("Url"):
            print(name, stack.in_queue(url))
    print("\n── ledger and alerts")
    for item in sorted(stack.items("ControlTable"), key=lambda item: item["pk"])[:60]:
        print({name: item[name] for name in sorted(item) if name not in ("h", "ttl")})
    print("\n── the emulator")
    print(aws.log.read_text()[-4000:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sam", required=True, help="the executable of the SAM CLI")
    parser.add_argument("--flowlog", required=True, type=pathlib.Path, help="the command")
    parser.add_argument("--functions", required=True, type=pathlib.Path, help="a folder for each function, as cargo-lambda builds")
    options = parser.parse_args()
    exit_on_signals()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="flowlog-e2e-") as folder, Emulator() as aws:
        folder = pathlib.Path(folder)
        started = time.monotonic()
        stack = Stack(aws, options.sam, with_functions_of(options.functions.resolve(), folder))
        print(f"deployed in {time.monotonic() - started:.0f} s to {aws.url}", flush=True)
        try:
            for scenario in (pipeline.deployed, resources.resources, pipeline.objects, pipeline.log_events, *POISON):
                scenario(checks, stack, options.flowlog.resolve(), folder)
            pipeline.at_the_end(checks, stack)
            if checks.failed:
                diagnose(stack, aws)
        except BaseException:
            diagnose(stack, aws)
            raise
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
