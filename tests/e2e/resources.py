"""What exists after `sam deploy`, whatever the stack's status says: asked of each service itself.

Here is what moto's CloudFormation leaves out (tests/infra/network_tests.py): policies of bucket and queue, the notification, the
subscription filter and its permission, schedules, route tables' subnets. What ministack leaves out in turn, and so is not asked:
peering connections, flow logs, alarms, expiry and backups of tables, lifecycle rules, policies of endpoints.
"""

import json


def resources(checks, stack, _flowlog, _folder):
    network(checks, stack)
    bucket_to_parser(checks, stack)
    group_to_subscriber(checks, stack)
    clocks(checks, stack)


def network(checks, stack):
    ec2 = stack.client("ec2")
    for vpc, block, count in (("VpcAId", "10.10.0.0/16", 4), ("VpcBId", "10.20.0.0/16", 2)):
        of_vpc = [{"Name": "vpc-id", "Values": [stack.outputs[vpc]]}]
        (found,) = ec2.describe_vpcs(VpcIds=[stack.outputs[vpc]])["Vpcs"]
        subnets = ec2.describe_subnets(Filters=of_vpc)["Subnets"]
        zones = {subnet["AvailabilityZone"] for subnet in subnets}
        public = [subnet["SubnetId"] for subnet in subnets if subnet["MapPublicIpOnLaunch"]]
        checks.equal(
            f"network: {vpc} has {count} private subnets in two zones",
            (found["CidrBlock"], len(subnets), len(zones), public),
            (block, count, 2, []),
        )
        tables = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
        associated = {a["SubnetId"]: t["RouteTableId"] for t in tables for a in t["Associations"] if not a.get("Main")}
        ways = {}
        for endpoint in ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]:
            for table in endpoint["RouteTableIds"]:
                ways.setdefault(table, set()).add(endpoint["ServiceName"].rsplit(".", 1)[1])
        led = {subnet["SubnetId"]: ways.get(associated.get(subnet["SubnetId"]), set()) for subnet in subnets}
        checks.that(f"network: each subnet of {vpc} leads to S3 and DynamoDB", all(to == {"s3", "dynamodb"} for to in led.values()), led)
        routes = {route.get("GatewayId") for table in tables for route in table["Routes"]}
        checks.equal(f"network: {vpc} leads nowhere else", routes, {"local"})


def bucket_to_parser(checks, stack):
    bucket = stack.outputs["LogBucketName"]
    s3, sqs = stack.client("s3"), stack.client("sqs")
    statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    names = [statement["Sid"] for statement in statements]
    expected = ["AWSLogDeliveryWrite", "AWSLogDeliveryAclCheck", "DenyInsecureTransport", "DenyOldTls"]
    checks.equal("bucket: its policy admits log delivery, and nothing without TLS", names, expected)
    locks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    checks.that("bucket: it is closed to the public", len(locks) == 4 and all(locks.values()), locks)
    (rule,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    versions = s3.get_bucket_versioning(Bucket=bucket)["Status"]
    checks.equal("bucket: no ACLs, versions", (rule["ObjectOwnership"], versions), ("BucketOwnerEnforced", "Enabled"))

    url = stack.outputs["IngestQueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    (told,) = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    (prefix,) = told["Filter"]["Key"]["FilterRules"]
    checks.equal(
        "bucket: it tells the queue of every object below AWSLogs/",
        (told["QueueArn"], told["Events"], prefix["Value"]),
        (queue["QueueArn"], ["s3:ObjectCreated:*"], "AWSLogs/"),
    )
    (sends,) = [s for s in json.loads(queue["Policy"])["Statement"] if s["Effect"] == "Allow"]
    checks.equal("queue: it admits that bucket alone", sends["Condition"]["ArnEquals"]["aws:SourceArn"], f"arn:aws:s3:::{bucket}")
    parser = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs["S3ParserFunctionName"])
    checks.that("queue: a message stays away for six timeouts", int(queue["VisibilityTimeout"]) >= 6 * parser["Timeout"], queue)
    mapping = stack.mapping("sqs")
    checks.equal("queue: it wakes the parser", mapping["FunctionArn"], parser["FunctionArn"])
    checks.equal("queue: which answers by message", mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])


def group_to_subscriber(checks, stack):
    group, name = stack.outputs["RejectLogGroupName"], stack.outputs["CwlSubscriberFunctionName"]
    functions, logs = stack.client("lambda"), stack.client("logs")
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    (found,) = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    checks.equal("subscription: everything in the log group goes to the subscriber", (found["destinationArn"], found["filterPattern"]), (arn, ""))
    (let,) = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    sources = let["Condition"]["ArnLike"]["AWS:SourceArn"], let["Condition"]["StringEquals"]["AWS:SourceAccount"]
    checks.equal("subscription: the subscriber lets that group, of this account", (sources[0].split(":log-group:")[1], sources[1]), (f"{group}:*", arn.split(":")[4]))
    kept = {g["logGroupName"]: g.get("retentionInDays") for g in logs.describe_log_groups(logGroupNamePrefix="/flowlog/")["logGroups"]}
    checks.that("log groups: each forgets in time", len(kept) == 4 and all(kept.values()), kept)


def clocks(checks, stack):
    events = stack.client("events")
    given = {}
    for rule in events.list_rules()["Rules"]:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            what = json.loads(target["Input"])["flowlog"]
            given[what] = (rule["ScheduleExpression"], rule["State"], "DeadLetterConfig" in target)
    expected = {"reconcile": "rate(1 hour)", "sweep": "rate(5 minutes)", "compact": "cron(40 * * * ? *)"}
    checks.equal("schedules: reconcile, sweep, compact", given, {what: (when, "ENABLED", True) for what, when in expected.items()})
