"""The template as it is written: what the peers drop, and what must not be in it."""

import pathlib
import subprocess
import sys
import unittest

from template import PATH, RESOURCES, TEMPLATE, of_type, policies_of, properties, statements

ROOT = PATH.parents[1]
MOUNT = "/mnt/efs"


def groups(access_point):
    user = access_point["PosixUser"]
    return {user["Gid"], *user.get("SecondaryGids", [])}


class TheTemplate(unittest.TestCase):
    def test_cfn_lint_has_nothing_to_say(self):
        found = subprocess.run(
            [pathlib.Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", PATH],
            capture_output=True, text=True,
        )
        self.assertEqual((found.returncode, found.stdout), (0, ""), found.stderr)

    def test_each_parameter_has_a_default_and_says_what_it_is(self):
        shown = [
            name
            for group in TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
            for name in group["Parameters"]
        ]
        self.assertEqual(sorted(shown), sorted(TEMPLATE["Parameters"]))
        for name, parameter in TEMPLATE["Parameters"].items():
            self.assertIn("Default", parameter, name)
            self.assertTrue(parameter["Description"].endswith("."), name)

    def test_each_alarm_and_parameter_is_in_operations(self):
        text = (ROOT / "docs/OPERATIONS.md").read_text()
        named = list(of_type("AWS::CloudWatch::Alarm")) + list(TEMPLATE["Parameters"])
        self.assertEqual([name for name in named if f"`{name}`" not in text], [])


class TheNetwork(unittest.TestCase):
    def test_no_group_lets_anything_out_that_is_not_said(self):
        # Without SecurityGroupEgress a group would be given a rule that allows everything.
        allowed = {
            "FileSystemGroup": {("icmp", "127.0.0.1/32")},
            "EndpointGroup": {("icmp", "127.0.0.1/32")},
            "ApplierGroup": {(2049, "NetworkCidr"), ("udp", "NetworkCidr"), (443, "0.0.0.0/0")},
            "FunctionGroup": {(2049, "NetworkCidr"), ("udp", "NetworkCidr")},
        }
        groups = of_type("AWS::EC2::SecurityGroup")
        self.assertEqual(set(groups), set(allowed))
        for name, group in groups.items():
            rules = {
                (
                    rule["FromPort"] if rule["IpProtocol"] == "tcp" else rule["IpProtocol"],
                    rule["CidrIp"]["Ref"] if isinstance(rule["CidrIp"], dict) else rule["CidrIp"],
                )
                for rule in group["SecurityGroupEgress"]
            }
            self.assertEqual(rules, allowed[name], name)
            for rule in group["SecurityGroupEgress"] + group.get("SecurityGroupIngress", []):
                self.assertEqual(rule["FromPort"], rule["ToPort"])

    def test_nobody_comes_in_but_to_the_file_system_the_endpoints_and_with_hints(self):
        for name, group in of_type("AWS::EC2::SecurityGroup").items():
            sources = [
                (rule["FromPort"], rule["SourceSecurityGroupId"]["Fn::GetAtt"][0])
                for rule in group.get("SecurityGroupIngress", [])
            ]
            expected = {
                "FileSystemGroup": [(2049, "ApplierGroup"), (2049, "FunctionGroup")],
                "EndpointGroup": [(443, "ApplierGroup")],
                "ApplierGroup": [(7400, "FunctionGroup")],
            }
            self.assertEqual(sources, expected.get(name, []), name)
        # Beside the groups' own rules there is one, from the appliers to themselves.
        rules = of_type("AWS::EC2::SecurityGroupIngress")
        self.assertEqual(set(rules), {"ApplierHints"})
        rule = rules["ApplierHints"]
        for group in "GroupId", "SourceSecurityGroupId":
            self.assertEqual(rule[group]["Fn::GetAtt"], ["ApplierGroup", "GroupId"])
        self.assertEqual((rule["IpProtocol"], rule["FromPort"], rule["ToPort"]), ("udp", 7400, 7400))

    def test_hints_are_taken_where_the_groups_let_them_in(self):
        [container] = RESOURCES["ApplierTask"]["Properties"]["ContainerDefinitions"]
        command = container["Command"]
        self.assertEqual(command[command.index("--hints") + 1], "auto:7400")

    def test_only_the_public_network_has_a_way_to_the_internet(self):
        for name, resource in RESOURCES.items():
            kind = resource["Type"]
            self.assertNotIn(kind, ("AWS::EC2::NatGateway", "AWS::EC2::EIP"))
            if kind in ("AWS::EC2::InternetGateway", "AWS::EC2::VPCGatewayAttachment", "AWS::EC2::Route"):
                self.assertEqual(resource["Condition"], "IsPublic", name)
        for subnet in of_type("AWS::EC2::Subnet").values():
            self.assertFalse(subnet["MapPublicIpOnLaunch"])

    def test_what_fargate_needs_without_a_nat_is_there(self):
        kinds = {}
        for name, endpoint in of_type("AWS::EC2::VPCEndpoint").items():
            service = endpoint["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
            kinds[service] = endpoint["VpcEndpointType"], RESOURCES[name].get("Condition")
            if endpoint["VpcEndpointType"] == "Interface":
                self.assertTrue(endpoint["PrivateDnsEnabled"])
                self.assertEqual(endpoint["SubnetIds"], [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}])
                self.assertEqual(endpoint["SecurityGroupIds"], [{"Ref": "EndpointGroup"}])
            else:
                self.assertEqual(endpoint["RouteTableIds"], [{"Ref": "Routes"}])
        self.assertEqual(kinds, {
            "s3": ("Gateway", None), "dynamodb": ("Gateway", None),
            "ecr.api": ("Interface", "HasEndpoints"), "ecr.dkr": ("Interface", "HasEndpoints"),
            "logs": ("Interface", "HasEndpoints"),
        })


class TheFileSystem(unittest.TestCase):
    def test_it_outlives_the_stack(self):
        self.assertEqual(RESOURCES["FileSystem"]["DeletionPolicy"], "Retain")
        self.assertEqual(RESOURCES["FileSystem"]["UpdateReplacePolicy"], "Retain")

    def test_its_policy_gives_nobody_anything(self):
        # With a policy of its own it has no default one, which would let in anonymous clients.
        policy = {one["Sid"]: one for one in properties("FileSystem")["FileSystemPolicy"]["Statement"]}
        self.assertEqual({one["Effect"] for one in policy.values()}, {"Deny"})
        self.assertEqual(policy["OnlyEncrypted"]["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        way_around = policy["OnlyThroughAnAccessPoint"]
        # Only these two keys and the source's address are known to EFS where a client mounts.
        (points,) = way_around["Condition"]["StringNotLike"].items()
        self.assertEqual(points[0], "elasticfilesystem:AccessPointArn")
        self.assertTrue(points[1]["Fn::Sub"].endswith(":access-point/*"))
        self.assertEqual(
            set(way_around["Action"]), {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}
        )
        self.assertEqual(policy["NobodyIsRoot"]["Action"], "elasticfilesystem:ClientRootAccess")
        self.assertNotIn("Condition", policy["NobodyIsRoot"])
        readers = policy["ReadersDoNotWrite"]
        self.assertEqual(readers["Principal"], {"AWS": {"Fn::GetAtt": ["ReaderRole", "Arn"]}})
        self.assertEqual(readers["Action"], "elasticfilesystem:ClientWrite")

    def test_each_access_point_makes_the_same_root(self):
        points = of_type("AWS::EFS::AccessPoint")
        roots = [point["RootDirectory"] for point in points.values()]
        self.assertTrue(all(root == roots[0] for root in roots))
        owner = properties("ApplierAccessPoint")["PosixUser"]
        made = roots[0]["CreationInfo"]
        self.assertEqual(made["OwnerUid"], owner["Uid"])
        self.assertEqual(made["Permissions"], "0750")
        for name, point in points.items():
            if name != "ApplierAccessPoint":
                self.assertIn(made["OwnerGid"], groups(point), name)

    def test_only_appliers_are_in_the_group_of_a_writers_files_whether_it_is_inherited_or_not(self):
        points = of_type("AWS::EFS::AccessPoint")
        users = [point["PosixUser"] for point in points.values()]
        self.assertEqual(len({user["Uid"] for user in users}), len(users))
        appliers = points["ApplierAccessPoint"]
        writers = {name: point for name, point in points.items() if "Writer" in name}
        self.assertTrue(writers)
        # `journal/` is setgid and of the appliers' group; that of a file's maker is its access point's Gid.
        of_files = {appliers["PosixUser"]["Gid"]} | {point["PosixUser"]["Gid"] for point in writers.values()}
        self.assertEqual(len(of_files), 1 + len(writers))
        self.assertEqual(groups(appliers), of_files)
        # EFS takes no more.
        self.assertLessEqual(len(appliers["PosixUser"]["SecondaryGids"]), 16)
        for name, point in points.items():
            if name != "ApplierAccessPoint":
                own = {point["PosixUser"]["Gid"]} if name in writers else set()
                self.assertEqual(groups(point) & of_files, own, name)


class Rights(unittest.TestCase):
    ROLES = {
        "ApplierRole": ("ApplierAccessPoint", {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}),
        "WriterRole": ("WriterAccessPoint", {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}),
        "ReaderRole": ("ReaderAccessPoint", {"elasticfilesystem:ClientMount"}),
    }

    def test_each_role_mounts_by_its_own_access_point(self):
        for role, (point, actions) in self.ROLES.items():
            found = [
                one for one in policies_of(role)
                if one["Effect"] == "Allow" and any("elasticfilesystem" in action for action in one["Action"])
            ]
            self.assertEqual(len(found), 1, role)
            self.assertEqual(set(found[0]["Action"]), actions, role)
            self.assertTrue(found[0]["Resource"][0]["Fn::Sub"].endswith(":file-system/${FileSystem}"))
            arn = found[0]["Condition"]["StringEquals"]["elasticfilesystem:AccessPointArn"]["Fn::Sub"]
            self.assertTrue(arn.endswith(":access-point/${%s}" % point), arn)

    def test_only_appliers_use_the_table_and_of_it_one_item(self):
        for role in ("ExecutionRole", "WriterRole", "ReaderRole"):
            for one in policies_of(role):
                self.assertFalse([action for action in one["Action"] if action.startswith("dynamodb")], role)
        (lease,) = [one for one in policies_of("ApplierRole") if "dynamodb" in one["Action"][0]]
        self.assertEqual(set(lease["Action"]), {
            f"dynamodb:{name}" for name in ("BatchGetItem", "GetItem", "PutItem", "UpdateItem")
        })
        self.assertEqual(lease["Resource"], [{"Fn::GetAtt": ["LeaseTable", "Arn"]}])
        self.assertEqual(lease["Condition"], {
            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [{"Fn::Sub": "sluice#${StoreId}"}]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        })
        self.assertEqual(RESOURCES["LeasePolicy"]["Condition"], "HasStore")

    def test_only_what_has_no_resource_is_allowed_on_all(self):
        for name in of_type("AWS::IAM::Policy"):
            for one in statements(name):
                for action in one["Action"]:
                    if one["Effect"] == "Allow":
                        self.assertNotIn("*", action)
                        if one["Resource"] == ["*"]:
                            self.assertTrue(action == "ecr:GetAuthorizationToken" or action.startswith("ec2:"), action)
        for role in of_type("AWS::IAM::Role").values():
            self.assertNotIn("ManagedPolicyArns", role)
            self.assertNotIn("Policies", role)

    def test_a_functions_code_makes_no_interfaces(self):
        for role in ("WriterRole", "ReaderRole"):
            (denied,) = [one for one in policies_of(role) if one["Effect"] == "Deny"]
            self.assertEqual((denied["Action"], denied["Resource"]), (["ec2:*"], ["*"]))
            functions = denied["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]["Fn::Sub"]
            self.assertTrue(functions.endswith(":function:${AWS::StackName}-*"))
            for name in of_type("AWS::Lambda::Function"):
                self.assertTrue(properties(name)["FunctionName"]["Fn::Sub"].startswith("${AWS::StackName}-"))

    def test_a_role_is_taken_by_its_service_alone(self):
        services = {
            "ExecutionRole": "ecs-tasks.amazonaws.com", "ApplierRole": "ecs-tasks.amazonaws.com",
            "WriterRole": "lambda.amazonaws.com", "ReaderRole": "lambda.amazonaws.com",
        }
        self.assertEqual(set(of_type("AWS::IAM::Role")), set(services))
        for name, service in services.items():
            (one,) = properties(name)["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(one["Principal"], {"Service": service})


class TheAppliers(unittest.TestCase):
    def test_the_store_is_mounted_by_the_appliers_access_point(self):
        for name, task in of_type("AWS::ECS::TaskDefinition").items():
            volumes = {volume["Name"]: volume for volume in task["Volumes"]}
            self.assertEqual(volumes["efs"]["EFSVolumeConfiguration"], {
                "FilesystemId": {"Ref": "FileSystem"}, "TransitEncryption": "ENABLED",
                "AuthorizationConfig": {"AccessPointId": {"Ref": "ApplierAccessPoint"}, "IAM": "ENABLED"},
            }, name)
            (container,) = task["ContainerDefinitions"]
            paths = {mount["SourceVolume"]: mount["ContainerPath"] for mount in container["MountPoints"]}
            self.assertEqual(paths["efs"], MOUNT)
            # Scratch files are on a local disk, never on EFS.
            self.assertIn({"Name": "TMPDIR", "Value": paths["scratch"]}, container["Environment"])
            self.assertEqual(list(volumes["scratch"]), ["Name"])
            self.assertTrue(container["ReadonlyRootFilesystem"])
            user = properties("ApplierAccessPoint")["PosixUser"]
            self.assertEqual(container["User"], f"{user['Uid']}:{user['Gid']}")
            self.assertEqual(task["TaskRoleArn"], {"Fn::GetAtt": ["ApplierRole", "Arn"]})

    def test_sigterm_is_waited_for(self):
        (applier,) = properties("ApplierTask")["ContainerDefinitions"]
        self.assertEqual(applier["StopTimeout"], 120)
        self.assertNotIn("HealthCheck", applier)

    def test_two_zones_one_after_the_other(self):
        services = of_type("AWS::ECS::Service")
        subnets = [
            service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"] for service in services.values()
        ]
        self.assertEqual(subnets, [[{"Ref": "SubnetA"}], [{"Ref": "SubnetB"}]])
        zones = [properties(f"Subnet{zone}")["AvailabilityZone"]["Fn::Select"][0] for zone in "AB"]
        self.assertEqual(zones, [0, 1])
        self.assertIn("ApplierA", RESOURCES["ApplierB"]["DependsOn"])
        for name in services:
            # Neither starts before the right to the lease is there, where that is to be.
            condition, needed, _ = RESOURCES[name]["Metadata"]["Needs"]["Fn::If"]
            self.assertEqual(needed, {"Ref": "LeasePolicy"}, name)
            self.assertEqual(condition, RESOURCES["LeasePolicy"]["Condition"])
        for service in services.values():
            self.assertEqual(service["DesiredCount"], {"Fn::If": ["HasStore", 1, 0]})
            rolling = service["DeploymentConfiguration"]
            self.assertEqual((rolling["MinimumHealthyPercent"], rolling["MaximumPercent"]), (100, 200))
            public = service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"]
            self.assertEqual(public, {"Fn::If": ["IsPublic", "ENABLED", "DISABLED"]})


class TheFunctions(unittest.TestCase):
    def test_each_has_its_access_point_and_no_other_way_out(self):
        functions = of_type("AWS::Lambda::Function")
        self.assertEqual(set(functions), {"WriterFunction", "ReaderFunction"})
        for name, function in functions.items():
            role = name.replace("Function", "")
            (mount,) = function["FileSystemConfigs"]
            self.assertEqual(mount["LocalMountPath"], MOUNT)
            self.assertTrue(mount["Arn"]["Fn::Sub"].endswith(":access-point/${%sAccessPoint}" % role))
            self.assertEqual(function["Role"], {"Fn::GetAtt": [f"{role}Role", "Arn"]})
            self.assertEqual(function["VpcConfig"]["SecurityGroupIds"], [{"Ref": "FunctionGroup"}])
            self.assertEqual(function["VpcConfig"]["SubnetIds"], [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}])
            self.assertEqual((function["Runtime"], function["Handler"]), ("provided.al2023", role.lower()))
            # Without a mount target it could not be invoked.
            self.assertLessEqual({"MountTargetA", "MountTargetB"}, set(RESOURCES[name]["DependsOn"]))


class TheTable(unittest.TestCase):
    def test_it_is_the_leases(self):
        table = properties("LeaseTable")
        self.assertEqual(table["KeySchema"], [{"AttributeName": "pk", "KeyType": "HASH"}])
        self.assertEqual(table["AttributeDefinitions"], [{"AttributeName": "pk", "AttributeType": "S"}])
        self.assertEqual(table["BillingMode"], "PAY_PER_REQUEST")
        self.assertEqual(table["PointInTimeRecoverySpecification"], {"PointInTimeRecoveryEnabled": True})
        self.assertNotIn("TimeToLiveSpecification", table)


if __name__ == "__main__":
    unittest.main()
