#!/usr/bin/env python3
"""`make deploy-local`: the template, deployed by `sam deploy` to the emulator; prints what exists afterwards.

Not a judge of permissions (nothing here evaluates a policy) but of whether the template, its nested stack and the zipped
functions go together. An object is put into the bucket at the end, so that queue, parser and permission are seen to be
joined. `make e2e` says more.

    deploy.py SAM-EXECUTABLE

Run by the Python of .venv/emulator, after `make build`.
"""

import sys

import make_events
from emulator import Emulator, exit_on_signals
from stack import STACK, Stack, wait


def main():
    exit_on_signals()
    with Emulator() as aws:
        stack = Stack(aws, sys.argv[1], parameters=["AlertEmail=alerts@example.com"])
        for name, what in sorted(stack.resources.items()):
            print(f"{name:32} {what['ResourceType']:36} {what['ResourceStatus']}")
        for mapping in stack.mappings:
            print("event source", mapping["EventSourceArn"].split(":")[2], "→", mapping["FunctionArn"].split(":")[-1])
        filters = stack.client("logs").describe_subscription_filters(logGroupName=f"/flowlog/{STACK}/vpc-flow-logs")
        print("subscription →", *(f["destinationArn"].split(":")[-1] for f in filters["subscriptionFilters"]))

        stack.put(make_events.KEY, (make_events.EVENTS / "s3-parser" / make_events.OBJECT).read_bytes())
        queue = stack.outputs["IngestQueueUrl"]
        emptied = wait("the queue is empty", lambda: stack.in_queue(queue) == (0, 0), seconds=60)
        for table, what in (("AggregatesTable", "partials"), ("ControlTable", "ledger and alerts")):
            print(f"{what}:", len(stack.items(table)), "items")
        wrong = stack.incomplete()
        if wrong or not emptied:
            print("not as it should be:", wrong or "the queue was not emptied", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
