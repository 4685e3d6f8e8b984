"""Imported by each of Airflow's components when it starts: what every DAG file here needs, and what is slow to import.

Tasks are forked from the scheduler and DAG files are parsed in forks of the DAG processor, so none of them has to
import it again. What is edited while the stack runs must not be among it.
"""

import statistics  # noqa: F401

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

__all__: list[str] = []  # nothing here is a setting
