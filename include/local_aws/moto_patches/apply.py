"""Applies all replacements of moto's methods, before the first request."""

from include.local_aws.config import Config
from include.local_aws.moto_patches import (
    cloudformation,
    cloudwatch,
    codebuild,
    functions,
    instances,
    launches,
    logs,
    sagemaker,
    security_groups,
    sns,
    tagging,
)


def apply_all(config: Config, power: instances.Power) -> None:
    """Replace the methods.

    :param power: boots and ends the machines of EC2's instances
    """
    cloudformation.apply(config)
    cloudwatch.apply()
    codebuild.apply(config)
    functions.apply(config.function_update_seconds)
    launches.apply()
    instances.apply(config.region, power)
    logs.apply()
    sagemaker.apply()
    security_groups.apply(config.lasts(security_groups.INTERFACE_AWS_SECONDS))
    sns.apply()
    tagging.apply()
