#!/usr/bin/env python3
"""What the templates say about one another: order, patience, formats, messages. Nothing is deployed; PyYAML is enough."""

import os
import re
import shlex
import subprocess
import unittest

import counted
import yaml
from templates import ACCOUNT, ROOT, Loader, all_templates, defaults, load, refusals, settle

ROOT_TEMPLATE = "template.yaml"
MEMBERS = ["210987654321", "310987654321"]


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(resource):
    return {s["Sid"]: s for s in resource["Properties"]["PolicyDocument"]["Statement"]}


class Order(unittest.TestCase):
    def setUp(self):
        self.template = load(ROOT_TEMPLATE)
        self.resources = self.template["Resources"]

    def test_a_flow_log_finds_the_bucket_s_policy_and_the_subscription(self):
        """Without the first AWS writes its own policy over ours; without the second the first records are lost."""
        found = [r for r in self.resources.values() if r.get("Properties", {}).get("Location") == "infra/flow-logs.yaml"]
        self.assertEqual(len(found), 3)
        for resource in found:
            self.assertLessEqual({"LogBucketPolicy", "RejectSubscription"}, set(resource["DependsOn"]))

    def test_what_sends_a_probe_may_do_so_when_it_is_made(self):
        self.assertIn("IngestQueuePolicy", listed(self.resources["LogBucket"]["DependsOn"]))
        self.assertIn("RejectSubscriptionPermission", listed(self.resources["RejectSubscription"]["DependsOn"]))


class Patience(unittest.TestCase):
    def setUp(self):
        self.resources = load(ROOT_TEMPLATE)["Resources"]

    def test_a_message_stays_away_for_six_timeouts_of_its_function(self):
        queues = 0
        for function in self.resources.values():
            if function["Type"] != "AWS::Serverless::Function":
                continue
            for event in function["Properties"].get("Events", {}).values():
                if event["Type"] == "SQS":
                    queue = self.resources[event["Properties"]["Queue"]["Fn::GetAtt"][0]]
                    timeout = function["Properties"]["Timeout"]
                    self.assertGreaterEqual(queue["Properties"]["VisibilityTimeout"], 6 * timeout)
                    queues += 1
        self.assertEqual(queues, 1)

    def test_whatever_wakes_a_function_has_somewhere_to_give_up_to(self):
        """Twice for what is invoked asynchronously: what EventBridge cannot hand over, and what Lambda took and the function failed."""
        kept = {name for name, r in self.resources.items() if r["Type"] == "AWS::SQS::Queue" and "RedrivePolicy" not in r["Properties"]}
        ways = set()
        for name, function in self.resources.items():
            if function["Type"] != "AWS::Serverless::Function":
                continue
            # CloudWatch Logs invokes asynchronously, too.
            is_async = any(
                p["Type"] == "AWS::Lambda::Permission" and p["Properties"]["FunctionName"]["Fn::GetAtt"][0] == name
                for p in self.resources.values()
            )
            for event in function["Properties"].get("Events", {}).values():
                properties = event["Properties"]
                is_async |= event["Type"] == "Schedule"
                target = {
                    "SQS": lambda p: self.resources[p["Queue"]["Fn::GetAtt"][0]]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"],
                    "Schedule": lambda p: p["DeadLetterConfig"]["Arn"],
                    "DynamoDB": lambda p: p["DestinationConfig"]["OnFailure"]["Destination"],
                }[event["Type"]](properties)
                self.assertIn(target["Fn::GetAtt"][0], kept, name)
                ways.add(event["Type"])
            self.assertEqual(is_async, "EventInvokeConfig" in function["Properties"], name)
            if is_async:
                given_up = function["Properties"]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
                self.assertEqual(given_up["Type"], "SQS", name)
                self.assertIn(given_up["Destination"]["Fn::GetAtt"][0], kept, name)
                ways.add("async")
        self.assertEqual(ways, {"SQS", "Schedule", "DynamoDB", "async"})

    def test_who_gives_up_is_let_in_by_reference(self):
        """Of a long stack's name only a part is in the names of its rules, so a pattern of names would not let them in."""
        template = load(ROOT_TEMPLATE)
        for bucket in ("", "old-logs"):
            resources = settle(template, defaults(template, {"ExistingBucketName": bucket}))["Resources"]
            admitted = {}
            for policy in ("IngestDeadLettersPolicy", "AnomalyAlerterFailuresPolicy"):
                found = statements(resources[policy]).get("RulesGiveUp")
                sources = listed(found["Condition"]["ArnEquals"]["aws:SourceArn"]) if found else []
                admitted[policy] = {source["Fn::GetAtt"][0] for source in sources}
            given_up = {
                f"{name}{event}"
                for name, function in resources.items()
                for event, body in function.get("Properties", {}).get("Events", {}).items()
                if body["Type"] == "Schedule"
            }
            self.assertEqual(admitted["AnomalyAlerterFailuresPolicy"], given_up)
            # What is in here goes back to the queue of notifications, so nothing else may come here.
            self.assertEqual(admitted["IngestDeadLettersPolicy"], {"ExistingBucketRule"} if bucket else set())

    def test_a_schedule_gives_up_where_nothing_is_put_back_into_a_queue(self):
        """`start-message-move-task` moves all of the ingest dead letters to the parser's queue."""
        back = {
            r["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            for r in self.resources.values()
            if r["Type"] == "AWS::SQS::Queue" and "RedrivePolicy" in r["Properties"]
        }
        self.assertEqual(back, {"IngestDeadLetters"})
        seen = 0
        for name, function in self.resources.items():
            for event in function.get("Properties", {}).get("Events", {}).values():
                if event["Type"] == "Schedule":
                    seen += 1
                    self.assertNotIn(event["Properties"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0], back, name)
            failures = function.get("Properties", {}).get("EventInvokeConfig")
            if failures:
                self.assertNotIn(failures["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0], back, name)
        self.assertEqual(seen, 3)


class Architecture(unittest.TestCase):
    """`make deploy` deploys functions into what they were built for, whatever it is told besides."""

    def deploys(self, built, arguments):
        """(the template that is deployed, the words of `sam deploy`), as make would run it; nothing is built."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", "--dry-run", "deploy", f"ARCHITECTURE={built}", f"ARGS={arguments}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        printed = done.stdout.replace("\\\n", " ").splitlines()
        self.assertTrue(any(f"--target {built.replace('arm64', 'aarch64')}-unknown-linux-gnu" in line for line in printed))
        (cut,) = [line for line in printed if line.startswith("sed ")]
        narrowed, _, path = cut.rpartition(" > ")
        text = subprocess.run(["bash", "-c", narrowed], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        (deploy,) = [shlex.split(line) for line in printed if "/bin/sam deploy " in line]
        self.assertEqual(deploy[deploy.index("--template-file") + 1], path)
        return yaml.load(text, Loader), deploy

    def test_the_template_that_is_deployed_knows_what_was_built_and_nothing_else(self):
        for built in ("x86_64", "arm64"):
            template, _ = self.deploys(built, "--guided")
            parameter = template["Parameters"]["Architecture"]
            self.assertEqual((parameter["Default"], parameter["AllowedValues"]), (built, [built]))
            self.assertIn("make deploy ARCHITECTURE=", parameter["ConstraintDescription"])
            # Nothing else is another one.
            template["Parameters"]["Architecture"] = load(ROOT_TEMPLATE)["Parameters"]["Architecture"]
            self.assertEqual(template, load(ROOT_TEMPLATE))

    def test_the_parameter_is_always_given(self):
        """A stack that has a value keeps it unless it is told another."""
        for arguments, rest in (
            ("", []),
            ("--guided", ["--guided"]),
            ("--parameter-overrides AlertEmail=a@example.com", ["AlertEmail=a@example.com"]),
            ("--no-confirm-changeset --parameter-overrides AlertEmail=a@example.com --guided", ["AlertEmail=a@example.com"]),
        ):
            for built in ("x86_64", "arm64"):
                _, words = self.deploys(built, arguments)
                self.assertEqual(words.count("--parameter-overrides"), 1, words)
                at = words.index("--parameter-overrides") + 1
                self.assertEqual(words[at], f"Architecture={built}")
                for word in rest:
                    self.assertIn(word, words)


class Formats(unittest.TestCase):
    """The fields of the flow logs are written down in three templates; they are one list."""

    def setUp(self):
        v11, v5 = load("infra/flow-logs.yaml")["Resources"]["All"]["Properties"]["LogFormat"]["Fn::If"][1:]
        self.formats = {"v11": v11, "v5": v5}

    def test_what_is_attached_writes_the_same_fields(self):
        template = load("infra/attach.yaml")
        self.assertEqual({name: s["S3"] for name, s in template["Mappings"]["Formats"].items()}, self.formats)
        ours = load("infra/flow-logs.yaml")["Resources"]["All"]["Properties"]["TagFieldSpecifications"]["Fn::If"][1]
        loop = template["Resources"]["Fn::ForEach::All"][2]["All&{Id}"]["Properties"]
        self.assertEqual(loop["TagFieldSpecifications"]["Fn::If"], ["WithTags", ours, {"Ref": "AWS::NoValue"}])
        self.assertEqual(loop["DestinationOptions"]["HiveCompatiblePartitions"], True)

    def test_the_table_has_the_columns_in_their_order(self):
        fields = re.findall(r"\$\{([a-z-]+)\}", self.formats["v11"])
        table = load("infra/athena.yaml")["Resources"]["FlowLogs"]["Properties"]["TableInput"]
        columns = [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
        self.assertEqual(columns, [field.replace("-", "_") for field in fields])
        # The shorter set is the beginning of the longer one, so that its text reads as the same table.
        self.assertTrue(self.formats["v11"].startswith(self.formats["v5"]))
        partitions = {key["Name"] for key in table["PartitionKeys"]}
        location = table["Parameters"]["storage.location.template"]["Fn::Sub"]
        self.assertEqual(set(re.findall(r"\$\{!([a-z-]+)\}", location)), partitions)
        for name in partitions:
            self.assertIn(f"projection.{name}.type", table["Parameters"])
        used = " ".join(
            r["Properties"]["QueryString"]
            for r in load("infra/athena.yaml")["Resources"].values()
            if r["Type"] == "AWS::Athena::NamedQuery"
        )
        words = set(re.findall(r"\b[a-z_]+\b", re.sub(r"'[^']*'", "", used)))
        self.assertGreater(len(words & set(columns)), 10)
        self.assertLessEqual(words - set(columns) - partitions, {"flow_logs", "count", "sum", "min", "max", "records", "first", "last"})

    def test_the_subscriber_and_the_flow_logs_are_given_one_format(self):
        template = load(ROOT_TEMPLATE)
        function = template["Resources"]["CwlSubscriberFunction"]["Properties"]["Environment"]["Variables"]
        self.assertEqual(function["LOG_FORMAT"], {"Ref": "LogFormat"})
        for name in ("FlowLogsA", "FlowLogsB", "FlowLogsC"):
            self.assertEqual(template["Resources"][name]["Properties"]["Parameters"]["LogFormat"], {"Ref": "LogFormat"})
        self.assertEqual(template["Parameters"]["LogFormat"]["Default"], load("infra/attach.yaml")["Parameters"]["LogFormat"]["Default"])


class Folders(unittest.TestCase):
    """The stack reads `AWSLogs/` of its bucket, so a flow log with a folder would deliver where nobody looks."""

    def test_a_folder_is_refused(self):
        notified = load(ROOT_TEMPLATE)["Resources"]["LogBucket"]["Properties"]["NotificationConfiguration"]
        (rule,) = notified["QueueConfigurations"][0]["Filter"]["S3Key"]["Rules"]
        self.assertEqual(rule, {"Name": "prefix", "Value": "AWSLogs/"})
        for path in ("infra/attach.yaml", "infra/flow-logs.yaml"):
            pattern = load(path)["Parameters"]["LogBucketArn"]["AllowedPattern"]
            for good in ("arn:aws:s3:::flowlog-logs-123456789012-eu-west-1", "arn:aws-cn:s3:::a.b.c"):
                self.assertRegex(good, f"^(?:{pattern})$")
            for bad in ("arn:aws:s3:::logs/team/", "arn:aws:s3:::logs/", "arn:aws:s3:::logs:x", "logs"):
                self.assertNotRegex(bad, f"^(?:{pattern})$")


class Members(unittest.TestCase):
    """Other accounts deliver into the log bucket, and nobody else."""

    LIST = {"Fn::Split": [",", {"Ref": "MemberAccounts"}]}

    def policy(self, path, resource, **parameters):
        template = load(path)
        values = {**{name: "x" for name in template["Parameters"]}, **defaults(template, parameters)}
        properties = settle(template, values)["Resources"][resource]["Properties"]
        return {s["Sid"]: s for s in (properties.get("PolicyDocument") or properties["KeyPolicy"])["Statement"]}

    def test_members_are_admitted_to_bucket_and_key_under_the_same_conditions(self):
        for path, resource in ((ROOT_TEMPLATE, "LogBucketPolicy"), ("infra/key.yaml", "Key")):
            alone = self.policy(path, resource)
            self.assertFalse([sid for sid in alone if sid.endswith("OfMembers")])
            with_members = self.policy(path, resource, MemberAccounts=",".join(MEMBERS))
            added = {sid: s for sid, s in with_members.items() if sid not in alone}
            # What our own account may is not touched.
            self.assertEqual({sid: with_members[sid] for sid in alone}, alone)
            self.assertTrue(added)
            for sid, statement in added.items():
                own = alone[sid.removesuffix("OfMembers")]
                self.assertEqual((statement["Principal"], statement["Action"]), (own["Principal"], own["Action"]))
                self.assertEqual(statement["Condition"]["StringEquals"]["aws:SourceAccount"], self.LIST)
                self.assertEqual(set(statement["Condition"]), set(own["Condition"]))
                self.assertEqual(set(statement["Condition"]["StringEquals"]), set(own["Condition"]["StringEquals"]))
                self.assertEqual(self.sources(statement), [f"arn:*:logs:*:{member}:*" for member in MEMBERS])

    def sources(self, statement):
        """Fn::Split of Fn::Sub of Fn::Join, as CloudFormation works it out."""
        comma, sub = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Split"]
        text, names = sub["Fn::Sub"]
        between, members = names["Members"]["Fn::Join"]
        self.assertEqual(members, self.LIST)
        return text.replace("${Members}", between.join(MEMBERS)).split(comma)


class Refusals(unittest.TestCase):
    """What cannot work is refused before anything is created, with a message that says what to change."""

    def test_each_rule_speaks_of_the_parameters_that_are_wrong(self):
        far = {"PeerVpcId": "vpc-0a1b2c3d"}
        for path, wrong, names in (
            (ROOT_TEMPLATE, {"VpcBCidr": "10.10.0.0/16"}, ["VpcACidr", "VpcBCidr"]),
            (ROOT_TEMPLATE, {"CreateThirdVpc": "yes", "VpcCCidr": "10.20.0.0/16"}, ["VpcCCidr"]),
            (ROOT_TEMPLATE, {"CreateThirdVpc": "yes", "CreatePeering": "no"}, ["CreateThirdVpc", "CreatePeering"]),
            (ROOT_TEMPLATE, far, ["PeerVpcId", "PeerVpcCidr"]),
            (ROOT_TEMPLATE, {**far, "PeerVpcCidr": "10.10.0.0/16"}, ["PeerVpcCidr", "VpcACidr"]),
            (ROOT_TEMPLATE, {"PeerOwnerId": ACCOUNT}, ["PeerOwnerId", "PeerRoleArn"]),
            (ROOT_TEMPLATE, {"ExistingBucketKeyArn": "arn:aws:kms:…"}, ["ExistingBucketKeyArn", "ExistingBucketName"]),
            ("infra/network.yaml", {"VpcBCidr": "10.10.0.0/16"}, ["VpcACidr", "VpcBCidr"]),
            ("infra/network.yaml", far, ["PeerVpcId", "PeerVpcCidr"]),
            ("infra/network.yaml", {"PeerOwnerId": ACCOUNT}, ["PeerOwnerId", "PeerRoleArn"]),
            ("infra/third-vpc.yaml", {"VpcACidr": "10.30.0.0/16", "VpcBCidr": "x"}, ["VpcCCidr", "VpcACidr"]),
            ("infra/interface-endpoints.yaml", {}, ["SsmEndpoint", "SqsEndpoint"]),
        ):
            with self.subTest(path=path, wrong=wrong):
                template = load(path)
                (message,) = refusals(template, defaults(template, wrong))
                for name in names:
                    self.assertIn(name, message)
        self.assertEqual(refusals(load(ROOT_TEMPLATE), defaults(load(ROOT_TEMPLATE))), [])

    def test_every_rule_is_tried_above(self):
        tried = {path for path in all_templates() if "Rules" in load(path)}
        expected = {ROOT_TEMPLATE, *(f"infra/{n}.yaml" for n in ("network", "third-vpc", "interface-endpoints"))}
        self.assertEqual(tried, expected)


if __name__ == "__main__":
    counted.main("__main__")
