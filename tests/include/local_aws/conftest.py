"""What tests of EC2 and Systems Manager have in common: an image, an instance profile, instances."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from include.local_aws import moto_patches
from include.local_aws.processes import ChildProcesses

IMAGE_PARAMETER = (
    "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id"
)


@pytest.fixture
def restored_moto() -> Iterator[None]:
    """Undo all replacements of moto's methods in this process after a test."""
    yield
    for (owner, name), method in moto_patches.by_moto.items():
        setattr(owner, name, method)


@pytest.fixture(scope="session")
def ec2(local_aws: Any) -> Any:
    return local_aws.client("ec2")


@pytest.fixture(scope="session")
def ssm(local_aws: Any) -> Any:
    return local_aws.client("ssm")


@pytest.fixture
def children() -> Iterator[ChildProcesses]:
    children = ChildProcesses()
    yield children
    children.stop_all()


def _request(server: Any, profile: str | None = None, **members: Any) -> dict[str, Any]:
    image = server.client("ssm").get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"]
    request: dict[str, Any] = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    if profile:
        request["IamInstanceProfile"] = {"Name": profile}
    return request | members


@pytest.fixture(scope="session")
def profile(local_aws: Any) -> str:
    """The name of an instance profile with a role."""
    iam = local_aws.client("iam")
    iam.create_role(RoleName="instance-tests", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="instance-tests")
    iam.add_role_to_instance_profile(InstanceProfileName="instance-tests", RoleName="instance-tests")
    return "instance-tests"


@pytest.fixture(scope="session")
def instance_request() -> Callable[..., dict[str, Any]]:
    """Build the request for one instance on a server, in a profile if it is given."""
    return _request


@pytest.fixture
def launch(local_aws: Any, ec2: Any) -> Iterator[Callable[..., str]]:
    """Launch an instance and return its id; all are terminated afterwards."""
    launched: list[str] = []

    def run(profile: str | None = None, **members: Any) -> str:
        answer = ec2.run_instances(**_request(local_aws, profile, **members))
        launched.append(answer["Instances"][0]["InstanceId"])
        return launched[-1]

    yield run
    if launched:
        ec2.terminate_instances(InstanceIds=launched)


@pytest.fixture(scope="session")
def described(ec2: Any) -> Callable[[str], dict[str, Any]]:
    """Describe an instance."""
    return lambda instance_id: ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0][
        "Instances"
    ][0]


@pytest.fixture(scope="session")
def in_state(
    described: Callable[[str], dict[str, Any]], eventually: Callable[..., Any]
) -> Callable[..., Any]:
    """Wait until an instance is in a state, and return its description."""

    def wait(instance_id: str, state: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            found = described(instance_id)
            return found if found["State"]["Name"] == state else None

        return eventually(description)

    return wait


@pytest.fixture(scope="session")
def console(ec2: Any, eventually: Callable[..., Any]) -> Callable[[str, str], list[str]]:
    """Wait until a text is on an instance's console, and return its lines."""

    def wait(instance_id: str, text: str) -> list[str]:
        def output() -> str | None:
            found = ec2.get_console_output(InstanceId=instance_id)["Output"]
            return found if text in found else None

        return eventually(output).splitlines()

    return wait


@pytest.fixture(scope="session")
def instance_folder(local_aws: Any) -> Callable[[str], Path]:
    """Return where the server keeps an instance's files."""
    port = str(urlsplit(local_aws.url).port)
    return lambda instance_id: local_aws.state_dir / port / "ec2" / instance_id


@pytest.fixture
def node(ssm: Any, launch: Callable[..., str], profile: str, eventually: Callable[..., Any]) -> str:
    """The id of an instance that takes commands."""
    instance_id = launch(profile)
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
    eventually(lambda: ssm.describe_instance_information(Filters=filters)["InstanceInformationList"])
    return instance_id
