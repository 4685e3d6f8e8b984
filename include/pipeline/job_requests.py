"""The request bodies of a project: SageMaker jobs, model, endpoint configuration, endpoint and update; the function.

Each is complete but for the job's name, which is derived from it: see :mod:`include.pipeline.names`.
"""

from __future__ import annotations

import json
from typing import Any

from include.pipeline.images import Images
from include.pipeline.infrastructure import Infrastructure
from include.pipeline.names import (
    NO_GOOD_RELEASE,
    VARIANT,
    digest,
    endpoint_name,
    job_name,
    project_uri,
    tag_list,
    tags,
    tuning_job_name,
)
from include.pipeline.settings import Project, Training, Tuning

# Those of the best epoch so far, printed after every epoch: the last value is the model's that is kept, as tuning
# needs it, and the values before it are what early stopping looks at.
OBJECTIVES = {
    "validation_loss": ("Minimize", "best:validation_loss"),
    "validation_accuracy": ("Maximize", "best:validation_accuracy"),
}
METRICS = (
    "train:loss",
    "train:accuracy",
    "validation:loss",
    "validation:accuracy",
    *(metric for _, metric in OBJECTIVES.values()),
)
# glibc gives large blocks of memory back to the system when they are freed, and training frees and asks for them in
# every step. Below 4 GB it shall keep them: docs/decisions/malloc.md.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
CODE_CHANNEL = "code"
FUNCTION_RUNTIME = "python3.12"
CONTENT_TYPES = ["image/jpeg", "image/png", "image/webp", "application/json"]
RESPONSE_TYPES = ["application/json"]
PROCESSING = "/opt/ml/processing"
# The image's own `python3` runs the script named first, in the folder that the code was unpacked to.
RUN_SCRIPT = f'cd {PROCESSING}/input/code && tar -xzf sourcedir.tar.gz && exec python3 "$0" "$@"'


class Environment(Infrastructure):
    """What a run works in: the stack's outputs, the region, the container images."""

    region: str
    account: str
    images: Images


def inputs_digest(project: Project, fingerprint: str, code: str) -> str:
    """Names everything that decides what is trained: images, code and settings. Kept as a tag on the model."""
    return digest(
        {
            "fingerprint": fingerprint,
            "code": code,
            "classifier": project.classifier.model_dump(mode="json"),
            "tuning": project.tuning.model_dump(mode="json"),
            "training": project.training.model_dump(mode="json"),
        }
    )


def features_job(
    project: Project, env: Environment, data: str, code: str, weights: str, salt: str
) -> dict[str, Any]:
    """A processing job that runs the frozen backbone once over all images.

    :param data: the staged data set's prefix; likewise ``code`` (the archive) and ``weights`` (a prefix).
    :param salt: empty, or anything that sets this job apart from an earlier one with the same request.
    """
    classifier = project.classifier
    arguments = {
        "data": f"{PROCESSING}/input/data",
        "pretrained": f"{PROCESSING}/input/pretrained",
        "output": f"{PROCESSING}/output",
        "architecture": classifier.architecture,
        "image_size": str(classifier.image_size),
        "augmented_views": str(classifier.augmented_views),
    }
    inputs = {"code": code, "data": f"{data}/", "pretrained": f"{weights}/"}
    return _processing_job(project, env, "features", "features.py", arguments, inputs, salt)


def evaluation_job(
    project: Project, env: Environment, data: str, code: str, candidate: str, live: str | None, salt: str
) -> dict[str, Any]:
    """A processing job that judges the candidate, and the live model if there is one, on the same test images.

    :param candidate: the S3 URI of the candidate's ``model.tar.gz``; likewise ``live``.
    """
    arguments = {
        "data": f"{PROCESSING}/input/data",
        "candidate": f"{PROCESSING}/input/candidate",
        "output": f"{PROCESSING}/output",
    }
    inputs = {"code": code, "data": f"{data}/test/", "candidate": candidate}
    if live:
        arguments["live"] = f"{PROCESSING}/input/live"
        inputs["live"] = live
    return _processing_job(project, env, "evaluate", "evaluate.py", arguments, inputs, salt)


def training_output(artifact: str) -> str:
    """The ``output.tar.gz`` that SageMaker puts beside a training job's ``model.tar.gz``."""
    return f"{artifact.rpartition('/')[0]}/output.tar.gz"


def tuning_job(
    project: Project, env: Environment, channels: dict[str, str], code: str, salt: str
) -> dict[str, Any]:
    """A search for the learning rate and batch size with the best result on the validation images.

    :param channels: the S3 prefix of each input channel.
    """
    lowest, highest = project.tuning.learning_rate
    goal, metric = OBJECTIVES[project.tuning.objective]
    # No checkpoints: the trials of a tuning job share one place for them, and would go on from each other's.
    definition = _training_definition(
        project,
        env,
        project.tuning,
        image=env.images.tuning,
        channels=channels,
        code=code,
        output="tuning",
        instance_count=1,
    )
    request = {
        "HyperParameterTuningJobConfig": {
            "Strategy": project.tuning.strategy,
            "HyperParameterTuningJobObjective": {"Type": goal, "MetricName": metric},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": project.tuning.max_jobs,
                "MaxParallelTrainingJobs": project.tuning.max_parallel_jobs,
            },
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {
                        "Name": "learning_rate",
                        "MinValue": str(lowest),
                        "MaxValue": str(highest),
                        "ScalingType": "Logarithmic",
                    }
                ],
                "CategoricalParameterRanges": [
                    {"Name": "batch_size", "Values": [str(size) for size in project.tuning.batch_sizes]}
                ],
            },
            "TrainingJobEarlyStoppingType": "Auto" if project.tuning.early_stopping else "Off",
            "RandomSeed": project.classifier.seed,
        },
        "TrainingJobDefinition": {
            **definition,
            "StaticHyperParameters": _hyperparameters(project, env, project.tuning, code),
        },
        "Tags": tag_list(project),
    }
    return {"HyperParameterTuningJobName": tuning_job_name(project, request, salt), **request}


def training_job(
    project: Project,
    env: Environment,
    channels: dict[str, str],
    code: str,
    best: dict[str, str],
    instance_count: int,
    salt: str,
) -> dict[str, Any]:
    """The final training job, on one instance or several.

    A further attempt goes on from the checkpoints of the one before, for they lie under the first one's name.

    :param channels: the S3 prefix of each input channel; ``training``, the images, is among them where the model may
        be served in 8-bit integers.
    :param best: the hyperparameters that tuning found, as SageMaker gave them.
    """
    hyperparameters = {**_hyperparameters(project, env, project.training, code), **best}
    hyperparameters["checkpoint_minutes"] = json.dumps(project.training.checkpoint_minutes)
    if project.classifier.int8_max_accuracy_drop is not None:
        hyperparameters["int8_max_accuracy_drop"] = json.dumps(project.classifier.int8_max_accuracy_drop)
    if instance_count > 1:
        hyperparameters |= {
            "sagemaker_torch_distributed_enabled": "true",
            "sagemaker_distribution_instance_groups": json.dumps(["homogeneousCluster"]),
            "sagemaker_instance_type": json.dumps(project.training.instance_type),
        }
    request = {
        **_training_definition(
            project,
            env,
            project.training,
            image=env.images.training,
            channels=channels,
            code=code,
            output="training",
            instance_count=instance_count,
        ),
        "HyperParameters": hyperparameters,
        "Tags": tag_list(project),
    }
    if project.training.keep_alive_minutes:
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = project.training.keep_alive_minutes * 60
    name = job_name(project, "train", request, salt)
    checkpoints = {"S3Uri": f"{project_uri(env.bucket, project)}/checkpoints/{name}"}
    return {"TrainingJobName": name, **request, "CheckpointConfig": checkpoints}


def model(project: Project, env: Environment, artifact: str, inputs: str) -> dict[str, Any]:
    """The SageMaker model of a training job's ``model.tar.gz``.

    :param inputs: see :func:`inputs_digest`.
    """
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "S3_INPUT_PREFIX": f"{project_uri(env.bucket, project)}/",
        "URL_INPUT": "on" if project.endpoint.url_input else "off",
    }
    container = {"Image": env.images.inference, "ModelDataUrl": artifact, "Environment": environment}
    name = job_name(project, "model", {"container": container, "role": env.sagemaker_role, "inputs": inputs})
    environment["MODEL_VERSION"] = name
    return registered_model(project, env.sagemaker_role, name, container, inputs)


def registered_model(
    project: Project, role: str, name: str, container: dict[str, Any], inputs: str
) -> dict[str, Any]:
    """The SageMaker model of a container, such as that of a model package.

    :param container: ``Image``, ``ModelDataUrl`` and ``Environment``.
    :param inputs: see :func:`inputs_digest`.
    """
    return {
        "ModelName": name,
        "ExecutionRoleArn": role,
        "PrimaryContainer": container,
        "Tags": [*tag_list(project), {"Key": "inputs", "Value": inputs}],
    }


def endpoint_config(project: Project, bucket: str, model_name: str) -> dict[str, Any]:
    """One production variant that serves one model, and what is kept of its requests."""
    request: dict[str, Any] = {
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": model_name,
                "InstanceType": project.endpoint.instance_type,
                "InitialInstanceCount": project.endpoint.min_instances,
                "InitialVariantWeight": 1.0,
            }
        ]
    }
    if project.endpoint.data_capture_percent:
        request["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": project.endpoint.data_capture_percent,
            "DestinationS3Uri": f"{project_uri(bucket, project)}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        }
    return {
        "EndpointConfigName": job_name(project, "config", request),
        **request,
        "Tags": tag_list(project),
    }


def endpoint(project: Project, config_name: str) -> dict[str, Any]:
    return {
        "EndpointName": endpoint_name(project),
        "EndpointConfigName": config_name,
        "Tags": [*tag_list(project), NO_GOOD_RELEASE],
    }


def deployment(project: Project, alarms: list[str]) -> dict[str, Any]:
    """How an update shifts the traffic, and which alarms take it back.

    :param alarms: their names; they have to exist.
    """
    wanted = project.endpoint.deployment
    routing: dict[str, Any] = {
        "Type": wanted.strategy.upper(),
        "WaitIntervalInSeconds": round(60 * wanted.wait_minutes),
    }
    if wanted.strategy != "all_at_once":
        step = "CanarySize" if wanted.strategy == "canary" else "LinearStepSize"
        routing[step] = {"Type": "CAPACITY_PERCENT", "Value": wanted.step_percent}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": round(60 * wanted.termination_wait_minutes),
            # An hour for the new instances to start, besides the waits. SageMaker allows 8 hours in all.
            "MaximumExecutionTimeoutInSeconds": wanted.seconds + 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }


def function(project: Project, env: Environment) -> dict[str, Any]:
    """The configuration of the Lambda function in front of the endpoint."""
    return {
        "Runtime": FUNCTION_RUNTIME,
        "Role": env.function_role,
        "Handler": "handler.handler",
        "MemorySize": project.function.memory_mb,
        "EphemeralStorage": {"Size": project.function.ephemeral_storage_mb},
        "Timeout": project.function.timeout_seconds,
        "Environment": {"Variables": {"ENDPOINT_NAME": endpoint_name(project)}},
        "Tags": tags(project),
    }


def _processing_job(
    project: Project,
    env: Environment,
    step: str,
    script: str,
    arguments: dict[str, str],
    inputs: dict[str, str],
    salt: str,
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "RoleArn": env.sagemaker_role,
        "AppSpecification": {
            "ImageUri": env.images.processing,
            "ContainerEntrypoint": ["/bin/bash", "-c", RUN_SCRIPT],
            "ContainerArguments": [
                script,
                *(part for key, value in arguments.items() for part in (f"--{key}", value)),
            ],
        },
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"{PROCESSING}/input/{name}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for name, uri in inputs.items()
        ],
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": project.processing.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": project.processing.max_runtime_minutes * 60},
        "Environment": MALLOC,
        "Tags": tag_list(project),
    }
    name = job_name(project, step, request, salt)
    request["ProcessingOutputConfig"] = {
        "Outputs": [
            {
                "OutputName": step,
                "S3Output": {
                    "S3Uri": f"{project_uri(env.bucket, project)}/{step}/{name}",
                    "LocalPath": f"{PROCESSING}/output",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    }
    return {"ProcessingJobName": name, **request}


def _hyperparameters(project: Project, env: Environment, job: Tuning | Training, code: str) -> dict[str, str]:
    classifier = project.classifier
    archive = (
        f"/opt/ml/input/data/{CODE_CHANNEL}/{code.rpartition('/')[2]}" if job.network_isolation else code
    )
    values = {
        # script mode: what the image's own `train` runs
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": archive,
        "sagemaker_region": env.region,
        "sagemaker_container_log_level": 20,
        "architecture": classifier.architecture,
        "image_size": classifier.image_size,
        "train_layers": classifier.train_layers,
        "epochs": classifier.epochs,
        "patience": classifier.patience,
        "seed": classifier.seed,
    }
    if not classifier.frozen:
        # SageMaker's toolkit would make True of a bare true.
        values |= classifier.fine_tuning.model_dump() | {"amp": str(classifier.fine_tuning.amp).lower()}
    return {key: json.dumps(value) for key, value in values.items()}


def _training_definition(
    project: Project,
    env: Environment,
    job: Tuning | Training,
    *,
    image: str,
    channels: dict[str, str],
    code: str,
    output: str,
    instance_count: int,
) -> dict[str, Any]:
    seconds = job.max_runtime_minutes * 60
    stopping, further = {"MaxRuntimeInSeconds": seconds}, {}
    if job.spot:
        stopping["MaxWaitTimeInSeconds"] = 2 * seconds  # the run itself included
        further["EnableManagedSpotTraining"] = True
    if job.network_isolation:
        # The container can't fetch its code, so SageMaker brings it as it brings the data.
        channels = {**channels, CODE_CHANNEL: code.rpartition("/")[0]}
        further["EnableNetworkIsolation"] = True
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": rf"\b{name}=([0-9.eE+-]+)"} for name in METRICS],
        },
        "RoleArn": env.sagemaker_role,
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"{uri}/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name, uri in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": f"{project_uri(env.bucket, project)}/{output}"},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": instance_count,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": stopping,
        "Environment": MALLOC,
        **further,
    }
