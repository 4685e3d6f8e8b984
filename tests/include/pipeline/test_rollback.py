"""A rollback that replaces a failed endpoint, killed at every point."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import function_alias, names, rollback, scaling
from include.pipeline.results import LiveRelease, Scaling
from include.pipeline.rollback import RollbackError, Target
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState
from tests.include.pipeline.processes import Processes

GOOD = LiveRelease(endpoint_config="good", model="m", artifact="a", inputs="i", function_version=None)
PROJECT = Project(name="birds", description="x")


class KilledError(Exception):
    """The worker dies."""


class SageMaker:
    """SageMaker with one endpoint, whose operations take three calls. It fails in the configuration ``broken``.

    :param kill_at: the number of the call at which the worker dies.
    :param before: the worker dies before SageMaker has received the call, not after it.
    """

    def __init__(self, status: str | None, kill_at: int = 0, *, before: bool = True) -> None:
        self.status, self.config, self.reason = status, "broken", ""
        self.kill_at, self.before = kill_at, before
        self.calls, self.changes = 0, []  # type: ignore[var-annotated]
        self._left = 0

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        return self._do(self._describe)

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        return {"ProductionVariants": [{"VariantName": names.VARIANT, "InstanceType": "ml.m5.large"}]}

    def delete_endpoint(self, EndpointName: str) -> None:
        self._change("delete", "Deleting", "")

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, Tags: list[Any]) -> None:
        assert self.status is None
        self._change("create", "Creating", EndpointConfigName)

    def update_endpoint(self, EndpointName: str, EndpointConfigName: str, **_: Any) -> None:
        self._change("update", "Updating", EndpointConfigName)

    def _change(self, what: str, status: str, config: str) -> None:
        def change() -> None:
            assert self.status in (None, "Failed", "InService"), f"{what} while {self.status}"
            self.changes.append(what)
            self.status, self.config, self._left = status, config, 3

        self._do(change)

    def _describe(self) -> dict[str, Any]:
        self._left -= 1
        if self._left == 0:
            ended = "Failed" if self.config == "never works" else "InService"
            self.status = None if self.status == "Deleting" else ended
        if self.status is None:
            error = {"Code": "ValidationException", "Message": "Could not find endpoint"}
            raise ClientError({"Error": error}, "DescribeEndpoint")
        return {"EndpointStatus": self.status, "EndpointConfigName": self.config}

    def _do(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls != self.kill_at:
            return call()
        if not self.before:
            with suppress(ClientError):
                call()
        raise KilledError


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The status of the endpoint at each time that its scaling was restored."""
    restored: list[str | None] = []
    monkeypatch.setattr(scaling, "restore", lambda project, before, client, _: restored.append(client.status))
    monkeypatch.setattr(scaling, "deregister", lambda *_: None)
    return restored


def undo(sagemaker: SageMaker, good: LiveRelease = GOOD) -> Callable[[StepState], str]:
    """Return the step, which finds its target by a tag of the endpoint."""

    def step(state: StepState) -> str:
        target = rollback.keep_target(
            PROJECT,
            state,
            sagemaker,
            lambda: Target(
                release=good if sagemaker.status not in (None, "Deleting") else None, scaling=None
            ),
        )
        return rollback.roll_back(
            PROJECT, target.release, target.scaling, sagemaker, NoFunction(), sagemaker, state
        )

    return step


class NoFunction:
    """Lambda without the project's function."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def delete_function(self, FunctionName: str) -> None:
        raise self.exceptions.ResourceNotFoundException


@pytest.mark.parametrize(("status", "changes"), [("Failed", ["delete", "create"]), ("InService", ["update"])])
def test_an_endpoint_returns_to_the_good_configuration_in_any_number_of_processes(
    scaled: list[str | None], status: str, changes: list[str]
) -> None:
    sagemaker = SageMaker(status)
    assert Processes().next_try(undo(sagemaker), lambda _: None) == "Model m is live again."
    assert (sagemaker.status, sagemaker.config, sagemaker.changes) == ("InService", "good", changes)
    assert scaled == ["InService"]


@pytest.mark.parametrize("before", [True, False], ids=["before a call", "after a call"])
@pytest.mark.parametrize("status", ["Failed", "InService"])
def test_a_rollback_that_is_killed_anywhere_is_finished_by_its_next_try(status: str, before: bool) -> None:
    kill_at = 0
    while True:
        kill_at += 1
        sagemaker, processes = SageMaker(status, kill_at, before=before), Processes()
        try:
            processes.next_try(undo(sagemaker), lambda _: None)
        except KilledError:
            assert processes.next_try(undo(sagemaker), lambda _: None) == "Model m is live again."
            assert (sagemaker.status, sagemaker.config) == ("InService", "good"), kill_at
        else:
            break
    assert kill_at > len(sagemaker.changes) + 5


def test_an_update_that_fails_is_not_repeated_in_the_same_try(scaled: list[str | None]) -> None:
    never = GOOD.model_copy(update={"endpoint_config": "never works"})
    sagemaker = SageMaker("InService")
    with pytest.raises(RollbackError, match="is Failed with configuration never works"):
        Processes().next_try(undo(sagemaker, never), lambda _: None)
    assert sagemaker.changes == ["update"]
    assert scaled == ["Failed"]  # an endpoint must keep scaling


def test_an_endpoint_that_a_person_has_deleted_is_not_created_by_a_cleared_rollback() -> None:
    sagemaker, processes = SageMaker("InService"), Processes()
    never = GOOD.model_copy(update={"endpoint_config": "never works"})
    with pytest.raises(RollbackError):
        processes.next_try(undo(sagemaker, never), lambda _: None)
    sagemaker.status = None
    assert "were deleted" in processes.next_try(undo(sagemaker), lambda _: None)
    assert sagemaker.changes == ["update"]


def test_a_rollback_whose_configuration_was_deleted_deletes_the_rest_in_any_later_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KilledError

    sagemaker, processes = SageMaker("Failed"), Processes()
    monkeypatch.setattr(sagemaker, "create_endpoint", fail)
    with pytest.raises(KilledError):
        processes.next_try(undo(sagemaker), lambda _: None)
    monkeypatch.setattr(scaling, "instance_type", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(scaling, "deregister", fail)
        with pytest.raises(KilledError):
            processes.next_try(undo(sagemaker), lambda _: None)
    assert "were deleted" in processes.next_try(undo(sagemaker), lambda _: None)
    assert (sagemaker.status, sagemaker.changes) == (None, ["delete"])


def test_a_stuck_endpoint_fails_the_rollback_and_keeps_scaling(
    scaled: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker = SageMaker("InService")
    monkeypatch.setattr(
        sagemaker, "_describe", lambda: {"EndpointStatus": sagemaker.status, "EndpointConfigName": ""}
    )
    monkeypatch.setattr(rollback, "WAIT_SECONDS", 0)
    with pytest.raises(RollbackError, match="Endpoint birds is still Updating"):
        Processes().next_try(undo(sagemaker), lambda _: None)
    assert scaled == ["Updating"]


def test_the_alias_is_moved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[str] = []
    monkeypatch.setattr(function_alias, "begin_move", lambda project, version, _: moves.append(version))
    monkeypatch.setattr(function_alias, "end_move", lambda *_: None)
    good = GOOD.model_copy(update={"function_version": "3"})
    Processes().next_try(undo(SageMaker("Failed"), good), lambda _: None)
    assert moves == ["3"]


def test_a_try_that_ended_before_it_restored_the_scaling_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Scaling(min_capacity=2, max_capacity=7, suspended={}, policies={}, scheduled={})
    target = Target(release=GOOD, scaling=kept).model_dump(mode="json")
    finding = {"sentence": "An earlier run did not finish.", "target": target}
    state = StepState({"attempt": 1, "since": {}, "results": {"finding": finding}, "earlier": {}}, attempt=2)
    restored: list[Scaling | None] = []
    monkeypatch.setattr(rollback.live, "read_live", lambda *_: GOOD)
    monkeypatch.setattr(rollback.known_good, "read", lambda *_: GOOD)
    monkeypatch.setattr(scaling, "read", lambda *_: None)
    monkeypatch.setattr(scaling, "restore", lambda project, before, *_: restored.append(before))

    sagemaker = SageMaker("InService")
    said = rollback.take_back_unproved(PROJECT, "run", sagemaker, NoFunction(), sagemaker, state)

    assert said == "An earlier run did not finish. Model m is live again."
    assert restored == [kept]
