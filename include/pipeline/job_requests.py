"""The request bodies of a project: SageMaker jobs, model, endpoint configuration, endpoint, update, and function.

The name of a job is derived from its request, see :mod:`include.pipeline.names`.
"""

from __future__ import annotations

import json

from include.aws.documents import AwsRequest
from include.pipeline import support
from include.pipeline.images import Images, processor
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
from include.pipeline.settings import OWN_IMAGE, RAY_IMAGE, Project, Training, Tuning
from include.pipeline.target import is_local

# The metrics of the best epoch so far, printed after every epoch. Tuning needs the last value, which is that of the
# saved model. Early stopping uses the values before it.
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
# glibc returns large blocks of memory to the system when they are freed, and training frees and allocates them in every
# step. With this setting, it keeps blocks below 4 GB: docs/decisions/malloc.md.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
CODE_CHANNEL = "code"
# The application that AWS's Ray Serve image runs: include/classifier/serve_app.py, in the model's folder `code`.
SERVE_APP_VARIABLE, SERVE_APP = "SM_RAYSERVE_APP", "serve_app:app"
# The runtime of the endpoint and of the evaluation; see include/classifier/image_classifier/predictor.py.
RUNTIME_VARIABLE, TORCH, ONNX_RUNTIME = "MODEL_RUNTIME", "torch", "onnxruntime"
# The Ray image has CUDA 12.9. The default driver of ml.g4dn and ml.g5, 470, is too old for it. This AMI has driver 550.
# The newer AMI, al2023-ami-sagemaker-inference-gpu-4-1, hung in AWS's own test of the image.
GPU_AMI = "al2-ami-sagemaker-inference-gpu-3-1"
FUNCTION_RUNTIME = "python3.12"
CONTENT_TYPES = [
    "image/*",
    "application/octet-stream",
    "application/x-image",
    "multipart/form-data",
    "application/json",
]
RESPONSE_TYPES = ["application/json"]
PROCESSING = "/opt/ml/processing"
# The `python3` of the image runs the script in the first argument, in the folder that the code is extracted to.
RUN_SCRIPT = f'cd {PROCESSING}/input/code && tar -xzf sourcedir.tar.gz && exec python3 "$0" "$@"'


class Environment(Infrastructure):
    """The environment of a run: the stack's outputs, the region, the account and the container image URIs.

    It is the result of the task ``preflight``.
    """

    region: str
    account: str
    images: Images


def patched(images: Images, train_on: str) -> list[support.Used]:
    """Return the container images and the runtime that a run uses and AWS patches.

    :param train_on: ``sagemaker`` or ``ec2``, a param of the run. The AMI is looked up when the instance is launched.
    """
    trained = {images.training} if train_on == "sagemaker" else set()
    used = [
        support.image_used(uri, "training") for uri in sorted({images.tuning, images.processing} | trained)
    ]
    return [
        *filter(None, [*used, support.image_used(images.inference, "inference")]),
        support.runtime_used(FUNCTION_RUNTIME),
    ]


def inputs_digest(project: Project, fingerprint: str, code: str) -> str:
    """Return a digest of everything that decides what is trained: images, code and settings. A tag of the model."""
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
    project: Project, env: Environment, data: str, code: str, weights: str, rerun_token: str
) -> AwsRequest:
    """Return the processing job that runs the frozen backbone once over all images.

    :param data: the S3 prefix of the staged data set.
    :param code: the S3 URI of the code archive.
    :param weights: the S3 prefix of the pretrained weights.
    :param rerun_token: empty, or a text that distinguishes this job from an earlier one with the same request.
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
    return _processing_job(project, env, "features", "features.py", arguments, inputs, rerun_token)


def evaluation_job(
    project: Project,
    env: Environment,
    data: str,
    code: str,
    candidate: str,
    live: str | None,
    rerun_token: str,
) -> AwsRequest:
    """Return the processing job that evaluates the candidate, and the live model if any, on the same test images.

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
    return _processing_job(
        project, env, "evaluate", "evaluate.py", arguments, inputs, rerun_token, _judged_by(project)
    )


def _judged_by(project: Project) -> dict[str, str]:
    """Return the variables that make the evaluation use the runtime of the endpoint."""
    if project.endpoint.image != RAY_IMAGE:
        return {RUNTIME_VARIABLE: ONNX_RUNTIME}
    # AWS's image for the job has ONNX Runtime, but that of the endpoint does not. Local AWS has it for both.
    return {} if is_local() else {RUNTIME_VARIABLE: TORCH}


def training_output(artifact: str) -> str:
    """Return the S3 URI of ``output.tar.gz``, which SageMaker writes next to a training job's ``model.tar.gz``."""
    return f"{artifact.rpartition('/')[0]}/output.tar.gz"


def tuning_job(
    project: Project, env: Environment, channels: dict[str, str], code: str, rerun_token: str
) -> AwsRequest:
    """Return the tuning job, which searches for the best learning rate and batch size on the validation images.

    :param channels: the S3 prefix of each input channel.
    """
    lowest, highest = project.tuning.learning_rate
    goal, metric = OBJECTIVES[project.tuning.objective]
    # No checkpoints: the trials of a tuning job share one S3 prefix for them, and would resume from each other's.
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
    return {"HyperParameterTuningJobName": tuning_job_name(project, request, rerun_token), **request}


def training_job(
    project: Project,
    env: Environment,
    channels: dict[str, str],
    code: str,
    best: dict[str, str],
    instance_count: int,
    rerun_token: str,
) -> AwsRequest:
    """Return the final training job, on one instance or several.

    A further attempt resumes from the checkpoints of the previous one, which are stored under the name of the first
    attempt.

    :param channels: the S3 prefix of each input channel. If the model may be served in 8-bit integers, ``training``,
        the images, is one of them.
    :param best: the hyperparameters that tuning found, as SageMaker returned them.
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
    name = job_name(project, "train", request, rerun_token)
    checkpoints = {"S3Uri": f"{project_uri(env.bucket, project)}/checkpoints/{name}"}
    return {"TrainingJobName": name, **request, "CheckpointConfig": checkpoints}


def model(project: Project, env: Environment, artifact: str, inputs: str) -> AwsRequest:
    """Return the SageMaker model for a training job's ``model.tar.gz``.

    :param inputs: see :func:`inputs_digest`.
    """
    if env.images.inference == OWN_IMAGE:
        raise ValueError("The serving image has not been looked up. Clear the task serving_image.")
    environment = {
        **(
            {SERVE_APP_VARIABLE: SERVE_APP}
            if project.endpoint.image == RAY_IMAGE
            else {RUNTIME_VARIABLE: ONNX_RUNTIME}
        ),
        "S3_INPUT_PREFIX": f"{project_uri(env.bucket, project)}/",
        "URL_INPUT": "on" if project.endpoint.url_input else "off",
    }
    container = {"Image": env.images.inference, "ModelDataUrl": artifact, "Environment": environment}
    name = job_name(project, "model", {"container": container, "role": env.sagemaker_role, "inputs": inputs})
    environment["MODEL_VERSION"] = name
    return registered_model(project, env.sagemaker_role, name, container, inputs)


def registered_model(
    project: Project, role: str, name: str, container: AwsRequest, inputs: str
) -> AwsRequest:
    """Return the SageMaker model for a container, such as that of a model package.

    :param container: ``Image``, ``ModelDataUrl`` and ``Environment``.
    :param inputs: see :func:`inputs_digest`.
    """
    return {
        "ModelName": name,
        "ExecutionRoleArn": role,
        "PrimaryContainer": container,
        "Tags": [*tag_list(project), {"Key": "inputs", "Value": inputs}],
    }


def endpoint_config(project: Project, bucket: str, model_name: str) -> AwsRequest:
    """Return the endpoint configuration: one production variant with one model, and data capture if it is on."""
    request: AwsRequest = {
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
    if processor(project.endpoint.instance_type) == "gpu":
        request["ProductionVariants"][0]["InferenceAmiVersion"] = GPU_AMI
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


def endpoint(project: Project, config_name: str) -> AwsRequest:
    return {
        "EndpointName": endpoint_name(project),
        "EndpointConfigName": config_name,
        "Tags": [*tag_list(project), NO_GOOD_RELEASE],
    }


def deployment(project: Project, alarms: list[str]) -> AwsRequest:
    """Return how an update shifts the traffic, and which alarms roll it back.

    :param alarms: the names of existing alarms.
    """
    wanted = project.endpoint.deployment
    routing: AwsRequest = {
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
            # The waits, and an hour for the new instances to start. SageMaker allows 8 hours in total.
            "MaximumExecutionTimeoutInSeconds": wanted.seconds + 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }


def function(project: Project, env: Environment) -> AwsRequest:
    """Return the configuration of the Lambda function in front of the endpoint."""
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
    rerun_token: str,
    environment: dict[str, str] | None = None,
) -> AwsRequest:
    request: AwsRequest = {
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
        "Environment": {**MALLOC, **(environment or {})},
        "Tags": tag_list(project),
    }
    name = job_name(project, step, request, rerun_token)
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
        # script mode: the `train` command of the image runs this program
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
        # SageMaker's toolkit would turn a bare true into True.
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
) -> AwsRequest:
    seconds = job.max_runtime_minutes * 60
    stopping, further = {"MaxRuntimeInSeconds": seconds}, {}
    if job.spot:
        stopping["MaxWaitTimeInSeconds"] = 2 * seconds  # including the run time
        further["EnableManagedSpotTraining"] = True
    if job.network_isolation:
        # The container can't download its code, so SageMaker provides it as an input channel.
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
