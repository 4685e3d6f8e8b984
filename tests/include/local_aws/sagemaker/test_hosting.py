"""Models, endpoint configurations and endpoints, driven as any user of boto3 drives them."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.endpoints import create_endpoint
from tests.environments import WITHOUT_TORCH

BROKEN = "raise ImportError('this model cannot be loaded')"


@pytest.fixture
def count(sagemaker: Any, name: str, settled: Callable[[], dict[str, Any]]) -> Callable[[str], int]:
    """Return how many instances a variant of the test's endpoint has once it is no longer changed."""

    def read(variant: str) -> int:
        variants = {v["VariantName"]: v for v in settled()["ProductionVariants"]}
        return variants[variant]["CurrentInstanceCount"]

    return read


def test_an_endpoint_is_creating_then_in_service_and_answers(
    sagemaker: Any,
    name: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    slow_import: Any,
) -> None:
    config = endpoint_config("first", first=slow_import.code, blue=1.0, torch=True)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot update in-progress endpoint"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot create already existing endpoint"):
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    slow_import.finish()
    assert settled()["EndpointStatus"] == "InService"
    assert invoke()["answer"] == "blue"
    sagemaker.delete_endpoint(EndpointName=name)


def test_a_deleted_endpoint_is_deleting_then_gone(
    sagemaker: Any,
    name: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=endpoint_config("first", blue=1.0))
    settled()
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        in_flight = pool.submit(invoke, {"gate": str(gate)})
        eventually(gate.with_suffix(".begun").exists)
        sagemaker.delete_endpoint(EndpointName=name)
        assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Deleting"
        gate.touch()
        assert in_flight.result()["answer"] == "blue"

    def gone() -> bool:
        return not sagemaker.list_endpoints(NameContains=name)["Endpoints"]

    eventually(gone)
    with pytest.raises(ClientError, match=r'ValidationException.*Could not find endpoint "arn:aws:'):
        sagemaker.describe_endpoint(EndpointName=name)
    with pytest.raises(ClientError, match=f"ValidationError.*Endpoint {name} of account"):
        invoke()


def test_a_model_that_cannot_be_loaded_fails_the_endpoint(
    sagemaker: Any,
    name: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    log_lines: Callable[[str, str], list[str]],
    eventually: Callable[..., Any],
) -> None:
    config = endpoint_config("broken", script=BROKEN, blue=1.0)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    description = settled()
    assert description["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in description["FailureReason"]
    group = f"/aws/sagemaker/Endpoints/{name}"
    eventually(lambda: any("this model cannot be loaded" in line for line in log_lines(group, "blue/")))
    with pytest.raises(ClientError, match=r"ValidationException.*in status Failed"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    sagemaker.delete_endpoint(EndpointName=name)


def test_a_model_without_its_archive_fails_the_endpoint(
    sagemaker: Any, s3: Any, bucket: str, name: str, endpoint_config: Callable[..., str], settled: Any
) -> None:
    config = endpoint_config("first", blue=1.0)
    s3.delete_object(Bucket=bucket, Key=f"{name}/blue/model.tar.gz")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert "Failed to download model data" in settled()["FailureReason"]
    sagemaker.delete_endpoint(EndpointName=name)


def test_an_update_swaps_without_a_failed_request(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
    eventually: Callable[..., Any],
    slow_import: Any,
) -> None:
    updated = threading.Event()
    answers: list[list[str]] = [[], [], []]

    def ask(heard: list[str]) -> None:
        while not updated.is_set():
            heard.append(invoke({"seconds": 0.05})["answer"])

    config = endpoint_config("second", first=slow_import.code, green=1.0)
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, heard) for heard in answers]
        eventually(lambda: all(answers))
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating"
        slow_import.finish()
        description = settled()
        last = invoke()["answer"]
        updated.set()
        for each in asking:
            each.result()
    assert (description["EndpointConfigName"], last) == (config, "green")
    for heard in answers:
        assert heard == sorted(heard), "blue until the swap, then green"
        assert heard[0] == "blue"


def test_an_update_to_a_broken_model_leaves_the_old_one_in_service(
    sagemaker: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
) -> None:
    before = settled()["EndpointConfigName"]
    config = endpoint_config("broken", script=BROKEN, green=1.0)
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    description = settled()
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", before)
    assert "did not pass the ping health check" in description["FailureReason"]
    assert invoke()["answer"] == "blue"


def test_an_update_to_a_damaged_archive_leaves_the_old_model_in_service(
    sagemaker: Any,
    s3: Any,
    bucket: str,
    name: str,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
) -> None:
    before = settled()["EndpointConfigName"]
    config = endpoint_config("damaged", green=1.0)
    key = f"{name}/green/model.tar.gz"
    whole = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=whole[: len(whole) // 2])
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    description = settled()
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", before)
    assert f"s3://{bucket}/{key} can't be unpacked" in description["FailureReason"]
    assert invoke()["answer"] == "blue"


def test_instances_are_added_used_in_turn_retained_and_removed(
    sagemaker: Any,
    local_aws: Any,
    endpoint: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    count: Callable[[str], int],
    invoke: Callable[..., Any],
) -> None:
    def resize(instances: int) -> None:
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredInstanceCount": instances}],
        )

    resize(2)
    assert count("blue") == 2
    turns = Counter(invoke()["pid"] for _ in range(6))
    assert sorted(turns.values()) == [3, 3]
    sagemaker.update_endpoint(
        EndpointName=endpoint,
        EndpointConfigName=endpoint_config("second", blue=1.0),
        RetainAllVariantProperties=True,
    )
    assert count("blue") == 2
    resize(1)
    assert count("blue") == 1
    assert len({invoke()["pid"] for _ in range(4)}) == 1


def test_requests_are_split_by_weight_unless_a_variant_is_named(
    sagemaker: Any,
    name: str,
    endpoint_config: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
) -> None:
    config = endpoint_config("both", blue=1.0, green=0.0)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    settled()
    assert {invoke()["variant"] for _ in range(10)} == {"blue"}
    assert invoke(TargetVariant="green")["answer"] == "green"
    with pytest.raises(ClientError, match=r"ValidationError.*Variant red not found"):
        invoke(TargetVariant="red")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "blue", "DesiredWeight": 1.0},
            {"VariantName": "green", "DesiredWeight": 1.0},
        ],
    )
    settled()
    answers = Counter(invoke()["variant"] for _ in range(100))
    assert min(answers["blue"], answers["green"]) > 20
    sagemaker.delete_endpoint(EndpointName=name)


def test_a_variant_that_is_not_there_cannot_be_changed(sagemaker: Any, endpoint: str) -> None:
    with pytest.raises(ClientError, match=r'ValidationException.*"red" is/are not present'):
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": "red", "DesiredInstanceCount": 2}],
        )


def test_a_registered_model_package_is_served(
    sagemaker: Any,
    role: str,
    name: str,
    put_model: Callable[..., str],
    settled: Callable[[], dict[str, Any]],
    invoke: Callable[..., Any],
) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    package = sagemaker.create_model_package(
        ModelPackageGroupName=name,
        InferenceSpecification={
            "Containers": [
                {
                    "Image": "pytorch",
                    "ModelDataUrl": put_model(name, "registered"),
                    "Environment": WITHOUT_TORCH,
                }
            ],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"ModelPackageName": package}
    )
    create_endpoint(sagemaker, name)
    assert settled()["EndpointStatus"] == "InService"
    assert invoke()["answer"] == "registered"
    sagemaker.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(
    ("call", "members", "phrase"),
    [
        ("describe_model", {"ModelName": "none"}, "model"),
        ("delete_model", {"ModelName": "none"}, "model"),
        ("describe_endpoint_config", {"EndpointConfigName": "none"}, "endpoint configuration"),
        ("delete_endpoint_config", {"EndpointConfigName": "none"}, "endpoint configuration"),
        ("describe_endpoint", {"EndpointName": "none"}, "endpoint"),
        ("delete_endpoint", {"EndpointName": "none"}, "endpoint"),
        (
            "create_endpoint",
            {"EndpointName": "none", "EndpointConfigName": "none"},
            "endpoint configuration",
        ),
    ],
)
def test_what_is_missing_is_a_validation_exception(
    sagemaker: Any, call: str, members: dict[str, str], phrase: str
) -> None:
    with pytest.raises(ClientError, match=f'ValidationException.*Could not find {phrase} "arn:'):
        getattr(sagemaker, call)(**members)


def test_a_model_and_its_configuration_exist_once_until_they_are_deleted(
    sagemaker: Any, any_model: str, role: str, name: str, endpoint_config: Callable[..., str]
) -> None:
    config = endpoint_config("first", blue=1.0)
    model = f"{config}-blue"
    container = {"Image": "pytorch", "ModelDataUrl": any_model}
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot create already existing model"):
        sagemaker.create_model(ModelName=model, ExecutionRoleArn=role, PrimaryContainer=container)
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
    assert [m["ModelName"] for m in sagemaker.list_models(NameContains=name)["Models"]] == [model]
    sagemaker.delete_endpoint_config(EndpointConfigName=config)
    sagemaker.delete_model(ModelName=model)
    assert sagemaker.list_models(NameContains=name)["Models"] == []
    assert sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []
