"""The template, parsed."""

import pathlib

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
