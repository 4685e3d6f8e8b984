"""The links to jobs and their logs in the AWS console."""

from __future__ import annotations

import pytest
from amazon_ml.links.sagemaker import SageMakerJobLink, SageMakerJobLogsLink

WHERE = {"aws_domain": "aws.amazon.com", "region_name": "eu-west-1"}


class TestSageMakerJobLink:
    @pytest.mark.parametrize("job_type", ["jobs", "processing-jobs", "hyper-tuning-jobs"])
    def test_link_to_each_type_of_job(self, job_type: str) -> None:
        assert SageMakerJobLink().format_link(**WHERE, job_type=job_type, job_name="birds-1") == (
            f"https://console.aws.amazon.com/sagemaker/home?region=eu-west-1#/{job_type}/birds-1"
        )

    def test_link_is_empty_if_a_field_is_missing(self) -> None:
        assert SageMakerJobLink().format_link(**WHERE) == ""


class TestSageMakerJobLogsLink:
    def test_link_to_the_log_streams_of_a_job(self) -> None:
        url = SageMakerJobLogsLink().format_link(
            **WHERE, log_group="/aws/sagemaker/TrainingJobs", log_stream_prefix="birds-1/"
        )
        assert url == (
            "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
            "$252Faws$252Fsagemaker$252FTrainingJobs$3FlogStreamNameFilter$3Dbirds-1$252F"
        )

    def test_link_is_empty_if_a_field_is_missing(self) -> None:
        assert SageMakerJobLogsLink().format_link(**WHERE, log_group="/aws/sagemaker/TrainingJobs") == ""
