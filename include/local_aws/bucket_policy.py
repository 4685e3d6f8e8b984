"""A type of CloudFormation's that moto does not know: the policy of a bucket."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from moto.core.common_models import CloudFormationModel


class BucketPolicy(CloudFormationModel):
    """The policy of a bucket, a type that moto does not know.

    :param bucket: the bucket's name
    """

    s3: Callable[[], Any]

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @property
    def physical_resource_id(self) -> str:
        """The ID by which the stack lists the policy."""
        return f"{self.bucket}-policy"

    @staticmethod
    def cloudformation_name_type() -> str:
        """Return no property: a policy has no name."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """Return the type of the resource."""
        return "AWS::S3::BucketPolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **members: Any
    ) -> "BucketPolicy":
        """Put the policy of the bucket."""
        properties = cloudformation_json["Properties"]
        cls.s3().put_bucket_policy(
            Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"])
        )
        return cls(properties["Bucket"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> "BucketPolicy":
        """Put the policy again."""
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Raise an error: a stack deletes a policy by :meth:`delete`, which knows the bucket."""
        raise NotImplementedError

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the policy of the bucket, if that is still there."""
        s3 = self.s3()
        with contextlib.suppress(s3.exceptions.NoSuchBucket):
            s3.delete_bucket_policy(Bucket=self.bucket)
