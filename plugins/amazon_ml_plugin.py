"""The plugin that tells Airflow of the links of ``amazon_ml``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from amazon_ml.links.ec2_training import CommandLogsLink
from amazon_ml.links.lambda_function import LambdaFunctionLink
from amazon_ml.links.sagemaker import SageMakerJobLink, SageMakerJobLogsLink
from amazon_ml.links.sagemaker_endpoint import SageMakerEndpointLink
from amazon_ml.links.sagemaker_notebook import SageMakerNotebookLink

LINKS = [
    SageMakerJobLink(),
    SageMakerJobLogsLink(),
    SageMakerEndpointLink(),
    SageMakerNotebookLink(),
    LambdaFunctionLink(),
    CommandLogsLink(),
]


class AmazonMlPlugin(AirflowPlugin):
    """
    Register the links.

    They name no operators here, since each operator names its links itself: Airflow 3 then stores the address when
    the task runs. A link that a plugin gives to an operator would replace that, and be made in the API server, which
    can't read a task's XCom as a worker can.
    """

    name = "amazon_ml"
    operator_extra_links = LINKS
