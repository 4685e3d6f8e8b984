"""What the Resource Groups Tagging API of moto reads of a region's resources."""

import dataclasses

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource, iter_taggable_backends
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends

from include.local_aws.config import ACCOUNT_ID


def test_the_tagging_api_asks_sagemaker_s_backend_for_its_resources() -> None:
    assert issubclass(SageMakerModelBackend, TaggableResourcesMixin)


def test_a_backend_that_was_looked_up_is_asked() -> None:
    backend = sagemaker_backends[ACCOUNT_ID]["eu-west-3"]
    assert backend in list(iter_taggable_backends(ACCOUNT_ID, "eu-west-3"))
    assert (backend.account_id, backend.region_name) == (ACCOUNT_ID, "eu-west-3")


def test_a_tagged_resource_has_an_arn_tags_and_a_type() -> None:
    fields = [field.name for field in dataclasses.fields(TaggedResource)]
    assert fields[:3] == ["arn", "tags", "resource_type"]
