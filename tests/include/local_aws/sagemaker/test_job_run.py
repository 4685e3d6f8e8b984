"""Where a container's paths lie in a job's folder."""

from pathlib import Path

import pytest

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.job_run import container_path, in_folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/opt/ml", "/job", id="itself"),
        pytest.param("/opt/ml/model", "/job/model", id="below"),
        pytest.param("--dir=/opt/ml/model", "--dir=/job/model", id="option"),
        pytest.param("cat '/opt/ml/a' > /opt/ml/b;", "cat '/job/a' > /job/b;", id="shell"),
        pytest.param("s3://bucket/opt/ml/a", "s3://bucket/opt/ml/a", id="part of an address"),
        pytest.param("/opt/mlflow", "/opt/mlflow", id="another folder"),
    ],
)
def test_the_container_s_folder_becomes_the_job_s(text: str, expected: str) -> None:
    assert in_folder(text, Path("/job")) == expected


@pytest.mark.parametrize("path", ["/tmp/data", "/opt/ml/../../etc", "data"])
def test_a_path_must_lie_in_the_container_s_folder(path: str) -> None:
    with pytest.raises(AwsError, match="must lie below /opt/ml"):
        container_path(path, Path("/job"))
