"""What SageMaker answers about notebook instances and their lifecycle configurations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.verify_aws.guard import PREFIX
from tests.contract.setting import Setting

row = pytest.mark.row
LIFECYCLE = "NotebookInstanceLifecycleConfigName"


@pytest.fixture
def sagemaker(client: Callable[[str], Any]) -> Any:
    return client("sagemaker")


@pytest.fixture(scope="module")
def failed(aws: Any, setting: Setting, eventually: Any) -> Iterator[str]:
    """The name of an instance that has failed, for its script does: that takes little time."""
    sagemaker, name = aws.client("sagemaker"), f"{PREFIX}-failed"
    script = base64.b64encode(b"exit 1").decode()
    sagemaker.create_notebook_instance_lifecycle_config(**{LIFECYCLE: name}, OnStart=[{"Content": script}])
    sagemaker.create_notebook_instance(
        NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=setting.role, LifecycleConfigName=name
    )
    eventually(
        lambda: (
            sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceStatus"]
            == "Failed"
        )
    )
    yield name
    sagemaker.delete_notebook_instance(NotebookInstanceName=name)
    eventually(lambda: not sagemaker.list_notebook_instances(NameContains=name)["NotebookInstances"])
    sagemaker.delete_notebook_instance_lifecycle_config(**{LIFECYCLE: name})


@row("SM45")
@pytest.mark.parametrize(
    "operation",
    [
        "describe_notebook_instance",
        "start_notebook_instance",
        "stop_notebook_instance",
        "update_notebook_instance",
        "delete_notebook_instance",
        "create_presigned_notebook_instance_url",
    ],
)
def test_an_unknown_instance(sagemaker: Any, refused: Any, unique: str, operation: str) -> None:
    with refused("ValidationException", "RecordNotFound"):
        getattr(sagemaker, operation)(NotebookInstanceName=unique)


@row("SM46")
def test_an_instance_in_the_wrong_state(sagemaker: Any, refused: Any, failed: str) -> None:
    sentence = (
        "Status (Failed) not in ([InService]). Unable to transition to (Stopping) for Notebook Instance (arn:"
    )
    with refused("ValidationException", sentence):
        sagemaker.stop_notebook_instance(NotebookInstanceName=failed)


@row("SM47")
def test_an_instance_whose_name_is_taken(sagemaker: Any, refused: Any, failed: str, setting: Setting) -> None:
    with refused("ValidationException", "Cannot create a duplicate Notebook Instance (arn:"):
        sagemaker.create_notebook_instance(
            NotebookInstanceName=failed, InstanceType="ml.t3.medium", RoleArn=setting.role
        )


@row("SM48")
def test_a_script_that_fails_fails_the_instance_which_says_so(sagemaker: Any, failed: str) -> None:
    found = sagemaker.describe_notebook_instance(NotebookInstanceName=failed)
    assert "Lifecycle Config" in found["FailureReason"]


@row("SM49")
@pytest.mark.parametrize("verb", ["describe", "delete"])
def test_an_unknown_lifecycle_configuration(sagemaker: Any, refused: Any, unique: str, verb: str) -> None:
    with refused(
        "ValidationException", f"Unable to {verb} Notebook Instance Lifecycle Config 'arn:"
    ) as caught:
        getattr(sagemaker, f"{verb}_notebook_instance_lifecycle_config")(**{LIFECYCLE: unique})
    assert str(caught.value).endswith("(Details: Notebook Instance Lifecycle Config does not exist.)")
