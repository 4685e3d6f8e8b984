from __future__ import annotations

import pytest
from amazon_ml.links.hosts import is_aws
from amazon_ml.links.sagemaker_notebook import SageMakerNotebookLink


class TestSageMakerNotebookLink:
    @pytest.mark.parametrize(
        ("server", "address"),
        [
            pytest.param(
                None,
                "https://console.aws.amazon.com/sagemaker/home?region=eu-west-1#/notebook-instances/birds-workspace",
                id="the console's page",
            ),
            pytest.param(
                "127.0.0.1:5000", "http://127.0.0.1:5000/lab", id="the server, where there is no console"
            ),
        ],
    )
    def test_it_leads_to_where_one_signs_in(self, server: str | None, address: str) -> None:
        link = SageMakerNotebookLink().format_link(
            aws_domain="aws.amazon.com",
            region_name="eu-west-1",
            instance_name="birds-workspace",
            server=server,
        )
        assert link == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://api.sagemaker.eu-west-1.amazonaws.com", True),
        ("https://api.sagemaker.cn-north-1.amazonaws.com.cn", True),
        ("http://127.0.0.1:5566", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_aws_is_known_by_its_hosts(address: str, expected: bool) -> None:
    assert is_aws(address) == expected
