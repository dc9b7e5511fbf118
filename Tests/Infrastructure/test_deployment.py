"""The template deployed into both peers, and looked at by boto3: what they keep of it."""

import io
import json
import re
import tempfile
import time
import unittest
import zipfile

from documented import Shell, block
from peers import REGION, Peer
from template import PATH

STORE = "01a2231d-1b92-735c-8ca9-275b15ae92c4"
TOPIC = f"arn:aws:sns:{REGION}:000000000000:alarms"


class Deployment:
    """One peer; the tests are those of both, where the peer keeps what they ask for."""

    @classmethod
    def setUpClass(cls):
        cls.peer = Peer(cls.name)
        cls.addClassCleanup(cls.peer.stop)
        cls.call = staticmethod(cls.peer.client)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("bootstrap", "#!/bin/sh\n")
        storage = cls.call("s3")
        storage.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        storage.put_object(Bucket="code", Key="sluice-lambda.zip", Body=archive.getvalue())
        cls.ids = cls.deploy("orders", StoreId=STORE, FunctionsBucket="code", AlarmTopic=TOPIC)

    @classmethod
    def deploy(cls, stack, **parameters):
        """Creates or updates; returns what there is then, by the names in the template."""
        text = PATH.read_text()
        if cls.name == "moto":
            # It gives a repository without a name one that ECR refuses.
            text = text.replace("      EmptyOnDelete: true\n", f"      RepositoryName: {stack}\n")
        else:
            # It has no alarms on expressions, and no rules of groups that are resources of their own.
            for first, behind in ("BatchesRejected", "SegmentsQuarantined"), ("ApplierHints", "FunctionGroup"):
                begin, end = text.index(f"\n  {first}:\n"), text.index(f"\n  {behind}:\n")
                text = text[:begin] + text[end:]
        formation = cls.call("cloudformation")
        stacks = formation.describe_stacks()["Stacks"]
        is_there = any(one["StackName"] == stack for one in stacks)
        (formation.update_stack if is_there else formation.create_stack)(
            StackName=stack, TemplateBody=text, Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        for _ in range(600):
            (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
            if not found["StackStatus"].endswith("IN_PROGRESS"):
                break
            time.sleep(0.1)
        done = "UPDATE_COMPLETE" if is_there else "CREATE_COMPLETE"
        if found["StackStatus"] != done:
            events = formation.describe_stack_events(StackName=stack)["StackEvents"]
            raise AssertionError([one for one in events if "FAILED" in one["ResourceStatus"]])
        cls.outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
        resources = formation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in resources}

    def services(self, ids):
        names = [ids["ApplierA"], ids["ApplierB"]]
        return self.call("ecs").describe_services(cluster=ids["Cluster"], services=names)["services"]

    def test_without_a_store_all_is_there_but_appliers(self):
        ids = self.deploy("empty")
        self.assertFalse({"LeasePolicy", "WriterFunction", "ReaderFunction", "Internet"} & set(ids))
        self.assertEqual([service["desiredCount"] for service in self.services(ids)], [0, 0])
        self.assertIn(ids["InitTask"], self.outputs["InitCommand"])
        self.assertIn(ids["SubnetA"], self.outputs["InitCommand"])
        self.assertIn("assignPublicIp=DISABLED", self.outputs["InitCommand"])

    def test_operations_finds_what_was_made(self):
        # The lines that set a variable, and the function that they call.
        lines = [line for line in block("Deploying", "output()").splitlines() if re.match(r"[A-Z_]+=|output\(\)", line)]
        self.assertEqual(len(lines), 4)
        with tempfile.TemporaryDirectory(prefix="sluice-outputs-") as place:
            shown = 'printf "%s\\n" "$REPOSITORY" "$INIT_COMMAND" "$LOGS"'
            said = Shell(place, self.peer).run("\n".join([*lines, shown]))
        made = {one["OutputKey"]: one["OutputValue"] for one in
                self.call("cloudformation").describe_stacks(StackName="orders")["Stacks"][0]["Outputs"]}
        self.assertEqual(said.splitlines(), [made[name] for name in ("RepositoryUri", "InitCommand", "ApplierLogGroup")])
        self.assertEqual(said.splitlines()[2], self.ids["ApplierLogs"])

    def test_the_file_system(self):
        systems = self.call("efs").describe_file_systems(FileSystemId=self.ids["FileSystem"])
        (found,) = systems["FileSystems"]
        self.assertTrue(found["Encrypted"])
        self.assertEqual((found["ThroughputMode"], found["PerformanceMode"]), ("elastic", "generalPurpose"))
        backup = self.call("efs").describe_backup_policy(FileSystemId=self.ids["FileSystem"])
        self.assertEqual(backup["BackupPolicy"]["Status"], "ENABLED")
        targets = self.call("efs").describe_mount_targets(FileSystemId=self.ids["FileSystem"])["MountTargets"]
        self.assertEqual({one["SubnetId"] for one in targets}, {self.ids["SubnetA"], self.ids["SubnetB"]})
        self.assertEqual(len({one["AvailabilityZoneName"] for one in targets}), 2)

    def test_the_access_points(self):
        points = self.call("efs").describe_access_points(FileSystemId=self.ids["FileSystem"])["AccessPoints"]
        users = {one["Name"]: one["PosixUser"] for one in points}
        numbers = {
            name: (user["Uid"], user["Gid"], user.get("SecondaryGids") or []) for name, user in users.items()
        }
        self.assertEqual(numbers, {
            "appliers": (4001, 4000, [4101]), "writers": (4101, 4101, [4100]), "readers": (4201, 4100, [])
        })
        for one in points:
            self.assertEqual(one["RootDirectory"], {
                "Path": "/sluice", "CreationInfo": {"OwnerUid": 4001, "OwnerGid": 4100, "Permissions": "0750"}
            })

    def test_the_table(self):
        table = self.call("dynamodb").describe_table(TableName=self.ids["LeaseTable"])["Table"]
        self.assertEqual(table["KeySchema"], [{"AttributeName": "pk", "KeyType": "HASH"}])
        self.assertEqual(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")

    def test_the_task(self):
        task = self.call("ecs").describe_task_definition(taskDefinition=self.ids["ApplierTask"])["taskDefinition"]
        (applier,) = task["containerDefinitions"]
        self.assertEqual(applier["command"][:4], ["apply", "/mnt/efs/store", "--ttl", "10"])
        self.assertEqual(applier["user"], "4001:4000")
        self.assertTrue(applier["readonlyRootFilesystem"])
        self.assertEqual(applier["stopTimeout"], 120)
        self.assertTrue(applier["image"].endswith(":latest"))

    def test_the_lease_is_one_item(self):
        policy = self.call("iam").get_role_policy(RoleName=self.ids["ApplierRole"], PolicyName="lease")
        (statement,) = policy["PolicyDocument"]["Statement"]
        self.assertTrue(statement["Resource"].endswith(f":table/{self.ids['LeaseTable']}"))
        self.assertEqual(statement["Condition"], {
            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [f"sluice#{STORE}"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        })

    def test_the_functions(self):
        for name in ("writer", "reader"):
            found = self.call("lambda").get_function_configuration(FunctionName=f"orders-{name}")
            self.assertEqual((found["Runtime"], found["Handler"]), ("provided.al2023", name))
            self.assertEqual(found["Architectures"], ["x86_64"])
            self.assertEqual(found["Environment"]["Variables"], {"SLUICE_STORE": "/mnt/efs/store"})
            self.assertTrue(found["Role"].endswith(self.ids[f"{name.title()}Role"]))

    def test_logs_do_not_stay_for_ever(self):
        groups = self.call("logs").describe_log_groups()["logGroups"]
        days = {one["logGroupName"]: one.get("retentionInDays") for one in groups}
        for name in ("ApplierLogs", "FunctionLogs"):
            self.assertEqual(days[self.ids[name]], 30)


class Ministack(Deployment, unittest.TestCase):
    name = "ministack"

    def test_the_second_step_starts_appliers_and_keeps_the_rest(self):
        first = self.deploy("steps")
        second = self.deploy("steps", StoreId=STORE)
        self.assertIn("LeasePolicy", second)
        self.assertEqual([service["desiredCount"] for service in self.services(second)], [1, 1])
        for kept in ("FileSystem", "LeaseTable", "Cluster"):
            self.assertEqual(first[kept], second[kept])

    def test_the_groups(self):
        groups = self.call("ec2").describe_security_groups(GroupIds=[self.ids["FileSystemGroup"]])["SecurityGroups"]
        sources = [pair["GroupId"] for rule in groups[0]["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
        self.assertEqual(set(sources), {self.ids["ApplierGroup"], self.ids["FunctionGroup"]})
        for name in ("FileSystemGroup", "ApplierGroup", "FunctionGroup", "EndpointGroup"):
            (group,) = self.call("ec2").describe_security_groups(GroupIds=[self.ids[name]])["SecurityGroups"]
            self.assertTrue(all(rule["IpProtocol"] != "-1" for rule in group["IpPermissionsEgress"]), name)

    def test_the_public_network(self):
        ids = self.deploy("public", Network="public", StoreId=STORE)
        self.assertIn("Internet", ids)
        self.assertFalse({"EcrApiEndpoint", "EcrImagesEndpoint", "LogsEndpoint", "EndpointGroup"} & set(ids))
        for service in self.services(ids):
            self.assertEqual(service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"], "ENABLED")
        self.assertIn("assignPublicIp=ENABLED", self.outputs["InitCommand"])

    def test_the_services_are_in_two_zones(self):
        networks = [service["networkConfiguration"]["awsvpcConfiguration"] for service in self.services(self.ids)]
        self.assertEqual(
            [network["subnets"] for network in networks], [[self.ids["SubnetA"]], [self.ids["SubnetB"]]]
        )

    def test_the_file_systems_policy_names_the_readers(self):
        found = self.call("efs").describe_file_system_policy(FileSystemId=self.ids["FileSystem"])
        policy = {one["Sid"]: one for one in json.loads(found["Policy"])["Statement"]}
        self.assertTrue(policy["ReadersDoNotWrite"]["Principal"]["AWS"].endswith(self.ids["ReaderRole"]))

    def test_the_alarms_go_to_the_topic(self):
        alarms = self.call("cloudwatch").describe_alarms()["MetricAlarms"]
        mine = [alarm for alarm in alarms if alarm["AlarmName"].startswith("orders-")]
        self.assertEqual(len(mine), 6)
        for alarm in mine:
            self.assertEqual(alarm["AlarmActions"], [TOPIC])


class Moto(Deployment, unittest.TestCase):
    name = "moto"


if __name__ == "__main__":
    unittest.main()
