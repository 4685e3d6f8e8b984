"""The folder that stands for /opt/ml on one instance of a training job, as AWS's toolkit expects it."""

import json
import sys
from pathlib import Path

from include.local_aws.config import Config
from include.local_aws.principals import Principal
from include.local_aws.sagemaker import network_isolation
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.job_run import container_path, in_folder

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_GROUP = "homogeneousCluster"


def instances(job: Document, folder: Path) -> list[Path]:
    """Make the folder of each instance, the first host's first."""
    hosts = [f"127.0.0.{number + 1}" for number in range(job["ResourceConfig"]["InstanceCount"])]
    return [_instance(job, folder / host, host, hosts) for host in hosts]


def uses_torchrun(job: Document) -> bool:
    """Whether the toolkit starts the script with torchrun."""
    return job.get("HyperParameters", {}).get("sagemaker_torch_distributed_enabled", "").lower() == "true"


def channel_folder(instance: Path, channel: str) -> Path:
    """Return where an input channel's files go."""
    return instance / "input" / "data" / channel


def checkpoint_folder(job: Document, instance: Path) -> Path:
    """Return where checkpoints are kept in step with S3."""
    return container_path(job["CheckpointConfig"].get("LocalPath", "/opt/ml/checkpoints"), instance)


def environment(config: Config, job: Document, instance: Path) -> dict[str, str]:
    """Return the environment in which the toolkit's ``train`` runs on this instance.

    An isolated job gets no AWS credentials, as in SageMaker.
    """
    base = config.child_environment(
        Principal.JOB,
        S3_ENDPOINT_URL=config.url,
        SAGEMAKER_BASE_DIR=str(instance),
        SAGEMAKER_TRAINING_MODULE="sagemaker_pytorch_container.training:main",
        SAGEMAKER_REGION=config.region,
        TRAINING_JOB_NAME=job["TrainingJobName"],
        TRAINING_JOB_ARN=job["TrainingJobArn"],
        GLOO_SOCKET_IFNAME=_LOOPBACK,
        # The toolkit installs a source's requirements.txt. What is there already needs no network; the rest
        # must fail, because all jobs share the virtual environment of this server.
        PIP_NO_INDEX="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    if job.get("EnableNetworkIsolation"):
        base = network_isolation.without_credentials(base)
    return base | {name: in_folder(value, instance) for name, value in job.get("Environment", {}).items()}


def _instance(job: Document, instance: Path, host: str, hosts: list[str]) -> Path:
    # There is a checkpoint folder only where it is kept in step with S3, as in SageMaker.
    for name in ("input/config", "input/data", "model", "output/data", "code"):
        (instance / name).mkdir(parents=True)
    instance_type = job["ResourceConfig"]["InstanceType"]
    documents = {
        "hyperparameters": {
            name: in_folder(value, instance) for name, value in job.get("HyperParameters", {}).items()
        },
        "inputdataconfig": {
            channel["ChannelName"]: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for channel in job.get("InputDataConfig", [])
        },
        "resourceconfig": {
            "current_host": host,
            "hosts": hosts,
            "network_interface_name": _LOOPBACK,
            "current_instance_type": instance_type,
            "current_group_name": _GROUP,
            "instance_groups": [
                {"instance_group_name": _GROUP, "instance_type": instance_type, "hosts": hosts}
            ],
        },
    }
    for name, document in documents.items():
        (instance / "input" / "config" / f"{name}.json").write_text(json.dumps(document))
    return instance
