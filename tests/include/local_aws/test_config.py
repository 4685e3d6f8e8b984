"""The settings of a server and the environment of its children."""

import re
from pathlib import Path

import pytest

from include.local_aws.config import Config
from include.local_aws.principals import Principal


def test_region_and_times_come_from_the_environment() -> None:
    environ = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "LOCAL_AWS_SCALING_WINDOW": "5",
        "LOCAL_AWS_STOP_GRACE": "1",
        "LOCAL_AWS_CHECKPOINT_SYNC": "0.5",
        "LOCAL_AWS_SHUTDOWN_MINUTE": "2",
        "LOCAL_AWS_ENDPOINT_WORKERS": "3",
        "LOCAL_AWS_ENDPOINT_QUEUE": "5",
    }
    config = Config.from_environment(environ, state_dir=Path("state"), port=1234)
    assert (config.region, config.scaling_window_seconds, config.stop_grace_seconds) == ("eu-west-1", 5, 1)
    assert (config.checkpoint_sync_seconds, config.shutdown_minute_seconds) == (0.5, 2)
    assert (config.endpoint_workers, config.endpoint_queue) == (3, 5)


@pytest.mark.parametrize("config", [Config(Path()), Config.from_environment({}, state_dir=Path())])
def test_with_two_processors_an_endpoint_holds_as_many_requests_as_in_aws_image(config: Config) -> None:
    app = Path(__file__).parents[3] / "include" / "classifier" / "image_classifier" / "serve_app.py"
    [most] = re.findall(r"^MAX_REQUESTS = (\d+)$", app.read_text(), re.MULTILINE)

    assert config.endpoint_queue + 2 == int(most)


def test_own_processes_speak_to_loopback_when_the_server_listens_everywhere() -> None:
    assert Config(state_dir=Path("state"), host="0.0.0.0", port=1234).url == "http://127.0.0.1:1234"


def test_children_get_this_local_aws_and_nothing_of_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "SM_MODEL_DIR", "SAGEMAKER_PROGRAM", "PYTHONPATH"):
        monkeypatch.setenv(name, "the user's")
    environment = Config(state_dir=Path("state"), port=1234).child_environment(Principal.JOB, COLOR="green")
    assert "the user's" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1234"
    assert environment["AWS_ACCESS_KEY_ID"] == "local-sagemaker-job"
    assert environment["COLOR"] == "green"
    assert environment["NO_PROXY"].endswith("127.0.0.1,localhost")


@pytest.mark.parametrize(("of_the_user", "of_children"), [(None, "PASSIVE"), ("active", "active")])
def test_threads_of_children_that_wait_leave_the_processors_to_others(
    monkeypatch: pytest.MonkeyPatch, of_the_user: str | None, of_children: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if of_the_user:
        monkeypatch.setenv("OMP_WAIT_POLICY", of_the_user)
    environment = Config(state_dir=Path("state"), port=1234).child_environment(Principal.JOB)
    assert environment["OMP_WAIT_POLICY"] == of_children
