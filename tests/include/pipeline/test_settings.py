"""Project files: what is read from them, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.pipeline.settings import PROJECTS_FOLDER, SettingsError, load_project, read_projects

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


def test_local_section_is_laid_over_the_rest_on_local_aws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
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
            ["gate.metric", "'accuracy', 'macro_f1' or 'top5_accuracy'"],
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
            ["ec2.instance_type is 'm5.large'", "Deep Learning AMI", "g4dn, g5, g6, gr6, g6e, p4d"],
            id="EC2 instance type without a GPU",
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
    ],
)
def test_a_wrong_file_is_refused_by_a_message_that_says_what_and_where(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(SettingsError) as error:
        load_project(write(tmp_path, text))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(("layers", "frozen"), [("head", True), ("last_3", False), ("all", False)])
def test_only_a_head_leaves_the_backbone_as_it_is(tmp_path: Path, layers: str, frozen: bool) -> None:
    project = load_project(write(tmp_path, f"{GOOD}classifier:\n  train_layers: {layers}\n"))
    assert project.classifier.frozen is frozen


def test_a_search_learns_and_stops_early_by_the_validation_loss_unless_told_otherwise(tmp_path: Path) -> None:
    tuning = load_project(write(tmp_path, GOOD)).tuning
    assert (tuning.strategy, tuning.early_stopping, tuning.objective) == ("Bayesian", True, "validation_loss")


def test_the_form_of_a_run_may_not_ask_ec2_for_several_instances(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    for allowed in (("sagemaker", 5), ("ec2", 1)):
        project.check_place(*allowed)
    with pytest.raises(SettingsError, match="EC2 trains on one instance, not on 5"):
        project.check_place("ec2", 5)


def test_one_wrong_file_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "fish.yaml").write_text("name: fish\ncolour: blue\n")
    projects, errors = read_projects(tmp_path)
    assert [project.name for project in projects] == ["birds"]
    assert len(errors) == 1
    assert "fish.yaml" in str(errors[0])


def test_a_name_too_long_for_a_tuning_job_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_rather_long_name.yaml"
    path.write_text("name: a_rather_long_name\ndescription: x\n")
    with pytest.raises(SettingsError, match="16 characters"):
        load_project(path)
