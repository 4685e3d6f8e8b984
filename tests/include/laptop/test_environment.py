"""The environment of the stack's processes, and the user's variables that are not inherited."""

from pathlib import Path

import pytest

from include.laptop.credentials import Keys
from include.laptop.environment import stack_environment
from include.laptop.stack_paths import StackPaths

PLACES = StackPaths(Path("/tmp/a stack"), airflow_port=8090, aws_port=5570)


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AIRFLOW__CORE__EXECUTOR", "MAKEFLAGS"])
def test_settings_of_the_user_are_not_inherited(name: str) -> None:
    assert name not in stack_environment(PLACES, Keys.generate(), {name: "the user's"})


def test_credentials_of_the_user_are_replaced() -> None:
    environment = stack_environment(
        PLACES, Keys.generate(), {"AWS_ACCESS_KEY_ID": "AKIA", "HOME": "/home/me"}
    )
    assert environment["AWS_ACCESS_KEY_ID"] == "local-airflow"
    assert environment["HOME"] == "/home/me"


def test_every_url_is_on_loopback() -> None:
    environment = stack_environment(PLACES, Keys.generate(), {})
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8090/execution/"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5570"


def test_proxy_of_the_user_is_not_used_for_loopback() -> None:
    environment = stack_environment(
        PLACES, Keys.generate(), {"NO_PROXY": "example.org", "HTTPS_PROXY": "http://p"}
    )
    assert environment["HTTPS_PROXY"] == "http://p"
    assert environment["NO_PROXY"] == environment["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_task_token_outlives_a_night_of_sleep() -> None:
    environment = stack_environment(PLACES, Keys.generate(), {})
    assert int(environment["AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"]) >= 12 * 3600
