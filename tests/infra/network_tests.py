#!/usr/bin/env python3
"""What the templates make, on moto: VPCs, routes both ways, peering, endpoints, flow logs, subscription.

Each template is deployed by itself, loops and SAM written out first (templates.py), and what exists afterwards is asked of
EC2, S3, SQS, Logs and Lambda. A stack's status proves nothing here: moto says CREATE_COMPLETE whatever it left out.

What moto cannot show, and so nothing below claims: it does not accept a peering within one account by itself, ignores
associations of subnets with route tables, bucket and queue policies, notifications, subscription filters and egress rules in
CloudFormation, keeps no DestinationOptions of a flow log, and evaluates no policy. Bucket → queue → parser and log group →
subscriber are seen on ministack instead (tests/e2e/resources.py, `make e2e`); the loop guard below looks at the template.
Run by the Python of .venv/moto.
"""

import json
import unittest

import counted
import deployed
from deployed import BUCKET, BUCKET_ARN
from moto_server import Moto
from templates import ACCOUNT, REGION, defaults, load, settle

GROUP = "/flowlog/test/rejected"
TABLES = {name: f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}" for name in ("aggregates", "control")}
NETWORK = {
    "LogBucketArn": BUCKET_ARN,
    "AggregatesTableArn": TABLES["aggregates"],
    "ControlTableArn": TABLES["control"],
}


class Deployed(deployed.Deployed):
    def setUp(self):
        self.aws.reset()
        self.ec2 = self.aws.client("ec2")
        self.aws.client("s3").create_bucket(Bucket=BUCKET)
        self.aws.client("logs").create_log_group(logGroupName=GROUP)

    def routes(self, table):
        """Destination → peering connection or gateway, of one route table."""
        (found,) = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        return {
            r["DestinationCidrBlock"]: r.get("VpcPeeringConnectionId") or r.get("GatewayId")
            for r in found["Routes"]
            if "DestinationCidrBlock" in r
        }

    def endpoints(self, vpc, kind):
        found = self.ec2.describe_vpc_endpoints(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "vpc-endpoint-type", "Values": [kind]}]
        )
        return found["VpcEndpoints"]


class Network(Deployed):
    def test_two_vpcs_have_private_subnets_in_two_zones(self):
        made = self.deploy("infra/network.yaml", **NETWORK)
        for vpc, block, count in ((made["VpcAId"], "10.10.", 4), (made["VpcBId"], "10.20.", 2)):
            subnets = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
            self.assertEqual(len(subnets), count)
            self.assertEqual(len({s["CidrBlock"] for s in subnets}), count)
            self.assertTrue(all(s["CidrBlock"].startswith(block) for s in subnets))
            self.assertEqual(len({s["AvailabilityZone"] for s in subnets}), 2)
            self.assertFalse(any(s["MapPublicIpOnLaunch"] for s in subnets))
        self.assertEqual(self.ec2.describe_internet_gateways()["InternetGateways"], [])
        self.assertEqual(self.ec2.describe_nat_gateways()["NatGateways"], [])

    def test_peering_has_a_route_on_both_sides(self):
        made = self.deploy("infra/network.yaml", **NETWORK)
        (peering,) = self.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
        self.assertEqual(peering["VpcPeeringConnectionId"], made["PeeringId"])
        self.assertEqual(peering["RequesterVpcInfo"]["VpcId"], made["VpcAId"])
        self.assertEqual(peering["AccepterVpcInfo"]["VpcId"], made["VpcBId"])
        self.assertEqual(self.routes(made["RouteTableAId"])["10.20.0.0/16"], made["PeeringId"])
        self.assertEqual(self.routes(made["RouteTableBId"])["10.10.0.0/16"], made["PeeringId"])

    def test_blocks_are_parameters(self):
        made = self.deploy("infra/network.yaml", VpcACidr="10.50.0.0/16", VpcBCidr="172.20.0.0/16", **NETWORK)
        self.assertIn("172.20.0.0/16", self.routes(made["RouteTableAId"]))
        self.assertIn("10.50.0.0/16", self.routes(made["RouteTableBId"]))

    def test_without_peering_there_is_neither_connection_nor_route(self):
        made = self.deploy("infra/network.yaml", CreatePeering="no", **NETWORK)
        self.assertEqual(self.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"], [])
        self.assertEqual(list(self.routes(made["RouteTableAId"])), ["10.10.0.0/16"])

    def test_the_parser_has_a_way_to_s3_and_dynamodb_and_no_other(self):
        made = self.deploy("infra/network.yaml", **NETWORK)
        tables = {made["RouteTableAId"]: [], made["RouteTableBId"]: []}
        for vpc in (made["VpcAId"], made["VpcBId"]):
            for endpoint in self.endpoints(vpc, "Gateway"):
                (table,) = endpoint["RouteTableIds"]
                tables.setdefault(table, []).append(endpoint)
        self.assertEqual(len(tables), 3)
        (parser,) = set(tables) - {made["RouteTableAId"], made["RouteTableBId"]}
        for endpoints in tables.values():
            services = sorted(e["ServiceName"].split(".")[-1] for e in endpoints)
            self.assertEqual(services, ["dynamodb", "s3"])
        # No peering, no default route: only what every route table has.
        self.assertEqual(self.routes(parser), {"10.10.0.0/16": "local"})
        narrow = " ".join(str(e["PolicyDocument"]) for e in tables[parser])
        self.assertIn(BUCKET_ARN, narrow)
        for table in TABLES.values():
            self.assertIn(table, narrow)
        for wide in ("s3:*", "dynamodb:*", "'Resource': '*'", "Scan", "Delete"):
            self.assertNotIn(wide, narrow)
        open_ones = " ".join(str(e["PolicyDocument"]) for e in tables[made["RouteTableAId"]])
        self.assertIn("arn:aws:s3:::*/*", open_ones)
        (group,) = self.ec2.describe_security_groups(GroupIds=[made["ParserSecurityGroupId"]])["SecurityGroups"]
        self.assertEqual(group["IpPermissions"], [])

    def test_an_existing_bucket_is_let_through_too(self):
        self.deploy("infra/network.yaml", ExistingBucketName="old-logs", **NETWORK)
        policies = " ".join(str(e["PolicyDocument"]) for e in self.ec2.describe_vpc_endpoints()["VpcEndpoints"])
        self.assertIn("arn:aws:s3:::old-logs/*", policies)

    def test_a_vpc_elsewhere_is_peered_with_and_routed_back_to(self):
        far = self.ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
        tables = [self.ec2.create_route_table(VpcId=far)["RouteTable"]["RouteTableId"] for _ in range(2)]
        side = {"RequesterAccountId": ACCOUNT, "VpcId": far, "RouteTableIds": ",".join(tables)}
        role = self.deploy("infra/peer-side.yaml", "first", **side)["PeerRoleArn"]
        self.assertEqual(list(self.routes(tables[0])), ["10.99.0.0/16"])
        peer = {"PeerVpcId": far, "PeerVpcCidr": "10.99.0.0/16", "PeerOwnerId": ACCOUNT, "PeerRegion": REGION}
        made = self.deploy("infra/network.yaml", **peer, PeerRoleArn=role, **NETWORK)
        connection = made["RemotePeeringId"]
        self.assertEqual(self.routes(made["RouteTableAId"])["10.99.0.0/16"], connection)
        self.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=connection)
        (found,) = self.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[connection])["VpcPeeringConnections"]
        self.assertEqual(found["Status"]["Code"], "active")
        self.deploy("infra/peer-side.yaml", "second", **side, PeeringConnectionId=connection)
        for table in tables:
            self.assertEqual(self.routes(table)["10.10.0.0/16"], connection)

    def third(self, **more):
        made = self.deploy("infra/network.yaml", **NETWORK)
        parameters = {
            "VpcAId": made["VpcAId"],
            "VpcACidr": "10.10.0.0/16",
            "RouteTableAId": made["RouteTableAId"],
            "VpcBId": made["VpcBId"],
            "VpcBCidr": "10.20.0.0/16",
            "RouteTableBId": made["RouteTableBId"],
            "PeeringABId": made["PeeringId"],
        }
        third = self.deploy("infra/third-vpc.yaml", **parameters, **more)
        pairs = {
            (p["RequesterVpcInfo"]["VpcId"], p["AccepterVpcInfo"]["VpcId"])
            for p in self.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
        }
        return made, third, pairs

    def test_the_third_vpc_is_peered_with_b_only(self):
        made, third, pairs = self.third()
        self.assertEqual(pairs, {(made["VpcAId"], made["VpcBId"]), (made["VpcBId"], third["VpcCId"])})
        # The route that people try: to C by way of B, which drops it.
        self.assertEqual(self.routes(made["RouteTableAId"])["10.30.0.0/16"], made["PeeringId"])
        self.assertEqual(self.routes(made["RouteTableBId"])["10.30.0.0/16"], third["PeeringBCId"])

    def test_one_parameter_peers_a_with_c(self):
        made, third, pairs = self.third(PeerAWithC="yes")
        self.assertIn((made["VpcAId"], third["VpcCId"]), pairs)
        self.assertEqual(self.routes(made["RouteTableAId"])["10.30.0.0/16"], third["PeeringACId"])

    def test_interface_endpoints_are_those_that_were_asked_for(self):
        made = self.deploy("infra/network.yaml", **NETWORK)
        given = {"VpcId": made["VpcAId"], "SubnetIds": made["SubnetAIds"], "ClientCidr": "10.10.0.0/16"}
        out = self.deploy("infra/interface-endpoints.yaml", **given, SsmEndpoint="yes", SqsEndpoint="yes")
        found = self.endpoints(made["VpcAId"], "Interface")
        services = sorted(e["ServiceName"].split(".")[-1] for e in found)
        self.assertEqual(services, ["sqs", "ssm", "ssmmessages"])
        for endpoint in found:
            self.assertTrue(endpoint["PrivateDnsEnabled"])
            self.assertEqual(sorted(endpoint["SubnetIds"]), sorted(made["SubnetAIds"].split(",")))
            groups = [g if isinstance(g, str) else g["GroupId"] for g in endpoint["Groups"]]
            self.assertEqual(groups, [out["EndpointSecurityGroupId"]])
        (group,) = self.ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        (ingress,) = group["IpPermissions"]
        self.assertEqual((ingress["FromPort"], ingress["IpRanges"][0]["CidrIp"]), (443, "10.10.0.0/16"))


class FlowLogs(Deployed):
    def vpcs(self, count=2):
        return [self.ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(count)]

    def check(self, log, resource):
        self.assertEqual((log["ResourceId"], log["MaxAggregationInterval"]), (resource, 60))
        self.assertEqual((log["FlowLogStatus"], log["DeliverLogsStatus"]), ("ACTIVE", "SUCCESS"))
        if log["TrafficType"] == "ALL":
            self.assertEqual((log["LogDestinationType"], log["LogDestination"]), ("s3", BUCKET_ARN))
        else:
            self.assertEqual((log["TrafficType"], log["LogGroupName"]), ("REJECT", GROUP))
            self.assertIn("RejectDeliveryRole", log["DeliverLogsPermissionArn"])
            self.assertEqual(log["LogFormat"], "${version} ${action}")

    def test_a_vpc_has_one_to_s3_and_one_to_logs(self):
        (vpc,) = self.vpcs(1)
        given = {"Name": "a", "LogBucketArn": BUCKET_ARN, "RejectLogGroupName": GROUP}
        made = self.deploy("infra/flow-logs.yaml", ResourceId=vpc, LogFormat="${version} ${action}", **given)
        logs = {log["FlowLogId"]: log for log in self.ec2.describe_flow_logs()["FlowLogs"]}
        self.assertEqual(set(logs), set(made.values()))
        for log in logs.values():
            self.check(log, vpc)
        everything = logs[made["AllId"]]
        self.assertIn("${reject-reason} ${resource-id} ${encryption-status}", everything["LogFormat"])
        self.assertIn("${next-hop-interface-type}", everything["LogFormat"])

    def test_the_shorter_field_set(self):
        (vpc,) = self.vpcs(1)
        given = {"Name": "a", "LogBucketArn": BUCKET_ARN, "RejectLogGroupName": GROUP}
        self.deploy("infra/flow-logs.yaml", ResourceId=vpc, LogFormat="${version}", FieldSet="v5", **given)
        (everything,) = [log for log in self.ec2.describe_flow_logs()["FlowLogs"] if log["TrafficType"] == "ALL"]
        self.assertTrue(everything["LogFormat"].endswith("${traffic-path}"))

    def test_without_a_log_group_there_is_one_to_s3_only(self):
        (vpc,) = self.vpcs(1)
        made = self.deploy("infra/flow-logs.yaml", ResourceId=vpc, Name="a", LogBucketArn=BUCKET_ARN)
        (log,) = self.ec2.describe_flow_logs()["FlowLogs"]
        self.assertEqual((made, log["TrafficType"]), ({"AllId": log["FlowLogId"]}, "ALL"))
        self.assertEqual(self.aws.client("iam").list_roles()["Roles"], [])

    def test_objects_are_hourly_hive_partitions_with_tags_as_fields(self):
        template = load("infra/flow-logs.yaml")
        settled = settle(template, defaults(template, {"FileFormat": "parquet"}))["Resources"]["All"]["Properties"]
        options = settled["DestinationOptions"]
        self.assertEqual((options["HiveCompatiblePartitions"], options["PerHourPartition"]), (True, True))
        self.assertEqual([t["ResourceType"] for t in settled["TagFieldSpecifications"]], ["instance", "network-interface"])
        # moto keeps neither; and without the fields the specifications would be refused.
        for field in ("${instance-tag}", "${interface-tag}"):
            self.assertIn(field, settled["LogFormat"])
        short = settle(template, defaults(template, {"FieldSet": "v5"}))["Resources"]["All"]["Properties"]
        self.assertNotIn("TagFieldSpecifications", short)
        self.assertNotIn("-tag}", short["LogFormat"])

    def test_a_list_of_vpcs_is_attached(self):
        vpcs = self.vpcs(3)
        given = {"LogBucketArn": BUCKET_ARN, "RejectLogGroupName": GROUP, "LogFormat": "${version} ${action}"}
        self.deploy("infra/attach.yaml", ResourceIds=",".join(vpcs), **given)
        logs = self.ec2.describe_flow_logs()["FlowLogs"]
        found = sorted((log["ResourceId"], log["TrafficType"]) for log in logs)
        self.assertEqual(found, sorted((vpc, kind) for vpc in vpcs for kind in ("ALL", "REJECT")))
        for log in logs:
            self.check(log, log["ResourceId"])
            if log["TrafficType"] == "ALL":
                self.assertIn("${instance-tag} ${interface-tag} ${interface-type}", log["LogFormat"])

    def test_subnets_and_interfaces_are_attached_to_s3_only(self):
        (vpc,) = self.vpcs(1)
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        interface = self.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        for kind, resource in (("Subnet", subnet), ("NetworkInterface", interface)):
            self.deploy("infra/attach.yaml", kind, ResourceType=kind, ResourceIds=resource, LogBucketArn=BUCKET_ARN)
        logs = self.ec2.describe_flow_logs()["FlowLogs"]
        self.assertEqual({log["ResourceId"] for log in logs}, {subnet, interface})
        self.assertEqual({log["TrafficType"] for log in logs}, {"ALL"})


class Root(Deployed):
    """The root template, translated from SAM, without its nested stacks (those are deployed above)."""

    def setUp(self):
        self.aws.reset()

    def test_queue_and_stream_wake_their_functions(self):
        made = self.deploy_root()
        sqs = self.aws.client("sqs")
        queue = sqs.get_queue_attributes(QueueUrl=made["IngestQueueUrl"], AttributeNames=["All"])["Attributes"]
        dead = sqs.get_queue_attributes(QueueUrl=made["IngestDeadLettersUrl"], AttributeNames=["All"])["Attributes"]
        self.assertEqual(json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"], dead["QueueArn"])
        sources = self.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        functions = {m["EventSourceArn"]: m["FunctionArn"].split(":")[-1] for m in sources}
        self.assertEqual(functions[queue["QueueArn"]], made["S3ParserFunctionName"])
        self.assertEqual(functions[made["AggregatesStreamArn"]], made["AnomalyAlerterFunctionName"])

    def test_the_bucket_has_its_name_and_is_encrypted(self):
        bucket = self.deploy_root()["LogBucketName"]
        self.assertEqual(bucket, BUCKET)
        s3 = self.aws.client("s3")
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")

    def test_an_existing_bucket_comes_by_eventbridge(self):
        made = self.deploy_root(ExistingBucketName="old-logs")
        events = self.aws.client("events")
        rules = [r for r in events.list_rules()["Rules"] if "old-logs" in r.get("EventPattern", "")]
        self.assertEqual(len(rules), 1)
        (target,) = events.list_targets_by_rule(Rule=rules[0]["Name"])["Targets"]
        queue = self.aws.client("sqs").get_queue_attributes(QueueUrl=made["IngestQueueUrl"], AttributeNames=["All"])
        self.assertEqual(target["Arn"], queue["Attributes"]["QueueArn"])


class LoopGuard(unittest.TestCase):
    """A subscriber that logs into the group it subscribes to would feed itself for ever."""

    def test_the_subscribed_group_is_no_functions_own(self):
        resources = load("template.yaml")["Resources"]
        subscribed = {
            r["Properties"]["LogGroupName"]["Ref"]
            for r in resources.values()
            if r["Type"] == "AWS::Logs::SubscriptionFilter"
        }
        functions = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::Serverless::Function"]
        own = {properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in functions}
        self.assertEqual(subscribed, {"RejectLogGroup"})
        self.assertEqual(len(own), len(functions))
        names = {name: resources[name]["Properties"]["LogGroupName"]["Fn::Sub"] for name in subscribed | own}
        self.assertEqual(len(set(names.values())), len(names))
        self.assertFalse(subscribed & own)
        # And no role may write there but the one of the flow logs, which is none of ours.
        granted = json.dumps([r for r in resources.values() if r["Type"] == "AWS::IAM::Role"])
        self.assertNotIn("RejectLogGroup", granted)


if __name__ == "__main__":
    with Moto() as deployed.Deployed.aws:
        counted.main("__main__")
