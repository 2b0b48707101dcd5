"""The template, deployed by `sam deploy` to the emulator, and what one wants to know of it afterwards.

The emulator's CloudFormation has neither peering connections nor flow logs nor alarms over several metrics; the parameters for
those say no.
"""

import json
import os
import subprocess
import time

from emulator import ROOT

STACK = "flowlog"
OVERRIDES = ["CreatePeering=no", "CreateFlowLogs=no", "CreateObservability=no", "NamePrefix=flowlog-dev"]
# Where the template looks for the functions.
BUILT = "target/lambda"
FUNCTIONS = ("s3-parser", "cwl-subscriber", "anomaly-alerter")


def with_functions_of(functions, folder):
    """The template's path, after writing a copy into `folder` whose functions are those of another build."""
    text = (ROOT / "template.yaml").read_text()
    for name in FUNCTIONS:
        old = f"CodeUri: {BUILT}/flowlog-{name}\n"
        if text.count(old) != 1:
            raise RuntimeError(f"template.yaml has no single {old.strip()}")
        text = text.replace(old, f"CodeUri: {functions / f'flowlog-{name}'}\n")
    text = text.replace("Location: infra/", f"Location: {ROOT / 'infra'}/")
    copy = folder / "template.yaml"
    copy.write_text(text)
    return copy


class Stack:
    """A deployed stack: its outputs, tables, queues and logs."""

    def __init__(self, aws, sam, template=ROOT / "template.yaml", parameters=()):
        self.aws = aws
        self.clients = {}
        self.client("s3").create_bucket(Bucket="sam-artifacts")
        subprocess.run(
            [sam, "deploy", "--stack-name", STACK, "--template-file", str(template)]
            + ["--no-resolve-s3", "--s3-bucket", "sam-artifacts", "--no-confirm-changeset", "--no-progressbar"]
            + ["--parameter-overrides", *OVERRIDES, *parameters],
            cwd=ROOT,
            env={**os.environ, **aws.environment, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        self.resources = self.list_resources(STACK)
        for name, resource in list(self.resources.items()):
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                self.resources |= self.list_resources(resource["PhysicalResourceId"])
        description = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}
        self.mappings = self.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        for mapping in self.mappings:
            # CloudFormation turns a parameter's text into the number a property wants; the emulator does not, and its
            # poller stumbles over it.
            if "ScalingConfig" in mapping:
                limit = int(mapping["ScalingConfig"]["MaximumConcurrency"])
                self.client("lambda").update_event_source_mapping(
                    UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": limit}
                )

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = self.aws.client(service)
        return self.clients[service]

    def list_resources(self, stack):
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return {resource["LogicalResourceId"]: resource for page in pages for resource in page["StackResourceSummaries"]}

    def incomplete(self):
        """The resources that did not come to be."""
        done = "CREATE_COMPLETE"
        return {name: what["ResourceStatus"] for name, what in self.resources.items() if what["ResourceStatus"] != done}

    def mapping(self, service):
        """The event source mapping from a queue (`sqs`) or a stream (`dynamodb`)."""
        return next(m for m in self.mappings if m["EventSourceArn"].split(":")[2] == service)

    def log_group(self, function):
        return f"/flowlog/{STACK}/{function}"

    def log(self, function):
        """Every line that a function wrote, oldest first."""
        events = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=self.log_group(function))
        return [event["message"] for page in events for event in page["events"]]

    def items(self, output):
        """Every item of the table that this output names, with plain values."""
        from boto3.dynamodb.types import TypeDeserializer

        plain = TypeDeserializer().deserialize
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs[output], ConsistentRead=True)
        return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def in_queue(self, url):
        """How many messages a queue has: (waiting, being worked on)."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return tuple(int(attributes[name]) for name in names)

    def put(self, key, body):
        self.client("s3").put_object(Bucket=self.outputs["LogBucketName"], Key=key, Body=body)

    def inbox(self, name):
        """A queue that is subscribed to the alert topic."""
        url = self.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        self.client("sns").subscribe(TopicArn=self.outputs["AlertTopicArn"], Protocol="sqs", Endpoint=attributes["QueueArn"])
        return url

    def receive(self, url):
        """Takes what is in a queue out of it."""
        taken = []
        while True:
            answer = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
            messages = answer.get("Messages", [])
            if not messages:
                return taken
            for message in messages:
                taken.append(message["Body"])
                self.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def metrics(lines):
    """The sums of the metrics in these log lines, and how many lines in the embedded format are none that CloudWatch takes."""
    sums, malformed = {}, 0
    for line in lines:
        if '"_aws"' not in line:
            continue
        try:
            entry = json.loads(line)
            (directive,) = entry["_aws"]["CloudWatchMetrics"]
            well = isinstance(entry["_aws"]["Timestamp"], int) and all(entry[d] for d in directive["Dimensions"][0])
            names = [metric["Name"] for metric in directive["Metrics"]]
            values = {name: entry[name] for name in names}
        except (ValueError, KeyError, IndexError):
            malformed += 1
            continue
        if not well or directive["Namespace"] != "flowlog" or not names:
            malformed += 1
        for name, value in values.items():
            sums[name] = sums.get(name, 0) + value
    return sums, malformed


def wait(what, condition, seconds, pause=0.5):
    """Asks until `condition` gives something true, and returns that; after so many seconds, whatever it gives last."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() > deadline:
            if not found:
                print(f"waited {seconds} s in vain: {what}", flush=True)
            return found
        time.sleep(pause)
