"""A test runner that writes down what became of each test, also of those that workers ran."""

import json
import os
import unittest
from typing import Any

from django.test.runner import DiscoverRunner


class Result(unittest.TextTestResult):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.outcomes: "dict[str, str]" = {}

    def note(self, test: Any, outcome: str) -> None:
        # A test with several failures, in subtests or in its teardown, has the first.
        name = test.id().split(" ")[0]
        if self.outcomes.get(name) in (None, "passed"):
            self.outcomes[name] = outcome

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.note(test, "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.note(test, "failed")

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.note(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.note(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.note(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self.note(test, "unexpected success")


class Runner(DiscoverRunner):
    def get_resultclass(self) -> "type[Result]":
        return Result

    def run_suite(self, suite: Any, **named: Any) -> Any:
        result = super().run_suite(suite, **named)
        with open(os.environ["DJANGO_SUITE_RESULTS"], "w", encoding="utf-8") as file:
            json.dump(result.outcomes, file)
        return result
