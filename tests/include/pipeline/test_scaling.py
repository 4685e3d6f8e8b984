"""Scaling of the endpoint, through updates that SageMaker refuses while it is a scalable target."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import live, names, scaling
from include.pipeline.settings import Endpoint
from tests import endpoints
from tests.include.pipeline.release import Release

ANOTHER_TYPE = Endpoint(instance_type="ml.c5.large")
STEPS = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
}


@pytest.fixture
def served(release: Release) -> Release:
    """A good release whose scaling a person has extended and partly suspended."""
    release.deploy("inputs-1")
    release.note_good()
    target = scaling.target(release.project)
    release.scaling.put_scaling_policy(
        **target, PolicyName="theirs", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS
    )
    release.scaling.put_scheduled_action(
        **target,
        ScheduledActionName="nightly",
        Schedule="cron(0 22 * * ? *)",
        EndTime="2099-01-01T00:00:00+00:00",
        ScalableTargetAction={"MaxCapacity": 1},
    )
    release.scaling.register_scalable_target(**target, SuspendedState={"DynamicScalingInSuspended": True})
    return release


def next_config(release: Release, name: str, instance_type: str) -> str:
    """Create an endpoint configuration like the one in service, with an instance type."""
    serving = release.live()
    assert serving
    config = f"{release.project.aws_name}-{name}"
    variant = endpoints.variant(serving.model, names.VARIANT, instance_type=instance_type)
    release.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])
    return config


def suspend(release: Release, config: str) -> Any:
    return scaling.suspend(release.project, config, release.sagemaker, release.scaling)


def update(release: Release, config: str) -> None:
    release.sagemaker.update_endpoint(EndpointName=release.endpoint, EndpointConfigName=config)
    release.eventually(
        lambda: (
            release.sagemaker.describe_endpoint(EndpointName=release.endpoint)["EndpointStatus"]
            == "InService"
        )
    )


def test_a_changed_instance_type_is_deployed_and_the_scaling_is_restored(served: Release) -> None:
    before = served.how_it_scales()
    config = next_config(served, "larger", "ml.c5.large")
    with pytest.raises(ClientError, match="scalable target"):
        served.sagemaker.update_endpoint(EndpointName=served.endpoint, EndpointConfigName=config)
    assert suspend(served, config) == before
    assert served.how_it_scales() is None
    update(served, config)
    for _ in range(2):  # a retry finds it done
        scaling.resume(served.project, before, served.scaling)
        assert served.how_it_scales() == before
    assert before
    assert set(before.policies) == {"invocations", "theirs"}
    assert before.scheduled["nightly"]["ScalableTargetAction"] == {"MaxCapacity": 1}
    assert [kind for kind, suspended in before.suspended.items() if suspended] == [scaling.SUSPENSIONS[0]]


def test_with_the_same_instance_type_the_target_stays_registered_and_is_suspended(served: Release) -> None:
    before = served.how_it_scales()
    config = next_config(served, "alike", "ml.m5.large")
    assert suspend(served, config) == before
    meanwhile = served.how_it_scales()
    assert meanwhile
    assert all(meanwhile.suspended.values())
    update(served, config)
    scaling.resume(served.project, before, served.scaling)
    assert served.how_it_scales() == before


def test_scaling_that_an_unfinished_run_suspended_is_resumed(release: Release) -> None:
    serving = release.deploy("inputs-1")
    assert serving
    for _ in range(2):  # the second try finds what the first has suspended
        found = suspend(release, serving.endpoint_config)
    scaling.resume(release.project, found, release.scaling)
    assert not release.is_suspended()


def test_a_rollback_restores_the_previous_instance_type(served: Release) -> None:
    before, how = served.live(), served.how_it_scales()
    served.project = served.project.model_copy(update={"endpoint": ANOTHER_TYPE})
    served.deploy("inputs-2")
    assert "is live again" in served.roll_back(before, how)
    assert (served.live(), served.how_it_scales()) == (before, how)


def test_a_rollback_of_a_missing_endpoint_fails_with_that_error(served: Release) -> None:
    """AWS also refuses to restore its scaling. That error must not hide the first one."""
    before, how = served.live(), served.how_it_scales()
    served.sagemaker.delete_endpoint(EndpointName=names.endpoint_name(served.project))
    served.eventually(lambda: not live.endpoint_status(served.project, served.sagemaker))
    with pytest.raises(ClientError, match=r"DescribeEndpoint .*Could not find endpoint"):
        served.roll_back(before, how)


def test_the_next_run_rolls_back_another_instance_type_and_restores_the_scaling(release: Release) -> None:
    """The run that changed the type was ended while the target was deregistered."""
    release.deploy("inputs-1")
    good = release.note_good()
    release.project = release.project.model_copy(update={"endpoint": ANOTHER_TYPE})
    release.register(release.deploy("inputs-2"))
    scaling.deregister(release.project, release.scaling)
    found = release.take_back()
    assert found
    assert "without a smoke test" in found
    assert (release.live(), release.how_it_scales()) == (good, scaling.declared(release.project))


def test_the_next_run_registers_the_target_of_a_good_endpoint_again(release: Release) -> None:
    release.deploy("inputs-1")
    release.note_good()
    scaling.deregister(release.project, release.scaling)
    assert "It now has the project's scaling" in str(release.take_back())
    assert release.how_it_scales() == scaling.declared(release.project)


def test_deregistering_a_missing_target_succeeds(release: Release) -> None:
    for _ in range(2):
        scaling.deregister(release.project, release.scaling)
    assert release.how_it_scales() is None
