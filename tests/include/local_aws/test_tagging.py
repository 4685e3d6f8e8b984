"""What local AWS answers of the Resource Groups Tagging API."""

from __future__ import annotations

from typing import Any


def test_an_unknown_resource_is_listed_as_not_tagged(local_aws: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/never-made"
    answer = local_aws.client("resourcegroupstaggingapi").tag_resources(
        ResourceARNList=[arn], Tags={"a": "b"}
    )
    assert answer["FailedResourcesMap"].keys() == {arn}
