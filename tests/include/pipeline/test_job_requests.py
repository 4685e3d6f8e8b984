"""Request bodies: valid for SageMaker, complete, and named after their content."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from sagemaker_training import files, mapping

from include.pipeline import job_requests
from include.pipeline.images import Images
from include.pipeline.job_requests import Environment
from include.pipeline.packages import classifier_package
from include.pipeline.settings import (
    Classifier,
    Deployment,
    Endpoint,
    FineTuning,
    Function,
    Project,
    Training,
    Tuning,
)

CHANNELS = {"features": "s3://bucket/birds/features/x", "pretrained": "s3://bucket/birds/pretrained/x"}
CODE = "s3://bucket/birds/code/x/sourcedir.tar.gz"
OWN_URI = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/image-classifier-serving@sha256:{'0a' * 32}"


@pytest.fixture
def env() -> Environment:
    role = "arn:aws:iam::123456789012:role/any"
    return Environment(
        bucket="bucket",
        sagemaker_role=role,
        function_role=role,
        region="us-east-1",
        account="123456789012",
        images=Images(tuning="image:1", training="image:1", processing="image:1", inference="image:2"),
    )


def changed(project: Project, **sections: Any) -> Project:
    """Return the project with other sections."""
    return project.model_copy(update=sections)


def validate(operation: str, request: dict[str, Any]) -> None:
    """Check that a request is valid by SageMaker's service model."""
    service = botocore.session.get_session().get_service_model("sagemaker")
    report = ParamValidator().validate(request, service.operation_model(operation).input_shape)
    assert not report.has_errors(), f"{operation}: {report.generate_report()}"


def requests(project: Project, env: Environment, rerun_token: str = "") -> dict[str, dict[str, Any]]:
    model = job_requests.model(project, env, "s3://bucket/model.tar.gz", "0123")
    config = job_requests.endpoint_config(project, env.bucket, model["ModelName"])
    return {
        "CreateProcessingJob": job_requests.evaluation_job(
            project, env, "s3://b/d", CODE, "s3://b/m", "s3://b/l", rerun_token
        ),
        "CreateHyperParameterTuningJob": job_requests.tuning_job(project, env, CHANNELS, CODE, rerun_token),
        "CreateTrainingJob": job_requests.training_job(
            project, env, CHANNELS, CODE, {"batch_size": "32"}, 2, rerun_token
        ),
        "CreateModel": model,
        "CreateEndpointConfig": config,
        "CreateEndpoint": {
            **job_requests.endpoint(project, config["EndpointConfigName"]),
            "DeploymentConfig": job_requests.deployment(project, ["birds-latency"]),
        },
    }


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {
                "classifier": Classifier(train_layers="last_2", int8_max_accuracy_drop=0.01),
                "tuning": Tuning(spot=True, network_isolation=True, early_stopping=False),
                "training": Training(spot=True, network_isolation=True),
            },
            id="spot and isolated",
        ),
        pytest.param({"training": Training(keep_alive_minutes=60)}, id="warm pool"),
    ],
)
def test_each_request_is_valid_by_sagemakers_service_model(
    project: Project, env: Environment, sections: dict[str, Any]
) -> None:
    for operation, request in requests(changed(project, **sections), env).items():
        validate(operation, request)


def test_everything_carries_the_projects_tags(project: Project, env: Environment) -> None:
    for request in requests(project, env).values():
        assert {"Key": "project", "Value": "birds"} in request["Tags"]
        assert {"Key": "managed-by", "Value": "airflow"} in request["Tags"]


def test_equal_requests_have_equal_names_and_a_rerun_token_changes_them(
    project: Project, env: Environment
) -> None:
    key = "TrainingJobName"
    first, second = (requests(project, env)["CreateTrainingJob"][key] for _ in range(2))
    assert first == second
    assert requests(project, env, rerun_token="run")["CreateTrainingJob"][key] != first


def test_a_changed_setting_changes_the_name(project: Project, env: Environment) -> None:
    longer = changed(project, classifier=Classifier(epochs=11))
    assert (
        requests(project, env)["CreateTrainingJob"]["TrainingJobName"]
        != requests(longer, env)["CreateTrainingJob"]["TrainingJobName"]
    )


@pytest.mark.parametrize(
    ("instance_type", "ami"),
    [("ml.m5.large", None), ("ml.g5.xlarge", "al2-ami-sagemaker-inference-gpu-3-1")],
)
def test_an_endpoint_with_a_gpu_has_a_driver_for_the_images_cuda(
    instance_type: str, ami: str | None, project: Project, env: Environment
) -> None:
    endpoint = project.endpoint.model_copy(update={"instance_type": instance_type})
    config = requests(changed(project, endpoint=endpoint), env)["CreateEndpointConfig"]
    assert config["ProductionVariants"][0].get("InferenceAmiVersion") == ami


def test_the_model_names_the_application_that_serves_it(project: Project, env: Environment) -> None:
    environment = requests(project, env)["CreateModel"]["PrimaryContainer"]["Environment"]
    assert environment["SM_RAYSERVE_APP"] == "serve_app:app"
    assert not any(name.startswith("SAGEMAKER_") for name in environment)


def test_several_instances_train_with_torchrun_and_one_does_not(project: Project, env: Environment) -> None:
    several = job_requests.training_job(project, env, CHANNELS, CODE, {}, 2, "")
    one = job_requests.training_job(project, env, CHANNELS, CODE, {}, 1, "")
    assert several["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    assert several["ResourceConfig"]["InstanceCount"] == 2
    assert "sagemaker_torch_distributed_enabled" not in one["HyperParameters"]


def test_a_model_answers_with_its_own_name(project: Project, env: Environment) -> None:
    model = requests(project, env)["CreateModel"]
    assert model["PrimaryContainer"]["Environment"]["MODEL_VERSION"] == model["ModelName"]


def test_the_endpoint_may_read_only_the_projects_prefix(project: Project, env: Environment) -> None:
    environment = requests(project, env)["CreateModel"]["PrimaryContainer"]["Environment"]
    assert environment["S3_INPUT_PREFIX"] == "s3://bucket/birds/"


def test_the_first_candidate_is_evaluated_alone(project: Project, env: Environment) -> None:
    request = job_requests.evaluation_job(project, env, "s3://b/d", CODE, "s3://b/m", None, "")
    assert [item["InputName"] for item in request["ProcessingInputs"]] == [
        "code",
        "data",
        "candidate",
    ]
    assert "--live" not in request["AppSpecification"]["ContainerArguments"]


@pytest.mark.parametrize(
    ("image", "target", "runtime"),
    [
        ("ray", "aws", "torch"),
        ("ray", "local", None),
        ("own", "aws", "onnxruntime"),
        ("own", "local", "onnxruntime"),
        (OWN_URI, "aws", "onnxruntime"),
    ],
)
def test_a_candidate_is_evaluated_with_the_runtime_that_serves_it(
    project: Project,
    env: Environment,
    monkeypatch: pytest.MonkeyPatch,
    image: str,
    target: str,
    runtime: str | None,
) -> None:
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", target)
    project = changed(project, endpoint=Endpoint(image=image))
    request = job_requests.evaluation_job(project, env, "s3://b/d", CODE, "s3://b/m", None, "")
    assert request["Environment"].get("MODEL_RUNTIME") == runtime


@pytest.mark.parametrize("image", ["own", OWN_URI])
def test_a_model_for_the_own_image_computes_by_onnx_runtime(
    project: Project, env: Environment, image: str
) -> None:
    project = changed(project, endpoint=Endpoint(image=image))
    env = env.model_copy(update={"images": env.images.model_copy(update={"inference": OWN_URI})})
    container = job_requests.model(project, env, "s3://b/m", "0123")["PrimaryContainer"]
    assert container["Image"] == OWN_URI
    assert container["Environment"]["MODEL_RUNTIME"] == "onnxruntime"
    assert "SM_RAYSERVE_APP" not in container["Environment"]


def test_no_model_is_made_before_its_image_is_known(project: Project, env: Environment) -> None:
    project = changed(project, endpoint=Endpoint(image="own"))
    env = env.model_copy(update={"images": env.images.model_copy(update={"inference": "own"})})
    with pytest.raises(ValueError, match="Clear the task serving_image"):
        job_requests.model(project, env, "s3://b/m", "0123")


def test_augmented_views_are_part_of_the_features_job_and_of_its_name(
    project: Project, env: Environment
) -> None:
    plain, with_views = (
        job_requests.features_job(one, env, "s3://b/d", CODE, "s3://b/w", "")
        for one in (project, changed(project, classifier=Classifier(augmented_views=3)))
    )
    arguments = with_views["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--augmented_views") + 1] == "3"
    assert plain["ProcessingJobName"] != with_views["ProcessingJobName"]


def test_every_job_keeps_freed_memory(project: Project, env: Environment) -> None:
    made = requests(project, env)
    for job in (
        made["CreateProcessingJob"],
        made["CreateTrainingJob"],
        made["CreateHyperParameterTuningJob"]["TrainingJobDefinition"],
    ):
        assert job["Environment"].items() >= {
            ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
            ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
        }


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        (Tuning(), ("Bayesian", "Auto", "Minimize", "best:validation_loss")),
        (
            Tuning(strategy="Random", early_stopping=False, objective="validation_accuracy"),
            ("Random", "Off", "Maximize", "best:validation_accuracy"),
        ),
    ],
)
def test_tuning_uses_the_settings_of_the_project(
    project: Project, env: Environment, tuning: Tuning, expected: tuple[str, ...]
) -> None:
    request = job_requests.tuning_job(changed(project, tuning=tuning), env, CHANNELS, CODE, "")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    objective = config["HyperParameterTuningJobObjective"]
    assert (
        config["Strategy"],
        config["TrainingJobEarlyStoppingType"],
        objective["Type"],
        objective["MetricName"],
    ) == expected
    defined = [metric["Name"] for metric in definition["AlgorithmSpecification"]["MetricDefinitions"]]
    assert objective["MetricName"] in defined
    assert config["RandomSeed"] == project.classifier.seed


def test_the_learning_rate_is_searched_on_a_logarithmic_scale_and_batch_sizes_are_choices(
    project: Project, env: Environment
) -> None:
    request = requests(project, env)["CreateHyperParameterTuningJob"]
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [(one["Name"], one["ScalingType"]) for one in ranges["ContinuousParameterRanges"]] == [
        ("learning_rate", "Logarithmic")
    ]
    assert ranges["CategoricalParameterRanges"] == [
        {"Name": "batch_size", "Values": ["32", "64", "128", "256", "512"]}
    ]


def test_spot_jobs_wait_at_most_as_long_again_as_they_may_run(project: Project, env: Environment) -> None:
    spot = changed(
        project,
        tuning=Tuning(spot=True, max_runtime_minutes=10),
        training=Training(spot=True, max_runtime_minutes=20),
    )
    made = requests(spot, env)
    for job, minutes in (
        (made["CreateHyperParameterTuningJob"]["TrainingJobDefinition"], 10),
        (made["CreateTrainingJob"], 20),
    ):
        assert job["EnableManagedSpotTraining"] is True
        assert job["StoppingCondition"] == {
            "MaxRuntimeInSeconds": minutes * 60,
            "MaxWaitTimeInSeconds": minutes * 120,
        }
    assert "EnableManagedSpotTraining" not in requests(project, env)["CreateTrainingJob"]


def test_training_keeps_checkpoints_below_the_projects_prefix_and_trials_do_not(
    project: Project, env: Environment
) -> None:
    made = requests(project, env)
    training, tuning = made["CreateTrainingJob"], made["CreateHyperParameterTuningJob"]
    checkpoints = f"s3://bucket/birds/checkpoints/{training['TrainingJobName']}"
    assert training["CheckpointConfig"] == {"S3Uri": checkpoints}
    assert "CheckpointConfig" not in tuning["TrainingJobDefinition"]


def test_a_rerun_does_not_resume_from_old_checkpoints(project: Project, env: Environment) -> None:
    first, rerun = (requests(project, env, rerun_token)["CreateTrainingJob"] for rerun_token in ("", "run"))
    assert first["CheckpointConfig"] != rerun["CheckpointConfig"]


def test_a_warm_pool_is_kept_if_the_project_sets_it(project: Project, env: Environment) -> None:
    warm = requests(changed(project, training=Training(keep_alive_minutes=15)), env)["CreateTrainingJob"]
    assert warm["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 900
    cold = requests(project, env)["CreateTrainingJob"]
    assert "KeepAlivePeriodInSeconds" not in cold["ResourceConfig"]


def test_an_isolated_job_gets_its_code_through_a_channel(project: Project, env: Environment) -> None:
    isolated = changed(
        project, tuning=Tuning(network_isolation=True), training=Training(network_isolation=True)
    )
    made = requests(isolated, env)
    definition = made["CreateHyperParameterTuningJob"]["TrainingJobDefinition"]
    for job, hyperparameters in (
        (definition, definition["StaticHyperParameters"]),
        (made["CreateTrainingJob"], made["CreateTrainingJob"]["HyperParameters"]),
    ):
        sources = {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in job["InputDataConfig"]
        }
        assert job["EnableNetworkIsolation"] is True
        assert sources["code"] == "s3://bucket/birds/code/x/"
        assert json.loads(hyperparameters["sagemaker_submit_directory"]) == (
            "/opt/ml/input/data/code/sourcedir.tar.gz"
        )


def test_sagemakers_toolkit_extracts_code_from_a_channel(project: Project, tmp_path: Path) -> None:
    archive = tmp_path / "sourcedir.tar.gz"
    archive.write_bytes(classifier_package(project).content)
    files.download_and_extract(str(archive), str(tmp_path / "code"))
    assert (tmp_path / "code" / "train.py").is_file()


def test_fine_tuning_is_passed_to_the_script_and_left_out_for_a_head(
    project: Project, env: Environment
) -> None:
    tuned = Classifier(train_layers="last_2", fine_tuning=FineTuning(mixup=0.2, amp=False))
    made = requests(changed(project, classifier=tuned), env)["CreateTrainingJob"]["HyperParameters"]
    decoded = {name: json.loads(value) for name, value in made.items() if not name.startswith("sagemaker")}
    arguments = mapping.to_cmd_args(decoded)
    passed = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert {name: passed[f"--{name}"] for name in ("train_layers", *FineTuning.model_fields)} == {
        "train_layers": "last_2",
        "warmup_epochs": "1.0",
        "label_smoothing": "0.1",
        "mixup": "0.2",
        "cutmix": "0.0",
        "amp": "false",
    }
    head = requests(project, env)["CreateTrainingJob"]["HyperParameters"]
    assert not set(FineTuning.model_fields) & set(head)


def test_8_bit_integers_are_for_the_final_training_only(project: Project, env: Environment) -> None:
    made = requests(changed(project, classifier=Classifier(int8_max_accuracy_drop=0.01)), env)
    trials = made["CreateHyperParameterTuningJob"]["TrainingJobDefinition"]["StaticHyperParameters"]
    assert made["CreateTrainingJob"]["HyperParameters"]["int8_max_accuracy_drop"] == "0.01"
    assert "int8_max_accuracy_drop" not in trials


def test_the_digest_of_the_inputs_covers_what_changes_the_model(project: Project) -> None:
    digests = {
        job_requests.inputs_digest(one, "fingerprint", "code")
        for one in (
            project,
            changed(project, classifier=Classifier(augmented_views=1)),
            changed(project, classifier=Classifier(train_layers="last_1")),
            changed(project, classifier=Classifier(int8_max_accuracy_drop=0.01)),
            changed(project, tuning=Tuning(strategy="Random")),
            changed(project, tuning=Tuning(objective="validation_accuracy")),
            changed(project, tuning=Tuning(early_stopping=False)),
        )
    }
    assert len(digests) == 7


def test_metrics_are_found_in_the_output_of_the_training(project: Project, env: Environment) -> None:
    definitions = requests(project, env)["CreateTrainingJob"]["AlgorithmSpecification"]["MetricDefinitions"]
    regexes = {definition["Name"]: definition["Regex"] for definition in definitions}
    line = "epoch=3 validation:loss=1.5e-02"
    assert re.findall(regexes["validation:loss"], line) == ["1.5e-02"]
    assert not re.findall(regexes["best:validation_loss"], line)
    assert re.findall(regexes["best:validation_loss"], "best:validation_loss=0.25") == ["0.25"]


@pytest.mark.parametrize(
    ("deployment", "routing"),
    [
        pytest.param(Deployment(), {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}, id="all at once"),
        pytest.param(
            Deployment(strategy="canary", step_percent=10, wait_minutes=0.5),
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 30,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
            id="canary",
        ),
        pytest.param(
            Deployment(strategy="linear", step_percent=50, wait_minutes=1),
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 60,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            },
            id="linear",
        ),
    ],
)
def test_an_update_shifts_the_traffic_as_configured_and_watches_the_alarms(
    project: Project, deployment: Deployment, routing: dict[str, Any]
) -> None:
    shifting = changed(project, endpoint=Endpoint(min_instances=10, max_instances=10, deployment=deployment))
    request = job_requests.deployment(shifting, ["one", "two"])
    policy = request["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == routing
    assert policy["TerminationWaitInSeconds"] == 120
    assert policy["MaximumExecutionTimeoutInSeconds"] == deployment.seconds + 3600
    assert request["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "one"}, {"AlarmName": "two"}]}


def test_the_longest_update_is_within_sagemakers_limit(project: Project) -> None:
    longest = Deployment(strategy="linear", step_percent=20, wait_minutes=60, termination_wait_minutes=60)
    request = job_requests.deployment(
        changed(project, endpoint=Endpoint(min_instances=5, max_instances=5, deployment=longest)), []
    )
    assert request["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] <= 28_800


def test_data_capture_changes_the_name_of_the_endpoint_configuration(
    project: Project,
) -> None:
    capturing = changed(project, endpoint=Endpoint(data_capture_percent=30))
    plain, kept = (job_requests.endpoint_config(each, "bucket", "model") for each in (project, capturing))
    assert "DataCaptureConfig" not in plain
    assert kept["DataCaptureConfig"]["InitialSamplingPercentage"] == 30
    assert kept["DataCaptureConfig"]["DestinationS3Uri"] == "s3://bucket/birds/captured"
    assert kept["EndpointConfigName"] != plain["EndpointConfigName"]
    validate("CreateEndpointConfig", kept)


def test_the_function_has_the_storage_of_the_project(project: Project, env: Environment) -> None:
    larger = changed(project, function=Function(ephemeral_storage_mb=2048))
    assert job_requests.function(larger, env)["EphemeralStorage"] == {"Size": 2048}
