#!/usr/bin/env python3
"""`flowlog why --narrow` on moto: the fault that a generated day shows, planted in an account, is named in that account.

The network of `flowlog generate` is built once: two peered VPCs, their subnets and hosts. Then each misconfiguration that the
generator can plant in flow logs is planted in the account, too; `why` reads the records, asks the account by the command `aws`,
and must name the security group, network ACL, route or peering, and nothing else. Its command, run, takes the cause away.
Run by the Python of .venv/moto: why_tests.py FLOWLOG
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import counted
from moto_server import Moto

FLOWLOG = sys.argv.pop(1)
BIN = pathlib.Path(sys.executable).parent
HOSTS = {
    "edge-1": ("B", "10.1.0"), "cache-1": ("A", "10.0.16"), "app-1": ("A", "10.0.16"), "web-2": ("A", "10.0.1"),
    "app-2": ("A", "10.0.17"), "batch-1": ("B", "10.1.16"), "web-1": ("A", "10.0.0"), "third": ("C", "10.2.16"),
}
LAST = {"edge-1": 31, "cache-1": 51, "app-1": 41, "web-2": 32, "app-2": 42, "batch-1": 21, "web-1": 31, "third": 77}
ADDRESS = {name: f"{net}.{LAST[name]}" for name, (_, net) in HOSTS.items()}
# Attack, who asks whom at which port, where it must be found.
CASES = [
    ("misconfiguration", "edge-1", "cache-1", 6379, "security_groups_in"),
    ("egress-refused", "app-1", "cache-1", 6380, "security_groups_out"),
    ("asymmetric-path", "web-2", "edge-1", 8443, "answer_network_acl_in"),
    ("answer-refused", "app-2", "batch-1", 9443, "answer_network_acl_out"),
    ("missing-route", "batch-1", "app-1", 8444, "route"),
    ("missing-return-route", "web-1", "batch-1", 8445, "answer_route"),
    ("transitive-peering", "batch-1", "third", 5433, "route"),
]


class Why(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.aws = cls.enterClassContext(Moto())
        cls.environment = {**os.environ, **cls.aws.environment, "PATH": f"{BIN}:{os.environ['PATH']}"}
        cls.ec2 = cls.aws.client("ec2")
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        attacks = [word for case in CASES for word in ("--attack", case[0])]
        subprocess.run([FLOWLOG, "generate", "--minutes", "60", *attacks, "-o", cls.folder / "sample"], check=True, capture_output=True)
        cls.build()

    @classmethod
    def build(cls):
        ec2 = cls.ec2
        cls.vpc = {name: ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n, name in enumerate("ABC")}
        cls.table = {}
        for name, vpc in cls.vpc.items():
            (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
            cls.table[name] = table["RouteTableId"]
        cls.peering = {}
        for here, there in (("A", "B"), ("A", "C")):
            made = ec2.create_vpc_peering_connection(VpcId=cls.vpc[here], PeerVpcId=cls.vpc[there])
            peering = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
            ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
            cls.peering[here + there] = peering
            for one, other in ((here, there), (there, here)):
                cls.lead(one, other, peering)
        cls.subnet, cls.group = {}, {}
        for name, (vpc, net) in HOSTS.items():
            if net not in cls.subnet:
                made = ec2.create_subnet(VpcId=cls.vpc[vpc], CidrBlock=f"{net}.0/24")
                cls.subnet[net] = made["Subnet"]["SubnetId"]
            group = ec2.create_security_group(GroupName=name, Description=name, VpcId=cls.vpc[vpc])["GroupId"]
            cls.group[name] = group
            ports = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ports)
            ec2.create_network_interface(SubnetId=cls.subnet[net], PrivateIpAddress=ADDRESS[name], Groups=[group])

    @classmethod
    def lead(cls, here, there, peering):
        block = f"10.{'ABC'.index(there)}.0.0/16"
        cls.ec2.create_route(RouteTableId=cls.table[here], DestinationCidrBlock=block, VpcPeeringConnectionId=peering)

    def acl_of(self, host):
        subnet = self.subnet[HOSTS[host][1]]
        acls = self.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
        return acls[0]["NetworkAclId"]

    def plant(self, attack):
        """Plants a fault; how to take it away again."""
        ec2 = self.ec2
        if attack == "misconfiguration":
            tcp = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
            ec2.revoke_security_group_ingress(GroupId=self.group["cache-1"], IpPermissions=[tcp])
            return lambda: ec2.authorize_security_group_ingress(GroupId=self.group["cache-1"], IpPermissions=[tcp])
        if attack == "egress-refused":
            every = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            ec2.revoke_security_group_egress(GroupId=self.group["app-1"], IpPermissions=[every])
            return lambda: ec2.authorize_security_group_egress(GroupId=self.group["app-1"], IpPermissions=[every])
        if attack in ("asymmetric-path", "answer-refused"):
            host, egress = ("web-2", False) if attack == "asymmetric-path" else ("batch-1", True)
            acl, other = self.acl_of(host), "10.1.0.0/16" if attack == "asymmetric-path" else "10.0.0.0/16"
            ec2.create_network_acl_entry(
                NetworkAclId=acl, RuleNumber=50, Protocol="6", RuleAction="deny", Egress=egress, CidrBlock=other,
                PortRange={"From": 1024, "To": 65535})
            return lambda: ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=50, Egress=egress)
        if attack in ("missing-route", "missing-return-route"):
            ec2.delete_route(RouteTableId=self.table["B"], DestinationCidrBlock="10.0.0.0/16")
            return lambda: None if self.has_route("B", "10.0.0.0/16") else self.lead("B", "A", self.peering["AB"])
        self.assertEqual(attack, "transitive-peering")
        self.lead("B", "C", self.peering["AB"])
        return lambda: ec2.delete_route(RouteTableId=self.table["B"], DestinationCidrBlock="10.2.0.0/16")

    def has_route(self, vpc, block):
        (table,) = self.ec2.describe_route_tables(RouteTableIds=[self.table[vpc]])["RouteTables"]
        return any(route.get("DestinationCidrBlock") == block for route in table["Routes"])

    def why(self, src, dst, port):
        words = ["why", ADDRESS[src], f"{ADDRESS[dst]}:{port}", "--data", self.folder / "sample", "--narrow"]
        ran = subprocess.run([FLOWLOG, *words, "--format", "json"], env=self.environment, capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""), ran.stdout)
        (explanation,) = json.loads(ran.stdout)["explanations"]
        return explanation["account"]

    def test_each_fault_is_named_in_the_account(self):
        for attack, src, dst, port, place in CASES:
            with self.subTest(attack):
                take_away = self.plant(attack)
                account = self.why(src, dst, port)
                found = [fact for fact in account["facts"] if fact["explains"]]
                # Of VPC C nothing is on record: that it leads nowhere back, either, may be why nothing came.
                places = [place] if attack != "transitive-peering" else [place, "answer_route"]
                self.assertEqual([fact["place"] for fact in found], places, account)
                if attack != "transitive-peering":
                    # What it prints lets the packets pass.
                    mend = subprocess.run(["bash", "-c", found[0]["mend"]], env=self.environment, capture_output=True, text=True)
                    self.assertEqual(mend.returncode, 0, found[0]["mend"] + mend.stderr)
                    account = self.why(src, dst, port)
                    self.assertEqual([fact for fact in account["facts"] if fact["explains"]], [], account)
                else:
                    self.assertIn("not transitive", found[0]["what"])
                    self.assertIn("create-vpc-peering-connection", found[0]["mend"])
                take_away()

    def test_where_nothing_is_planted_nothing_is_named(self):
        # One that is refused and one that gets lost; each run is ten processes of `aws`.
        for attack, src, dst, port, _ in (CASES[0], CASES[4]):
            account = self.why(src, dst, port)
            self.assertEqual([f for f in account["facts"] if f["does"] == "stops"], [], attack)
            self.assertIn("would let it pass", account["notes"][0])


if __name__ == "__main__":
    counted.main(__name__)
