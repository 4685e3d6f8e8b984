"""Notebook instances and their lifecycle configurations: scripts and a Jupyter server that really run."""

import base64
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from include.local_aws.config import Config
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import notebook_instances
from include.local_aws.sagemaker.documents import NOTEBOOK_INSTANCE, Documents
from include.local_aws.sagemaker.notebook_instances import NotebookInstances
from tests.environments import PATIENCE

BOOT = """#!/bin/bash
set -eu
echo "on create for $(cat /home/ec2-user/SageMaker/who 2>/dev/null || echo nobody)"
echo ada > /home/ec2-user/SageMaker/who
touch /home/ec2-user/gone-after-a-stop
"""
START = """#!/bin/bash
echo "on start for $(cat /home/ec2-user/SageMaker/who), $(ls -m /home/ec2-user)"
nohup sleep 600 > /dev/null 2>&1 &
"""


def hook(script: str) -> list[dict[str, str]]:
    return [{"Content": base64.b64encode(script.encode()).decode()}]


def tags(name: str) -> list[dict[str, str]]:
    return [{"Key": "project", "Value": name}]


@pytest.fixture
def settled(sagemaker: Any, eventually: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    """Wait until an instance is no longer being changed and return its description."""

    def wait(name: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            answer = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
            return answer if answer["NotebookInstanceStatus"] in ("InService", "Stopped", "Failed") else None

        return eventually(description, PATIENCE)

    return wait


@pytest.fixture
def create(
    sagemaker: Any, role: str, name: str, settled: Callable[[str], dict[str, Any]], eventually: Any
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Create the test's instance with scripts for its hooks, and wait; it is deleted afterwards."""

    def make(**hooks: str) -> dict[str, Any]:
        scripts = {key: hook(script) for key, script in hooks.items()}
        sagemaker.create_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=name, Tags=tags(name), **scripts
        )
        sagemaker.create_notebook_instance(
            NotebookInstanceName=name,
            InstanceType="ml.m5.xlarge",
            RoleArn=role,
            LifecycleConfigName=name,
            Tags=tags(name),
        )
        return settled(name)

    yield make
    if settled(name)["NotebookInstanceStatus"] == "InService":
        sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        settled(name)
    sagemaker.delete_notebook_instance(NotebookInstanceName=name)
    eventually(lambda: not sagemaker.list_notebook_instances(NameContains=name)["NotebookInstances"])
    sagemaker.delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)


def refusal(operation: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        operation(**arguments)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    return raised.value.response["Error"]["Message"]


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def processes_of(name: str) -> list[psutil.Process]:
    """What runs on an instance, orphans too: its processes have its home folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"/notebooks/{name}/" in process.environ().get("HOME", ""):
                found.append(process)
    return found


def test_it_runs_its_scripts_serves_jupyter_and_keeps_its_volume_from_start_to_start(
    sagemaker: Any,
    name: str,
    create: Callable[..., dict[str, Any]],
    settled: Callable[[str], dict[str, Any]],
    log_lines: Callable[[str, str], list[str]],
    eventually: Callable[..., Any],
    survivors: Callable[..., Any],
) -> None:
    created = create(OnCreate=BOOT, OnStart=START)
    assert created["NotebookInstanceStatus"] == "InService"
    assert created["NotebookInstanceLifecycleConfigName"] == name
    url = sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName=name)["AuthorizedUrl"]
    assert url.startswith(f"http://{created['Url']}/lab?token=")
    assert status_of(url) == 200
    assert status_of(f"http://{created['Url']}/api/kernels") == 403, "it is open to everyone"
    token = url.partition("?")[2]
    with urllib.request.urlopen(f"http://{created['Url']}/api/kernelspecs?{token}") as answer:
        assert "conda_python3" in json.load(answer)["kernelspecs"]
    running = processes_of(name)
    assert "sleep" in [process.name() for process in running]

    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    assert settled(name)["NotebookInstanceStatus"] == "Stopped"
    assert survivors(running) == []
    assert "(Stopped) not in ([InService])" in refusal(
        sagemaker.stop_notebook_instance, NotebookInstanceName=name
    )
    assert "is Stopped, not InService" in refusal(
        sagemaker.create_presigned_notebook_instance_url, NotebookInstanceName=name
    )
    sagemaker.start_notebook_instance(NotebookInstanceName=name)
    assert settled(name)["NotebookInstanceStatus"] == "InService"
    assert "(InService) not in ([Stopped, Failed]). Unable to transition to (Deleting)" in refusal(
        sagemaker.delete_notebook_instance, NotebookInstanceName=name
    )
    group = "/aws/sagemaker/NotebookInstances"
    eventually(lambda: len(log_lines(group, f"{name}/LifecycleConfigOnStart")) == 2)
    assert log_lines(group, f"{name}/LifecycleConfigOnCreate") == ["on create for nobody"]
    assert log_lines(group, f"{name}/LifecycleConfigOnStart") == [
        "on start for ada, SageMaker, gone-after-a-stop",
        "on start for ada, SageMaker",
    ]
    assert any("Jupyter Server" in line for line in log_lines(group, f"{name}/jupyter.log"))


def test_a_script_that_fails_fails_the_instance_which_can_be_started_again(
    sagemaker: Any,
    name: str,
    create: Callable[..., dict[str, Any]],
    settled: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    gate, failed = tmp_path / "gate", create(OnCreate="exit 3")
    assert failed["NotebookInstanceStatus"] == "Failed"
    assert "OnCreate failed with exit status 3" in failed["FailureReason"]

    sagemaker.update_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=name,
        OnStart=hook(f"until [ -e {tmp_path}/gate ]; do sleep 0.1; done; nonsense"),
    )
    sagemaker.start_notebook_instance(NotebookInstanceName=name)
    pending = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
    assert (pending["NotebookInstanceStatus"], pending.get("FailureReason")) == ("Pending", None)
    gate.touch()
    assert "OnStart failed with exit status 127" in settled(name)["FailureReason"]


def test_one_that_does_not_run_can_be_changed_and_its_volume_only_grows(
    sagemaker: Any,
    name: str,
    create: Callable[..., dict[str, Any]],
    settled: Callable[[str], dict[str, Any]],
) -> None:
    create(OnStart="exit 1")  # which takes less time than to serve
    sagemaker.update_notebook_instance(
        NotebookInstanceName=name,
        InstanceType="ml.t3.medium",
        VolumeSizeInGB=8,
        DisassociateLifecycleConfig=True,
    )
    changed = settled(name)
    assert (changed["InstanceType"], changed["VolumeSizeInGB"]) == ("ml.t3.medium", 8)
    assert "NotebookInstanceLifecycleConfigName" not in changed
    assert changed["NotebookInstanceStatus"] == "Stopped"
    assert "cannot be made smaller" in refusal(
        sagemaker.update_notebook_instance, NotebookInstanceName=name, VolumeSizeInGB=7
    )


def test_a_change_takes_a_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, eventually: Callable[..., Any]
) -> None:
    over = threading.Event()
    monkeypatch.setattr(notebook_instances, "time", SimpleNamespace(sleep=lambda _: over.wait()))
    config = Config(state_dir=tmp_path)
    documents, request = Documents(config), {NOTEBOOK_INSTANCE.name_member: name}
    instances = NotebookInstances(config, ChildProcesses(), documents)
    instance = documents.create(
        NOTEBOOK_INSTANCE, request, NotebookInstanceStatus="Stopped", VolumeSizeInGB=5
    )
    instances.operations["UpdateNotebookInstance"]({**request, "VolumeSizeInGB": 8})
    assert (instance["NotebookInstanceStatus"], instance["VolumeSizeInGB"]) == ("Updating", 5)
    over.set()
    eventually(lambda: instance["NotebookInstanceStatus"] == "Stopped")
    assert instance["VolumeSizeInGB"] == 8


def test_a_name_is_given_once_and_a_configuration_in_use_stays(
    sagemaker: Any, local_aws: Any, role: str, name: str, create: Callable[..., dict[str, Any]]
) -> None:
    create(OnStart="exit 1")
    assert "Cannot create a duplicate Notebook Instance" in refusal(
        sagemaker.create_notebook_instance,
        NotebookInstanceName=name,
        InstanceType="ml.m5.xlarge",
        RoleArn=role,
    )
    config = {"NotebookInstanceLifecycleConfigName": name}
    assert "already exists" in refusal(sagemaker.create_notebook_instance_lifecycle_config, **config)
    assert "it is used by" in refusal(sagemaker.delete_notebook_instance_lifecycle_config, **config)
    found = local_aws.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": [name]}]
    )["ResourceTagMappingList"]
    kinds = sorted(resource["ResourceARN"].split(":")[-1].split("/")[0] for resource in found)
    assert kinds == ["notebook-instance", "notebook-instance-lifecycle-config"]


@pytest.mark.parametrize("content", ["no base64!", base64.b64encode(b"\xff\xfe").decode()])
def test_a_script_must_be_text_in_base64(sagemaker: Any, name: str, content: str) -> None:
    message = refusal(
        sagemaker.create_notebook_instance_lifecycle_config,
        NotebookInstanceLifecycleConfigName=name,
        OnStart=[{"Content": content}],
    )
    assert "OnStart is no base64-encoded shell script" in message


def test_what_does_not_exist_is_refused_in_aws_s_words(sagemaker: Any, role: str, name: str) -> None:
    for operation in (
        sagemaker.describe_notebook_instance,
        sagemaker.start_notebook_instance,
        sagemaker.stop_notebook_instance,
        sagemaker.delete_notebook_instance,
        sagemaker.create_presigned_notebook_instance_url,
    ):
        assert refusal(operation, NotebookInstanceName=name) == "RecordNotFound"
    for operation in (
        sagemaker.describe_notebook_instance_lifecycle_config,
        sagemaker.delete_notebook_instance_lifecycle_config,
    ):
        assert "Lifecycle Config does not exist" in refusal(
            operation, NotebookInstanceLifecycleConfigName=name
        )
    assert "Lifecycle Config does not exist" in refusal(
        sagemaker.create_notebook_instance,
        NotebookInstanceName=name,
        InstanceType="ml.m5.xlarge",
        RoleArn=role,
        LifecycleConfigName=name,
    )
