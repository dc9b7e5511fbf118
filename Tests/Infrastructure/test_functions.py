"""The writer's and the reader's function, run from their zip by a peer of Lambda."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

from documented import SLUICE
from functions import FunctionsTest, until

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"


class Functions(FunctionsTest):
    def test_a_batch_and_a_query(self):
        self.start_applier()
        writer, reader = self.function("writer"), self.function("reader")
        made = self.answered(writer, {"statements": [["CREATE TABLE t(a, b)"]]})
        self.assertEqual((made["status"], made["txid"]), ("applied", 1))
        values = [[1, None], [2.5, "ü\"\n"], [{"base64": "AP8="}, 9007199254740993]]
        event = {"id": "x", "statements": [{"sql": "INSERT INTO t VALUES (?, ?)", "rows": values}]}
        inserted = {"status": "applied", "txid": 2, "changes": 3, "lastRowID": 3, "id": "x"}
        self.assertEqual(self.answered(writer, event), inserted)
        # Again, as a caller does who got no answer.
        self.assertEqual(self.answered(writer, event)["status"], "duplicate")
        query = {"sql": "SELECT a, b FROM t WHERE rowid > ?", "parameters": [0], "atLeast": 2}
        self.assertEqual(self.answered(reader, query), {"txid": 3, "columns": ["a", "b"], "rows": values})
        empty = {"sql": "SELECT a FROM t WHERE 0", "maxStaleness_ms": 60000}
        self.assertEqual(self.answered(reader, empty), {"txid": 3, "columns": ["a"], "rows": []})

    def test_a_batch_without_an_id_has_the_invocations(self):
        self.start_applier()
        answer = self.answered(self.function("writer"), {"statements": [["CREATE TABLE t(a)"]]})
        self.assertRegex(answer["id"], "^lambda/[0-9a-f-]{36}$")

    def test_a_rejection_is_an_answer(self):
        self.start_applier()
        answer = self.answered(self.function("writer"), {"statements": [["INSERT INTO missing VALUES (1)"]]})
        self.assertEqual((answer["status"], answer["error"]["code"]), ("rejected", "SQLITE_ERROR"))

    def test_what_cannot_be_meant_fails_and_the_environment_goes_on(self):
        self.start_applier()
        writer, reader = self.function("writer"), self.function("reader")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        for function, event, code in [
            (writer, {"statement": []}, "invalid"), (writer, [], "invalid"), (writer, "x", "invalid"),
            (reader, {"sql": "DELETE FROM t"}, "invalid"), (reader, {"sql": "SELECT 1", "at": 1}, "invalid"),
            (reader, {"sql": "SELECT 1", "parameters": 1}, "invalid"), (reader, {"sql": "SELECT"}, "SQLiteError"),
            (reader, {"sql": "SELECT zeroblob(6000000)"}, "limit"),
        ]:
            answer, error = self.invoke(function, event)
            self.assertIsNotNone(error, event)
            self.assertEqual(answer["errorType"], code, answer)
            self.assertTrue(answer["errorMessage"])
        self.answered(reader, {"sql": "SELECT count(*) FROM t"})
        self.assertEqual(len(self.environments()), 2)

    def test_without_an_applier_the_batch_is_durable_before_the_time_is_over(self):
        writer = self.function("writer", timeout=4)
        answer = self.answered(writer, {"id": "k", "statements": [["CREATE TABLE t(a)"]]})
        self.assertEqual(answer, {"status": "durable", "id": "k"})
        self.sluice("apply", self.store, "--drain")
        self.assertEqual(self.answered(writer, {"id": "k", "statements": [["CREATE TABLE t(a)"]]})["status"], "durable")
        self.assertIn("applied 1", self.sluice("outcome", self.store, "--id", "k"))

    def test_with_no_time_left_nothing_is_submitted(self):
        answer, error = self.invoke(self.function("writer", timeout=1), {"statements": [["CREATE TABLE t(a)"]]})
        self.assertIsNotNone(error)
        self.assertEqual(answer["errorType"], "notSubmitted")
        self.assertEqual(self.segments(), [])

    def test_without_a_store_the_start_fails_and_says_why(self):
        (self.store / "store.json").rename(self.store / "x")
        answer, error = self.invoke(self.function("writer"), {"statements": [["CREATE TABLE t(a)"]]})
        self.assertIsNotNone(error)
        self.assertIn("store.json is missing", json.dumps(answer))

    def test_frozen_between_events_while_its_segment_is_closed_and_the_applier_changes(self):
        self.start_applier()
        writer, reader = self.function("writer"), self.function("reader")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        self.answered(writer, {"statements": [["INSERT INTO t VALUES (1)"]]})
        self.answered(reader, {"sql": "SELECT count(*) FROM t"})
        frozen = self.environments()
        self.assertEqual(len(frozen), 2)
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        self.stop_appliers(signal.SIGKILL)
        # An applier takes a segment for its writer's last one when it was silent for a minute.
        (segment,) = self.segments()
        long_ago = time.time() - 120
        os.utime(segment, (long_ago, long_ago))
        time.sleep(2.5)
        self.sluice("apply", self.store, "--drain")
        self.assertEqual(self.segments(), [])
        self.sluice("submit", self.store, "INSERT INTO t VALUES (2)", "--wait", "durable")
        self.start_applier()
        count = ("query", self.store, "SELECT count(*) AS n FROM t", "--json")
        until("the applier", lambda: '{"n": 2}' in self.sluice(*count))
        for process in frozen:
            os.kill(process, signal.SIGCONT)
        thawed = self.answered(writer, {"statements": [["INSERT INTO t VALUES (3)"]]})
        self.assertEqual((thawed["status"], thawed["changes"]), ("applied", 1))
        rows = self.answered(reader, {"sql": "SELECT a FROM t ORDER BY a"})["rows"]
        self.assertEqual(rows, [[1], [2], [3]])
        self.assertEqual(self.environments(), frozen)

    def test_frozen_while_it_waits_for_the_outcome(self):
        writer = self.function("writer")
        answers = []
        event = {"statements": [["CREATE TABLE t(a)"], ["INSERT INTO t VALUES (1)"]]}
        call = threading.Thread(target=lambda: answers.append(self.invoke(writer, event)))
        call.start()
        until("the batch", lambda: any(segment.stat().st_blocks for segment in self.segments()))
        (process,) = self.environments()
        os.kill(process, signal.SIGSTOP)
        # Past a lease, and past a takeover.
        self.start_applier()
        until("the outcome", lambda: "txid         1" in self.sluice("status", self.store, code=None))
        self.stop_appliers(signal.SIGKILL)
        self.start_applier()
        time.sleep(2.5)
        os.kill(process, signal.SIGCONT)
        call.join()
        ((answer, error),) = answers
        self.assertIsNone(error, answer)
        self.assertEqual((answer["status"], answer["txid"], answer["changes"]), ("applied", 1, 1))

    def test_functions_alone_apply_what_they_submit(self):
        writer = self.function("writer", SLUICE_ASSIST="1")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        events = [{"id": str(n), "statements": [["INSERT INTO t VALUES (?)", [n]]]} for n in range(20)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda event: self.answered(writer, event), events))
        self.assertEqual([answer["status"] for answer in answers], ["applied"] * 20)
        self.assertEqual(sorted(answer["txid"] for answer in answers), list(range(2, 22)))
        # Each gave the lease back before it answered.
        self.assertIn("released", self.sluice("status", self.store, code=None))

    def test_functions_alone_are_elected_by_an_item(self):
        item = self.elect_by_an_item()
        # Region and credentials are the function's own, the role's.
        writer = self.function("writer", SLUICE_ASSIST="1", AWS_ENDPOINT_URL_DYNAMODB=self.peer.url)
        self.assertIsNone(item())
        for txid, statement in enumerate(["CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"], 1):
            answer = self.answered(writer, {"statements": [[statement]]})
            self.assertEqual((answer["status"], answer["txid"]), ("applied", txid))
            # It led by the item, and gave it back before it answered.
            self.assertEqual(item()["state"], {"S": "released"})
        self.assertGreaterEqual(int(item()["term"]["N"]), 2)
        rows = self.sluice("query", self.store, "SELECT a FROM t", "--json")
        self.assertEqual(json.loads(rows), {"a": 1})

    def test_a_batch_that_takes_longer_than_the_function_is_left_to_the_next(self):
        writer = self.function("writer", timeout=9, SLUICE_ASSIST="1")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        environments = self.environments()
        answer = self.answered(writer, {"id": "k", "statements": [[f"INSERT INTO t {ENDLESS}"]]})
        self.assertEqual(answer, {"status": "durable", "id": "k"})
        # It led, gave the lease back, and was not killed.
        self.assertIn("released", self.sluice("status", self.store, code=None))
        self.assertEqual(self.environments(), environments)
        self.assertGreaterEqual(len(list((self.store / "log").glob("*.log"))), 3)

    def test_a_query_that_takes_longer_than_the_function_is_interrupted(self):
        self.start_applier()
        self.answered(self.function("writer"), {"statements": [["CREATE TABLE t(a)"]]})
        reader = self.function("reader", timeout=4)
        self.answered(reader, {"sql": "SELECT count(*) FROM t"})
        environments = self.environments()
        for freshness in {}, {"maxStaleness_ms": 60000}, {"atLeast": 1}:
            answer, error = self.invoke(reader, {"sql": ENDLESS} | freshness)
            self.assertIsNotNone(error)
            self.assertEqual(answer["errorType"], "timeout", answer)
            self.assertRegex(answer["errorMessage"], "interrupted after .* ask for less at a time")
        self.assertEqual(self.answered(reader, {"sql": "SELECT count(*) FROM t"})["rows"], [[0]])
        self.assertEqual(self.environments(), environments)

    def test_with_no_time_left_nothing_is_read(self):
        answer, error = self.invoke(self.function("reader", timeout=1), {"sql": "SELECT 1"})
        self.assertIsNotNone(error)
        self.assertEqual(answer["errorType"], "timeout")
        self.assertIn("nothing was read", answer["errorMessage"])

    def test_frozen_past_its_lease_while_it_applies(self):
        writer = self.function("writer", timeout=60, SLUICE_ASSIST="1")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        # Some seconds of a processor, so that it is met in the middle of it.
        slow = (
            "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 8000000) "
            "SELECT max(n) FROM c"
        )
        answers = []
        call = threading.Thread(target=lambda: answers.append(self.invoke(writer, {"statements": [[slow]]})))
        call.start()
        until("its term", lambda: "active" in self.sluice("status", self.store, code=None))
        (process,) = self.environments()
        os.kill(process, signal.SIGSTOP)
        self.start_applier()
        until("the outcome", lambda: "txid         2" in self.sluice("status", self.store, code=None))
        self.sluice("submit", self.store, "INSERT INTO t VALUES (-1)")
        os.kill(process, signal.SIGCONT)
        call.join()
        ((answer, error),) = answers
        self.assertIsNone(error, answer)
        self.assertEqual((answer["status"], answer["txid"], answer["changes"]), ("applied", 2, 1))
        rows = self.sluice("query", self.store, "SELECT count(*) AS n FROM t", "--json")
        self.assertEqual(json.loads(rows), {"n": 2})

    def test_many_at_once_are_each_applied_once(self):
        self.start_applier()
        writer = self.function("writer")
        self.answered(writer, {"statements": [["CREATE TABLE t(a)"]]})
        events = [{"id": str(n), "statements": [["INSERT INTO t VALUES (?)", [n]]]} for n in range(40)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda event: self.answered(writer, event), events))
        self.assertEqual({answer["status"] for answer in answers}, {"applied"})
        rows = self.sluice("query", self.store, "SELECT count(*) AS n, count(DISTINCT a) AS m FROM t", "--json")
        self.assertEqual(json.loads(rows), {"n": 40, "m": 40})

    def test_a_cold_start_is_told(self):
        self.start_applier()
        writer = self.function("writer")
        seconds = []
        for n in range(6):
            begin = time.monotonic()
            self.answered(writer, {"statements": [["CREATE TABLE IF NOT EXISTS t(a)"]]})
            seconds.append(time.monotonic() - begin)
        started = subprocess.run(
            [SLUICE, "lambda", "writer"], capture_output=True, text=True,
            env={"SLUICE_STORE": str(self.store), "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"},
        )
        self.assertEqual(started.returncode, 74)
        self.assertIn("connecting to Lambda's API at 127.0.0.1:1", started.stderr)
        ready = re.search(r"writer ready in (\d+) µs", started.stderr)
        self.assertIsNotNone(ready, started.stderr)
        print(
            f"\ncold start: {ready[1]} µs until ready; first event {1000 * seconds[0]:.0f} ms, "
            f"later ones {1000 * min(seconds[1:]):.0f} ms, the peer's part included", file=sys.stderr,
        )


if __name__ == "__main__":
    unittest.main()
