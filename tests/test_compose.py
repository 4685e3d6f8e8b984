"""docker-compose.yaml, as docker-compose itself reads it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

from include.laptop import env_file
from include.laptop.credentials import Keys
from include.laptop.environment import airflow_settings
from include.laptop.stack_paths import REPOSITORY, StackPaths

PINNED = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*")
SECRET = re.compile(r"SECRET|PASSWORD$|_KEY$|_CONN$")


def compose_command() -> list[str]:
    """Return the command of Docker's plugin or of the older program, whichever is here."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    pytest.skip("neither docker-compose nor docker's compose plugin is installed")


def render(folder: Path) -> subprocess.CompletedProcess:
    shutil.copy(REPOSITORY / "docker-compose.yaml", folder)
    return subprocess.run(
        [*compose_command(), "--profile", "local", "config"], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services of the rendered configuration, with env files as `make env` writes them."""
    folder = tmp_path_factory.mktemp("compose")
    env_file.main(folder)
    rendered = render(folder)
    assert rendered.returncode == 0, rendered.stderr
    return yaml.safe_load(rendered.stdout)["services"]


def test_without_env_files_it_says_how_to_make_them(tmp_path: Path) -> None:
    (tmp_path / ".env.aws").touch()
    rendered = render(tmp_path)
    assert rendered.returncode != 0
    assert "make env" in rendered.stderr


def test_all_of_airflow_is_there(services: dict[str, Any]) -> None:
    assert {"api-server", "scheduler", "dag-processor", "triggerer", "init", "postgres"} <= set(services)


def test_ports_are_published_on_loopback_alone(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    hosts = {port["host_ip"] if isinstance(port, dict) else port.rpartition(":")[0] for port in ports}
    assert {host.partition(":")[0] for host in hosts} == {"127.0.0.1"}


def test_what_keeps_running_has_a_health_check(services: dict[str, Any]) -> None:
    unchecked = [
        name
        for name, service in services.items()
        if service["restart"] != "no" and "healthcheck" not in service
    ]
    assert unchecked == []


def test_images_that_are_not_built_here_are_pinned(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_every_secret_comes_from_outside_the_file() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
    environments = [compose["x-airflow"]["environment"]]
    environments += [service.get("environment", {}) for service in compose["services"].values()]
    values = [value for one in environments for name, value in one.items() if SECRET.search(name)]
    assert values
    assert [value for value in values if "${" not in value] == []


def test_tasks_of_a_killed_scheduler_are_found_as_soon_as_on_a_laptop() -> None:
    name = "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
    laptop = airflow_settings(StackPaths(REPOSITORY / ".local", 8080, 5566), Keys.generate())
    assert compose["x-airflow"]["environment"][name] == laptop[name]
    # Checked more seldom than a scheduler counts as dead, the tasks of one would wait for the check alone.
    assert float(laptop[name]) < conf.getint("scheduler", "scheduler_health_check_threshold")


def test_nothing_built_here_runs_as_root(services: dict[str, Any]) -> None:
    assert [
        name for name, service in services.items() if str(service.get("user", "")).startswith(("0", "root"))
    ] == []
    last_stage = (REPOSITORY / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER local-aws$", last_stage, re.MULTILINE)


def test_what_the_airflow_image_runs_needs_neither_pytorch_nor_the_sagemaker_sdk() -> None:
    script = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "onnx", "onnxruntime", "sagemaker"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from include.pipeline import packages, pretrained, rollback, smoke_test, teardown
from include.pipeline.data import staging
from include.pipeline.images import container_images
from include.pipeline.project_files import PROJECTS_FOLDER, load_project

project = load_project(PROJECTS_FOLDER / "sample.yaml")
container_images(project, "us-east-1")
packages.classifier_package(project)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
