"""Import slow modules that every DAG file needs; each component of Airflow imports this file when it starts.

Tasks are forked from the scheduler, and DAG files are parsed in forks of the DAG processor, so none of them has to
import these modules again. Do not import modules here that are edited while the stack is running.
"""

import statistics  # noqa: F401
import sys

import airflow.providers.amazon.aws.hooks.base_aws
import airflow.providers.amazon.aws.hooks.ec2
import airflow.providers.amazon.aws.hooks.lambda_function
import airflow.providers.amazon.aws.hooks.logs
import airflow.providers.amazon.aws.hooks.sagemaker
import airflow.providers.amazon.aws.hooks.sns
import airflow.providers.amazon.aws.hooks.ssm
import airflow.providers.amazon.aws.links.ec2
import airflow.providers.amazon.aws.notifications.sns
import airflow.providers.amazon.aws.operators.sagemaker
import airflow.providers.amazon.aws.triggers.sagemaker
import airflow.providers.standard.decorators.branch_python
import airflow.providers.standard.decorators.python
import airflow.providers.standard.operators.hitl  # noqa: F401
import boto3.session  # noqa: F401
import numpy  # noqa: F401
import PIL.ImageDraw
import PIL.ImageFilter
import PIL.ImageOps  # noqa: F401
import yaml  # noqa: F401

if "scheduler" in sys.argv:
    from amazon_ml.hooks.session import parse_services

    # What most tasks of a run call.
    parse_services(
        ("application-autoscaling", "cloudformation", "cloudwatch", "lambda", "s3", "sagemaker", "sts")
    )

if {"api-server", "triggerer"} & set(sys.argv):
    from include.laptop.execution_api import keep_newest_version

    keep_newest_version()

__all__: list[str] = []  # this file has no settings
