"""The templates as data: CloudFormation's YAML read into its long form, loops expanded, SAM translated, conditions decided.

Only what the tests beside this need. Nothing here talks to anything.
"""

import ipaddress
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
REGION = "us-east-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "flowlog",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/flowlog/0",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = {"Ref": "AWS::NoValue"}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (!Ref, !Sub, …), written out."""


def _short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _short_form)
# A date stays the text that it is: policies have versions.
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def load(path):
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader)


def all_templates():
    return ["template.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "infra").glob("*.yaml"))]


def expand(template, parameters):
    """Fn::ForEach over resources written out, as AWS::LanguageExtensions does; the transform is gone afterwards."""
    template = json.loads(json.dumps(template))
    resources = {}
    for name, body in template["Resources"].items():
        if not name.startswith("Fn::ForEach::"):
            resources[name] = body
            continue
        identifier, collection, pattern = body
        if isinstance(collection, dict):
            collection = parameters[collection["Ref"]].split(",")
        for value in collection:
            for key, resource in pattern.items():
                logical = key.replace(f"&{{{identifier}}}", re.sub("[^A-Za-z0-9]", "", value))
                assert logical not in resources, f"{logical} comes out twice"
                resources[logical] = _substitute(resource, identifier, value)
    template["Resources"] = resources
    if template.get("Transform") == "AWS::LanguageExtensions":
        del template["Transform"]
    return template


def _substitute(node, identifier, value):
    if isinstance(node, dict):
        if node == {"Ref": identifier}:
            return value
        return {key: _substitute(item, identifier, value) for key, item in node.items()}
    if isinstance(node, list):
        return [_substitute(item, identifier, value) for item in node]
    return node.replace(f"${{{identifier}}}", value) if isinstance(node, str) else node


def defaults(template, given=()):
    """Every parameter's value, the given ones over the defaults; those that have neither are missing."""
    found = {name: str(p["Default"]) for name, p in template.get("Parameters", {}).items() if "Default" in p}
    return {**found, **dict(given)}


def decide(template, parameters):
    """Each condition's value under these parameters."""
    conditions = template.get("Conditions", {})
    value = _evaluator(conditions, parameters)
    return {name: value({"Condition": name}) for name in conditions}


def refusals(template, parameters):
    """What the template's rules say against these parameters, before anything is created."""
    value = _evaluator({}, parameters)
    return [
        assertion["AssertDescription"]
        for rule in template.get("Rules", {}).values()
        if value(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}))
        for assertion in rule["Assertions"]
        if not value(assertion["Assert"])
    ]


def _evaluator(conditions, parameters):
    known = {}

    def value(node):
        if isinstance(node, dict):
            (key, argument), *rest = node.items()
            assert not rest, node
            if key == "Ref":
                return {**PSEUDO, **parameters}[argument]
            if key == "Condition":
                return condition(argument)
            if key == "Fn::Equals":
                return value(argument[0]) == value(argument[1])
            if key == "Fn::Not":
                return not value(argument[0])
            if key == "Fn::And":
                return all([value(item) for item in argument])
            if key == "Fn::Or":
                return any([value(item) for item in argument])
            raise ValueError(f"a condition uses {key}")
        return node

    def condition(name):
        if name not in known:
            known[name] = value(conditions[name])
        return known[name]

    return value


def settle(template, parameters):
    """The template under these parameters: conditions decided, what they exclude gone, no Fn::If left."""
    decided = decide(template, parameters)

    def walk(node):
        if isinstance(node, dict):
            if set(node) == {"Fn::If"}:
                name, yes, no = node["Fn::If"]
                return walk(yes if decided[name] else no)
            walked = {key: walk(item) for key, item in node.items()}
            return {key: item for key, item in walked.items() if item != NO_VALUE}
        if isinstance(node, list):
            return [item for item in map(walk, node) if item != NO_VALUE]
        return node

    settled = {key: value for key, value in template.items() if key not in ("Conditions", "Rules")}
    for section in ("Resources", "Outputs"):
        kept = {}
        for name, body in template.get(section, {}).items():
            if "Condition" in body and not decided[body["Condition"]]:
                continue
            kept[name] = walk({key: item for key, item in body.items() if key != "Condition"})
        settled[section] = kept
    for resource in settled["Resources"].values():
        depends = resource.get("DependsOn")
        if isinstance(depends, list):
            resource["DependsOn"] = [name for name in depends if name in settled["Resources"]]
    return settled


def translate(template, parameters):
    """What the SAM transform makes of the template: plain CloudFormation."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    class Session:
        region_name = REGION

    template = json.loads(json.dumps(template))
    # A nested template or a zip file is uploaded before a deployment; the translator wants to see an address.
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = f"https://artifacts.s3.amazonaws.com/{properties['Location']}"
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://artifacts/function.zip"
    translator = Translator({}, Parser(), None, Session())
    return translator.translate(template, parameter_values={**PSEUDO, **parameters})


def address_blocks(node, parameters):
    """Fn::Select of Fn::Cidr computed, which moto does not do: [block, count, bits of each piece]."""
    if isinstance(node, dict):
        if set(node) == {"Fn::Select"} and isinstance(node["Fn::Select"][1], dict) and "Fn::Cidr" in node["Fn::Select"][1]:
            index, inner = node["Fn::Select"]
            block, count, bits = inner["Fn::Cidr"]
            block = parameters[block["Ref"]] if isinstance(block, dict) else block
            pieces = list(ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits)))[: int(count)]
            return str(pieces[int(index)])
        return {key: address_blocks(item, parameters) for key, item in node.items()}
    if isinstance(node, list):
        return [address_blocks(item, parameters) for item in node]
    return node
