"""The link from a task to its Lambda function in the AWS console."""

from __future__ import annotations

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class LambdaFunctionLink(BaseAwsLink):
    """The function in the AWS console."""

    name = "AWS Lambda Function"
    key = "lambda_function"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/lambda/home?region={region_name}#/functions/{function_name}?tab=code"
    )
