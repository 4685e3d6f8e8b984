"""Requests for endpoints with one variant."""

from __future__ import annotations

from typing import Any


def variant(
    model: str, name: str = "only", *, instance_type: str = "ml.m5.large", count: int = 1
) -> dict[str, Any]:
    """Return the variant of an endpoint configuration that serves a model."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": instance_type,
        "InitialInstanceCount": count,
    }


def create_endpoint(sagemaker: Any, model: str, variant_name: str = "only", **config: Any) -> str:
    """Create an endpoint of a model and its configuration, all of one name, and return the name."""
    sagemaker.create_endpoint_config(
        EndpointConfigName=model, ProductionVariants=[variant(model, variant_name)], **config
    )
    sagemaker.create_endpoint(EndpointName=model, EndpointConfigName=model)
    return model


def wait_until_in_service(sagemaker: Any, name: str) -> None:
    """Wait until an endpoint is in service."""
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 270})
