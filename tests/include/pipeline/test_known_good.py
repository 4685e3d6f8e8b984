"""The last good release, whatever was cleared, stopped or released since the run began."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline import known_good, registry
from include.pipeline.results import GoodRelease, ReleaseState, Scaling
from include.pipeline.settings import Project
from tests.include.pipeline.release import Release


def test_a_first_release_is_not_good_before_its_smoke_test(
    release: Release,
) -> None:
    assert release.good() is None
    first = release.deploy("inputs-1")
    arn = release.register(first)
    # Also if the same model was good before a teardown.
    registry.mark_released(arn, "1", release.sagemaker)
    assert release.good() is None
    release.note_good()
    assert release.good() == first


def test_a_good_release_stays_good_during_the_next_release(release: Release) -> None:
    release.deploy("inputs-1")
    good = release.note_good()
    assert release.deploy("inputs-2") != good
    assert release.good() == good
    release.roll_back(release.good(), release.how_it_scales())
    assert release.live() == good


def test_a_cleared_run_whose_own_release_is_good_goes_back_to_it(release: Release) -> None:
    """The first try found no live model, and released one. Then a task was cleared, and failed."""
    at_start = ReleaseState(serving=None, good=None, scaling=None)
    released = release.deploy("inputs-1")
    release.note_good()
    scaling = known_good.scaling_of(release.project, at_start, None, release.good(), release.scaling)
    assert scaling is not None
    assert scaling.max_capacity == 2
    assert f"Model {released and released.model} is live again." == release.roll_back(release.good(), scaling)
    assert (release.live(), release.how_it_scales()) == (released, scaling)


def test_scaling_that_a_run_has_deregistered_is_restored_with_the_release_that_is_good_now(
    monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    def scaling(most: int) -> Scaling:
        return Scaling(min_capacity=1, max_capacity=most, suspended={}, policies={}, scheduled={})

    good = GoodRelease(
        endpoint_config="config-2", model="m", artifact="a", inputs="i", function_version="2", since=None
    )
    at_start = ReleaseState(serving=None, good=None, scaling=scaling(1))
    suspended, now = scaling(2), scaling(3)
    monkeypatch.setattr(known_good.scaling, "read", lambda *_: None)
    assert known_good.scaling_of(project, at_start, suspended, good, None) == suspended
    monkeypatch.setattr(known_good.scaling, "read", lambda *_: now)
    assert known_good.scaling_of(project, at_start, suspended, good, None) == now
    at_start = at_start.model_copy(update={"good": good})
    assert known_good.scaling_of(project, at_start, suspended, good, None) == scaling(1)


@pytest.mark.parametrize(
    ("approval", "released", "good"),
    [
        pytest.param(None, False, True, id="that has no package"),
        pytest.param("Approved", True, True, id="that was released"),
        pytest.param("Approved", False, False, id="whose release never finished"),
        pytest.param("Rejected", True, False, id="that was rejected"),
    ],
)
def test_an_endpoint_without_tags_is_as_good_as_its_model(
    release: Release, approval: str | None, released: bool, good: bool
) -> None:
    serving = release.deploy("inputs-1", tags=[])
    if approval:
        arn = release.register(serving)
        registry.set_approval(arn, approval, "A reason.", release.sagemaker)
        if released:
            registry.mark_released(arn, "1", release.sagemaker)
    assert release.good() == (serving if good else None)


def test_a_recorded_configuration_that_was_deleted_is_ignored(release: Release) -> None:
    first = release.deploy("inputs-1")
    release.note_good()
    second = release.deploy("inputs-2")
    assert first
    release.sagemaker.delete_endpoint_config(EndpointConfigName=first.endpoint_config)
    assert release.good() == second  # it has no package


def test_a_run_must_not_replace_what_went_live_since_it_decided(release: Release) -> None:
    first = release.deploy("inputs-1")
    release.note_good()
    at_start = release.good_now()
    assert first
    assert release.superseded(at_start, "candidate") is None
    newer = release.deploy("inputs-2")
    assert newer
    assert release.superseded(at_start, newer.model) is None  # its own release is in progress
    release.note_good()
    assert release.superseded(at_start, newer.model) is None  # its own release is good
    reason = release.superseded(at_start, "candidate")
    assert reason
    assert reason.startswith(f"{newer.model} went live after this run had decided about candidate")
    assert release.superseded(None, "candidate") is not None  # no model was live when it began


def test_a_run_must_not_release_what_was_rolled_back(release: Release) -> None:
    """The release that was good when the run decided is good again. The run that was rolled back is cleared."""
    release.deploy("inputs-1")
    first = release.note_good()
    at_start = release.good_now()
    second = release.deploy("inputs-2")
    release.note_good()
    assert second
    assert release.superseded(at_start, second.model) is None
    release.roll_back(first, release.how_it_scales())
    release.note_good()
    assert release.superseded(at_start, second.model) is not None
    # Recording it again does not change its time.
    again = release.good_now()
    release.note_good()
    assert release.good_now() == again
    assert release.superseded(again, second.model) is None


def test_after_a_teardown_a_cleared_run_may_release_again(release: Release) -> None:
    release.deploy("inputs-1")
    release.note_good()
    at_start = release.good_now()
    release.roll_back(None)
    assert release.superseded(at_start, "candidate") is None


class TestTakeBackUnproved:
    """What a run does at its start about the untested release of an earlier run."""

    def test_nothing_is_done_without_an_untested_release(self, release: Release) -> None:
        assert release.take_back() is None
        good = release.deploy("inputs-1") and release.note_good()
        scaling = release.how_it_scales()
        assert release.take_back() is None
        assert (release.live(), release.how_it_scales()) == (good, scaling)

    def test_an_untested_model_is_rolled_back(self, release: Release) -> None:
        """Somebody marked the run as failed during the update of the endpoint."""
        release.deploy("inputs-1")
        good, scaling = release.note_good(), release.how_it_scales()
        untested = release.deploy("inputs-2")
        arn = release.register(untested)
        release.suspend_scaling()
        assert untested
        found = release.take_back()
        assert found
        assert f"left model {untested.model} without a smoke test" in found
        assert (release.live(), release.how_it_scales()) == (good, scaling)
        package = release.sagemaker.describe_model_package(ModelPackageName=arn)
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert "it has not passed a smoke test. Rolled back by run 2." in package["ApprovalDescription"]
        assert release.take_back() is None

    def test_an_untested_first_release_is_deleted(self, release: Release) -> None:
        release.register(release.deploy("inputs-1"))
        found = release.take_back()
        assert found
        assert found.endswith("The endpoint and the function were deleted.")
        assert release.live() is None

    def test_an_untested_function_is_rolled_back(self, release: Release) -> None:
        release.register(release.deploy("inputs-1"))
        good = release.note_good()
        release.deploy_function("another")
        assert release.live() != good
        assert release.take_back()
        assert release.live() == good

    def test_suspended_scaling_is_resumed(self, release: Release) -> None:
        release.deploy("inputs-1")
        good, scaling = release.note_good(), release.how_it_scales()
        release.suspend_scaling()
        assert release.take_back() == (
            "An earlier, unfinished run had suspended the scaling of the endpoint. The scaling was resumed."
        )
        assert (release.live(), release.how_it_scales()) == (good, scaling)

    def test_a_model_that_a_person_deployed_stays(self, release: Release) -> None:
        release.deploy("inputs-1")
        release.note_good()
        theirs = release.deploy("inputs-2")
        found = release.take_back()
        assert theirs
        assert found == f"Model {theirs.model} is live, but no run has released it. It stays."
        assert release.live() == theirs


class TestWhatAFailureTells:
    """The sentence about the endpoint in the message of a failed run."""

    def test_an_untested_release_is_reported(self, release: Release) -> None:
        good = release.deploy("inputs-1") and release.note_good()
        assert good
        assert release.state() == f"Endpoint {release.endpoint} is InService with model {good.model}."
        untested = release.deploy("inputs-2")
        release.register(untested)
        assert untested
        assert release.state() == (
            f"Endpoint {release.endpoint} is InService with model {untested.model}. Its release has not passed the "
            f"smoke test; the next run of {release.project.name}.train_and_deploy rolls it back."
        )
        release.take_back()
        assert release.state() == f"Endpoint {release.endpoint} is InService with model {good.model}."

    def test_a_model_that_a_person_deployed_is_not_reported(self, release: Release) -> None:
        theirs = release.deploy("inputs-1")
        assert theirs
        assert release.state() == f"Endpoint {release.endpoint} is InService with model {theirs.model}."

    def test_the_result_of_a_running_update_is_open(self, release: Release, slow_import: Any) -> None:
        slow_import.finish()
        first = release.deploy("inputs-1", first=slow_import.code) and release.note_good()
        release.deploy("inputs-2")
        assert first
        slow_import.begin()
        release.sagemaker.update_endpoint(
            EndpointName=release.endpoint, EndpointConfigName=first.endpoint_config
        )
        assert "If its release has not passed the smoke test, the next run of" in release.state()
        slow_import.finish()
        release.eventually(lambda: release.live() == first.model_copy(update={"function_version": "2"}))
