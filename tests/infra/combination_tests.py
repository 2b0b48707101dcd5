#!/usr/bin/env python3
"""Every form that a resource can have under any choice of parameters: conditions decide, SAM translates, cfn-lint is silent.

All combinations of some thirty parameters are millions. But what becomes of one resource (or output) depends only on the
conditions that it names and on those of the resources that it refers to, and these on a few parameters. For each resource
*all* joint choices of those occur in one of the combinations here, packed into as few as will hold them; and so does every
pair of choices of any two parameters. So no combination has a resource, or a reference, that was not looked at. What depends
on more than neighbours is a circle of references: that there is none is shown for all combinations at once, on the graph
that has every branch of every condition. Conditions are decided before the linter looks, so that it sees what CloudFormation
would create. Run by the Python of .venv/moto, which has the linter and the translator.
"""

import itertools
import json
import re
import unittest

import counted
from templates import REGION, all_templates, defaults, expand, load, refusals, settle, translate

# What a parameter without a list of values is tried with, besides its default.
SAMPLES = {
    "AlertEmail": ["", "a@example.com"],
    "OpsEmail": ["", "ops@example.com"],
    "LogBucketName": ["", "my-logs"],
    "ExistingBucketName": ["", "old-logs"],
    "ExistingBucketOwner": ["", "210987654321"],
    "ExistingBucketKeyArn": ["", f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"],
    "MemberAccounts": ["", "210987654321,310987654321"],
    "S3LogFormat": ["", "${version} ${srcaddr}"],
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


def named(node):
    """(what, name) of everything below that names something: conditions (`if`) and resources or parameters (`of`)."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Condition", "Fn::If") and isinstance(value, (str, list)):
                yield "if", value if isinstance(value, str) else value[0]
            if key == "Ref":
                yield "of", value
            elif key == "Fn::GetAtt":
                yield "of", value[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from (("of", name) for name in re.findall(r"\$\{(\w+)", text))
            elif key == "DependsOn":
                yield from (("of", name) for name in (value if isinstance(value, list) else [value]))
            yield from named(value)
    elif isinstance(node, list):
        for item in node:
            yield from named(item)


def meant(body, template):
    """The resources that are referred to; SAM names what it makes for a function by the function and something more."""
    resources = template["Resources"]
    for of in {name for what, name in named(body) if what == "of"} - set(template.get("Parameters", {})):
        fitting = [resource for resource in resources if of.startswith(resource)]
        if fitting:
            yield max(fitting, key=len)


def references(template):
    """Resource → the resources that it refers to in any branch of any condition."""
    return {name: set(meant(body, template)) - {name} for name, body in template["Resources"].items()}


def circles(graph):
    """What is left when everything that refers to nothing any more is taken away, again and again."""
    graph = {name: set(to) for name, to in graph.items()}
    while free := [name for name, to in graph.items() if not to]:
        for name in free:
            del graph[name]
        for to in graph.values():
            to.difference_update(free)
    return graph


def deciders(template):
    """For each resource and output the parameters that decide its form and whether what it refers to is there."""
    conditions = template.get("Conditions", {})

    def parameters(name):
        for what, of in named(conditions[name]):
            if what == "if":
                yield from parameters(of)
            else:
                yield of

    resources = template["Resources"]
    for body in [*resources.values(), *template.get("Outputs", {}).values()]:
        conditional = [name for what, name in named(body) if what == "if" and name in conditions]
        conditional += [resources[of]["Condition"] for of in meant(body, template) if "Condition" in resources[of]]
        yield frozenset(parameter for name in conditional for parameter in parameters(name))


def combinations(options, together=()):
    """Combinations such that any choices of parameters that come together, and any two at all, occur in one of them."""
    sets = {frozenset(n for n in names if len(options.get(n, ())) > 1) for names in together}
    sets |= {frozenset(pair) for pair in itertools.combinations(options, 2)}
    sets = sorted((s for s in sets if not any(s < other for other in sets)), key=lambda s: (-len(s), sorted(s)))
    wanted = [
        dict(zip(names, values, strict=True))
        for names in map(sorted, sets)
        for values in itertools.product(*(options[name] for name in names))
    ]
    if not wanted:
        yield {name: values[0] for name, values in options.items()}
    while wanted:
        # Deterministic and greedy: as many of those that are missing as agree with one another, the largest first.
        chosen = {}
        for some in wanted:
            if all(chosen.get(name, value) == value for name, value in some.items()):
                chosen.update(some)
        yield {name: chosen.get(name, values[0]) for name, values in options.items()}
        wanted = [some for some in wanted if any(chosen.get(name) != value for name, value in some.items())]


def findings(template):
    from cfnlint.api import ManualArgs, lint

    # A parameter (W2001), a substitution (W1020) or a mapping (W7001) is unused once conditions have been decided. They are
    # looked for in the templates as written, by `make validate`.
    config = ManualArgs(regions=[REGION], ignore_checks=["W2001", "W1020", "W7001"])
    return [str(match) for match in lint(json.dumps(template), config=config)]


class Combinations(unittest.TestCase):
    def check(self, path):
        template = load(path)
        options = {name: choices(name, p) for name, p in template.get("Parameters", {}).items()}
        written_out = expand(template, defaults(template, {name: values[0] for name, values in options.items()}))
        self.assertEqual(circles(references(written_out)), {})
        count = 0
        for combination in combinations(options, deciders(written_out)):
            count += 1
            values = defaults(template, combination)
            settled = settle(expand(template, values), values)
            with self.subTest(path=path, combination={k: v for k, v in combination.items() if len(options[k]) > 1}):
                if template.get("Transform") == "AWS::Serverless-2016-10-31":
                    settled = translate(settled, values)
                if not settled["Resources"]:
                    # CloudFormation takes no empty stack, and says so less clearly than a rule.
                    self.assertTrue(refusals(template, values))
                    continue
                # The linter judges values that come from parameters by their defaults.
                for name, parameter in settled.get("Parameters", {}).items():
                    if str(parameter.get("Default")) != values[name]:
                        parameter["Default"] = values[name]
                self.assertEqual(findings(settled), [])
        print(f"{path}: {count} combinations", flush=True)

    def test_pairs_and_what_comes_together_are_covered(self):
        options = {"a": ["1", "2"], "b": ["1", "2", "3"], "c": ["1", "2"], "d": ["1"], "e": ["1", "2"], "f": ["1", "2"]}
        found = list(combinations(options, [{"a", "c", "e"}, {"d", "x"}]))
        for names in [*itertools.combinations(options, 2), ("a", "c", "e")]:
            for values in itertools.product(*(options[name] for name in names)):
                self.assertTrue(any(all(c[n] == v for n, v in zip(names, values, strict=True)) for c in found), (names, values))
        self.assertLess(len(found), 14)
        self.assertEqual(list(combinations({"a": ["1"]})), [{"a": "1"}])

    def test_the_parameters_that_decide_a_resource_are_found(self):
        template = {
            "Conditions": {
                "One": {"Fn::Equals": [{"Ref": "P"}, "yes"]},
                "Both": {"Fn::And": [{"Condition": "One"}, {"Fn::Equals": [{"Ref": "Q"}, "yes"]}]},
                "Third": {"Fn::Equals": [{"Ref": "R"}, "yes"]},
            },
            "Resources": {
                "A": {"Condition": "Both", "Properties": {}},
                "B": {"Properties": {"X": {"Fn::If": ["Third", {"Fn::GetAtt": ["A", "Arn"]}, "none"]}}},
                "C": {"DependsOn": "BMadeBySam", "Properties": {"X": {"Fn::Sub": "${C} ${S}"}}},
            },
        }
        self.assertEqual(list(map(sorted, deciders(template))), [["P", "Q"], ["P", "Q", "R"], []])
        self.assertEqual(references(template), {"A": set(), "B": {"A"}, "C": {"B"}})
        self.assertEqual(circles(references(template)), {})
        template["Resources"]["A"]["DependsOn"] = ["C"]
        self.assertEqual(set(circles(references(template))), {"A", "B", "C"})

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
