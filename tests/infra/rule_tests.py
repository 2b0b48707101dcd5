#!/usr/bin/env python3
"""Our own rules (infra/rules/flowlog.guard): no template breaks one, and each catches the bad templates made for it.

    rule_tests.py CFN-GUARD

Run by the Python of .venv/moto, which has the SAM translator; the argument is the program that judges.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import counted
import yaml
from templates import ROOT, Loader, all_templates, defaults, expand, load, settle, translate

RULES = (ROOT / "infra/rules/flowlog.guard").read_text(encoding="utf-8")
NAMES = re.findall(r"^rule (\w+)", RULES, re.M)
LISTS = ("Action", "Resource", "Service")
# What turns options on; everything else keeps its default.
ON = {
    "AlertEmail": "a@example.com",
    "OpsEmail": "ops@example.com",
    "ExistingBucketName": "old-logs",
    "ExistingBucketKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "MemberAccounts": "210987654321,310987654321",
    "PeerVpcId": "vpc-0a1b2c3d",
    "PeerVpcCidr": "10.99.0.0/16",
    "PeeringConnectionId": "pcx-0a1b2c3d",
    "RejectLogGroupName": "/flowlog/flowlog/vpc-flow-logs",
    "KeyArn": "arn:aws:kms:us-east-1:123456789012:key/0",
}


def as_text(node):
    """References as text, policies' single values as lists: something that a rule can compare."""
    if isinstance(node, dict):
        if len(node) == 1:
            ((key, value),) = node.items()
            if key == "Ref":
                return f"!Ref {value}"
            if key == "Fn::GetAtt":
                return "!GetAtt " + ".".join(value)
            if key == "Fn::Sub":
                return value if isinstance(value, str) else value[0]
            if key.startswith("Fn::"):
                return f"!{key[4:]} {json.dumps(value)}"
        out = {key: as_text(value) for key, value in node.items()}
        if "Effect" in out or "Service" in out:
            for key in LISTS:
                if key in out and not isinstance(out[key], list):
                    out[key] = [out[key]]
        return out
    if isinstance(node, list):
        return [as_text(item) for item in node]
    return node


def judge(templates):
    """For each template the names of the rules that it breaks, and of those that found something to judge."""
    with tempfile.TemporaryDirectory(prefix="flowlog-rules-") as directory:
        for index, template in enumerate(templates):
            pathlib.Path(directory, f"{index:04}.json").write_text(json.dumps(as_text(template)), encoding="utf-8")
        command = [GUARD, "validate", "--rules", str(ROOT / "infra/rules/flowlog.guard"), "--data", directory]
        command += ["--structured", "--output-format", "json", "--show-summary", "none"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # 0: all comply; 19: some do not. Anything else is a rule that cannot be read, or worse.
        if done.returncode not in (0, 19):
            raise RuntimeError(f"cfn-guard ended with {done.returncode}: {done.stderr[-2000:]}")
        reports = {pathlib.Path(report["name"]).name: report for report in json.loads(done.stdout)}
    out = []
    for index in range(len(templates)):
        report = reports[f"{index:04}.json"]
        broken = {entry["Rule"]["name"] for entry in report["not_compliant"]}
        out.append((broken, broken | set(report["compliant"])))
    return out


def variants(path):
    """The template with every option off, and with every option on."""
    template = load(path)
    switches = {n for n, p in template.get("Parameters", {}).items() if p.get("AllowedValues") == ["yes", "no"]}
    given = {n for n, p in template.get("Parameters", {}).items() if "Default" not in p}
    base = {name: "vpc-0a1b2c3d,vpc-1a2b3c4d" if name.endswith("Ids") else "x" for name in given}
    for on in (False, True):
        values = {**defaults(template), **base, **{name: "yes" if on else "no" for name in switches}}
        if on:
            values.update({name: value for name, value in ON.items() if name in template.get("Parameters", {})})
        settled = settle(expand(template, values), values)
        if not settled["Resources"]:
            continue
        yield settled, "on" if on else "off"
        if template.get("Transform") == "AWS::Serverless-2016-10-31":
            yield translate(settled, values), "translated, on" if on else "translated, off"


class Rules(unittest.TestCase):
    def test_there_are_enough_and_no_name_twice(self):
        self.assertGreaterEqual(len(NAMES), 20)
        self.assertEqual(len(NAMES), len(set(NAMES)))

    def test_no_template_breaks_a_rule(self):
        found = [(path, options, template) for path in all_templates() for template, options in variants(path)]
        judged = set()
        for (path, options, _), (broken, looked_at) in zip(found, judge([template for _, _, template in found])):
            judged |= looked_at
            with self.subTest(path=path, options=options):
                self.assertEqual(sorted(broken), [])
        # A rule that finds nothing to judge in our own templates guards nothing.
        self.assertEqual(sorted(set(NAMES) - judged), [])

    def test_each_rule_catches_its_bad_templates(self):
        bad = yaml.load((ROOT / "infra/rules/bad.yaml").read_text(encoding="utf-8"), Loader)
        self.assertEqual(sorted(bad), sorted(NAMES))
        cases = [(name, resource) for name, resources in bad.items() for resource in resources]
        verdicts = judge([{"Resources": {"Bad": resource}} for _, resource in cases])
        for (name, resource), (broken, _) in zip(cases, verdicts):
            with self.subTest(rule=name, resource=resource):
                self.assertIn(name, broken)


class Suppressions(unittest.TestCase):
    """What a scanner is told not to say is said, with the reason, where it is."""

    def test_every_suppression_has_a_reason(self):
        seen = 0
        for path in all_templates():
            for name, resource in load(path)["Resources"].items():
                metadata = resource.get("Metadata", {}) if isinstance(resource, dict) else {}
                for skip in metadata.get("checkov", {}).get("skip", []):
                    seen += 1
                    self.assertGreater(len(skip.get("comment", "")), 20, f"{path} {name} {skip}")
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines):
                if "ignore_checks" in line:
                    seen += 1
                    self.assertTrue(lines[number - 1].strip().startswith("# "), f"{path}:{number + 1} says no reason")
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    GUARD = sys.argv[1]
    print(f"{len(NAMES)} rules")
    counted.main("__main__")
