"""The request for a training on EC2: the training job as on SageMaker, the instance, and its commands."""

from __future__ import annotations

import json
from shlex import quote

from include.aws.documents import AwsRequest
from include.pipeline.ec2_launch import AMI_PARAMETERS, Launch
from include.pipeline.errors import PermanentError
from include.pipeline.job_requests import Environment, training_job
from include.pipeline.names import split_s3_uri, tag_list
from include.pipeline.settings import Project

RECORD = "record.json"
FETCH = "import boto3, sys; boto3.client('s3').download_file(*sys.argv[1:])"


class ProfileError(PermanentError):
    """Raised if the infrastructure stack has no instance profile for training on EC2."""


def check_profile(env: Environment) -> None:
    """Check that the stack has an instance profile for training on EC2.

    :raises ProfileError: if the stack was deployed before the template had one.
    """
    if env.training_instance_profile is None:
        raise ProfileError(
            "The infrastructure stack has no instance profile for training on EC2. Deploy "
            "include/infrastructure/stack.yaml again, and attach the policy in its output AirflowEc2PolicyArn to "
            "Airflow's role."
        )


def training(
    project: Project,
    env: Environment,
    launch: Launch,
    channels: dict[str, str],
    code: str,
    best: dict[str, str],
    rerun_token: str,
) -> AwsRequest:
    """Return the argument of :class:`amazon_ml.operators.ec2_training.EC2TrainingOperator`.

    The name is derived from what decides the result. With a newer AMI, another subnet, key pair or purchasing option,
    the training is not repeated.

    :param channels: see :func:`include.pipeline.job_requests.training_job`, likewise ``best`` and ``rerun_token``.
    """
    job = _job(project, env, channels, code, best, rerun_token)
    return {
        "Name": job["TrainingJobName"],
        "Instance": _instance(project, env, launch, job["TrainingJobName"]),
        "Commands": _commands(env.region, code, job),
        "ExecutionTimeout": project.ec2.max_runtime_minutes * 60,
        "LogGroup": log_group(project),
        "Record": record_uri(job["OutputDataConfig"]["S3OutputPath"], job["TrainingJobName"]),
    }


def log_group(project: Project) -> str:
    """Return the log group of the project's trainings on EC2."""
    return f"/image-classifier/training/{project.aws_name}"


def record_uri(output: str, name: str) -> str:
    """Return the S3 URI of a training's record, below the prefix for the output of all trainings."""
    return f"{output}/{name}/{RECORD}"


def _job(
    project: Project,
    env: Environment,
    channels: dict[str, str],
    code: str,
    best: dict[str, str],
    rerun_token: str,
) -> AwsRequest:
    """Return SageMaker's training job for an EC2 instance: without image, spot training, warm pool and isolation."""
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
        rerun_token=rerun_token,
    )
    job["ResourceConfig"]["VolumeSizeInGB"] = ec2.volume_gb
    return job


def _instance(project: Project, env: Environment, launch: Launch, name: str) -> AwsRequest:
    """Return the request for EC2's RunInstances."""
    ec2 = project.ec2
    tags = [*tag_list(project), {"Key": "Name", "Value": name}]
    request: AwsRequest = {
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
        # Start a timer first, so that the instance terminates even if nothing else terminates it.
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


def _commands(region: str, code: str, job: AwsRequest) -> list[str]:
    """Return POSIX shell lines that download the code and run the training."""
    bucket, key = split_s3_uri(code)
    return [
        "set -eu",
        f"export AWS_DEFAULT_REGION={region}",
        'work=$(mktemp -d "${TMPDIR:-/var/tmp}/training.XXXXXX")',
        'cd "$work"',
        # the Python of the Deep Learning AMI, which has PyTorch
        'python=/opt/pytorch/bin/python3; [ -x "$python" ] || python=python3',
        '"$python" -c "import boto3" 2>/dev/null || "$python" -m pip install --quiet boto3',
        f'"$python" -c {quote(FETCH)} {quote(bucket)} {quote(key)} sourcedir.tar.gz',
        "mkdir code && tar -xzf sourcedir.tar.gz -C code",
        f'exec "$python" code/instance_training.py {quote(json.dumps(job))}',
    ]
