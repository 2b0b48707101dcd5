#!/usr/bin/env python3
"""The doctor's canned answers are such as AWS gives, and the documentation names every permission that it needs.

crates/flowlog-cli/src/doctor/tests/canned.json was written by hand. AWS's own models of its services, which come with botocore,
say what a call takes and what its answer holds: each call must be an operation with those options, each answer of that shape,
with the values that AWS enumerates. What the model cannot say is whether AWS would answer so.
Run by the Python of .venv/moto.
"""

import json
import re
import unittest

import botocore.session
import counted
from botocore import xform_name
from templates import ROOT

CANNED = ROOT / "crates/flowlog-cli/src/doctor/tests/canned.json"
# The command's names of services where they are not the models'.
SERVICES = {"s3api": "s3"}
# Options of the command itself.
COMMAND = {"max-items", "no-paginate"}
# Policies, which AWS sends as text in the JSON, are written as JSON where nothing depends on it.
POLICIES = {"Policy", "PolicyDocument"}
# Actions that are not called what the operation is called: the service authorization reference, Amazon S3.
ACTIONS = {
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:ListObjectsV2": "s3:ListBucket",
}
NUMBERS = {"integer": int, "long": int, "float": (int, float), "double": (int, float)}


class Models:
    def __init__(self):
        self.session = botocore.session.get_session()
        self.services = {}

    def operation(self, call):
        """(service, model of the operation, words behind it) of a call as the command takes it."""
        name, command, *words = call.split(" ")
        service = SERVICES.get(name, name)
        if service not in self.services:
            model = self.session.get_service_model(service)
            self.services[service] = {xform_name(o, "-"): model.operation_model(o) for o in model.operation_names}
        return service, self.services[service][command], words


def odd(value, shape, path="answer"):
    """What of this value is not of this shape."""
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return [f"{path} is no structure"]
        unknown = [f"{path} has no {name}" for name in value if name not in shape.members]
        known = [odd(item, shape.members[name], f"{path}.{name}") for name, item in value.items() if name in shape.members]
        return unknown + sum(known, [])
    if shape.type_name == "list":
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return sum((odd(item, shape.member, f"{path}[{at}]") for at, item in enumerate(value)), [])
    if shape.type_name == "map":
        if not isinstance(value, dict):
            return [f"{path} is no map"]
        return sum((odd(item, shape.value, f"{path}.{name}") for name, item in value.items()), [])
    if shape.type_name in NUMBERS:
        return [] if isinstance(value, NUMBERS[shape.type_name]) and not isinstance(value, bool) else [f"{path} is no number"]
    if shape.type_name == "boolean":
        return [] if isinstance(value, bool) else [f"{path} is neither true nor false"]
    if not isinstance(value, str):
        policy = path.split(".")[-1] in POLICIES and isinstance(value, dict)
        return [] if policy else [f"{path} is no text"]
    if shape.type_name == "timestamp":
        return [] if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", value) else [f"{path} is no time"]
    # In their case AWS's answers differ from what it enumerates: EC2 says `available`, S3 says `Prefix`.
    if getattr(shape, "enum", None) and value.lower() not in map(str.lower, shape.enum):
        return [f"{path} is {value}, which is none of {shape.enum}"]
    return []


class Canned(unittest.TestCase):
    def setUp(self):
        self.models = Models()
        self.answers = json.loads(CANNED.read_text(encoding="utf-8"))

    def test_each_answer_is_such_as_the_operation_gives(self):
        self.assertGreater(len(self.answers), 50)
        for call, answer in self.answers.items():
            with self.subTest(call=call):
                _, operation, words = self.models.operation(call)
                options = {xform_name(name, "-") for name in operation.input_shape.members} | COMMAND
                given = [word.removeprefix("--") for word in words if word.startswith("--")]
                self.assertEqual([name for name in given if name not in options], [])
                if answer is not None:
                    self.assertEqual(odd(answer, operation.output_shape), [])

    def test_what_is_odd_is_found(self):
        _, operation, _ = self.models.operation("ec2 describe-flow-logs")
        for broken, said in (
            ({"FlowLogs": {}}, "answer.FlowLogs is no list"),
            ({"FlowLogs": [{"Id": "fl-1"}]}, "answer.FlowLogs[0] has no Id"),
            ({"FlowLogs": [{"TrafficType": "SOME"}]}, "answer.FlowLogs[0].TrafficType is SOME"),
            ({"FlowLogs": [{"MaxAggregationInterval": "60"}]}, "answer.FlowLogs[0].MaxAggregationInterval is no number"),
            ({"FlowLogs": [{"CreationTime": "today"}]}, "answer.FlowLogs[0].CreationTime is no time"),
            ({"FlowLogs": [{"DestinationOptions": {"PerHourPartition": "yes"}}]}, "PerHourPartition is neither"),
        ):
            (found,) = odd(broken, operation.output_shape)
            self.assertIn(said, found)
        with self.assertRaises(KeyError):
            self.models.operation("ec2 describe-flow-loggs")

    def test_the_documentation_names_the_actions_and_no_other(self):
        needed = set()
        for call in self.answers:
            service, operation, _ = self.models.operation(call)
            action = f"{service}:{operation.name}"
            needed.add(ACTIONS.get(action, action))
        text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
        (listed,) = re.findall(r"The actions that it uses:\n\n```text\n(.*?)```", text, re.S)
        named = set()
        for group in listed.split():
            service, names = group.split(":")
            named |= {f"{service}:{name}" for name in names.split(",")}
        self.assertEqual(sorted(named), sorted(needed))


if __name__ == "__main__":
    counted.main("__main__")
