"""The link to a notebook instance in the AWS console."""

from __future__ import annotations

from amazon_ml.links.sagemaker_notebook import SageMakerNotebookLink


class TestSageMakerNotebookLink:
    def test_link_to_the_notebook_instance(self) -> None:
        link = SageMakerNotebookLink().format_link(
            aws_domain="aws.amazon.com", region_name="eu-west-1", instance_name="birds-workspace"
        )
        assert link == (
            "https://console.aws.amazon.com/sagemaker/home?region=eu-west-1#/notebook-instances/birds-workspace"
        )
