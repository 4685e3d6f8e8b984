"""Checks requests and shapes answers by botocore's own model of SageMaker."""

from botocore.model import ListShape, OperationModel, StructureShape

from include.local_aws import service_models
from include.local_aws.sagemaker.documents import Document

_SERVICE = "sagemaker"


def is_operation(name: str) -> bool:
    """Return whether SageMaker has an operation of a name."""
    return service_models.has_operation(_SERVICE, name)


def operation_model(operation: str) -> OperationModel:
    """Return botocore's model of an operation.

    :raises OperationNotFoundError: when SageMaker has none of that name
    """
    return service_models.operation_model(_SERVICE, operation)


def check_request(operation: str, request: Document) -> None:
    """Check the request's members, types, lengths, patterns and enumerations, as the service does.

    :raises AwsError: naming everything that is wrong
    """
    service_models.check_request(_SERVICE, operation, request)


def answer(operation: str, document: Document) -> Document:
    """Return what an operation's answer shows of a document."""
    return service_models.shown(document, operation_model(operation).output_shape)


def summary_member(operation: str) -> tuple[str, StructureShape]:
    """Return the name of a List operation's list and the shape of what is in it."""
    members = operation_model(operation).output_shape.members
    return next((name, shape.member) for name, shape in members.items() if isinstance(shape, ListShape))
