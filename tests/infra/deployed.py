"""Templates deployed on moto, each by itself: what the tests of the network and of the doctor share."""

import io
import json
import unittest
import zipfile

from templates import ACCOUNT, REGION, address_blocks, defaults, expand, load, settle, translate

BUCKET = f"flowlog-logs-{ACCOUNT}-{REGION}"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"


class Deployed(unittest.TestCase):
    aws = None

    @classmethod
    def deploy(cls, path, name=None, **parameters):
        """The outputs of the deployed stack."""
        template = load(path)
        values = defaults(template, parameters)
        if template.get("Transform") == "AWS::Serverless-2016-10-31":
            template = translate(template, values)
        template = address_blocks(settle(expand(template, values), values), values)
        cloudformation = cls.aws.client("cloudformation")
        name = name or path.split("/")[-1].split(".")[0]
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    @classmethod
    def deploy_root(cls, **parameters):
        """The root template without its nested stacks: moto is given those by themselves."""
        s3 = cls.aws.client("s3")
        s3.create_bucket(Bucket="artifacts")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("bootstrap", "")
        s3.put_object(Bucket="artifacts", Key="function.zip", Body=archive.getvalue())
        off = {"CreateNetwork": "no", "CreateObservability": "no"}
        return cls.deploy("template.yaml", "flowlog", **{**off, **parameters})
