"""Project files: their values, and the messages about invalid ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from airflow.sdk.definitions.timetables._cron import CRON_PRESETS

from include.pipeline.project_files import PROJECTS_FOLDER, load_project, read_projects
from include.pipeline.schedule import PRESETS
from include.pipeline.settings import Project, SettingsError

GOOD = "name: birds\ndescription: Tells birds apart.\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "birds.yaml"
    path.write_text(text)
    return path


def test_dog_breeds_has_the_original_projects_values() -> None:
    project = load_project(PROJECTS_FOLDER / "dog_breeds.yaml")
    assert project.data.classes == 133
    assert project.data.source.endswith("/dogImages.zip")
    assert project.classifier.architecture == "resnet50"
    assert (project.tuning.instance_type, project.tuning.max_jobs, project.tuning.max_parallel_jobs) == (
        "ml.g4dn.xlarge",
        2,
        1,
    )
    assert (project.tuning.learning_rate, project.tuning.batch_sizes) == (
        (0.001, 0.1),
        (32, 64, 128, 256, 512),
    )
    assert project.training.instance_type == "ml.m5.xlarge"
    assert (project.endpoint.instance_type, project.endpoint.min_instances) == ("ml.m5.large", 1)
    assert project.endpoint.max_instances > 1
    assert project.endpoint.target_invocations_per_minute == 20
    assert (project.endpoint.scale_in_cooldown_seconds, project.endpoint.scale_out_cooldown_seconds) == (
        30,
        30,
    )
    assert project.function.provisioned_concurrency == 2


def test_the_local_section_overrides_the_rest_on_local_aws_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")
    project = load_project(PROJECTS_FOLDER / "dog_breeds.yaml")
    assert project.classifier.architecture == "efficientnet_lite0"
    assert project.classifier.epochs == 10
    assert project.data.classes is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(
            GOOD + "trainning: {}\n", ["birds.yaml", "trainning", "allowed", "training"], id="unknown key"
        ),
        pytest.param(
            GOOD + "training:\n  instance_cuont: 2\n",
            ["birds.yaml", "training.instance_cuont", "instance_type, instance_count"],
            id="unknown nested key",
        ),
        pytest.param(
            GOOD + "function:\n  provisioned_concurrency: 3\n  reserved_concurrency: 2\n",
            ["reserved_concurrency (2) is less than provisioned_concurrency (3)"],
            id="more warm environments than calls",
        ),
        pytest.param(
            GOOD + "endpoint:\n  deployment:\n    strategy: canary\n",
            [
                "endpoint",
                "deployment.step_percent (25) of min_instances (1) is 0.25 of an instance",
                "set min_instances to 4 or more, or strategy to 'all_at_once'",
            ],
            id="canary of less than an instance",
        ),
        pytest.param(
            GOOD + "endpoint:\n  min_instances: 3\n  max_instances: 3\n  deployment:\n    strategy: linear\n",
            [
                "0.75 of an instance",
                "set min_instances to 4 or more, or step_percent to 34 to 50, or strategy",
            ],
            id="linear steps of less than an instance",
        ),
        pytest.param(
            GOOD + "endpoint:\n  instance_type: ml.t2.medium\n",
            ["instance_type is ml.t2.medium", "does not scale burstable instances", "such as ml.m5.large"],
            id="instances that do not scale",
        ),
        pytest.param(
            GOOD + "endpoint:\n  image: mine\n",
            ["image is 'mine'", "set it to 'ray', 'own', or the URI of an image in Amazon ECR"],
            id="an image of no known kind",
        ),
        pytest.param(
            GOOD + "endpoint:\n  image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/serving\n",
            ["with a tag or a digest, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/serving:1"],
            id="an image without a tag",
        ),
        pytest.param(
            GOOD + "endpoint:\n  image: own\n  instance_type: ml.g5.xlarge\n",
            ["image is 'own', which computes on CPUs", "ml.g5.xlarge, with a GPU", "or set image to 'ray'"],
            id="the own image on a GPU",
        ),
        pytest.param(
            GOOD + "training:\n  max_runtime_minutes: 40321\n",
            ["training.max_runtime_minutes is 40321", "less than or equal to 40320"],
            id="training beyond SageMaker's limit",
        ),
        pytest.param(
            GOOD + "tuning:\n  max_runtime_minutes: 40321\n",
            ["tuning.max_runtime_minutes is 40321", "less than or equal to 40320"],
            id="trials beyond SageMaker's limit",
        ),
        pytest.param(
            GOOD + "ec2:\n  max_runtime_minutes: 2881\n",
            ["ec2.max_runtime_minutes is 2881", "less than or equal to 2880"],
            id="commands beyond Systems Manager's limit",
        ),
        pytest.param(
            GOOD + "processing:\n  max_runtime_minutes: 12961\n",
            ["processing.max_runtime_minutes is 12961", "less than or equal to 12960"],
            id="processing beyond SageMaker's limit",
        ),
        pytest.param(
            GOOD + "endpoint:\n  deployment:\n    strategy: linear\n    step_percent: 5\n",
            ["endpoint.deployment", "step_percent (5) must be 10 to 50 with strategy 'linear'"],
            id="steps too small",
        ),
        pytest.param(
            GOOD
            + "endpoint:\n  deployment:\n    strategy: linear\n    step_percent: 10\n    wait_minutes: 60\n",
            ["10 steps of wait_minutes (60)", "make 602 minutes; at most 420"],
            id="an update too long",
        ),
        pytest.param(
            GOOD + "gate:\n  metric: loss\n",
            ["gate.metric", "'accuracy', 'top5_accuracy' or 'macro_f1'"],
            id="unknown metric",
        ),
        pytest.param(
            GOOD + "local:\n  tuning:\n    max_job: 2\n",
            ["birds.yaml", "tuning.max_job", "max_jobs"],
            id="unknown local key",
        ),
        pytest.param(
            GOOD + "training:\n  instance_count: 0\n",
            ["training.instance_count is 0", "greater than or equal to 1"],
            id="number out of range",
        ),
        pytest.param(
            GOOD + "classifier:\n  train_layers: some\n",
            ["train_layers is 'some'", "'head', 'all' or 'last_<n>'"],
            id="not a choice",
        ),
        pytest.param(
            GOOD + "classifier:\n  train_layers: last_0\n", ["train_layers is 'last_0'"], id="no last block"
        ),
        pytest.param(
            GOOD + "classifier:\n  train_layers: all\n  augmented_views: 2\n",
            ["augmented_views (2)", "'head'", "leave augmented_views out"],
            id="views of images for no features",
        ),
        pytest.param(
            GOOD + "classifier:\n  train_layers: all\n  epochs: 2\n  fine_tuning:\n    warmup_epochs: 2\n",
            ["fine_tuning.warmup_epochs (2)", "epochs (2)"],
            id="nothing but warm-up",
        ),
        pytest.param(
            GOOD + "classifier:\n  fine_tuning:\n    mixupp: 1\n",
            ["classifier.fine_tuning.mixupp", "mixup, cutmix"],
            id="unknown key two levels down",
        ),
        pytest.param(
            GOOD + "classifier:\n  int8_max_accuracy_drop: 2\n",
            ["int8_max_accuracy_drop is 2", "less than or equal to 1"],
            id="a drop of more than all",
        ),
        pytest.param(
            GOOD + "tuning:\n  strategy: Grid\n",
            ["strategy is 'Grid'", "'Bayesian' or 'Random'"],
            id="strategy",
        ),
        pytest.param(
            GOOD + "training:\n  spot: true\n  keep_alive_minutes: 5\n",
            ["spot", "keep_alive_minutes (5)", "set one of them alone"],
            id="warm spot instances",
        ),
        pytest.param(
            GOOD + "training:\n  keep_alive_minutes: 61\n",
            ["keep_alive_minutes is 61", "less than or equal to 60"],
            id="warm for longer than sagemaker allows",
        ),
        pytest.param(
            GOOD + "endpoint:\n  instance_type: m5.large\n",
            ["endpoint.instance_type is 'm5.large'"],
            id="pattern",
        ),
        pytest.param(
            GOOD + "ec2:\n  instance_type: m5.large\n",
            [
                "ec2.instance_type is 'm5.large'",
                "Deep Learning AMI",
                "g4dn, g5, g6, gr6, g6e, g6f, gr6f, p4d",
            ],
            id="EC2 instance type without GPU",
        ),
        pytest.param(
            GOOD + "ec2:\n  instance_type: g4dn\n",
            ["ec2.instance_type is 'g4dn'", "such as g4dn.xlarge"],
            id="EC2 instance type without a size",
        ),
        pytest.param(
            GOOD + "train_on: ec2\ntraining:\n  instance_count: 3\n",
            [
                "birds.yaml: EC2 trains on one instance, not on 3: set the number",
                "(training.instance_count) to 1",
            ],
            id="several EC2 instances",
        ),
        pytest.param(
            GOOD + "train_on: laptop\n",
            ["train_on is 'laptop'", "'sagemaker' or 'ec2'"],
            id="no place to train",
        ),
        pytest.param("name: birds\n", ["description is missing"], id="missing key"),
        pytest.param("name: eagles\ndescription: x\n", ["'eagles'", "'birds'"], id="name of another file"),
        pytest.param("name: [birds\n", ["birds.yaml can't be read"], id="not YAML"),
        pytest.param("birds\n", ["birds.yaml must hold keys and values"], id="not a mapping"),
        pytest.param(
            GOOD + "endpoint:\n  min_instances: 3\n  max_instances: 2\n",
            ["max_instances (2)", "min_instances (3)"],
            id="limits crossed",
        ),
        pytest.param(
            GOOD + "tuning:\n  learning_rate: [0.1, 0.001]\n",
            ["learning_rate", "lowest < highest"],
            id="range reversed",
        ),
        pytest.param(
            GOOD + "classifier:\n  pretrained: null\n", ["train_layers", "'all'"], id="frozen random backbone"
        ),
        pytest.param(
            GOOD + "classifier:\n  pretrained: null\n  train_layers: last_2\n",
            ["train_layers 'last_2' needs pretrained weights"],
            id="partly frozen random backbone",
        ),
        pytest.param(GOOD + "data:\n  source: ''\n", ["data.source is ''", "must be a path"], id="no source"),
        pytest.param(
            GOOD + "data:\n  source: 's3://'\n  watch_seconds: 60\n",
            ["data.source is 's3://'", "s3://<bucket>/<key>"],
            id="watched source without a bucket",
        ),
        pytest.param(
            GOOD + "data:\n  source: s3://BAD_Bucket!/x\n",
            ["data.source is 's3://BAD_Bucket!/x'", "name of the bucket"],
            id="bucket that cannot exist",
        ),
        pytest.param(
            GOOD + "data:\n  source: ftp://photos/birds.zip\n",
            ["data.source is 'ftp://photos/birds.zip'", "http(s):// URL or an s3://"],
            id="unknown kind of source",
        ),
        pytest.param(
            GOOD + "data:\n  source: http://[/birds.zip\n",
            ["data.source", "http(s)://<host>/<path>"],
            id="invalid URL",
        ),
        pytest.param(
            GOOD + "classifier:\n  pretrained: ''\n",
            ["classifier.pretrained is ''", "must be a path"],
            id="no weights",
        ),
        pytest.param(
            GOOD + "classifier:\n  pretrained: 'package:'\n",
            ["classifier.pretrained is 'package:'", "must be package:<name>"],
            id="no package",
        ),
        pytest.param(
            GOOD + "classifier:\n  architecture: resnet5\n",
            ["classifier.architecture is 'resnet5'", "such as resnet50"],
            id="unknown architecture",
        ),
        pytest.param(
            GOOD + "classifier:\n  architecture: squeezenet1_0\n",
            ["classifier.architecture", "ends in a linear layer"],
            id="architecture without a linear layer",
        ),
        pytest.param(
            GOOD + "schedule: 61 * * * *\n", ["schedule is '61 * * * *'", "out of range"], id="minute 61"
        ),
        pytest.param(
            GOOD + "schedule: '@weakly'\n", ["schedule is '@weakly'", "@weekly"], id="unknown preset"
        ),
        pytest.param(GOOD + "schedule: 0 0 31 2 *\n", ["schedule", "no date matches it"], id="February 31"),
        pytest.param(GOOD + "schedule: '* * * * * *'\n", ["schedule", "five fields"], id="every second"),
        pytest.param(GOOD + "schedule: R R * * *\n", ["schedule", "five fields"], id="random time"),
        pytest.param(GOOD + "schedule: ''\n", ["schedule is ''", "five fields"], id="empty schedule"),
        pytest.param(
            GOOD + "deadline_minutes: 1.0e+300\n",
            ["deadline_minutes", "less than or equal to 525600"],
            id="deadline longer than time",
        ),
        pytest.param(
            GOOD + "alarms:\n  max_latency_ms: .inf\n",
            ["alarms.max_latency_ms is inf", "finite number"],
            id="infinite number",
        ),
        pytest.param(
            GOOD + "gate:\n  floor: yes\n",
            ["gate.floor is True; must not be a boolean"],
            id="boolean for a number",
        ),
        pytest.param(
            GOOD + "owner: no\n", ["owner is False; must not be a boolean"], id="boolean for a text"
        ),
        pytest.param(GOOD + "owner: ''\n", ["owner is ''", "at least 1 character"], id="no owner"),
        pytest.param(
            f"{GOOD}owner: {'x' * 50_000}\n",
            ["owner is 'xxx", "...", "at most 100 characters"],
            id="a long owner",
        ),
        pytest.param(
            GOOD + "logs:\n  retention_days: 91\n",
            ["logs.retention_days is 91", "should be 1, 3, 5", "or 3653"],
            id="retention that CloudWatch Logs does not take",
        ),
        pytest.param(
            GOOD + "logs:\n  retention_days: on\n",
            ["logs.retention_days is True; must not be a boolean"],
            id="boolean for a retention",
        ),
        pytest.param(
            GOOD + "local:\n  name: bb\n",
            ["local.name is set", "delete local.name"],
            id="another name locally",
        ),
        pytest.param(
            GOOD + "local: []\n", ["local is []", "must hold keys and values"], id="local is a list"
        ),
        pytest.param(
            GOOD + "local: false\n", ["local is False", "must hold keys and values"], id="local is off"
        ),
        pytest.param("name: a_\ndescription: x\n", ["name is 'a_'", "pattern"], id="name that AWS refuses"),
        pytest.param(
            GOOD + "gate:\n  floor: 0.9\n  floor: 0.1\n",
            ["line 5: the key floor is duplicated", "delete one"],
            id="duplicate key",
        ),
        pytest.param(
            GOOD + "gate: {floor: 0.9}\ntuning: {}\ngate: {}\n",
            ["line 5: the key gate is duplicated"],
            id="duplicate section",
        ),
        pytest.param(
            f"{GOOD}data: {'[' * 3000}{']' * 3000}\n",
            ["line 3: more than 20 levels are nested"],
            id="nested too deep",
        ),
        pytest.param(
            GOOD
            + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            ["line 7: the file has more than 10,000 values"],
            id="alias bomb",
        ),
        pytest.param(GOOD + "data: &a [*a]\n", ["*a refers to itself"], id="alias of itself"),
        pytest.param(f"{GOOD}# {'x' * 100_000}\n", ["has more than 100,000 bytes"], id="too large"),
        pytest.param(
            'name: birds\ndescription: "\\ud800"\n',
            [r"line 2: the text contains the character '\ud800'"],
            id="lone surrogate",
        ),
        pytest.param(
            'name: birds\ndescription: "a\\0b"\n', [r"contains the character '\x00'"], id="zero character"
        ),
        pytest.param(GOOD + "? [a]\n: b\n", ["line 3: a key is not a string"], id="list as a key"),
        pytest.param(GOOD + "1: b\n", ["birds.yaml", "keys should be strings"], id="number as a key"),
        pytest.param(GOOD + "data: 2026-99-99\n", ["birds.yaml can't be read: month"], id="invalid date"),
        pytest.param(f"{GOOD}data: {'9' * 5000}\n", ["birds.yaml can't be read"], id="endless number"),
        pytest.param(GOOD + "data: !!int x\n", ["birds.yaml can't be read"], id="tag that does not fit"),
        pytest.param(GOOD + "---\nname: fish\n", ["birds.yaml can't be read"], id="two documents"),
        pytest.param("", ["must hold keys and values"], id="empty"),
    ],
)
def test_an_invalid_file_is_refused_with_a_message_that_says_what_and_where(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(SettingsError) as error:
        load_project(write(tmp_path, text))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(("layers", "frozen"), [("head", True), ("last_3", False), ("all", False)])
def test_only_a_head_keeps_the_backbone_frozen(tmp_path: Path, layers: str, frozen: bool) -> None:
    project = load_project(write(tmp_path, f"{GOOD}classifier:\n  train_layers: {layers}\n"))
    assert project.classifier.frozen is frozen


def test_tuning_is_bayesian_with_early_stopping_by_validation_loss_by_default(tmp_path: Path) -> None:
    tuning = load_project(write(tmp_path, GOOD)).tuning
    assert (tuning.strategy, tuning.early_stopping, tuning.objective) == ("Bayesian", True, "validation_loss")


def test_a_run_on_ec2_may_not_have_several_instances(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    for allowed in (("sagemaker", 5), ("ec2", 1)):
        project.check_place(*allowed)
    with pytest.raises(SettingsError, match="EC2 trains on one instance, not on 5"):
        project.check_place("ec2", 5)


def test_one_invalid_file_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "fish.yaml").write_text("name: fish\ncolour: blue\n")
    projects, errors = read_projects(tmp_path)
    assert [project.name for project in projects] == ["birds"]
    assert len(errors) == 1
    assert "fish.yaml" in str(errors[0])


@pytest.mark.parametrize("name", ["fish.yml", "fish.YAML", "fish.json", "fish.yaml.txt", "more/fish.yaml"])
def test_a_file_that_looks_like_a_project_file_is_never_ignored(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "more").mkdir()
    (tmp_path / name).write_text("name: fish\ndescription: x\n")
    projects, (error,) = read_projects(tmp_path)
    assert [project.name for project in projects] == ["birds"]
    assert f"{name} is not read" in str(error)


@pytest.mark.parametrize("name", [".birds.yaml.swp", "birds.yaml~", "README.md", "birds.zip"])
def test_other_files_next_to_project_files_are_no_error(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / name).touch()
    assert read_projects(tmp_path)[1] == []


def test_a_special_file_is_an_error_and_does_not_block(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "lost.yaml").symlink_to(tmp_path / "nowhere")
    projects, errors = read_projects(tmp_path)
    assert [project.name for project in projects] == ["birds"]
    assert [str(error).partition(" can't be read")[0] for error in errors] == [
        "device.yaml",
        "folder.yaml",
        "lost.yaml",
        "pipe.yaml",
    ]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    projects, (error,) = read_projects(tmp_path / "nowhere")
    assert (projects, "can't be read" in str(error)) == ([], True)


def test_an_unexpected_error_is_reported_for_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("birds", "fish"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\ndescription: x\n")

    def stumble(path: Path) -> Project:
        if path.stem == "birds":
            raise RecursionError("too deep")
        return load_project(path)

    monkeypatch.setattr("include.pipeline.project_files.load_project", stumble)
    projects, (error,) = read_projects(tmp_path)
    assert [project.name for project in projects] == ["fish"]
    assert str(error) == "birds.yaml can't be read: RecursionError: too deep"


def test_aliases_and_merged_keys_may_be_used(tmp_path: Path) -> None:
    text = "tuning: &fast {instance_type: ml.g5.xlarge, spot: true}\ntraining: {<<: *fast, spot: false}\n"
    project = load_project(write(tmp_path, GOOD + text))
    assert (project.training.instance_type, project.training.spot) == ("ml.g5.xlarge", False)


@pytest.mark.parametrize(
    "schedule", ["0 5 * * 1", "@quarterly", "0 0 29 2 *", "*/15 8-17 * * mon-fri", "0 0 L * *"]
)
def test_a_schedule_that_matches_a_date_is_accepted(tmp_path: Path, schedule: str) -> None:
    assert load_project(write(tmp_path, f"{GOOD}schedule: '{schedule}'\n")).schedule == schedule


def test_the_presets_are_airflows() -> None:
    assert PRESETS == CRON_PRESETS


def test_a_name_too_long_for_a_tuning_job_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_rather_long_name.yaml"
    path.write_text("name: a_rather_long_name\ndescription: x\n")
    with pytest.raises(SettingsError, match="16 characters"):
        load_project(path)
