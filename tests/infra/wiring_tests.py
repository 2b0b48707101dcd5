#!/usr/bin/env python3
"""What the templates say about one another: order, patience, formats, messages. Nothing is deployed; PyYAML is enough."""

import json
import os
import pathlib
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
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


class Given(unittest.TestCase):
    """What the functions are told: each variable, each schedule's message, and each limit is the parameter of that name."""

    def setUp(self):
        self.template = load(ROOT_TEMPLATE)

    def functions(self, **parameters):
        resources = settle(self.template, defaults(self.template, parameters))["Resources"]
        return {n: r["Properties"] for n, r in resources.items() if r["Type"] == "AWS::Serverless::Function"}

    def test_each_variable_is_what_it_is_called(self):
        tables = {"AGGREGATES_TABLE": "FlowAggregates", "CONTROL_TABLE": "FlowControl"}
        expected = {
            "S3ParserFunction": {**tables, "HORIZON_DAYS": "HorizonDays", "MAX_OUTPUT_BYTES": "MaxOutputBytes"},
            "CwlSubscriberFunction": {**tables, "HORIZON_DAYS": "HorizonDays", "LOG_FORMAT": "LogFormat"},
            "AnomalyAlerterFunction": {
                **tables,
                "TOPIC_ARN": "AlertTopic",
                "ALERT_COOLDOWN_SECONDS": "AlertCooldownSeconds",
                "ALERT_BUDGET_PER_HOUR": "AlertBudgetPerHour",
                "ALERT_CHAT": "AlertChat",
                "ALERT_NAMES": "AlertNames",
                "RULES": "Rules",
            },
        }
        given = {name: f["Environment"]["Variables"] for name, f in self.functions().items()}
        self.assertEqual(given, {n: {v: {"Ref": of} for v, of in variables.items()} for n, variables in expected.items()})
        every = self.template["Globals"]["Function"]
        self.assertEqual(every["Environment"]["Variables"], {"RUST_LOG": {"Ref": "LogLevel"}})
        self.assertEqual(every["Architectures"], [{"Ref": "Architecture"}])

    def test_a_message_of_a_schedule_is_what_its_function_reads(self):
        own, old = "flowlog-logs-123456789012-us-east-1", "old-logs"
        names = {"LogBucket": own, "ExistingBucketName": old, "ExistingBucketSince": "1796076000"}
        attached = {"buckets": [own, old], "since": {old: 1796076000}}
        for parameters, told_of in (({}, {"buckets": [own]}), ({"ExistingBucketName": old}, attached)):
            messages, when = {}, {}
            for name, function in self.functions(**parameters).items():
                for event, body in function.get("Events", {}).items():
                    if body["Type"] == "Schedule":
                        told = body["Properties"]["Input"]
                        messages[event] = json.loads(self.substituted(told, names))
                        when[event] = (name, body["Properties"]["Schedule"])
            reconcile = {"flowlog": "reconcile", **told_of, "prefixes": [""], "lookback_days": 1}
            self.assertEqual(messages, {"Reconcile": reconcile, "Sweep": {"flowlog": "sweep"}, "Compact": {"flowlog": "compact"}})
            alerter = "AnomalyAlerterFunction"
            expected = {
                "Reconcile": ("S3ParserFunction", "rate(1 hour)"),
                "Sweep": (alerter, "rate(5 minutes)"),
                "Compact": (alerter, "cron(40 * * * ? *)"),
            }
            self.assertEqual(when, expected)

    def substituted(self, node, names):
        """Fn::Sub as CloudFormation works it out."""
        if isinstance(node, str):
            return node
        text, more = node["Fn::Sub"] if isinstance(node["Fn::Sub"], list) else (node["Fn::Sub"], {})
        names = {**names, **{name: self.substituted(value, names) for name, value in more.items()}}
        return re.sub(r"\$\{(\w+)\}", lambda match: names[match[1]], text)

    def test_the_stream_rings_for_partials_and_the_subscription_for_all(self):
        stream = self.functions()["AnomalyAlerterFunction"]["Events"]["Partials"]["Properties"]
        (one,) = stream["FilterCriteria"]["Filters"]
        # What an item is (crates/flowlog-core/src/store/item.rs): P, a partial.
        self.assertEqual(json.loads(one["Pattern"]), {"dynamodb": {"NewImage": {"t": {"S": ["P"]}}}})
        self.assertEqual(self.template["Resources"]["RejectSubscription"]["Properties"]["FilterPattern"], "")

    def test_each_limit_is_its_parameter(self):
        functions = self.functions()
        objects = functions["S3ParserFunction"]["Events"]["Objects"]["Properties"]
        self.assertEqual(objects["ScalingConfig"], {"MaximumConcurrency": {"Ref": "ParserMaximumConcurrency"}})
        resources = self.template["Resources"]
        (rule,) = resources["LogBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        self.assertEqual(rule["ExpirationInDays"], {"Ref": "ObjectRetentionDays"})
        groups = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::Logs::LogGroup"]
        self.assertEqual([group["RetentionInDays"] for group in groups], [{"Ref": "LogRetentionDays"}] * 4)

    def test_a_nested_stack_s_parameter_is_the_one_of_that_name(self):
        """Where both have a parameter of one name, it is handed on."""
        seen = 0
        for name, resource in self.template["Resources"].items():
            if resource["Type"] != "AWS::Serverless::Application":
                continue
            given = resource["Properties"]["Parameters"]
            for parameter in load(resource["Properties"]["Location"])["Parameters"]:
                if parameter in self.template["Parameters"] and parameter != "LogBucketName":
                    seen += 1
                    self.assertEqual(given.get(parameter), {"Ref": parameter}, f"{name} {parameter}")
        self.assertGreater(seen, 25)

    def test_the_operations_stack_watches_what_it_is_told_of(self):
        given = self.template["Resources"]["Observability"]["Properties"]["Parameters"]
        names = {"Parser": "S3ParserFunction", "Subscriber": "CwlSubscriberFunction", "Alerter": "AnomalyAlerterFunction"}
        queues = {
            "IngestQueue": "IngestQueue",
            "IngestDeadLetters": "IngestDeadLetters",
            "SubscriberFailures": "CwlSubscriberFailures",
            "AlerterFailures": "AnomalyAlerterFailures",
        }
        tables = {"AggregatesTable": "FlowAggregates", "ControlTable": "FlowControl"}
        expected = {
            "Prefix": {"Ref": "AWS::StackName"},
            "OpsEmail": {"Ref": "OpsEmail"},
            "SilenceHours": {"Ref": "SilenceHours"},
            "KeyArn": {"Fn::If": ["WithKey", {"Fn::GetAtt": ["Key", "Outputs.KeyArn"]}, ""]},
            **{f"{short}Name": {"Ref": function} for short, function in names.items()},
            **{f"{short}Name": {"Fn::GetAtt": [queue, "QueueName"]} for short, queue in queues.items()},
            **{short: {"Ref": table} for short, table in tables.items()},
        }
        self.assertEqual(given, expected)


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


class Guards(unittest.TestCase):
    """What every queue and every bucket has."""

    def resources(self, path):
        """But for loops, in which there are none of these."""
        return {name: r for name, r in load(path)["Resources"].items() if isinstance(r, dict)}

    def named(self, policy):
        """But for statements that depend on an option."""
        return {s["Sid"]: s for s in policy["Properties"]["PolicyDocument"]["Statement"] if "Sid" in s}

    def test_a_queue_takes_nothing_without_tls(self):
        seen = 0
        for path in all_templates():
            resources = self.resources(path)
            policies = [r for r in resources.values() if r["Type"] == "AWS::SQS::QueuePolicy"]
            for name in [n for n, r in resources.items() if r["Type"] == "AWS::SQS::Queue"]:
                seen += 1
                (policy,) = [p for p in policies if {"Ref": name} in p["Properties"]["Queues"]]
                denied = self.named(policy)["DenyInsecureTransport"]
                self.assertEqual(denied["Resource"], {"Fn::GetAtt": [name, "Arn"]}, name)
                self.assertEqual((denied["Effect"], denied["Principal"], denied["Action"]), ("Deny", "*", "sqs:*"), name)
        self.assertEqual(seen, 4)

    def test_a_bucket_s_policy_stays_as_long_as_it_and_refuses_old_tls(self):
        seen = 0
        for path in all_templates():
            resources = self.resources(path)
            for name, policy in resources.items():
                if policy["Type"] != "AWS::S3::BucketPolicy":
                    continue
                seen += 1
                bucket = policy["Properties"]["Bucket"]["Ref"]
                for kept in ("DeletionPolicy", "UpdateReplacePolicy"):
                    self.assertEqual(policy.get(kept), resources[bucket].get(kept), f"{name} {kept}")
                arn = {"Fn::GetAtt": [bucket, "Arn"]}
                for sid, condition in (
                    ("DenyInsecureTransport", {"Bool": {"aws:SecureTransport": "false"}}),
                    ("DenyOldTls", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
                ):
                    denied = self.named(policy)[sid]
                    self.assertEqual((denied["Effect"], denied["Principal"], denied["Action"]), ("Deny", "*", "s3:*"), name)
                    self.assertEqual(denied["Resource"], [arn, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}], name)
                    self.assertEqual(denied["Condition"], condition, name)
        self.assertEqual(seen, 2)

    def test_athena_s_results_are_under_the_customer_key(self):
        given = self.athena(CustomerKey="yes")
        self.assertEqual(given["KeyArn"], {"Fn::GetAtt": ["Key", "Outputs.KeyArn"]})
        self.assertEqual(self.athena(CustomerKey="no")["KeyArn"], "")
        template, arn = load("infra/athena.yaml"), {"Ref": "KeyArn"}
        for key, bucket, results in (
            ("", {"SSEAlgorithm": "AES256"}, {"EncryptionOption": "SSE_S3"}),
            ("arn", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}, {"EncryptionOption": "SSE_KMS", "KmsKey": arn}),
        ):
            resources = settle(template, {**defaults(template), "KeyArn": key})["Resources"]
            (rule,) = resources["Results"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            self.assertEqual(rule["ServerSideEncryptionByDefault"], bucket)
            workgroup = resources["Workgroup"]["Properties"]["WorkGroupConfiguration"]["ResultConfiguration"]
            self.assertEqual(workgroup["EncryptionConfiguration"], results)

    def athena(self, **parameters):
        template = load(ROOT_TEMPLATE)
        resources = settle(template, defaults(template, {"CreateAthena": "yes", **parameters}))["Resources"]
        return resources["Athena"]["Properties"]["Parameters"]


class Deploying(unittest.TestCase):
    """`make deploy` deploys functions into what they were built for, and what samconfig.toml says, whatever it is told besides."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="flowlog-deploy-")
        self.addCleanup(directory.cleanup)
        self.at = pathlib.Path(directory.name)
        # Who builds and who deploys: programs that only say what they were called with.
        for tool, name in (("lambda", "cargo-lambda"), ("sam", "sam")):
            (self.at / tool / "bin").mkdir(parents=True)
            (self.at / tool / ".installed").touch()
            program = self.at / tool / "bin" / name
            program.write_text(f'#!/usr/bin/env bash\nprintf "%s\\0" "$@" > {self.at}/{name}.words\n', encoding="utf-8")
            program.chmod(0o755)

    def make(self, target, *settings):
        """(the words of sam, what make says), as a shell would have them."""
        environment = {n: v for n, v in os.environ.items() if n != "STACK" and not n.startswith(("MAKE", "MFLAGS"))}
        # The Makefile puts the clone's path in front of this one.
        builder = os.path.relpath(self.at / "lambda", ROOT)
        tools = (f"SAM={self.at}/sam", f"LAMBDA={builder}", f"DEPLOYED={self.at}/template.yaml", f"PYTHON={sys.executable}")
        done = subprocess.run(["make", target, *tools, *settings], cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.said_by("sam"), done.stderr

    def said_by(self, name):
        return (self.at / f"{name}.words").read_text(encoding="utf-8").split("\0")[:-1]

    def config(self, text):
        path = self.at / "samconfig.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def overrides(self, words):
        self.assertEqual(words.count("--parameter-overrides"), 1, words)
        return words[words.index("--parameter-overrides") + 1 :]

    def test_the_template_that_is_deployed_knows_what_was_built_and_nothing_else(self):
        for built in ("x86_64", "arm64"):
            words, _ = self.make("deploy", f"ARCHITECTURE={built}", "ARGS=--guided")
            target = f"{built.replace('arm64', 'aarch64')}-unknown-linux-gnu"
            self.assertTrue(any(word.startswith(target) for word in self.said_by("cargo-lambda")))
            self.assertEqual(words[words.index("--template-file") + 1], f"{self.at}/template.yaml")
            template = yaml.load((self.at / "template.yaml").read_text(encoding="utf-8"), Loader)
            parameter = template["Parameters"]["Architecture"]
            self.assertEqual((parameter["Default"], parameter["AllowedValues"]), (built, [built]))
            self.assertIn("make deploy ARCHITECTURE=", parameter["ConstraintDescription"])
            # Nothing else is another one.
            template["Parameters"]["Architecture"] = load(ROOT_TEMPLATE)["Parameters"]["Architecture"]
            self.assertEqual(template, load(ROOT_TEMPLATE))

    def test_the_parameter_is_always_given(self):
        """A stack that has a value keeps it unless it is told another. Who says another is refused, so his comes later."""
        mail = "AlertEmail=a@example.com"
        for arguments, rest in (
            ("", []),
            ("--guided", []),
            (f"--no-confirm-changeset --parameter-overrides {mail} --guided", [mail, "--guided"]),
            (f"--parameter-overrides={mail} Architecture=other", [mail, "Architecture=other"]),
        ):
            words, _ = self.make("deploy", "ARCHITECTURE=arm64", f"ARGS={arguments}")
            self.assertEqual(self.overrides(words), ["Architecture=arm64", *rest])

    def test_parameters_of_the_file_are_deployed(self):
        """On sam's command line is one, so sam would take none of the file's."""
        # As `sam deploy --guided` writes them.
        saved = self.config(
            '[default.deploy.parameters]\nstack_name = "mine"\n'
            r'parameter_overrides = "AlertEmail=\"a@example.com\" LogFormat=\"${version} ${action}\" Architecture=\"x86_64\""'
        )
        file = r'AlertEmail="a@example.com" LogFormat="${version} ${action}" Architecture="x86_64"'
        words, said = self.make("deploy", "ARCHITECTURE=arm64", f"ARGS=--config-file {saved}")
        # What was saved of an earlier build does not count.
        self.assertEqual(self.overrides(words), [file, "Architecture=arm64"])
        self.assertNotIn("not used", said)
        words, said = self.make("deploy", f"ARGS=--config-file {saved} --parameter-overrides OpsEmail=b@example.com")
        self.assertEqual(self.overrides(words), ["Architecture=x86_64", "OpsEmail=b@example.com"])
        self.assertIn("are not used: ARGS has others", said)

    def test_parameters_of_the_file_are_found_where_sam_finds_them(self):
        here = self.config(
            '[default.global.parameters]\nparameter_overrides = ["A=1", "B=2"]\n'
            '[other.global.parameters]\nparameter_overrides = "A=3"\n[other.deploy.parameters]\nparameter_overrides = "A=4"\n'
            "[bad.deploy.parameters]\nparameter_overrides = {A = 1}\n"
        )
        script = [sys.executable, "tests/dev/deploy_words.py", "arm64", "echo", "deploy", f"--config-file={here}"]
        for chosen, expected in (([], "A=1 B=2 Architecture=arm64"), (["--config-env", "other"], "A=4 Architecture=arm64")):
            done = subprocess.run([*script, *chosen], cwd=ROOT, capture_output=True, text=True, check=True)
            self.assertEqual(done.stdout.strip().partition("--parameter-overrides ")[2], expected)
        done = subprocess.run([*script, "--config-env", "bad"], cwd=ROOT, capture_output=True, text=True)
        self.assertIn("as a text, or as a list of texts", done.stderr)
        self.assertEqual((done.returncode, done.stdout), (1, ""))

    def test_the_stack_is_the_one_that_is_named_or_the_file_s(self):
        for target in ("deploy", "destroy"):
            self.assertNotIn("--stack-name", self.make(target)[0])
            words, _ = self.make(target, "STACK=other")
            self.assertEqual(words[words.index("--stack-name") + 1], "other")

    def test_the_command_that_sets_a_format_reaches_sam_as_it_is_meant(self):
        """Two shells and make look at it: each of them has a use for `$`."""
        text = (ROOT / "docs/howto-custom-format.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"^\$ (make deploy .*LogFormat.*)$", text, re.M)
        command, target, *settings = shlex.split(line)
        self.assertEqual((command, target), ("make", "deploy"))
        words, _ = self.make(target, *settings)
        (built_for, parameter) = self.overrides(words)
        pattern = load(ROOT_TEMPLATE)["Parameters"]["LogFormat"]["AllowedPattern"]
        self.assertRegex(parameter, f'^LogFormat="(?:{pattern})"$')
        self.assertIn("${interface-id} ${srcaddr} ${dstaddr} ", parameter)


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
        functions = {"coalesce", "count", "greatest", "max", "min", "sum"}
        others = functions | {"flow_logs", "records", "first", "last", "most_bytes", "most_packets"}
        self.assertLessEqual(words - set(columns) - partitions, others)

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


class NamedQueries(unittest.TestCase):
    """What Athena is asked, asked of SQLite: it has FILTER and IS DISTINCT FROM, too, and lacks only `greatest`."""

    # interface, from, to, port, action, direction, traffic path, packets, bytes
    FLOWS = [
        # Both ends are logged: left A, came in at B; and the answer.
        ("eni-a", "10.0.0.1", "10.1.0.1", 443, "ACCEPT", "egress", 4, 10, 1_000),
        ("eni-b", "10.0.0.1", "10.1.0.1", 443, "ACCEPT", "ingress", None, 10, 1_000),
        ("eni-b", "10.1.0.1", "10.0.0.1", 443, "ACCEPT", "egress", 4, 20, 9_000),
        ("eni-a", "10.1.0.1", "10.0.0.1", 443, "ACCEPT", "ingress", None, 20, 9_000),
        # One end is: each record counts.
        ("eni-a", "198.51.100.1", "10.0.0.1", 443, "ACCEPT", "ingress", None, 2, 200),
        ("eni-a", "198.51.100.1", "10.0.0.1", 443, "ACCEPT", "ingress", None, 3, 300),
        # A format without a direction, of text and of Parquet.
        ("eni-c", "10.0.0.3", "10.0.0.4", 443, "ACCEPT", "-", None, 1, 70),
        ("eni-c", "10.0.0.3", "10.0.0.4", 443, "ACCEPT", None, None, 1, 70),
        # Between Regions, and refused on its way out and in.
        ("eni-a", "10.0.0.1", "10.9.0.1", 443, "ACCEPT", "egress", 5, 1, 50),
        ("eni-a", "10.0.0.1", "10.1.0.1", 22, "REJECT", "egress", 4, 7, 5_000),
        ("eni-b", "203.0.113.7", "10.1.0.1", 22, "REJECT", "ingress", None, 1, 40),
        ("eni-b", "203.0.113.7", "10.1.0.1", 22, "REJECT", "ingress", None, 4, 160),
    ]

    @classmethod
    def setUpClass(cls):
        resources = load("infra/athena.yaml")["Resources"]
        table = resources["FlowLogs"]["Properties"]["TableInput"]
        columns = [c["Name"] for c in table["StorageDescriptor"]["Columns"] + table["PartitionKeys"]]
        cls.database = sqlite3.connect(":memory:")
        cls.database.create_function("greatest", 2, max, deterministic=True)
        cls.database.execute(f"CREATE TABLE flow_logs ({', '.join(map(json.dumps, columns))})")
        cls.queries = {
            name: resource["Properties"]["QueryString"]
            for name, resource in resources.items() if resource["Type"] == "AWS::Athena::NamedQuery"
        }
        dates = set(re.findall(r"year = '(\d+)' AND month = '(\d+)' AND day = '(\d+)'", "".join(cls.queries.values())))
        (cls.date,) = dates
        for interface, src, dst, port, action, direction, path, packets, octets in cls.FLOWS:
            for day in (cls.date[2], "26"):
                cls.row(
                    interface_id=interface, srcaddr=src, dstaddr=dst, pkt_srcaddr=src, pkt_dstaddr=dst, dstport=port, protocol=6,
                    action=action, log_status="OK", flow_direction=direction, traffic_path=path, packets=packets, bytes=octets,
                    vpc_id="vpc-" + interface[-1], start=100, end=160, day=day)
        for start in (300, 900):
            cls.row(interface_id="eni-b", log_status="SKIPDATA", action="-", srcaddr="-", dstaddr="-", start=start, end=start + 60)
        cls.row(interface_id="eni-c", log_status="NODATA", action="-", srcaddr="-", dstaddr="-", start=300, end=360)

    @classmethod
    def row(cls, **values):
        year, month, day = cls.date
        values = {"year": year, "month": month, "day": day, **values}
        names = ", ".join(map(json.dumps, values))
        cls.database.execute(f"INSERT INTO flow_logs ({names}) VALUES ({', '.join('?' * len(values))})", list(values.values()))

    def ask(self, name):
        return self.database.execute(self.queries[name]).fetchall()

    def test_a_flow_that_both_ends_recorded_counts_once_and_what_was_refused_not_at_all(self):
        self.assertEqual(self.ask("TopTalkers"), [
            ("10.1.0.1", "10.0.0.1", 9_000, 20),
            ("10.0.0.1", "10.1.0.1", 1_000, 10),
            ("198.51.100.1", "10.0.0.1", 500, 5),
            ("10.0.0.3", "10.0.0.4", 140, 2),
            ("10.0.0.1", "10.9.0.1", 50, 1),
        ])
        self.assertEqual(self.ask("OverPeering"), [
            ("vpc-b", "10.1.0.1", "10.0.0.1", 9_000),
            ("vpc-a", "10.0.0.1", "10.1.0.1", 1_000),
            ("vpc-a", "10.0.0.1", "10.9.0.1", 50),
        ])

    def test_refusals_and_gaps(self):
        self.assertEqual(self.ask("RejectedSources"), [
            ("203.0.113.7", "eni-b", 22, 6, 2, 5),
            ("10.0.0.1", "eni-a", 22, 6, 1, 7),
        ])
        self.assertEqual(self.ask("Gaps"), [("eni-b", "SKIPDATA", 2, 300, 960)])

    def test_no_query_is_left_out(self):
        self.assertEqual(set(self.queries), {"TopTalkers", "RejectedSources", "OverPeering", "Gaps"})


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
            (ROOT_TEMPLATE, {**far, "PeerVpcCidr": "10.20.0.0/16"}, ["PeerVpcCidr", "VpcBCidr"]),
            (ROOT_TEMPLATE, {**far, "PeerVpcCidr": "10.30.0.0/16", "CreateThirdVpc": "yes"}, ["PeerVpcCidr", "VpcCCidr"]),
            (ROOT_TEMPLATE, {**far, "PeerVpcCidr": "10.99.0.0/16", "CreateNetwork": "no"}, ["PeerVpcId", "CreateNetwork"]),
            (ROOT_TEMPLATE, {"PeerAWithC": "yes"}, ["PeerAWithC", "CreateThirdVpc"]),
            *(
                (ROOT_TEMPLATE, {f"{service}Endpoint": "yes", "CreateNetwork": "no"}, [f"{service}Endpoint", "CreateNetwork"])
                for service in ("Ssm", "Logs", "Sns", "Sqs")
            ),
            (ROOT_TEMPLATE, {"PeerOwnerId": ACCOUNT}, ["PeerOwnerId", "PeerRoleArn"]),
            (ROOT_TEMPLATE, {"ExistingBucketKeyArn": "arn:aws:kms:…"}, ["ExistingBucketKeyArn", "ExistingBucketName"]),
            (ROOT_TEMPLATE, {"ExistingBucketOwner": ACCOUNT}, ["ExistingBucketOwner", "ExistingBucketName"]),
            ("infra/network.yaml", {"VpcBCidr": "10.10.0.0/16"}, ["VpcACidr", "VpcBCidr"]),
            ("infra/network.yaml", far, ["PeerVpcId", "PeerVpcCidr"]),
            ("infra/network.yaml", {**far, "PeerVpcCidr": "10.10.0.0/16"}, ["PeerVpcCidr", "VpcACidr"]),
            ("infra/network.yaml", {**far, "PeerVpcCidr": "10.20.0.0/16"}, ["PeerVpcCidr", "VpcBCidr"]),
            ("infra/network.yaml", {"PeerOwnerId": ACCOUNT}, ["PeerOwnerId", "PeerRoleArn"]),
            ("infra/third-vpc.yaml", {"VpcACidr": "10.30.0.0/16", "VpcBCidr": "x"}, ["VpcCCidr", "VpcACidr"]),
            ("infra/interface-endpoints.yaml", {}, ["SsmEndpoint", "SqsEndpoint"]),
        ):
            with self.subTest(path=path, wrong=wrong):
                template = load(path)
                (message,) = refusals(template, defaults(template, wrong))
                for name in names:
                    self.assertIn(name, message)

    def test_what_works_is_not_refused(self):
        far = {"PeerVpcId": "vpc-0a1b2c3d", "PeerVpcCidr": "10.30.0.0/16"}
        for right in (
            {},
            {"CreateNetwork": "no"},
            # The third VPC's block is free while there is none.
            far,
            {"CreateThirdVpc": "yes", "PeerAWithC": "yes", **far, "PeerVpcCidr": "10.99.0.0/16"},
            {f"{service}Endpoint": "yes" for service in ("Ssm", "Logs", "Sns", "Sqs")},
        ):
            self.assertEqual(refusals(load(ROOT_TEMPLATE), defaults(load(ROOT_TEMPLATE), right)), [], right)

    def test_every_rule_is_tried_above(self):
        tried = {path for path in all_templates() if "Rules" in load(path)}
        expected = {ROOT_TEMPLATE, *(f"infra/{n}.yaml" for n in ("network", "third-vpc", "interface-endpoints"))}
        self.assertEqual(tried, expected)


if __name__ == "__main__":
    counted.main("__main__")
