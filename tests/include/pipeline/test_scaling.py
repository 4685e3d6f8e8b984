"""How the endpoint scales, through updates that SageMaker refuses while it is a scalable target."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import live, names, scaling
from include.pipeline.settings import Endpoint
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
    """Make an endpoint configuration like the one in service, with an instance type."""
    serving = release.live()
    assert serving
    config = f"{release.project.aws_name}-{name}"
    variant = {
        "VariantName": names.VARIANT,
        "ModelName": serving["model"],
        "InstanceType": instance_type,
        "InitialInstanceCount": 1,
    }
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


def test_a_changed_instance_type_is_deployed_and_all_that_scales_is_as_it_was(served: Release) -> None:
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
    assert set(before["policies"]) == {"invocations", "theirs"}
    assert before["scheduled"]["nightly"]["ScalableTargetAction"] == {"MaxCapacity": 1}
    assert [kind for kind, suspended in before["suspended"].items() if suspended] == [scaling.SUSPENSIONS[0]]


def test_the_same_instance_type_stays_registered_and_is_suspended_meanwhile(served: Release) -> None:
    before = served.how_it_scales()
    config = next_config(served, "alike", "ml.m5.large")
    assert suspend(served, config) == before
    meanwhile = served.how_it_scales()
    assert meanwhile
    assert all(meanwhile["suspended"].values())
    update(served, config)
    scaling.resume(served.project, before, served.scaling)
    assert served.how_it_scales() == before


def test_what_a_run_that_has_not_ended_suspended_is_not_suspended_for_good(release: Release) -> None:
    serving = release.deploy("inputs-1")
    assert serving
    for _ in range(2):  # the second try finds what the first has suspended
        found = suspend(release, serving["endpoint_config"])
    scaling.resume(release.project, found, release.scaling)
    assert not release.is_suspended()


def test_a_rollback_goes_back_to_the_instance_type_from_before(served: Release) -> None:
    before, how = served.live(), served.how_it_scales()
    served.project = served.project.model_copy(update={"endpoint": ANOTHER_TYPE})
    served.deploy("inputs-2")
    assert "serves again" in served.roll_back(before, how)
    assert (served.live(), served.how_it_scales()) == (before, how)


def test_a_rollback_of_an_endpoint_that_does_not_exist_says_so(served: Release) -> None:
    """Restoring its scaling is refused as well, and must not hide the first error."""
    before, how = served.live(), served.how_it_scales()
    served.sagemaker.delete_endpoint(EndpointName=names.endpoint_name(served.project))
    served.eventually(lambda: not live.endpoint_status(served.project, served.sagemaker))
    with pytest.raises(ClientError, match=r"DescribeEndpoint .*Could not find endpoint"):
        served.roll_back(before, how)


def test_the_next_run_takes_back_another_instance_type_and_lets_the_endpoint_scale(release: Release) -> None:
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


def test_the_next_run_lets_a_good_endpoint_scale_that_was_left_without_a_target(release: Release) -> None:
    release.deploy("inputs-1")
    release.note_good()
    scaling.deregister(release.project, release.scaling)
    assert "it scales as the project says" in str(release.take_back())
    assert release.how_it_scales() == scaling.declared(release.project)


def test_a_target_that_is_not_registered_is_deregistered_all_the_same(release: Release) -> None:
    for _ in range(2):
        scaling.deregister(release.project, release.scaling)
    assert release.how_it_scales() is None
