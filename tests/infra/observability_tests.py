#!/usr/bin/env python3
"""Alarms and dashboard name metrics that exist, and the runbook has a section for each alarm. Standard library and PyYAML."""

import json
import re
import shlex
import unittest

import counted
from templates import ROOT, load

TELEMETRY = ROOT / "crates/flowlog-aws/src/telemetry.rs"
FUNCTIONS = ("s3-parser", "cwl-subscriber", "anomaly-alerter")


def metrics_of_the_code():
    """Name → is it emitted by some function."""
    declared = re.search(r"metrics! \{(.*?)\n\}", TELEMETRY.read_text(encoding="utf-8"), re.S).group(1)
    return set(re.findall(r"^\s+(\w+) (?:Count|Seconds) \"", declared, re.M))


def used_metrics(node):
    """(metric, function) of every use of flowlog's own namespace, in alarms and in the dashboard."""
    if isinstance(node, dict):
        if node.get("Namespace") == "flowlog":
            (dimension,) = node["Dimensions"]
            assert dimension["Name"] == "function", dimension
            yield node["MetricName"], dimension["Value"]
        for item in node.values():
            yield from used_metrics(item)
    elif isinstance(node, list):
        if node[:1] == ["flowlog"]:
            assert node[2] == "function", node
            yield node[1], node[3]
        else:
            for item in node:
                yield from used_metrics(item)


class Observability(unittest.TestCase):
    def setUp(self):
        self.resources = load("infra/observability.yaml")["Resources"]
        self.alarms = {
            r["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${Prefix}-"): r["Properties"]
            for r in self.resources.values()
            if r["Type"] == "AWS::CloudWatch::Alarm"
        }
        self.dashboard = json.loads(self.resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])

    def test_every_metric_is_one_that_the_code_declares(self):
        declared = metrics_of_the_code()
        self.assertGreater(len(declared), 10)
        used = set(used_metrics(self.resources)) | set(used_metrics(self.dashboard))
        self.assertGreater(len(used), 15)
        for metric, function in used:
            self.assertIn(metric, declared)
            self.assertIn(function, FUNCTIONS)
            self.assertIn(f'"{function}"', (ROOT / f"crates/flowlog-{function}/src/handler.rs").read_text(encoding="utf-8"))

    def test_every_alarm_has_a_section_and_every_section_an_alarm(self):
        runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        sections = set(re.findall(r"^## (\S+)$", runbook, re.M))
        named = set()
        for name, alarm in self.alarms.items():
            (section,) = re.findall(r"See docs/runbook\.md, (\S+)$", alarm["AlarmDescription"])
            named.add(section)
            # The section's name, and behind it what the alarm is about where a section has several.
            about = name.removeprefix(section)
            self.assertIn(about, {"", "-aggregates", "-control", *(f"-{function}" for function in FUNCTIONS)}, name)
        self.assertEqual(sections, named)

    def test_the_alarms_are_those_that_operating_asks_for(self):
        """What has to ring, whatever it is called: the metric, and where it comes from."""
        rings = set()
        for alarm in self.alarms.values():
            # A sum of metrics hides one that never had a value.
            self.assertNotIn("Metrics", alarm)
            (dimension,) = alarm["Dimensions"]
            value = dimension["Value"]
            rings.add((alarm["MetricName"], value["Ref"] if isinstance(value, dict) else value))
        both = ("s3-parser", "cwl-subscriber")
        names = ("ParserName", "SubscriberName", "AlerterName")
        queues = ("IngestDeadLettersName", "SubscriberFailuresName", "AlerterFailuresName")
        expected = {
            *(("ApproximateNumberOfMessagesVisible", queue) for queue in queues),
            ("ApproximateAgeOfOldestMessage", "IngestQueueName"),
            *((metric, f) for metric in ("DeliveriesQuarantined", "DigestChanged", "RecordsRejected") for f in both),
            ("DeliveriesMissing", "s3-parser"),
            ("FoldersLeft", "s3-parser"),
            ("DeliveriesRetried", "s3-parser"),
            ("RecordsRead", "s3-parser"),
            *((metric, "anomaly-alerter") for metric in ("AlertsSuppressed", "RulesRefused", "HoursLeft")),
            *((metric, name) for metric in ("Errors", "Throttles", "DestinationDeliveryFailures") for name in names),
            *(("WriteThrottleEvents", table) for table in ("AggregatesTable", "ControlTable")),
            ("IteratorAge", "AlerterName"),
        }
        self.assertEqual(rings, expected)

    def test_each_alarm_rings_for_what_it_says(self):
        """The number, the direction and the time: any of them wrong, and an alarm never rings, or always."""
        own, queues, functions, tables = "flowlog", "AWS/SQS", "AWS/Lambda", "AWS/DynamoDB"
        hours = {"Ref": "SilenceHours"}
        # Namespace and metric, statistic over how many seconds, threshold, how many periods of how many.
        expected = {
            **dict.fromkeys(
                ("ingest-dead-letters", "subscriber-failures", "alerter-failures"),
                (queues, "ApproximateNumberOfMessagesVisible", "Maximum", 300, "> 0", 1, 1),
            ),
            "object-age": (queues, "ApproximateAgeOfOldestMessage", "Maximum", 300, "> 1800", 2, 3),
            "deliveries-retried": (own, "DeliveriesRetried", "Sum", 600, "> 0", 3, 3),
            "deliveries-missing": (own, "DeliveriesMissing", "Sum", 300, "> 0", 1, 1),
            "alert-budget-spent": (own, "AlertsSuppressed", "Sum", 3600, "> 0", 1, 1),
            "rules-refused": (own, "RulesRefused", "Sum", 900, "> 0", 1, 1),
            "compaction-behind": (own, "HoursLeft", "Sum", 3600, "> 0", 4, 6),
            "reconciliation-behind": (own, "FoldersLeft", "Sum", 3600, "> 0", 4, 6),
            "silence": (own, "RecordsRead", "Sum", 3600, "< 1", hours, hours),
            "stream-age": (functions, "IteratorAge", "Maximum", 300, "> 600000", 2, 3),
        }
        for function in FUNCTIONS:
            expected[f"function-errors-{function}"] = (functions, "Errors", "Sum", 300, "> 5", 3, 3)
            expected[f"function-throttles-{function}"] = (functions, "Throttles", "Sum", 300, "> 0", 2, 3)
            expected[f"failures-lost-{function}"] = (functions, "DestinationDeliveryFailures", "Sum", 300, "> 0", 1, 1)
        for function in FUNCTIONS[:2]:
            expected[f"quarantine-{function}"] = (own, "DeliveriesQuarantined", "Sum", 300, "> 0", 1, 1)
            expected[f"digest-changed-{function}"] = (own, "DigestChanged", "Sum", 300, "> 0", 1, 1)
            expected[f"rejected-lines-{function}"] = (own, "RecordsRejected", "Sum", 3600, "> 100", 1, 1)
        for table in ("aggregates", "control"):
            expected[f"table-throttles-{table}"] = (tables, "WriteThrottleEvents", "Sum", 300, "> 100", 2, 3)
        signs = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}
        found = {
            name: (
                *(alarm[key] for key in ("Namespace", "MetricName", "Statistic", "Period")),
                f"{signs[alarm['ComparisonOperator']]} {alarm['Threshold']}",
                alarm["DatapointsToAlarm"],
                alarm["EvaluationPeriods"],
            )
            for name, alarm in self.alarms.items()
        }
        self.assertEqual(found, expected)
        # Whom it is about: the dimension that CloudWatch has for that namespace, and the one that the name says.
        dimensions = {own: "function", queues: "QueueName", functions: "FunctionName", tables: "TableName"}
        short = {"ParserName": "s3-parser", "SubscriberName": "cwl-subscriber", "AlerterName": "anomaly-alerter"}
        short |= {"AggregatesTable": "aggregates", "ControlTable": "control"}
        for name, alarm in self.alarms.items():
            (dimension,) = alarm["Dimensions"]
            self.assertEqual(dimension["Name"], dimensions[alarm["Namespace"]], name)
            value = dimension["Value"]
            about = short.get(value["Ref"], value["Ref"]) if isinstance(value, dict) else value
            if name.endswith(tuple(short.values())):
                self.assertTrue(name.endswith(f"-{about}"), (name, about))

    def test_a_message_that_fails_each_time_is_in_every_period(self):
        """SQS leaves what was received more than three times out of the age of the oldest, so another alarm has to ring."""
        queue = load("template.yaml")["Resources"]["IngestQueue"]["Properties"]
        alarm = self.alarms["deliveries-retried"]
        self.assertGreater(alarm["Period"], queue["VisibilityTimeout"])
        given_up_after = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
        self.assertLess(alarm["Period"] * alarm["EvaluationPeriods"], given_up_after)

    def test_the_topic_admits_every_alarm_and_nothing_else_publishes(self):
        key = load("infra/key.yaml")["Resources"]["Key"]["Properties"]["KeyPolicy"]
        policies = {
            "${Prefix}": self.resources["OpsTopicPolicy"]["Properties"]["PolicyDocument"],
            "${StackName}": key,
        }
        for prefix, policy in policies.items():
            (statement,) = [s for s in policy["Statement"] if s.get("Sid") == "AlarmsPublish"]
            self.assertEqual(statement["Condition"]["StringEquals"], {"aws:SourceAccount": {"Ref": "AWS::AccountId"}})
            pattern = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
            start = f"arn:${{AWS::Partition}}:cloudwatch:${{AWS::Region}}:${{AWS::AccountId}}:alarm:{prefix}-"
            self.assertEqual(pattern, f"{start}*")
        names = [r["Properties"]["AlarmName"] for r in self.resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
        for name in names:
            self.assertTrue(name["Fn::Sub"].startswith("${Prefix}-"), name)
        template = load("template.yaml")["Resources"]
        self.assertEqual(template["Observability"]["Properties"]["Parameters"]["Prefix"], {"Ref": "AWS::StackName"})
        self.assertEqual(template["Key"]["Properties"]["Parameters"]["StackName"], {"Ref": "AWS::StackName"})

    def test_alarms_go_to_operations_and_not_where_alerts_go(self):
        for name, alarm in self.alarms.items():
            self.assertEqual(alarm["AlarmActions"], [{"Ref": "OpsTopic"}], name)
            self.assertEqual(alarm["OKActions"], [{"Ref": "OpsTopic"}], name)
            # A gap in a metric is no trouble, but for the one alarm that watches for gaps.
            self.assertEqual(alarm["TreatMissingData"], "breaching" if name == "silence" else "notBreaching", name)

    def test_what_the_runbook_invokes_is_a_whole_command(self):
        """A file for the answer, a payload that the CLI takes as it is, and patience for as long as the function may take."""
        runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        timeouts = {name: r["Properties"]["Timeout"] for name, r in load("template.yaml")["Resources"].items() if name.endswith("Function")}
        lines = re.findall(r"^ +`?(aws lambda invoke .*?)`?$", runbook, re.M)
        self.assertEqual(len(lines), runbook.count("aws lambda invoke"))
        functions = set()
        for line in lines:
            words = shlex.split(line)
            self.assertEqual(len(words) % 2, 0, f"no file for the answer: {line}")
            options = dict(zip(words[3:-1:2], words[4:-1:2], strict=True))
            (function,) = re.findall(r"^\$\(out (\w+Function)Name\)$", options["--function-name"])
            functions.add(function)
            # The CLI waits a minute, and then invokes again.
            self.assertGreater(int(options.get("--cli-read-timeout", 60)), timeouts[function], line)
            payload = options["--payload"]
            if not payload.startswith("fileb://"):
                self.assertEqual(options["--cli-binary-format"], "raw-in-base64-out", line)
                self.assertIn(json.loads(payload)["flowlog"], ("sweep", "compact", "reconcile"))
        self.assertEqual(functions, {"AnomalyAlerterFunction", "CwlSubscriberFunction", "S3ParserFunction"})

    def test_what_the_runbook_asks_of_the_stack_it_has(self):
        """`$(…)` is a command of the shell: one of the two that the runbook defines, with an output of the stack."""
        runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        outputs = set(load("template.yaml")["Outputs"])
        for helper in ("out", "arn"):
            self.assertIn(f"\n{helper}() {{ aws ", runbook)
        asked = re.findall(r"\$\((?:out|arn) (\w+)\)", runbook)
        self.assertGreater(len(asked), 9)
        self.assertLessEqual(set(asked), outputs)
        others = runbook.count("$(jq ") + runbook.count('$(out "$1")')
        self.assertEqual(len(asked) + others, runbook.count("$("), "each is a helper with a name")

    def test_the_cost_that_is_stated_counts_every_alarm(self):
        # Three dollars for a dashboard, ten cents for an alarm.
        stated = f"| dashboard and {len(self.alarms)} alarms | {3 + len(self.alarms) / 10:.2f} USD |"
        self.assertIn(stated, (ROOT / "docs/operating.md").read_text(encoding="utf-8"))

    def test_every_queue_that_should_be_empty_is_watched(self):
        template = load("template.yaml")["Resources"]
        kept = {name for name, r in template.items() if r["Type"] == "AWS::SQS::Queue" and name != "IngestQueue"}
        given = template["Observability"]["Properties"]["Parameters"]
        watched = set()
        for alarm in self.alarms.values():
            for dimension in alarm.get("Dimensions", []):
                if dimension["Name"] == "QueueName" and alarm["MetricName"] == "ApproximateNumberOfMessagesVisible":
                    watched.add(given[dimension["Value"]["Ref"]]["Fn::GetAtt"][0])
        self.assertEqual(watched, kept)

    def test_what_a_queue_of_failures_cannot_take_rings(self):
        """Every function that leaves what it gave up to a queue: what does not fit, or may not, is nowhere else."""
        given = load("template.yaml")["Resources"]["Observability"]["Properties"]["Parameters"]
        leave = {
            name
            for name, r in load("template.yaml")["Resources"].items()
            if r["Type"] == "AWS::Serverless::Function" and "DestinationConfig" in json.dumps(r)
        }
        watched = {
            given[alarm["Dimensions"][0]["Value"]["Ref"]]["Ref"]
            for alarm in self.alarms.values()
            if alarm["MetricName"] == "DestinationDeliveryFailures"
        }
        self.assertEqual(watched, leave)

    def test_silence_is_told_from_a_value_in_every_hour(self):
        """The reconciler says 0 once an hour, at least once in each period of the alarm."""
        schedule = load("template.yaml")["Resources"]["S3ParserFunction"]["Properties"]["Events"]["Reconcile"]["Properties"]
        self.assertEqual((schedule["Schedule"], self.alarms["silence"]["Period"]), ("rate(1 hour)", 3600))
        reconciler = (ROOT / "crates/flowlog-s3-parser/src/reconcile.rs").read_text(encoding="utf-8")
        self.assertIn("(Metric::RecordsRead, 0)", reconciler)

    def test_the_dashboard_answers_three_questions(self):
        texts = [w["properties"]["markdown"] for w in self.dashboard["widgets"] if w["type"] == "text"]
        self.assertEqual([t.split("?")[0] for t in texts], ["## Is it working", "## What is it costing", "## What is it seeing"])
        sizes = {}
        functions = load("template.yaml")["Resources"]
        for name, logical in (("parser", "S3Parser"), ("subscriber", "CwlSubscriber"), ("alerter", "AnomalyAlerter")):
            sizes[name] = functions[f"{logical}Function"]["Properties"]["MemorySize"] / 1024
        costs = json.dumps(self.dashboard)
        for name, size in sizes.items():
            (index,) = re.findall(rf'"label": "{name}", "id": "ul(\d)"', costs)
            self.assertIn(f"d{index} / 1000 * {size} *", costs, "the dashboard knows another memory size")


if __name__ == "__main__":
    counted.main("__main__")
