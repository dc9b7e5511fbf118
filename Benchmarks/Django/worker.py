"""`worker.py FOLDER STORE FILE`: one of a site's processes, which writes what it is told to.

Orders are files in FOLDER, `order-N.json`, and so are answers, `answer-N.json`: that works across hosts. The
databases are `sluice`, a store, and `lock`, a file with django_sqlite_efs.
"""

import collections
import json
import os
import pathlib
import sys
import time

import django
from django.conf import settings

FOLDER, STORE, FILE = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
# How long the warming takes at least: a first write makes a journal, and a client of DynamoDB.
WARMING = 3

settings.configure(
    DATABASES={
        "default": {},
        "sluice": {"ENGINE": "sluice.django", "NAME": STORE},
        # Without an applier: who writes leads.
        "assist": {"ENGINE": "sluice.django", "NAME": f"{STORE}-assist", "OPTIONS": {"assist": True}},
        # As its README has it.
        "lock": {"ENGINE": "django_sqlite_efs", "NAME": FILE, "OPTIONS": {"timeout": 30}},
    },
    SQLITE_LOCK_DYNAMODB_TABLE="locks",
    SQLITE_LOCK_EXPIRATION=10,
    INSTALLED_APPS=["benched"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    # Where it writes a warning for each attempt, it measures the log.
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()

import logging  # noqa: E402

from benched.models import Account, Entry  # noqa: E402
from django.db import connections, transaction  # noqa: E402

logging.getLogger("django_sqlite_efs").setLevel(logging.CRITICAL)


def prepare(alias):
    """The tables, and a thousand rows."""
    connection = connections[alias]
    with connection.schema_editor() as editor:
        editor.create_model(Entry)
        editor.create_model(Account)
    with transaction.atomic(using=alias):
        Entry.objects.using(alias).bulk_create(
            Entry(author=f"author {number % 50}", text="x" * 200) for number in range(1000)
        )
        Account.objects.using(alias).create(pk=1, balance=0)


def write(alias):
    """One row in autocommit mode."""
    Entry.objects.using(alias).create(author="author 7", text="y" * 200)


def modify(alias):
    """What is lost where two of them do it at once."""
    with transaction.atomic(using=alias):
        account = Account.objects.using(alias).get(pk=1)
        account.balance += 1
        account.save()


def measure(order):
    """How long each of the works took, in seconds, and how those ended that failed."""
    work = {"write": write, "modify": modify}[order["work"]]
    alias = order["alias"]
    failures = collections.Counter()
    warmed = 0
    for _ in range(WARMING):
        try:
            work(alias)
            warmed += 1
        except Exception as error:
            failures[f"warming: {type(error).__name__}"] += 1
    while time.time() < order["begin"]:
        time.sleep(0.005)
    latencies = []
    end = time.monotonic() + order["seconds"]
    while (begun := time.monotonic()) < end:
        try:
            work(alias)
        except Exception as error:
            failures[f"{type(error).__name__}: {error}"[:120]] += 1
            continue
        latencies.append(time.monotonic() - begun)
    modified = warmed + len(latencies) if order["work"] == "modify" else 0
    return {"latencies": latencies, "failures": failures, "modified": modified}


def balance(order):
    return Account.objects.using(order["alias"]).get(pk=1).balance


def obey(order):
    if order["do"] == "prepare":
        prepare(order["alias"])
        return {}
    return {"measure": measure, "balance": balance}[order["do"]](order)


def main():
    number = 0
    while True:
        path = FOLDER / f"order-{number}.json"
        if not path.exists():
            time.sleep(0.05)
            continue
        order = json.loads(path.read_text())
        if order["do"] == "end":
            return
        answer = obey(order)
        new = FOLDER / "answer.new"
        new.write_text(json.dumps(answer))
        os.rename(new, FOLDER / f"answer-{number}.json")
        number += 1


main()
