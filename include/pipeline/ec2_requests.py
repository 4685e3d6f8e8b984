"""The request for a training on EC2: the same training job as on SageMaker, an instance for it, and what runs there."""

from __future__ import annotations

import json
from shlex import quote
from typing import Any

from include.pipeline.ec2_launch import AMI_PARAMETERS, Launch
from include.pipeline.errors import PermanentError
from include.pipeline.job_requests import Environment, training_job
from include.pipeline.names import split_s3_uri, tag_list
from include.pipeline.settings import Project

RECORD = "record.json"
FETCH = "import boto3, sys; boto3.client('s3').download_file(*sys.argv[1:])"


class ProfileError(PermanentError):
    """The infrastructure stack has no role for an instance."""


def check_profile(env: Environment) -> None:
    """See that the stack has what an instance needs.

    :raises ProfileError: if it was deployed before it had.
    """
    if env.training_instance_profile is None:
        raise ProfileError(
            "The infrastructure stack has no instance profile for training on EC2: deploy "
            "include/infrastructure/stack.yaml again, and give Airflow the policy of its output AirflowEc2PolicyArn."
        )


def training(
    project: Project,
    env: Environment,
    launch: Launch,
    channels: dict[str, str],
    code: str,
    best: dict[str, str],
    salt: str,
) -> dict[str, Any]:
    """What :class:`amazon_ml.operators.ec2_training.EC2TrainingOperator` takes.

    The name is derived from what decides the result. A newer AMI, another subnet, key or kind of market is no reason
    to train again.

    :param channels: see :func:`include.pipeline.job_requests.training_job`, likewise ``best`` and ``salt``.
    """
    job = _job(project, env, channels, code, best, salt)
    return {
        "Name": job["TrainingJobName"],
        "Instance": _instance(project, env, launch, job["TrainingJobName"]),
        "Commands": _commands(env.region, code, job),
        "ExecutionTimeout": project.ec2.max_runtime_minutes * 60,
        "LogGroup": log_group(project),
        "Record": record_uri(job["OutputDataConfig"]["S3OutputPath"], job["TrainingJobName"]),
    }


def log_group(project: Project) -> str:
    """The log group of the project's trainings on EC2."""
    return f"/image-classifier/training/{project.aws_name}"


def record_uri(output: str, name: str) -> str:
    """Where a training's record is, below the place for the output of all trainings."""
    return f"{output}/{name}/{RECORD}"


def _job(
    project: Project, env: Environment, channels: dict[str, str], code: str, best: dict[str, str], salt: str
) -> dict[str, Any]:
    """The request for SageMaker's training job, but for an EC2 instance: no image, no spot, no pool, no isolation."""
    ec2 = project.ec2
    training = project.training.model_copy(
        update={
            "instance_type": ec2.instance_type,
            "spot": False,
            "keep_alive_minutes": 0,
            "network_isolation": False,
            "max_runtime_minutes": ec2.max_runtime_minutes,
        }
    )
    image = ec2.ami_parameter or AMI_PARAMETERS
    job = training_job(
        project.model_copy(update={"training": training}),
        env.model_copy(
            update={
                "images": env.images.model_copy(update={"training": image}),
                "sagemaker_role": env.training_instance_profile,
            }
        ),
        channels,
        code,
        best,
        instance_count=1,
        salt=salt,
    )
    job["ResourceConfig"]["VolumeSizeInGB"] = ec2.volume_gb
    return job


def _instance(project: Project, env: Environment, launch: Launch, name: str) -> dict[str, Any]:
    """As EC2's RunInstances takes it."""
    ec2 = project.ec2
    tags = [*tag_list(project), {"Key": "Name", "Value": name}]
    request: dict[str, Any] = {
        "ImageId": launch.image,
        "InstanceType": ec2.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Arn": env.training_instance_profile},
        "SecurityGroupIds": [launch.security_group],
        "BlockDeviceMappings": [
            {
                "DeviceName": launch.root_device,
                "Ebs": {
                    "VolumeSize": ec2.volume_gb,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        # First of all a timer, so that the instance goes even if nobody is left to terminate it.
        "UserData": f"#!/bin/sh\nshutdown -h +{ec2.lifetime_minutes}\n",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    if ec2.subnet_id:
        request["SubnetId"] = ec2.subnet_id
    if ec2.key_name:
        request["KeyName"] = ec2.key_name
    if ec2.spot:
        request["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
    return request


def _commands(region: str, code: str, job: dict[str, Any]) -> list[str]:
    """Lines of a POSIX shell that fetch the code and run the training with it."""
    bucket, key = split_s3_uri(code)
    return [
        "set -eu",
        f"export AWS_DEFAULT_REGION={region}",
        'work=$(mktemp -d "${TMPDIR:-/var/tmp}/training.XXXXXX")',
        'cd "$work"',
        # that of the Deep Learning AMI, which has PyTorch
        'python=/opt/pytorch/bin/python3; [ -x "$python" ] || python=python3',
        '"$python" -c "import boto3" 2>/dev/null || "$python" -m pip install --quiet boto3',
        f'"$python" -c {quote(FETCH)} {quote(bucket)} {quote(key)} sourcedir.tar.gz',
        "mkdir code && tar -xzf sourcedir.tar.gz -C code",
        f'exec "$python" code/instance_training.py {quote(json.dumps(job))}',
    ]
