"""What OPERATIONS says of the lease in DynamoDB, executed as it stands there: the table, the rights, the commands."""

import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

from documented import OPERATIONS, Shell, block
from functions import until
from peers import Peer
from template import properties, resolved, statements

SECTION = "By an item in DynamoDB"
STORE = "/mnt/efs/orders/store"
TABLE = block(SECTION, "aws dynamodb create-table")
RIGHTS = json.loads(block(SECTION, '"Effect"'))
CONFIG = block(SECTION, "sluice config")


class Lease(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.peer = Peer("ministack")
        cls.addClassCleanup(cls.peer.stop)

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-lease-")
        self.addCleanup(place.cleanup)
        self.shell = Shell(place.name, self.peer)
        self.appliers = []
        self.addCleanup(self.stop)
        self.shell.run(TABLE)
        self.addCleanup(self.peer.client("dynamodb").delete_table, TableName="locks")

    # MARK: What a test does

    def stop(self):
        for applier in self.appliers:
            applier.send_signal(signal.SIGTERM)
        codes = [applier.wait(60) for applier in self.appliers]
        self.appliers = []
        self.assertEqual(set(codes) - {0}, set())

    def start(self, arguments, statements):
        """An applier that may do no more than the statements say."""
        words = [str(self.shell.place / "bin/sluice"), "apply", *self.shell.local(arguments).split()]
        with open(self.shell.place / f"{len(self.appliers)}.log", "w") as log:
            self.appliers.append(subprocess.Popen(
                words, stderr=log, env=self.shell.variables | self.peer.user_with(statements)))

    def log(self, number):
        return (self.shell.place / f"{number}.log").read_text()

    # MARK: Tests

    def test_the_table_is_the_templates(self):
        made = self.peer.client("dynamodb").describe_table(TableName="locks")["Table"]
        table = properties("LeaseTable")
        self.assertEqual(made["KeySchema"], table["KeySchema"])
        self.assertEqual(made["AttributeDefinitions"], table["AttributeDefinitions"])
        self.assertEqual(made["BillingModeSummary"]["BillingMode"], table["BillingMode"])

    def test_the_rights_are_the_templates(self):
        store = re.fullmatch("sluice#(.*)", RIGHTS["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"][0])[1]
        (lease,) = [
            resolved(one, StoreId=store, **{"LeaseTable.Arn": RIGHTS["Resource"]}) for one in statements("LeasePolicy")
        ]
        self.assertEqual(lease, RIGHTS | {"Resource": [RIGHTS["Resource"]]})

    def test_a_store_goes_over_to_the_item_and_back(self):
        self.shell.run(f"mkdir /mnt/efs/orders; sluice init {STORE}")
        self.assertEqual(self.shell.run(CONFIG), "lease dynamodb:locks, before file\n")
        self.start(f"{STORE} --ttl 2 --holder a", [RIGHTS | {"Resource": "*"}])
        self.shell.run(f'sluice submit {STORE} "CREATE TABLE t(a)"')
        self.assertIn("lease        dynamodb:locks\n", self.shell.run(f"sluice status {STORE}"))
        # While one leads it is refused.
        self.shell.run(CONFIG.replace("dynamodb:locks", "file"), code=75)
        (get,) = re.findall(r"`(aws dynamodb get-item .*?)`", OPERATIONS, re.DOTALL)
        store = json.loads(pathlib.Path(self.shell.local(STORE), "store.json").read_text())["id"]
        get = " ".join(get.split()).replace("#…", f"#{store}")
        item = json.loads(self.shell.run(get))["Item"]
        self.assertRegex(item["holder"]["S"], "^a ")
        self.stop()
        item = json.loads(self.shell.run(get))["Item"]
        self.assertEqual(item["state"]["S"], "released")
        # It may be deleted when nobody leads, and is made anew.
        self.shell.run(get.replace("get-item", "delete-item"))
        self.start(f"{STORE} --ttl 2 --holder b", [RIGHTS | {"Resource": "*"}])
        self.shell.run(f"sluice status {STORE} --wait-until led")
        item = json.loads(self.shell.run(get))["Item"]
        self.assertRegex(item["holder"]["S"], "^b ")
        self.stop()
        self.assertEqual(
            self.shell.run(CONFIG.replace("dynamodb:locks", "file")), "lease file, before dynamodb:locks\n")

    def test_a_standby_of_many_stores_reads_them_together_where_it_may(self):
        for number in range(8):
            self.shell.run(f"sluice init /mnt/efs/{number} --lease dynamodb:locks")
        every = [RIGHTS | {"Resource": "*"}]
        but_together = [RIGHTS | {"Resource": "*", "Action": [
            one for one in RIGHTS["Action"] if one != "dynamodb:BatchGetItem"
        ]}]
        self.assertEqual(len(every[0]["Action"]) - len(but_together[0]["Action"]), 1)
        # It comes to stand by for those that the other gets.
        self.start("--all /mnt/efs --ttl 2 --hints off", but_together)
        for number in range(8):
            self.shell.run(f"sluice status /mnt/efs/{number} --wait-until led")
        for rights in (every, but_together):
            self.start("--all /mnt/efs --ttl 2 --hints off", rights)
            until("its first looks", lambda: "standing by" in self.log(len(self.appliers) - 1))
            # Who may not asks once, and the first one does when it gives stores to the other.
            time.sleep(5)
            before = self.peer.arrived()
            time.sleep(6)
            now = self.peer.arrived()
            together, alone = (now.get(name, 0) - before.get(name, 0) for name in ("BatchGetItem", "GetItem"))
            if rights is every:
                self.assertGreater(together, 2)
            else:
                self.assertLess(together, 2)
                self.assertGreater(alone, 10)
            self.appliers[-1].kill()
            self.appliers.pop().wait()


if __name__ == "__main__":
    unittest.main()
