"""The records of trainings on EC2 in S3, in the form of SageMaker's DescribeTrainingJob."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from include.aws.documents import AwsAnswer
from include.pipeline.ec2_requests import RECORD, record_uri
from include.pipeline.inventory import is_own
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.settings import Project

TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime")


class Ec2Records:
    """The records of one project.

    :param bucket: the bucket of the stack.
    :param s3: a boto3 client.
    """

    def __init__(self, project: Project, bucket: str, s3: Any) -> None:
        self._project = project
        self._output = f"{project_uri(bucket, project)}/training"
        self._s3 = s3

    def describe(self, name: str) -> AwsAnswer:
        """Return the record of an ended training."""
        bucket, key = split_s3_uri(record_uri(self._output, name))
        return self._read(bucket, key)

    def newest(self) -> AwsAnswer | None:
        """Return the record of the training that completed last, or None."""
        bucket, prefix = split_s3_uri(f"{self._output}/")
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [
            (item["LastModified"], item["Key"])
            for page in pages
            for item in page.get("Contents", [])
            if item["Key"].endswith(f"/{RECORD}")
            and is_own(self._project, item["Key"].removeprefix(prefix), "train")
        ]
        for _, key in sorted(found, reverse=True):
            if (record := self._read(bucket, key))["TrainingJobStatus"] == "Completed":
                return record
        return None

    def _read(self, bucket: str, key: str) -> AwsAnswer:
        record: AwsAnswer = json.load(self._s3.get_object(Bucket=bucket, Key=key)["Body"])
        return {
            name: datetime.fromisoformat(value) if name in TIMES else value for name, value in record.items()
        }
