"""The requests for a workspace, and its start and automatic stop on local AWS."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from include.pipeline import packages, workspace
from include.pipeline.infrastructure import Infrastructure, InfrastructureError
from include.pipeline.settings import Project, Workspace
from tests.environments import PATIENCE

LONGEST_SCRIPT = 16_384
"""The maximum number of base64 characters in a lifecycle configuration."""

ROLE = "arn:aws:iam::123456789012:role/workspace"


@pytest.fixture
def found() -> Infrastructure:
    return Infrastructure(
        bucket="workspaces", sagemaker_role="arn:jobs", function_role="arn:function", workspace_role=ROLE
    )


def script(config: dict[str, Any]) -> str:
    (hook,) = config["OnStart"]
    assert len(hook["Content"]) <= LONGEST_SCRIPT
    return base64.b64decode(hook["Content"]).decode()


def test_the_archive_contains_scripts_settings_and_the_notebook(project: Project) -> None:
    package = packages.workspace_package(project, {"name": "birds"})
    assert package == packages.workspace_package(project, {"name": "birds"})
    with tarfile.open(fileobj=io.BytesIO(package.content)) as archive:
        names = archive.getnames()
        settings = archive.extractfile("files/project.json")
        assert settings is not None
        assert json.load(settings) == {"name": "birds"}
    assert {
        "install.py",
        "idle_stop.py",
        "files/explore.ipynb",
        "files/workspace.py",
        "files/classifier/train.py",
        "files/classifier/efficientnet_lite_pytorch/__init__.py",
    } <= set(names)


def test_the_notebook_is_small_and_was_committed_without_outputs() -> None:
    path = packages.INCLUDE / "workspace" / "explore.ipynb"
    assert path.stat().st_size < 20_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


def test_the_instance_has_no_root_access_and_requires_imdsv2(project: Project) -> None:
    request = workspace.notebook_instance(project, ROLE)
    assert (request["NotebookInstanceName"], request["InstanceType"]) == ("birds-workspace", "ml.m5.xlarge")
    assert request["RootAccess"] == "Disabled"
    assert request["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert {"Key": "managed-by", "Value": "airflow"} in request["Tags"]


@pytest.mark.parametrize(("minutes", "told"), [(90, "idle_minutes=90"), (None, "idle_minutes=''")])
def test_the_script_has_the_settings_of_the_project(project: Project, minutes: int | None, told: str) -> None:
    project = project.model_copy(update={"workspace": Workspace(idle_stop_minutes=minutes)})
    lines = script(workspace.lifecycle_config(project, "s3://b/a b.tar.gz", "eu-west-1")).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"archive='s3://b/a b.tar.gz'", "region=eu-west-1", "instance=birds-workspace", told} <= set(lines)


def test_the_script_sets_all_variables_that_it_uses(project: Project) -> None:
    text = script(workspace.lifecycle_config(project, "s3://b/a", "eu-west-1"))
    used = set(re.findall(r"\$\{?([a-z_]+)", re.sub(r"(?m)^\s*#.*$", "", text)))
    assert used <= set(re.findall(r"(?m)^\s*([a-z_]+)=", text))


def test_an_older_stack_has_to_be_deployed_again(found: Infrastructure) -> None:
    assert workspace.role(found) == ROLE
    with pytest.raises(InfrastructureError, match=r"has no role for workspaces.*stack\.yaml again"):
        workspace.role(found.model_copy(update={"workspace_role": None}))


def test_it_starts_with_the_projects_files_and_stops_when_idle(
    project: Project,
    found: Infrastructure,
    local_aws: Any,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sagemaker, s3 = local_aws.client("sagemaker"), local_aws.client("s3")
    s3.create_bucket(Bucket=found.bucket)
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")  # no wheels are fetched
    archive = workspace.upload(project, found, "us-east-1", s3)
    assert workspace.upload(project, found, "us-east-1", s3) == archive
    at_once = Workspace.model_construct(
        **{**Workspace().model_dump(), "idle_stop_minutes": 1 / 60}  # no project file may ask for so little
    )
    project = project.model_copy(update={"workspace": at_once})
    sagemaker.create_notebook_instance_lifecycle_config(
        **workspace.lifecycle_config(project, archive, "us-east-1")
    )
    request = workspace.notebook_instance(project, ROLE)
    name = {"NotebookInstanceName": request["NotebookInstanceName"]}
    sagemaker.create_notebook_instance(**request)

    def is_now(*statuses: str) -> bool:
        status = sagemaker.describe_notebook_instance(**name)["NotebookInstanceStatus"]
        assert status != "Failed", sagemaker.describe_notebook_instance(**name)["FailureReason"]
        return status in statuses

    eventually(lambda: is_now("Stopped"), PATIENCE)
    (folder,) = Path(local_aws.state_dir).glob(f"*/notebooks/{request['NotebookInstanceName']}")
    files = folder / "home" / "ec2-user" / "SageMaker" / "birds"
    assert {path.name for path in files.iterdir()} == {
        ".shipped.json",
        "classifier",
        "explore.ipynb",
        "project.json",
        "workspace.py",
    }
    settings = json.loads((files / "project.json").read_text())
    assert (settings["bucket"], settings["role"]) == ("workspaces", "arn:jobs")
    assert "Idle for" in (folder / "home" / "ec2-user" / ".workspace" / "idle_stop.log").read_text()
    sagemaker.delete_notebook_instance(**name)
