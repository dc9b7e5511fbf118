"""Each alarm as it is written, held against what an applier prints and against what OPERATIONS says of it."""

import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

from documented import OPERATIONS, SLUICE
from template import RESOURCES, TEMPLATE, of_type, properties

STORE = {"Name": "store", "Value": {"Fn::Sub": "/mnt/efs/${StoreName}"}}
FILE_SYSTEM = {"Name": "FileSystemId", "Value": {"Ref": "FileSystem"}}
OF_A_STORE = ("NoLiveApplier", "OldestUnapplied", "BatchesRejected", "SegmentsQuarantined")


def alarm(namespace, metric, dimensions, statistic, period, times, comparison, threshold, missing="notBreaching"):
    return {
        "Namespace": namespace, "MetricName": metric, "Dimensions": dimensions, "Statistic": statistic,
        "Period": period, "EvaluationPeriods": times, "ComparisonOperator": comparison, "Threshold": threshold,
        "TreatMissingData": missing,
    }


OVER = "GreaterThanThreshold"
EXPECTED = {
    # Who stands by says 0, so the largest is 1 while anybody leads; and who says nothing does not lead.
    "NoLiveApplier": alarm(
        "Sluice", "sluice_leading", [STORE], "Maximum", 60, 3, "LessThanThreshold", 1, "breaching"),
    "OldestUnapplied": alarm(
        "Sluice", "sluice_oldest_batch_seconds", [STORE], "Maximum", 60, 3, OVER, {"Ref": "OldestUnappliedSeconds"}),
    "BatchesRejected": alarm("Sluice", "sluice_rejected_batches", [STORE], "Maximum", 300, 1, OVER, 0),
    "SegmentsQuarantined": alarm("Sluice", "sluice_quarantined_segments", [STORE], "Maximum", 300, 1, OVER, 0),
    "IoLimit": alarm("AWS/EFS", "PercentIOLimit", [FILE_SYSTEM], "Maximum", 300, 3, OVER, 80),
    "Connections": alarm("AWS/EFS", "ClientConnections", [FILE_SYSTEM], "Sum", 60, 5, OVER, 20000),
    "DiskUse": alarm(
        "AWS/EFS", "StorageBytes", [FILE_SYSTEM, {"Name": "StorageClass", "Value": "Total"}], "Maximum", 3600, 1,
        OVER, {"Ref": "DiskBytes"}),
}


def written(name):
    """An alarm of the template in the form of `alarm`; and whether it looks at what is new of its metric."""
    found = {key: value for key, value in properties(name).items() if key in EXPECTED["IoLimit"]}
    metrics = properties(name).get("Metrics")
    if not metrics:
        return found, False
    (one,) = [metric for metric in metrics if "MetricStat" in metric]
    (shown,) = [metric for metric in metrics if metric.get("ReturnData")]
    assert not one["ReturnData"] and shown["Expression"] == f"DIFF({one['Id']})", metrics
    statistic = one["MetricStat"]
    return found | statistic["Metric"] | {"Statistic": statistic["Stat"], "Period": statistic["Period"]}, True


def is_raised(expected, points):
    """As CloudWatch does it where a period has `points`, for as many periods as are looked at."""
    if not points:
        return expected["TreatMissingData"] == "breaching"
    threshold = expected["Threshold"]
    if isinstance(threshold, dict):
        threshold = float(TEMPLATE["Parameters"][threshold["Ref"]]["Default"])
    value = {"Maximum": max, "Sum": sum}[expected["Statistic"]](points)
    return value > threshold if expected["ComparisonOperator"] == OVER else value < threshold


class AsWritten(unittest.TestCase):
    def test_each_looks_at_what_it_says_and_is_raised_when_it_says(self):
        self.assertEqual(set(of_type("AWS::CloudWatch::Alarm")), set(EXPECTED))
        for name, expected in EXPECTED.items():
            found, is_new = written(name)
            self.assertEqual(found, expected, name)
            # Batches are counted since the store was made.
            self.assertEqual(is_new, name == "BatchesRejected", name)
            # All periods that are looked at have to be so.
            self.assertNotIn("DatapointsToAlarm", properties(name))
            self.assertEqual(RESOURCES[name].get("Condition"), "HasStore" if name in OF_A_STORE else None)

    def test_somebody_is_told(self):
        topic = {"Fn::If": ["HasTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
        for name in EXPECTED:
            self.assertEqual(properties(name)["AlarmActions"], topic, name)
            # What is new of rejections is over with the next five minutes, which is no news.
            self.assertEqual(properties(name).get("OKActions"), None if name == "BatchesRejected" else topic, name)

    def test_operations_says_the_same(self):
        for name, minutes, words in [
            ("NoLiveApplier", 3, "nobody has led for 3 minutes, or no applier says anything"),
            ("OldestUnapplied", 3, "`OldestUnappliedSeconds`"), ("BatchesRejected", 5, "in 5 minutes"),
            ("SegmentsQuarantined", 5, "there are any"), ("IoLimit", 15, "over 80 % of what it can, 15 minutes"),
            ("Connections", 5, "over 20,000 of 25,000 clients"), ("DiskUse", 60, "over `DiskBytes`"),
        ]:
            (row,) = re.findall(rf"^\| `{name}` \| ([^|]*) \|", OPERATIONS, re.MULTILINE)
            self.assertIn(words, row)
            self.assertEqual(EXPECTED[name]["Period"] * EXPECTED[name]["EvaluationPeriods"], minutes * 60, name)

    def test_the_appliers_print_often_enough_and_for_this_store(self):
        (container,) = properties("ApplierTask")["ContainerDefinitions"]
        command = container["Command"]
        every = int(command[command.index("--metrics-lines") + 1])
        for name in OF_A_STORE:
            self.assertLessEqual(every, EXPECTED[name]["Period"], name)
        # What an applier calls its store is what it was given.
        self.assertEqual((command[0], command[1]), ("apply", STORE["Value"]))


class AsPrinted(unittest.TestCase):
    """An applier's lines, for a store that has what each alarm is for."""

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-alarms-")
        self.addCleanup(place.cleanup)
        self.store = pathlib.Path(place.name) / "store"
        self.sluice("init", self.store)

    def sluice(self, *arguments, codes=(0,)):
        end = subprocess.run([SLUICE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        self.assertIn(end.returncode, codes, end.stderr)

    def submit(self, sql):
        self.sluice("submit", self.store, sql, "--wait", "durable")

    def values(self, seconds):
        """What each alarm's metric is, in the order of the lines of an applier that runs for so long."""
        applier = subprocess.Popen(
            [SLUICE, "apply", self.store, "--ttl", "2", "--metrics-lines", "1"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(applier.kill)
        # 76: with segments in quarantine.
        self.sluice("status", self.store, "--wait-until", "applied", "--timeout", "60", codes=(0, 76))
        time.sleep(seconds)
        applier.send_signal(signal.SIGTERM)
        lines, _ = applier.communicate(timeout=60)
        self.assertEqual(applier.returncode, 0)
        found = {name: [] for name in OF_A_STORE}
        for line in map(json.loads, lines.splitlines()):
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            for name in OF_A_STORE:
                expected = EXPECTED[name]
                declared = [metric["Name"] for metric in directive["Metrics"]]
                if expected["MetricName"] not in declared:
                    continue
                # CloudWatch has one metric for each set of dimensions, so one more would be another metric.
                self.assertEqual(directive["Namespace"], expected["Namespace"])
                self.assertEqual(directive["Dimensions"], [[one["Name"] for one in expected["Dimensions"]]])
                self.assertEqual(line["store"], str(self.store))
                found[name].append(line[expected["MetricName"]])
        return found

    def test_no_alarm_where_nothing_is_wrong_but_that_it_stops(self):
        self.submit("CREATE TABLE t(a)")
        found = self.values(seconds=3)
        for name in OF_A_STORE:
            self.assertGreaterEqual(len(found[name]), 2, name)
            self.assertFalse(is_raised(EXPECTED[name], found[name]), (name, found[name]))
        # The last line is of one that does not lead.
        self.assertTrue(is_raised(EXPECTED["NoLiveApplier"], found["NoLiveApplier"][-1:]))
        for name in OF_A_STORE:
            self.assertEqual(is_raised(EXPECTED[name], []), name == "NoLiveApplier", name)

    def test_rejections_and_quarantine_are_seen(self):
        self.submit("CREATE TABLE t(a)")
        self.values(seconds=0)
        self.submit("INSERT INTO missing VALUES (1)")
        # As if the writer's next one had been damaged.
        (segment,) = (self.store / "journal").glob("*.seg")
        number = re.search("[0-9]{8}", segment.name[::-1])[0][::-1]
        name = f"{int(number) + 1:08}".join(segment.name.rsplit(number, 1))
        (self.store / "journal/quarantine" / name).write_bytes(b"damaged" * 1000)
        found = self.values(seconds=3)
        new = [b - a for a, b in zip([0] + found["BatchesRejected"], found["BatchesRejected"])]
        self.assertTrue(is_raised(EXPECTED["BatchesRejected"], new), new)
        self.assertEqual(sum(new), 1)
        self.assertTrue(is_raised(EXPECTED["SegmentsQuarantined"], found["SegmentsQuarantined"]), found)
        # Once it was told, the same number raises nothing any more.
        self.assertFalse(is_raised(EXPECTED["BatchesRejected"], new[-1:]))


if __name__ == "__main__":
    unittest.main()
