"""Imported by each of Airflow's components when it starts: what every DAG file here needs, and what is slow to import.

Tasks are forked from the scheduler and DAG files are parsed in forks of the DAG processor, so none of them has to
import it again. What is edited while the stack runs must not be among it.
"""

import airflow.providers.amazon.aws.hooks.base_aws
import airflow.providers.amazon.aws.hooks.sagemaker  # noqa: F401
import boto3.session  # noqa: F401
import numpy  # noqa: F401
import PIL.ImageOps  # noqa: F401
import yaml  # noqa: F401

__all__: list[str] = []  # nothing here is a setting
