#!/usr/bin/env python3
"""Every pair of choices of every template's parameters: conditions decide, SAM translates, cfn-lint has nothing to say.

All combinations of some twenty parameters are millions; faults come from one choice or from two that meet, so every *pair*
of choices occurs in at least one of the combinations here (pairwise testing; the number is printed). Conditions are decided
before the linter looks, so that it sees what CloudFormation would create: no reference may point to what a condition left
out. Run by the Python of .venv/moto, which has the linter and the translator.
"""

import itertools
import json
import unittest

import counted
from templates import REGION, all_templates, defaults, expand, load, settle, translate

# What a parameter without a list of values is tried with, besides its default.
SAMPLES = {
    "AlertEmail": ["", "a@example.com"],
    "OpsEmail": ["", "ops@example.com"],
    "LogBucketName": ["", "my-logs"],
    "ExistingBucketName": ["", "old-logs"],
    "PeerVpcId": ["", "vpc-0a1b2c3d"],
    "PeerVpcCidr": ["10.99.0.0/16"],
    "PeerOwnerId": ["", "210987654321"],
    "PeerRegion": ["", "eu-west-1"],
    "PeerRoleArn": ["", "arn:aws:iam::210987654321:role/peer"],
    "PeeringConnectionId": ["", "pcx-0a1b2c3d"],
    "RejectLogGroupName": ["", "/flowlog/flowlog/vpc-flow-logs"],
    "ResourceIds": ["vpc-0a1b2c3d", "vpc-0a1b2c3d,vpc-1a2b3c4d"],
    "AlertTopicArn": [f"arn:aws:sns:{REGION}:123456789012:alerts"],
    "OpsTopicArn": [f"arn:aws:sns:{REGION}:123456789012:ops"],
}
# Values of parameters that have no default, by the end of their names.
ENDINGS = {
    "BucketArn": "arn:aws:s3:::logs",
    "TableArn": f"arn:aws:dynamodb:{REGION}:123456789012:table/t",
    "TopicArn": f"arn:aws:sns:{REGION}:123456789012:t",
    "KeyArn": f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000",
    "BucketName": "logs",
    "AccountId": "123456789012",
    "Cidr": "10.10.0.0/16",
    "RouteTableAId": "rtb-0a1b2c3d",
    "RouteTableBId": "rtb-1a2b3c4d",
    "RouteTableIds": "rtb-0a1b2c3d,rtb-1a2b3c4d",
    "PeeringABId": "pcx-0a1b2c3d",
    "SubnetIds": "subnet-0a1b2c3d,subnet-1a2b3c4d",
    "ResourceId": "vpc-0a1b2c3d",
    "Id": "vpc-0a1b2c3d",
    "LogFormat": "${version} ${action}",
    "Accounts": "123456789012",
    "Regions": REGION,
    "Name": "flowlog",
    "Table": "flowlog-table",
    "Prefix": "flowlog",
    "Group": "/flowlog/flowlog/x",
}
# Address blocks and days change values, never what exists.
MOST_CHOICES = 3


def choices(name, parameter):
    if name in SAMPLES and (parameter.get("Default", None) == "" or "" not in SAMPLES[name]):
        return SAMPLES[name]
    allowed = [str(value) for value in parameter.get("AllowedValues", [])]
    if allowed and len(allowed) <= MOST_CHOICES:
        return allowed
    if "Default" in parameter:
        return [str(parameter["Default"])]
    fitting = sorted((end for end in ENDINGS if name.endswith(end)), key=len)
    if not fitting:
        raise ValueError(f"no value is known for the parameter {name}")
    return [ENDINGS[fitting[-1]]]


def pairwise(options):
    """Combinations such that any two choices of different parameters occur together in one of them."""
    names = sorted(options, key=lambda name: -len(options[name]))
    wanted = {
        frozenset([(a, x), (b, y)])
        for a, b in itertools.combinations(names, 2)
        for x in options[a]
        for y in options[b]
    }
    while wanted:
        # Deterministic and greedy: start from a pair that is missing, let each parameter meet most of what is missing.
        chosen = dict(sorted(min(wanted, key=sorted)))
        for name in names:
            if name in chosen:
                continue
            gain = [sum(frozenset([(name, v), other]) in wanted for other in chosen.items()) for v in options[name]]
            chosen[name] = options[name][gain.index(max(gain))]
        wanted -= {frozenset(pair) for pair in itertools.combinations(chosen.items(), 2)}
        yield chosen


def findings(template):
    from cfnlint.api import ManualArgs, lint

    # W2001: a parameter is unused once conditions have been decided. W1020: so are substitutions. Both are looked for in
    # the templates as written, by `make validate`.
    config = ManualArgs(regions=[REGION], ignore_checks=["W2001", "W1020"])
    return [str(match) for match in lint(json.dumps(template), config=config)]


class Combinations(unittest.TestCase):
    def check(self, path):
        template = load(path)
        options = {name: choices(name, p) for name, p in template.get("Parameters", {}).items()}
        count = 0
        for combination in pairwise(options) if len(options) > 1 else [{n: v[0] for n, v in options.items()}]:
            count += 1
            values = defaults(template, combination)
            settled = settle(expand(template, values), values)
            with self.subTest(path=path, combination={k: v for k, v in combination.items() if len(options[k]) > 1}):
                if template.get("Transform") == "AWS::Serverless-2016-10-31":
                    settled = translate(settled, values)
                self.assertTrue(settled["Resources"])
                # The linter judges values that come from parameters by their defaults.
                for name, parameter in settled.get("Parameters", {}).items():
                    if str(parameter.get("Default")) != values[name]:
                        parameter["Default"] = values[name]
                self.assertEqual(findings(settled), [])
        print(f"{path}: {count} combinations", flush=True)

    def test_pairs_are_covered(self):
        options = {"a": ["1", "2"], "b": ["1", "2", "3"], "c": ["1", "2"], "d": ["1"]}
        found = list(pairwise(options))
        for a, b in itertools.combinations(options, 2):
            for x, y in itertools.product(options[a], options[b]):
                self.assertTrue(any(c[a] == x and c[b] == y for c in found), (a, x, b, y))
        self.assertLess(len(found), 12)

    def test_what_is_wrong_is_found(self):
        """The check itself: a reference to what a condition left out, and a property that does not exist."""
        template = {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": {"Ref": "Gone"}}}}}
        self.assertTrue(findings(template))
        self.assertTrue(findings({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"Nope": 1}}}}))


for _path in all_templates():
    _name = "test_" + _path.split("/")[-1].split(".")[0].replace("-", "_")
    setattr(Combinations, _name, lambda self, path=_path: self.check(path))


if __name__ == "__main__":
    counted.main("__main__")
