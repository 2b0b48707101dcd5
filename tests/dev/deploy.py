#!/usr/bin/env python3
"""`make deploy-local`: the template, deployed by `sam deploy` to the emulator; prints what exists afterwards.

Not a judge of permissions (nothing here evaluates a policy) but of whether the template, its nested stack and the zipped
functions go together. The emulator's CloudFormation has neither peering connections nor flow logs; the parameters for
those say no. An object is put into the bucket at the end, so that queue, parser and permission are seen to be joined.

    deploy.py SAM-EXECUTABLE

Run by the Python of .venv/emulator, after `make build`.
"""

import os
import subprocess
import sys
import time

import make_events
from emulator import ROOT, Emulator, exit_on_signals

STACK = "flowlog"
OVERRIDES = ["CreatePeering=no", "CreateFlowLogs=no", "AlertEmail=alerts@example.com", "NamePrefix=flowlog-dev"]


def resources(cloudformation, stack):
    found = {}
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            found[resource["LogicalResourceId"]] = resource
    return found


def main():
    exit_on_signals()
    with Emulator() as aws:
        aws.client("s3").create_bucket(Bucket="sam-artifacts")
        subprocess.run(
            [sys.argv[1], "deploy", "--stack-name", STACK, "--no-resolve-s3", "--s3-bucket", "sam-artifacts"]
            + ["--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", *OVERRIDES],
            cwd=ROOT,
            env={**os.environ, **aws.environment, "SAM_CLI_TELEMETRY": "0"},
            check=True,
        )
        cloudformation = aws.client("cloudformation")
        found = resources(cloudformation, STACK)
        nested = resources(cloudformation, found["Network"]["PhysicalResourceId"])
        wrong = [name for name, what in {**found, **nested}.items() if what["ResourceStatus"] != "CREATE_COMPLETE"]
        for name, what in sorted({**found, **nested}.items()):
            print(f"{name:32} {what['ResourceType']:36} {what['ResourceStatus']}")

        mappings = aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        for mapping in mappings:
            # CloudFormation turns a parameter's text into the number a property wants; the emulator does not, and its
            # poller stumbles over it.
            if "ScalingConfig" in mapping:
                limit = int(mapping["ScalingConfig"]["MaximumConcurrency"])
                aws.client("lambda").update_event_source_mapping(
                    UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": limit}
                )
            print("event source", mapping["EventSourceArn"].split(":")[2], "→", mapping["FunctionArn"].split(":")[-1])
        groups = aws.client("logs").describe_subscription_filters(logGroupName=f"/flowlog/{STACK}/vpc-flow-logs")
        print("subscription →", *(f["destinationArn"].split(":")[-1] for f in groups["subscriptionFilters"]))

        bucket = found["LogBucket"]["PhysicalResourceId"]
        body = (make_events.EVENTS / "s3-parser" / make_events.OBJECT).read_bytes()
        aws.client("s3").put_object(Bucket=bucket, Key=make_events.KEY, Body=body)
        sqs = aws.client("sqs")
        queue = found["IngestQueue"]["PhysicalResourceId"]
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        deadline = time.monotonic() + 60
        while True:
            left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
            if not any(int(n) for n in left.values()) or time.monotonic() > deadline:
                break
            time.sleep(1)
        print("queue after one object:", left)
        for name, field in (("AggregatesTable", "partials"), ("ControlTable", "ledger and alerts")):
            outputs = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
            table = next(o["OutputValue"] for o in outputs if o["OutputKey"] == name)
            print(f"{field}:", aws.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"], "items")
        if wrong or any(int(n) for n in left.values()):
            print("not as it should be:", wrong or "the queue was not emptied", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
