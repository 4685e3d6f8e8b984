"""The link to a SageMaker endpoint."""

from __future__ import annotations

from amazon_ml.links.sagemaker_endpoint import SageMakerEndpointLink


class TestSageMakerEndpointLink:
    def test_link_to_the_endpoint(self) -> None:
        link = SageMakerEndpointLink().format_link(
            region_name="eu-west-1", aws_domain="aws.amazon.com", endpoint_name="birds"
        )
        assert link == "https://console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/birds"
