#!/usr/bin/env python3
"""`flowlog doctor` on moto: what it finds of planted faults, and that the commands it prints mend them.

One account for all of it. First the stack as moto's CloudFormation leaves it, without the policies, notifications and
associations that moto ignores: the doctor has to find that, and its commands have to mend it. Then two rounds of faults, each
planted in a healthy account: what is found must be what was planted, and nothing else. At the end everything is healthy.

Every question is a process of `aws` (tests/dev/requirements-moto.txt), on the loopback interface. What moto cannot plant
(objects of yesterday, alarms, quotas) is planted in the answers instead: crates/flowlog-cli/src/doctor/tests.
Run by the Python of .venv/moto: doctor_tests.py FLOWLOG
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import counted
from deployed import BUCKET, BUCKET_ARN, Deployed
from moto_server import Moto
from templates import ACCOUNT, PSEUDO, REGION, defaults, load, settle

FLOWLOG = sys.argv.pop(1)
# For SQS the first version of the command does not know AWS_ENDPOINT_URL.
AWS = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }; '
BIN = pathlib.Path(sys.executable).parent


def resolved(node):
    """References to the account and to the log bucket as what they are."""
    if isinstance(node, dict):
        if set(node) == {"Ref"}:
            return PSEUDO[node["Ref"]]
        if set(node) == {"Fn::GetAtt"}:
            return {"LogBucket.Arn": BUCKET_ARN}[".".join(node["Fn::GetAtt"])]
        if set(node) == {"Fn::Sub"}:
            known = {**PSEUDO, "LogBucket.Arn": BUCKET_ARN}
            return re.sub(r"\$\{([\w:.]+)\}", lambda match: known[match[1]], node["Fn::Sub"])
        return {key: resolved(item) for key, item in node.items()}
    return [resolved(item) for item in node] if isinstance(node, list) else node


class Doctor(Deployed):
    @classmethod
    def setUpClass(cls):
        cls.environment = {**os.environ, **cls.aws.environment, "PATH": f"{BIN}:{os.environ['PATH']}"}
        for name in ("ec2", "s3", "sqs", "sns", "logs", "events", "dynamodb", "kms"):
            setattr(cls, name, cls.aws.client(name))
        cls.functions = cls.aws.client("lambda")
        cls.made = cls.deploy_root()
        cls.parser = cls.made["S3ParserFunctionName"]
        cls.subscriber = cls.made["CwlSubscriberFunctionName"]
        cls.group = cls.made["RejectLogGroupName"]
        table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/"
        cls.network = cls.deploy(
            "infra/network.yaml",
            LogBucketArn=BUCKET_ARN,
            AggregatesTableArn=table + cls.made["AggregatesTable"],
            ControlTableArn=table + cls.made["ControlTable"],
        )
        for name in ("A", "B"):
            cls.deploy(
                "infra/flow-logs.yaml",
                f"logs-{name}",
                ResourceId=cls.network[f"Vpc{name}Id"],
                Name=name,
                LogBucketArn=BUCKET_ARN,
                RejectLogGroupName=cls.group,
                LogFormat=cls.made["LogFormat"],
            )
        cls.put_parser_into_network()

    @classmethod
    def put_parser_into_network(cls):
        endpoints = cls.ec2.describe_vpc_endpoints()["VpcEndpoints"]
        others = {cls.network["RouteTableAId"], cls.network["RouteTableBId"]}
        (cls.parser_routes,) = {table for e in endpoints for table in e["RouteTableIds"]} - others
        subnets = cls.network["ParserSubnetIds"].split(",")
        for subnet in subnets:
            cls.ec2.associate_route_table(RouteTableId=cls.parser_routes, SubnetId=subnet)
        groups = [cls.network["ParserSecurityGroupId"]]
        cls.functions.update_function_configuration(
            FunctionName=cls.parser, VpcConfig={"SubnetIds": subnets, "SecurityGroupIds": groups}
        )
        cls.endpoint = {
            e["ServiceName"].split(".")[-1]: e["VpcEndpointId"]
            for e in endpoints
            if e["RouteTableIds"] == [cls.parser_routes]
        }

    def doctor(self, *only, status=None):
        """What is not as it should be: check → findings."""
        choice = [word for check in only for word in ("--only", check)]
        ran = subprocess.run(
            [FLOWLOG, "doctor", "--format", "json", *choice],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(ran.stderr, "")
        diagnosis = json.loads(ran.stdout)
        self.assertEqual((diagnosis["account"], diagnosis["region"]), (ACCOUNT, REGION))
        found = {}
        for finding in diagnosis["findings"]:
            if finding["verdict"] != "ok":
                found.setdefault(finding["check"], []).append(finding)
        if status is not None:
            self.assertEqual(ran.returncode, status, found)
        return found

    def mend(self, found, but=()):
        """Runs the commands of `aws` that were printed, but for those of some checks, as a shell would."""
        for check, findings in found.items():
            for line in [line for finding in findings for line in finding["mend"]]:
                if check not in but and line.startswith("aws "):
                    ran = subprocess.run(["bash", "-c", AWS + line], env=self.environment, capture_output=True, text=True)
                    self.assertEqual(ran.returncode, 0, f"{check}: {line}\n{ran.stderr}")

    def assert_found(self, found, planted):
        """One finding for each planted fault, and no other."""
        said = {check: [finding["what"] for finding in findings] for check, findings in found.items()}
        self.assertEqual({check: len(whats) for check, whats in said.items()}, dict.fromkeys(planted, 1), said)
        for check, text in planted.items():
            self.assertIn(text, said[check][0])

    def test_faults_are_found_and_mended(self):
        self.first_what_moto_left_out()
        self.then_a_first_round()
        self.and_a_second()
        self.assertEqual(self.doctor(status=0), {})
        self.at_last_the_stream()

    def first_what_moto_left_out(self):
        found = self.doctor(status=1)
        said = {check: " ".join(finding["what"] for finding in findings) for check, findings in found.items()}
        for check, text in {
            "bucket": "does not let delivery.logs.amazonaws.com write",
            "notifications": "announces nothing",
            "subscription": "no subscription",
            "topics": "nobody hears of alerts",
            "peering": "waits to be accepted",
        }.items():
            self.assertIn(text, said[check])
        self.mend(found)
        # What it writes is what the template has.
        written = {s["Sid"]: s for s in self.bucket_policy()}
        self.assertEqual(len(written), 3)
        ours = settle(load("template.yaml"), defaults(load("template.yaml")))["Resources"]["LogBucketPolicy"]
        ours = {s["Sid"]: resolved(s) for s in ours["Properties"]["PolicyDocument"]["Statement"]}
        self.assertEqual(written, {sid: ours[sid] for sid in written})

    def bucket_policy(self):
        return json.loads(self.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]

    def then_a_first_round(self):
        self.s3.delete_public_access_block(Bucket=BUCKET)
        self.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
        self.sqs.send_message(QueueUrl=self.made["IngestDeadLettersUrl"], MessageBody="{}")
        self.functions.update_event_source_mapping(UUID=self.mapping(self.parser)["UUID"], Enabled=False)
        self.functions.put_function_concurrency(FunctionName=self.subscriber, ReservedConcurrentExecutions=0)
        self.ec2.modify_vpc_endpoint(VpcEndpointId=self.endpoint["s3"], RemoveRouteTableIds=[self.parser_routes])
        (subscription,) = self.logs.describe_subscription_filters(logGroupName=self.group)["subscriptionFilters"]
        self.logs.delete_subscription_filter(logGroupName=self.group, filterName=subscription["filterName"])
        self.write_into_the_group("this is no record")
        expiry = {"Enabled": False, "AttributeName": "ttl"}
        self.dynamodb.update_time_to_live(TableName=self.made["ControlTable"], TimeToLiveSpecification=expiry)
        (subscriber,) = self.sns.list_subscriptions_by_topic(TopicArn=self.made["AlertTopicArn"])["Subscriptions"]
        self.sns.unsubscribe(SubscriptionArn=subscriber["SubscriptionArn"])
        back = {"RouteTableId": self.network["RouteTableBId"], "DestinationCidrBlock": "10.10.0.0/16"}
        self.ec2.delete_route(**back)
        failing = self.failing_flow_log()
        found = self.doctor(status=1)
        self.assert_found(
            found,
            {
                "bucket": f"{BUCKET} may become public",
                "notifications": f"{BUCKET} announces nothing to the queue",
                "queues": "1 notifications failed every attempt",
                "triggers": "the mapping from the queue to the parser is Disabled",
                "functions": f"the function {self.subscriber} is stopped",
                "endpoints": f"{self.parser_routes} has no way to s3",
                "subscription": f"{self.group} has no subscription",
                "log-format": "1 of the 1 latest messages",
                "tables": f"nothing in the table {self.made['ControlTable']} ever expires",
                "topics": "nobody hears of alerts",
                "peering": f"no route table of {self.network['VpcBId']} leads to 10.10.0.0/16",
                "flow-logs": f"{failing} of {self.network['VpcAId']} cannot deliver; AWS says: Access error",
            },
        )
        # Three are mended by whoever wrote or made what should not be there.
        self.mend(found, but=("queues", "log-format", "flow-logs"))
        self.sqs.purge_queue(QueueUrl=self.made["IngestDeadLettersUrl"])
        self.logs.delete_log_stream(logGroupName=self.group, logStreamName="somebody")
        self.ec2.delete_flow_logs(FlowLogIds=[failing])

    def and_a_second(self):
        theirs = self.put_their_policy()
        queue = self.made["IngestQueueUrl"]
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
        (rule,) = self.rules_of(self.parser)
        self.events.disable_rule(Name=rule)
        self.functions.remove_permission(FunctionName=self.subscriber, StatementId="flowlog-logs")
        backups = {"PointInTimeRecoveryEnabled": False}
        self.dynamodb.update_continuous_backups(
            TableName=self.made["AggregatesTable"], PointInTimeRecoverySpecification=backups
        )
        variables = self.functions.get_function_configuration(FunctionName=self.parser)["Environment"]["Variables"]
        # moto's CloudFormation has numbers in there.
        variables = {name: str(value) for name, value in {**variables, "CONTROL_TABLE": "another"}.items()}
        self.functions.update_function_configuration(FunctionName=self.parser, Environment={"Variables": variables})
        rules = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        group = self.network["ParserSecurityGroupId"]
        self.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules)
        far = self.ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
        asked = self.ec2.create_vpc_peering_connection(VpcId=self.network["VpcAId"], PeerVpcId=far)
        pending = asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        other, slow = self.odd_flow_logs()
        found = self.doctor(status=1)
        self.assert_found(
            found,
            {
                "bucket": f"{BUCKET}'s policy does not let delivery.logs.amazonaws.com write",
                "notifications": "the queue's policy does not let the bucket send",
                "triggers": f"the schedule {rule} is disabled",
                "subscription": "the subscriber does not let the log group invoke it",
                "tables": f"the table {self.made['AggregatesTable']} has no continuous backup",
                "functions": f"the function {self.parser} has CONTROL_TABLE=another",
                "endpoints": f"the parser's security group {group} lets no HTTPS out",
                "peering": f"{pending} between {self.network['VpcAId']} and {far} waits to be accepted",
                "flow-logs": f"{slow} of {self.network['SubnetAIds'].split(',')[0]} adds up ten minutes",
                "log-format": f"{other} of {self.network['VpcAId']} writes ${{version}} ${{action}}",
            },
        )
        self.mend(found, but=("peering", "flow-logs", "log-format"))
        # Nothing of theirs is gone, though one of their statements is called as ours is.
        self.assertEqual([s for s in self.bucket_policy() if s in theirs], theirs)
        self.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pending)
        self.ec2.delete_flow_logs(FlowLogIds=[other, slow])

    def put_their_policy(self):
        """A policy that somebody made for another account, with our name for one of its statements."""
        theirs = [
            {
                "Sid": "AWSLogDeliveryWrite",
                "Effect": "Allow",
                "Principal": {"Service": "delivery.logs.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{BUCKET_ARN}/AWSLogs/210987654321/*",
                "Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}},
            },
            {
                "Sid": "Auditors",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
                "Action": "s3:GetObject",
                "Resource": f"{BUCKET_ARN}/*",
            },
        ]
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": theirs}))
        return theirs

    def at_last_the_stream(self):
        alerter = self.made["AnomalyAlerterFunctionName"]
        before = self.mapping(alerter)
        self.functions.delete_event_source_mapping(UUID=before["UUID"])
        found = self.doctor("triggers", status=1)
        self.assert_found(found, {"triggers": f"nothing wakes {alerter} for the table's stream"})
        self.mend(found)
        self.assertEqual(self.doctor("triggers", status=0), {})
        after = self.mapping(alerter)
        # All that a mapping is asked for, as far as moto keeps it.
        asked = load("template.yaml")["Resources"]["AnomalyAlerterFunction"]["Properties"]["Events"]["Partials"]["Properties"]
        kept = set(before) & set(asked)
        self.assertGreaterEqual(len(kept), 4, kept)
        # A pattern is a text of JSON, whose spaces are nobody's.
        self.assertEqual(*(json.dumps([one.get(name) for name in sorted(kept)]).replace(" ", "") for one in (after, before)))
        # moto does not switch on again what was switched off, so nothing comes after this.
        table = self.made["AggregatesTable"]
        self.dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
        self.assert_found(self.doctor("tables", status=1), {"tables": f"the table {table} has no stream"})

    def test_a_key_that_is_switched_off(self):
        made = self.kms.create_key()["KeyMetadata"]
        key = made["Arn"]
        by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by}]}
        before = self.s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
        self.s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)
        self.kms.disable_key(KeyId=made["KeyId"])
        whats = [f["what"] for f in self.doctor("bucket")["bucket"]]
        self.assertIn(f"the bucket's key {key} is Disabled: nothing can be written or read", whats)
        self.kms.enable_key(KeyId=made["KeyId"])
        whats = [f["what"] for f in self.doctor("bucket")["bucket"]]
        refused = f"the policy of the bucket's key {key} does not let delivery.logs.amazonaws.com kms:GenerateDataKey"
        self.assertIn(refused, whats)
        self.s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=before)

    def test_no_stack_and_no_answer_are_told_from_a_sick_stack(self):
        def run(*words, **environment):
            command = [FLOWLOG, "doctor", "--only", "stack", *words]
            env = {**self.environment, **environment}
            return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)

        ran = run("--stack", "another")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("does not exist", ran.stderr)
        ran = run(PATH="/nowhere")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("the AWS CLI is not installed", ran.stderr)
        ran = run(AWS_PROFILE="nobody")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("nobody", ran.stderr)
        ran = run()
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIn("ok       stack          flowlog is CREATE_COMPLETE\n", ran.stdout)

    def mapping(self, function):
        (one,) = self.functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
        return one

    def rules_of(self, function):
        arn = self.functions.get_function_configuration(FunctionName=function)["FunctionArn"]
        return self.events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]

    def write_into_the_group(self, message):
        event = {"timestamp": int(time.time() * 1000), "message": message}
        self.logs.create_log_stream(logGroupName=self.group, logStreamName="somebody")
        self.logs.put_log_events(logGroupName=self.group, logStreamName="somebody", logEvents=[event])

    def flow_log(self, **properties):
        """Makes one of VPC A, and returns its id."""
        given = {"ResourceType": "VPC", "ResourceIds": [self.network["VpcAId"]], "TrafficType": "ACCEPT", "MaxAggregationInterval": 60}
        role = {"DeliverLogsPermissionArn": f"arn:aws:iam::{ACCOUNT}:role/delivery"}
        (made,) = self.ec2.create_flow_logs(**{**given, **role, **properties})["FlowLogIds"]
        return made

    def failing_flow_log(self):
        """moto has a delivery fail only where there is no such log group; its destination may be named as an ARN."""
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{self.group}"
        return self.flow_log(LogDestinationType="cloud-watch-logs", LogDestination=arn, LogFormat=self.made["LogFormat"])

    def odd_flow_logs(self):
        """One whose records the subscriber cannot read, and one with ten minutes in a record."""
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{self.group}"
        return (
            self.flow_log(LogGroupName=self.group, LogDestination=arn, LogFormat="${version} ${action}"),
            self.flow_log(
                ResourceType="Subnet",
                ResourceIds=[self.network["SubnetAIds"].split(",")[0]],
                TrafficType="ALL",
                LogDestinationType="s3",
                LogDestination=BUCKET_ARN,
                MaxAggregationInterval=600,
            ),
        )


if __name__ == "__main__":
    with Moto() as Deployed.aws:
        counted.main("__main__")
