"""The CloudFormation type ``AWS::S3::BucketPolicy``, which moto does not have."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from moto.core.common_models import CloudFormationModel

from include.local_aws.moto_patches.stack_resource import StackResource


class BucketPolicy(StackResource, CloudFormationModel):
    """The policy of a bucket.

    :param bucket: the bucket's name
    """

    type = "AWS::S3::BucketPolicy"
    s3: Callable[[], Any]

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @property
    def physical_resource_id(self) -> str:
        """The ID by which the stack lists the policy."""
        return f"{self.bucket}-policy"

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
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Raise an error: a stack deletes a policy by :meth:`delete`, which knows the bucket."""
        raise NotImplementedError

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the policy of the bucket, if the bucket still exists."""
        s3 = self.s3()
        with contextlib.suppress(s3.exceptions.NoSuchBucket):
            s3.delete_bucket_policy(Bucket=self.bucket)
