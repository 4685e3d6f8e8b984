"""The live release and rollbacks, against local AWS."""

from __future__ import annotations

import io
import zipfile

import pytest
from botocore.exceptions import ClientError

from include.pipeline import live, names, releases, rollback, smoke_test
from include.pipeline.results import LiveRelease
from include.pipeline.settings import Deployment, Endpoint
from tests.include.pipeline.release import Release
from tests.include.pipeline.staged import put_data_set

MADE = LiveRelease(endpoint_config="c", model="m", artifact="a", inputs="same", function_version="1")


def test_nothing_is_live_before_the_first_release(release: Release) -> None:
    assert release.live() is None


def test_only_a_shift_in_steps_has_an_old_fleet_next_to_the_new_one(release: Release) -> None:
    by_steps = release.project.model_copy(
        update={
            "endpoint": Endpoint(min_instances=4, max_instances=4, deployment=Deployment(strategy="canary"))
        }
    )
    assert live.config_beside(by_steps, "new", release.sagemaker) is None  # the first release
    served = release.deploy("first")
    assert served is not None
    assert live.config_beside(by_steps, "new", release.sagemaker) == served.endpoint_config
    assert live.config_beside(by_steps, served.endpoint_config, release.sagemaker) is None
    assert live.config_beside(release.project, "new", release.sagemaker) is None


def test_the_live_model_is_described_with_its_inputs(release: Release) -> None:
    serving = release.deploy("inputs-1")
    assert serving is not None
    assert serving.inputs == "inputs-1"
    assert serving.artifact.endswith("inputs-1/model.tar.gz")
    assert serving.function_version == "1"
    # A rollback to it would find these.
    assert releases.usable_function_version(release.project, "1", "9", release.functions) == "1"


@pytest.mark.parametrize(
    ("run_type", "serving", "stops"),
    [
        pytest.param("scheduled", MADE, True, id="scheduled, unchanged"),
        pytest.param("asset_triggered", MADE, True, id="new data that is not new"),
        pytest.param(
            "scheduled", MADE.model_copy(update={"inputs": "other"}), False, id="scheduled, changed"
        ),
        pytest.param("scheduled", None, False, id="scheduled, nothing is live"),
        pytest.param("manual", MADE, False, id="manual"),
    ],
)
def test_an_automatic_run_stops_if_nothing_changed(
    run_type: str, serving: LiveRelease | None, stops: bool
) -> None:
    reason = live.reason_to_stop(run_type, serving, "same")
    assert (reason is not None) == stops
    assert not stops or "m is live" in str(reason)


def test_a_rollback_restores_the_model_the_function_version_and_the_scaling(release: Release) -> None:
    before, scaling = release.deploy("inputs-1"), release.how_it_scales()
    assert scaling is not None
    policy = scaling.policies["invocations"]["TargetTrackingScalingPolicyConfiguration"]
    assert (scaling.max_capacity, policy["TargetValue"]) == (2, 20.0)
    after = release.deploy("inputs-2")
    release.scale(most=5, target=90.0)
    release.suspend_scaling()
    assert after != before
    for _ in range(2):  # a retry changes nothing
        assert "is live again" in release.roll_back(before, scaling)
        assert (release.live(), release.how_it_scales()) == (before, scaling)
        assert not release.is_suspended()


def test_scaling_is_restored_even_if_the_endpoint_does_not_come_back(release: Release) -> None:
    before, scaling = release.deploy("inputs-1"), release.how_it_scales()
    assert before is not None
    release.suspend_scaling()
    with pytest.raises(ClientError, match="Could not find"):
        release.roll_back(before.model_copy(update={"endpoint_config": "gone"}), scaling)
    assert not release.is_suspended()


def test_the_cause_of_a_rollback_has_each_failed_step_and_its_message() -> None:
    assert rollback.cause({"deploy_endpoint": "Unhealthy.", "put_alarms": "Throttled"}) == (
        "deploy_endpoint failed: Unhealthy. put_alarms failed: Throttled."
    )


def test_a_version_that_cannot_be_imported_fails_when_invoked_and_the_alias_keeps_its_version(
    release: Release,
) -> None:
    serving = release.deploy("inputs-1")
    assert serving is not None
    name = names.function_name(release.project)
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("handler.py", "import nowhere\n")
    release.functions.update_function_code(FunctionName=name, ZipFile=broken.getvalue())
    release.functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    version = release.functions.publish_version(FunctionName=name)["Version"]
    data = put_data_set(release.s3, "releases", ["test/robin/1.jpg"])
    with pytest.raises(
        smoke_test.SmokeTestError,
        match=rf"{name}:{version} failed: Runtime.ImportModuleError: .* No module named 'nowhere'",
    ):
        smoke_test.invoke_version(
            release.project, version, data, serving.model, release.s3, release.functions
        )
    assert release.live() == serving


def test_after_a_failed_first_release_nothing_is_live(release: Release) -> None:
    release.deploy("inputs-1")
    assert "deleted" in release.roll_back(None)
    assert release.live() is None
    with pytest.raises(release.functions.exceptions.ResourceNotFoundException):
        release.functions.get_function(FunctionName=names.function_name(release.project))
