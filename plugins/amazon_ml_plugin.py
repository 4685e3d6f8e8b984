"""Register the links of ``amazon_ml`` with Airflow."""

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

    The links do not name operators. Each operator names its links itself, so that Airflow 3 stores the URL when the
    task runs. A link that a plugin assigns to an operator would replace it and be built in the API server, which can't
    read a task's XCom as a worker can.
    """

    name = "amazon_ml"
    operator_extra_links = LINKS
