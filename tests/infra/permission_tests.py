#!/usr/bin/env python3
"""What the roles are granted is what is called: an action too many fails, and so does one too few.

Called is what infra/permissions.json says, which an integration test holds against the recorded calls of the handlers
(tests/it/permissions.rs), and what infra/service-calls.json says, with a source, that AWS does in the role's name. Granted
is what template.yaml says, under its options. No IAM engine runs here: this shows that the two are consistent.
"""

import copy
import fnmatch
import itertools
import json
import re
import unittest

import counted
from templates import ROOT, defaults, load, settle

FUNCTIONS = {
    "s3-parser": ("S3ParserRole", "S3ParserLogGroup"),
    "cwl-subscriber": ("CwlSubscriberRole", "CwlSubscriberLogGroup"),
    "anomaly-alerter": ("AnomalyAlerterRole", "AnomalyAlerterLogGroup"),
}
OPTIONS = {
    "plain": {"CreateNetwork": "no"},
    "in the network": {"CreateNetwork": "yes"},
    "without names": {"CreateNetwork": "no", "AlertNames": "no"},
    "with a key": {"CreateNetwork": "no", "CustomerKey": "yes"},
    "with another bucket's key": {"CreateNetwork": "no", "ExistingBucketName": "old-logs", "ExistingBucketKeyArn": "arn:…"},
    "with everything": {
        "CreateNetwork": "yes",
        "CustomerKey": "yes",
        "ExistingBucketName": "old-logs",
        "ExistingBucketKeyArn": "arn:…",
    },
}


def listed(value):
    return value if isinstance(value, list) else [value]


def read(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def resource_of(action, resource):
    """A resource of the template by the name that the two files use."""
    text = json.dumps(resource)
    if resource == "*":
        return "network interfaces" if action.startswith("ec2:") else "*"
    if action.startswith("ec2:"):
        return "network interfaces"
    if action.startswith("s3:"):
        return "objects"
    if action.startswith("logs:"):
        return "own log group" if "LogGroup" in text else text
    if action.startswith("kms:"):
        return "key of the existing bucket" if "ExistingBucketKeyArn" in text else "key"
    if "StreamArn" in text:
        return "stream"
    if "/stream/*" in text:
        return "streams"
    if action == "sns:Publish":
        return "topic"
    name = re.search(r'"Fn::GetAtt": \["(\w+)", "Arn"\]', text)
    return name.group(1) if name else text


def granted(role):
    """(action, resource) of every statement that allows."""
    pairs = set()
    for policy in role["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] != "Allow":
                continue
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    pairs.add((action, resource_of(action, resource)))
    return pairs


def called(function, values):
    pairs = set()
    for resource, actions in read("infra/permissions.json")[function]["calls"].items():
        if resource == "network interfaces" and values["AlertNames"] == "no":
            continue
        pairs |= {(action, resource) for action in actions}
    table = read("infra/service-calls.json")
    for entry in [*table["every function"], *table[function]]:
        assert entry["source"].startswith("https://docs.aws.amazon.com/"), entry
        option = entry.get("option")
        if option and values[option] in ("no", ""):
            continue
        pairs |= {(action, entry["resource"]) for action in entry["actions"]}
    return pairs


class Permissions(unittest.TestCase):
    def setUp(self):
        self.template = load("template.yaml")

    def roles(self, parameters):
        values = defaults(self.template, parameters)
        resources = settle(self.template, values)["Resources"]
        return {f: resources[role] for f, (role, _) in FUNCTIONS.items()}, values

    def test_granted_is_called(self):
        for name, parameters in OPTIONS.items():
            roles, values = self.roles(parameters)
            for function, role in roles.items():
                with self.subTest(function=function, options=name):
                    grants, calls = granted(role), called(function, values)
                    self.assertEqual(sorted(grants - calls), [], "granted and not called")
                    self.assertEqual(sorted(calls - grants), [], "called and not granted")

    def test_every_action_that_is_taken_away_or_added_is_noticed(self):
        roles, values = self.roles(OPTIONS["with everything"])
        tried = 0
        for function, role in roles.items():
            calls = called(function, values)
            for at, policy in enumerate(role["Properties"]["Policies"]):
                for statement, body in enumerate(policy["PolicyDocument"]["Statement"]):
                    if body["Effect"] != "Allow" or body["Sid"].endswith("There") or "Existing" in body["Sid"]:
                        continue
                    for action in listed(body["Action"]):
                        changed = copy.deepcopy(role)
                        there = changed["Properties"]["Policies"][at]["PolicyDocument"]["Statement"]
                        there[statement]["Action"] = [a for a in listed(body["Action"]) if a != action]
                        tried += 1
                        # The existing bucket's own statement grants the same two on other objects.
                        if action.startswith("s3:"):
                            there[:] = [s for s in there if "Existing" not in s["Sid"] and not s["Sid"].endswith("There")]
                        self.assertNotEqual(granted(changed), calls, (function, action))
                    changed = copy.deepcopy(role)
                    there = changed["Properties"]["Policies"][at]["PolicyDocument"]["Statement"]
                    there[statement]["Action"] = [*listed(body["Action"]), "dynamodb:Scan"]
                    self.assertNotEqual(granted(changed), calls, function)
        self.assertGreater(tried, 30)

    def test_the_parser_s_role_may_give_interfaces_back_whatever_is_chosen(self):
        """CloudFormation changes the role before the function: what went with the network would be missing when Lambda leaves it."""
        names = ("CreateNetwork", "ParserInNetwork", "CustomerKey", "ExistingBucketName")
        found = []
        for values in itertools.product(("yes", "no"), ("yes", "no"), ("yes", "no"), ("", "old-logs")):
            roles, _ = self.roles(dict(zip(names, values, strict=True)))
            (policy,) = [p for p in roles["s3-parser"]["Properties"]["Policies"] if p["PolicyName"] == "network-interfaces"]
            found.append(policy)
        statements = {s["Sid"]: s for s in found[0]["PolicyDocument"]["Statement"]}
        self.assertIn("ec2:DeleteNetworkInterface", statements["MakeInterfaces"]["Action"])
        # What Lambda may, the function's code may not.
        granted_to_lambda = {a for s in statements.values() if s["Effect"] == "Allow" for a in s["Action"]}
        self.assertEqual(set(statements["ForLambdaNotForCode"]["Action"]), granted_to_lambda)
        self.assertTrue(all(policy == found[0] for policy in found))

    def test_each_grant_is_on_these_resources_under_these_conditions(self):
        """The whole of each statement, but for its actions: how wide a grant is, no list of calls says."""
        roles, _ = self.roles(OPTIONS["with everything"])
        found = {}
        for function, role in roles.items():
            statements = [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
            sids = [s["Sid"] for s in statements]
            self.assertEqual(len(sids), len(set(sids)), function)
            known = {"Sid", "Effect", "Action", "Resource", "Condition"}
            for s in statements:
                self.assertLessEqual(set(s), known)
                self.assertEqual(s["Effect"], "Deny" if s["Sid"] == "ForLambdaNotForCode" else "Allow", s["Sid"])
            found[function] = {s["Sid"]: (listed(s["Resource"]), s.get("Condition")) for s in statements}

        def arn(name, attribute="Arn"):
            return [{"Fn::GetAtt": [name, attribute]}]

        def sub(text):
            return [{"Fn::Sub": text}]

        def keys(*patterns):
            return {
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(patterns)},
                # ForAllValues is true of a request without keys.
                "Null": {"dynamodb:LeadingKeys": "false"},
            }

        def by(*services):
            via = [{"Fn::Sub": f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"} for service in services]
            return {"StringEquals": {"kms:ViaService": via if len(via) > 1 else via[0]}}

        here = "${AWS::Region}:${AWS::AccountId}"
        ours = {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
        key = arn("Key", "Outputs.KeyArn")
        every = {"SendTraces": (["*"], None)}
        writes = {"WritePartials": (arn("FlowAggregates"), None), "KeepLedger": (arn("FlowControl"), keys("O#*", "Q"))}
        expected = {
            "s3-parser": {
                **every,
                **writes,
                "ReadObjects": (sub("${LogBucket.Arn}/AWSLogs/*"), ours),
                "TellGoneFromForbidden": (arn("LogBucket"), ours),
                "ReadExistingObjects": (sub("arn:${AWS::Partition}:s3:::${ExistingBucketName}/*AWSLogs/*vpcflowlogs*"), ours),
                "TellGoneFromForbiddenThere": (sub("arn:${AWS::Partition}:s3:::${ExistingBucketName}"), ours),
                "UseExistingKey": ([{"Ref": "ExistingBucketKeyArn"}], by("s3")),
                "UseKey": (key, by("dynamodb", "s3", "sqs")),
                "PollQueue": (arn("IngestQueue"), None),
                "KeepFailures": (arn("AnomalyAlerterFailures"), None),
                "WriteLogs": (arn("S3ParserLogGroup"), None),
                "MakeInterfaces": (sub(f"arn:${{AWS::Partition}}:ec2:{here}:*/*"), None),
                "FindInterfaces": (["*"], None),
                "ForLambdaNotForCode": (
                    ["*"],
                    {"ArnLike": {"lambda:SourceFunctionArn": sub(f"arn:${{AWS::Partition}}:lambda:{here}:function:*")[0]}},
                ),
            },
            "cwl-subscriber": {
                **every,
                **writes,
                "UseKey": (key, by("dynamodb", "sqs")),
                "KeepFailures": (arn("CwlSubscriberFailures"), None),
                "WriteLogs": (arn("CwlSubscriberLogGroup"), None),
            },
            "anomaly-alerter": {
                **every,
                "ReadWindows": (arn("FlowAggregates"), None),
                # Under the keys of interfaces and of scopes; the directory's it only reads.
                "WriteSummaries": (arn("FlowAggregates"), keys("E#*", "V#*")),
                "ReadLedger": (arn("FlowControl"), keys("O#*")),
                "KeepAlertState": (arn("FlowControl"), keys("A#*")),
                "PublishAlerts": ([{"Ref": "AlertTopic"}], None),
                "NameInterfaces": (["*"], None),
                "UseKey": (key, by("dynamodb", "sns", "sqs")),
                "ReadStream": (arn("FlowAggregates", "StreamArn"), None),
                "FindStream": (sub("${FlowAggregates.Arn}/stream/*"), None),
                "KeepFailures": (arn("AnomalyAlerterFailures"), None),
                "WriteLogs": (arn("AnomalyAlerterLogGroup"), None),
            },
        }
        for function, grants in expected.items():
            for sid in {*grants, *found[function]}:
                self.assertEqual(found[function].get(sid), grants.get(sid), f"{function} {sid}")
        self.assertEqual(found, expected)
        # An option takes statements away, and changes none.
        for name, parameters in OPTIONS.items():
            for function, role in self.roles(parameters)[0].items():
                for policy in role["Properties"]["Policies"]:
                    for s in policy["PolicyDocument"]["Statement"]:
                        self.assertEqual((listed(s["Resource"]), s.get("Condition")), expected[function][s["Sid"]], name)

    def test_an_existing_bucket_is_read_for_flow_logs_and_of_its_owner_only(self):
        """The name of a bucket that somebody deleted is free for anyone, who could then put records there."""
        network = load("infra/network.yaml")
        for owner, expected in (("", {"Ref": "AWS::AccountId"}), ("210987654321", {"Ref": "ExistingBucketOwner"})):
            given = {"ExistingBucketName": "old-logs", "ExistingBucketOwner": owner}
            resources = settle(self.template, defaults(self.template, given))["Resources"]
            policies = [p["PolicyDocument"] for p in resources["S3ParserRole"]["Properties"]["Policies"]]
            endpoint = settle(network, defaults(network, given))["Resources"]["ParserS3Endpoint"]
            policies.append(endpoint["Properties"]["PolicyDocument"])
            found = {s["Sid"]: s for policy in policies for s in policy["Statement"]}
            (rule,) = resources["ExistingBucketRule"]["Properties"]["EventPattern"]["detail"]["object"]["key"]
            bucket = "arn:${AWS::Partition}:s3:::${ExistingBucketName}"
            objects = f"{bucket}/{rule['wildcard']}"
            for sid, arns in (
                ("ReadExistingObjects", [objects]),
                ("TellGoneFromForbiddenThere", [bucket]),
                ("ReadExistingBucket", [bucket, objects]),
            ):
                self.assertEqual(found[sid]["Condition"]["StringEquals"]["aws:ResourceAccount"], expected, sid)
                self.assertEqual([arn["Fn::Sub"] for arn in listed(found[sid]["Resource"])], arns, sid)
            # What the reconciler lists and the function reads, by both layouts of keys, in a folder or not.
            for key in (
                "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/30/x.log.gz",
                "team/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/x.parquet",
            ):
                self.assertTrue(fnmatch.fnmatchcase(key, rule["wildcard"]), key)
            self.assertFalse(fnmatch.fnmatchcase("AWSLogs/123456789012/CloudTrail/us-east-1/x.gz", rule["wildcard"]))

    def test_ledger_and_alert_state_are_each_ones_own(self):
        roles, _ = self.roles(OPTIONS["plain"])
        for function, role in roles.items():
            keys = []
            for statement in role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
                if listed(statement["Resource"]) == [{"Fn::GetAtt": ["FlowControl", "Arn"]}]:
                    condition = statement["Condition"]
                    keys += condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                    # ForAllValues is true of a request without keys.
                    self.assertEqual(condition["Null"], {"dynamodb:LeadingKeys": "false"})
            self.assertEqual(sorted(keys), read("infra/permissions.json")[function]["control_keys"], function)

    def test_the_parser_calls_s3_and_dynamodb_only_and_its_endpoints_admit_just_that(self):
        calls = read("infra/permissions.json")["s3-parser"]["calls"]
        services = {action.split(":")[0] for actions in calls.values() for action in actions}
        self.assertEqual(services, {"s3", "dynamodb"})
        roles, _ = self.roles(OPTIONS["plain"])
        resources = load("infra/network.yaml")["Resources"]
        for endpoint, service in (("ParserS3Endpoint", "s3"), ("ParserDynamoDbEndpoint", "dynamodb")):
            statement = resources[endpoint]["Properties"]["PolicyDocument"]["Statement"][0]
            needed = {action for action, _ in granted(roles["s3-parser"]) if action.startswith(f"{service}:")}
            self.assertEqual(set(statement["Action"]), needed, endpoint)

    def test_a_customer_key_is_granted_to_both_ends(self):
        key = settle(load("infra/key.yaml"), defaults(load("infra/key.yaml")))["Resources"]["Key"]["Properties"]
        services = {}
        for statement in key["KeyPolicy"]["Statement"]:
            if "Service" in statement["Principal"]:
                services[json.dumps(statement["Principal"]["Service"])] = set(statement["Action"])
        # What AWS's documentation of each asks for.
        delivers = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}
        expected = {
            '"delivery.logs.amazonaws.com"': delivers,
            '"s3.amazonaws.com"': {"kms:Decrypt", "kms:GenerateDataKey"},
            '"events.amazonaws.com"': {"kms:Decrypt", "kms:GenerateDataKey"},
            '"cloudwatch.amazonaws.com"': {"kms:Decrypt", "kms:GenerateDataKey*"},
            '{"Fn::Sub": "logs.${AWS::Region}.${AWS::URLSuffix}"}': delivers,
        }
        self.assertEqual(services, expected)
        values = defaults(self.template, {"CustomerKey": "yes", "CreateNetwork": "no"})
        resources = settle(self.template, values)["Resources"]
        encrypted = {
            "AWS::SQS::Queue": "KmsMasterKeyId",
            "AWS::SNS::Topic": "KmsMasterKeyId",
            "AWS::Logs::LogGroup": "KmsKeyId",
            "AWS::DynamoDB::Table": "SSESpecification",
            "AWS::S3::Bucket": "BucketEncryption",
        }
        seen = set()
        for name, resource in resources.items():
            if resource["Type"] in encrypted:
                seen.add(resource["Type"])
                self.assertIn("Key", json.dumps(resource["Properties"][encrypted[resource["Type"]]]), name)
        self.assertEqual(seen, set(encrypted))
        for name, (role, _) in FUNCTIONS.items():
            # Each service whose data a role touches is one that it may use the key by, and no other.
            actions = {action for action, _ in granted(resources[role])}
            touched = {a.split(":")[0] for a in actions} & {"dynamodb", "s3", "sns", "sqs"}
            (use,) = [s for p in resources[role]["Properties"]["Policies"] for s in p["PolicyDocument"]["Statement"] if s["Sid"] == "UseKey"]
            by = [via["Fn::Sub"] for via in use["Condition"]["StringEquals"]["kms:ViaService"]]
            # In China the names of the services end as its partition does.
            self.assertEqual(by, [f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}" for service in sorted(touched)], name)
            # Who sends has something encrypted; DynamoDB encrypts with a key of the table's, which it has decrypted.
            sends = actions & {"sqs:SendMessage", "sns:Publish"}
            self.assertEqual(use["Action"], ["kms:Decrypt", *(["kms:GenerateDataKey"] if sends else [])], name)


if __name__ == "__main__":
    counted.main("__main__")
