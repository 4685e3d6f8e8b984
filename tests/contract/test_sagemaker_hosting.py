"""What SageMaker answers about models, endpoint configurations, endpoints and invocations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.sagemaker import DIMENSION, VARIANT, SageMakerThings
from tests.endpoints import variant

row = pytest.mark.row
PHRASES = {
    "model": ("ModelName", "model"),
    "endpoint_config": ("EndpointConfigName", "endpoint configuration"),
    "endpoint": ("EndpointName", "endpoint"),
}


@pytest.fixture
def sagemaker(client: Callable[[str], Any]) -> Any:
    return client("sagemaker")


def in_service(things: SageMakerThings) -> bool:
    return things.endpoint()["EndpointStatus"] == "InService"


def shift(kind: str, unit: str, value: int) -> dict[str, Any]:
    """A deployment that shifts traffic by steps."""
    size = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
    routing = {"Type": kind, "WaitIntervalInSeconds": 0, size: {"Type": unit, "Value": value}}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


@row("SM20")
@pytest.mark.parametrize("kind", list(PHRASES))
@pytest.mark.parametrize("verb", ["describe", "delete"])
def test_what_is_unknown(sagemaker: Any, refused: Any, unique: str, kind: str, verb: str) -> None:
    key, phrase = PHRASES[kind]
    arn = f"{phrase.replace('configuration', 'config').replace(' ', '-')}/{unique}"
    with refused("ValidationException", f'Could not find {phrase} "arn:') as caught:
        getattr(sagemaker, f"{verb}_{kind}")(**{key: unique})
    assert str(caught.value).endswith(f'{arn}".')


@row("SM20")
def test_an_unknown_endpoint_can_not_be_updated(sagemaker: Any, refused: Any, unique: str) -> None:
    with refused("ValidationException", 'Could not find endpoint "arn:'):
        sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=unique)


@row("SM20")
@pytest.mark.makes("an endpoint, if AWS does not refuse it", 0.12)
def test_an_endpoint_needs_a_configuration_that_exists(sagemaker: Any, refused: Any, unique: str) -> None:
    with refused("ValidationException", 'Could not find endpoint configuration "arn:'):
        sagemaker.create_endpoint(EndpointName=unique, EndpointConfigName=unique)


@row("SM21")
def test_a_model_a_configuration_and_an_endpoint_whose_names_are_taken(
    things: SageMakerThings, refused: Any
) -> None:
    name = things.name
    with refused("ValidationException", 'Cannot create already existing model "arn:'):
        things.sagemaker.create_model(**things.model(name))
    with refused("ValidationException", 'Cannot create already existing endpoint configuration "arn:'):
        things.make_config(name, model=name)
    with refused("ValidationException", 'Cannot create already existing endpoint "arn:'):
        things.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


@row("SM21")
def test_a_model_whose_archive_does_not_exist(things: SageMakerThings, refused: Any, unique: str) -> None:
    model = things.model(unique)
    url = model["PrimaryContainer"]["ModelDataUrl"] = f"s3://{things.bucket}/{unique}.tar.gz"
    with refused("ValidationException", f"Could not find model data at {url}."):
        things.sagemaker.create_model(**model)


@row("SM20")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ProductionVariants": 2}, id="two variants of one name"),
        pytest.param({"InitialInstanceCount": None}, id="no instance count"),
        pytest.param({"InstanceType": None}, id="no instance type"),
    ],
)
def test_what_an_endpoint_configuration_needs(
    things: SageMakerThings, refused: Any, unique: str, change: dict[str, Any]
) -> None:
    count = change.get("ProductionVariants", 1)
    left = {name: value for name, value in variant(things.name, VARIANT).items() if name not in change}
    with refused("ValidationException"):
        things.sagemaker.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[left] * count)


@row("SM16")
def test_the_instance_type_of_a_scalable_target_can_not_be_changed_even_if_it_is_suspended(
    things: SageMakerThings, client: Callable[[str], Any], refused: Any, unique: str
) -> None:
    things.eventually(lambda: in_service(things))
    config = things.make_config(unique, "ml.c5.large", things.name)
    scaling = client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": things.resource_id,
        "ScalableDimension": DIMENSION,
    }
    suspended = {"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": True}
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2, SuspendedState=suspended)
    try:
        with refused("ValidationException"):
            things.sagemaker.update_endpoint(EndpointName=things.name, EndpointConfigName=config)
        assert in_service(things)
    finally:
        scaling.deregister_scalable_target(**target)


@row("SM23")
def test_an_endpoint_that_is_updated_can_not_be_changed_meanwhile(
    things: SageMakerThings, refused: Any, unique: str, slow_import: Any
) -> None:
    things.eventually(lambda: in_service(things))
    things.make_model_from(unique, slow_import.code)  # in an account, an update takes minutes in any case
    config = things.make_config(unique, "ml.c5.large", unique)
    things.sagemaker.update_endpoint(EndpointName=things.name, EndpointConfigName=config)
    sentence = f'Cannot update in-progress endpoint "{things.endpoint()["EndpointArn"]}".'
    weights = [{"VariantName": VARIANT, "DesiredWeight": 1.0}]
    with refused("ValidationException", sentence):
        things.sagemaker.update_endpoint(EndpointName=things.name, EndpointConfigName=things.name)
    with refused("ValidationException", sentence):
        things.sagemaker.delete_endpoint(EndpointName=things.name)
    with refused("ValidationException", sentence):
        things.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=things.name, DesiredWeightsAndCapacities=weights
        )
    slow_import.finish()
    things.eventually(lambda: in_service(things))


@row("SM24")
@row("SM27")
def test_a_failed_endpoint_can_only_be_deleted_and_its_scalable_target_goes_with_it(
    things: SageMakerThings, client: Callable[[str], Any], refused: Any, unique: str
) -> None:
    sagemaker, scaling = things.sagemaker, client("application-autoscaling")
    things.make_model_without_data(unique)
    things.make_config(unique, model=unique)
    sagemaker.create_endpoint(EndpointName=unique, EndpointConfigName=unique)
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{unique}/variant/{VARIANT}",
        "ScalableDimension": DIMENSION,
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    things.eventually(lambda: sagemaker.describe_endpoint(EndpointName=unique)["EndpointStatus"] == "Failed")
    with refused("ValidationException"):
        sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=unique)
    sagemaker.delete_endpoint(EndpointName=unique)
    things.eventually(lambda: not sagemaker.list_endpoints(NameContains=unique)["Endpoints"])
    found = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]]
    )
    assert found["ScalableTargets"] == []


@row("SM28")
@pytest.mark.parametrize(
    "deployment",
    [
        pytest.param(shift("CANARY", "CAPACITY_PERCENT", 51), id="canary of more than half"),
        pytest.param(shift("CANARY", "INSTANCE_COUNT", 1), id="canary of the only instance"),
        pytest.param(shift("CANARY", "CAPACITY_PERCENT", 50), id="canary of half an instance"),
        pytest.param(shift("LINEAR", "CAPACITY_PERCENT", 9), id="linear step below a tenth"),
    ],
)
def test_the_steps_of_a_shift_are_whole_instances_and_at_most_half_of_them(
    things: SageMakerThings, refused: Any, deployment: dict[str, Any]
) -> None:
    things.eventually(lambda: in_service(things))
    with refused("ValidationException"):
        things.sagemaker.update_endpoint(
            EndpointName=things.name, EndpointConfigName=things.name, DeploymentConfig=deployment
        )
    assert in_service(things)


@row("SM32")
def test_an_unknown_endpoint_can_not_be_invoked(
    client: Callable[[str], Any], refused: Any, unique: str
) -> None:
    account = client("sts").get_caller_identity()["Account"]
    with refused("ValidationError", f"Endpoint {unique} of account {account} not found."):
        client("sagemaker-runtime").invoke_endpoint(EndpointName=unique, Body=b"{}")


@row("SM33")
def test_a_model_that_fails_is_a_model_error_with_its_own_status_and_message(
    things: SageMakerThings, client: Callable[[str], Any], refused: Any
) -> None:
    things.eventually(lambda: in_service(things))
    sentence = "Received server error (500) from primary with message"
    with refused("ModelError", sentence, 424) as caught:
        client("sagemaker-runtime").invoke_endpoint(EndpointName=things.name, Body=b"{}")
    answer = caught.value.response
    assert answer["OriginalStatusCode"] == 500
    assert "the model stumbled" in answer["OriginalMessage"]
    assert answer["LogStreamArn"].endswith(f":log-group:/aws/sagemaker/Endpoints/{things.name}")
