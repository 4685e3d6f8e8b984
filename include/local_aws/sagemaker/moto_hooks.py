"""Every place that reaches into moto: what it must know of the resources it does not hold itself."""

import json
from collections.abc import Iterator

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.resource_tagging import TaggedResource
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document, Documents

_scalable_targets_by_moto = ApplicationAutoScalingResponse.describe_scalable_targets
_moto_resources = SageMakerModelBackend.iter_tagged_resources


def check_arn(config: Config, arn: str) -> None:
    """Check that moto has the resource of an ARN: it fails where it is asked for the tags of one that it has not.

    :raises AwsError: when it has not
    """
    backend = sagemaker_backends[ACCOUNT_ID][config.region]
    try:
        known = backend._get_resource_from_arn(arn) is not None
    except (AttributeError, ValueError, ServiceException):
        known = False
    if not known:
        raise AwsError(
            "ValidationException", f"Could not find the resource {arn}, or it has no tags of its own."
        )


def number_pages_of_scalable_targets() -> None:
    """Have Application Auto Scaling of other services give each page a token of its own; moto repeats the first."""

    def describe(response: ApplicationAutoScalingResponse) -> str:
        answer: Document = json.loads(_scalable_targets_by_moto(response))
        if answer["NextToken"] is None:
            del answer["NextToken"]
        else:
            token = response._get_param("NextToken")
            start = int(token) + 1 if token else 0
            answer["NextToken"] = str(start + len(answer["ScalableTargets"]) - 1)
        return json.dumps(answer)

    ApplicationAutoScalingResponse.describe_scalable_targets = describe  # type: ignore[method-assign, assignment]


def list_in_tagging_api(config: Config, documents: Documents) -> None:
    """Make the Resource Groups Tagging API list these documents beside moto's own SageMaker resources."""

    def resources(backend: SageMakerModelBackend) -> Iterator[TaggedResource]:
        yield from _moto_resources(backend)
        if (backend.account_id, backend.region_name) == (ACCOUNT_ID, config.region):
            for kind, arn, tags in documents.tagged():
                yield TaggedResource(arn=arn, tags=tags, resource_type=f"sagemaker:{kind.arn_type}")

    SageMakerModelBackend.iter_tagged_resources = resources  # type: ignore[assignment,method-assign]
    # The API asks only backends that exist, and moto makes them with their first request.
    sagemaker_backends[ACCOUNT_ID][config.region]
