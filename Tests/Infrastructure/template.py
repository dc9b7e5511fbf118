"""The template, parsed."""

import pathlib
import re

from cfnlint.decode import decode

PATH = pathlib.Path(__file__).resolve().parents[2] / "infra/sluice.yaml"
TEMPLATE, _ = decode(str(PATH))
RESOURCES = TEMPLATE["Resources"]


def properties(name):
    return RESOURCES[name]["Properties"]


def of_type(kind):
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


def statements(name):
    """A policy's statements; lists where IAM takes one or many."""
    found = properties(name)["PolicyDocument"]["Statement"]
    return [dict(one, Action=listed(one["Action"]), Resource=listed(one["Resource"])) for one in found]


def listed(one_or_many):
    return list(one_or_many) if isinstance(one_or_many, list) else [one_or_many]


def policies_of(role):
    """Every statement that a role gets in the template."""
    return [
        statement
        for name, policy in of_type("AWS::IAM::Policy").items()
        if {"Ref": role} in policy["Roles"]
        for statement in statements(name)
    ]


def resolved(value, **values):
    """A value with what `Ref`, `Fn::Sub` and `Fn::GetAtt` stand for: a parameter's default, or one of `values` by its
    name (`LeaseTable`, `LeaseTable.Arn`). Tasks and functions get texts, so numbers are texts here, too."""
    known = {name: str(one["Default"]) for name, one in TEMPLATE["Parameters"].items()} | values
    if isinstance(value, list):
        return [resolved(one, **values) for one in value]
    if not isinstance(value, dict):
        return str(value)
    if set(value) == {"Ref"}:
        return known[value["Ref"]]
    if set(value) == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: known[found[1]], value["Fn::Sub"])
    if set(value) == {"Fn::GetAtt"}:
        return known[".".join(value["Fn::GetAtt"])]
    return {name: resolved(one, **values) for name, one in value.items()}
