"""Sample documents of all pages, minimal and maximal, with names that try to inject code."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from include.pipeline import evaluation_report, report, tuning_report
from include.pipeline.data import data_report
from include.pipeline.data.dataset import assemble
from include.pipeline.data.image_check import SetAside, check_image
from include.pipeline.evaluation_report import EvaluationReport
from include.pipeline.live_version import LiveVersion
from include.pipeline.pages.documents import Run
from include.pipeline.pages.pictures import data_uri
from include.pipeline.registry import ModelVersion
from include.pipeline.results import (
    BilledCost,
    Evaluation,
    ReleaseReport,
    RollbackReport,
    SmokeTestResult,
    StepResults,
    TrainingRecord,
    Trial,
    TuningResult,
)
from include.pipeline.settings import Data, Project
from tests.include.pipeline.data.layouts import layout_of

HOSTILE = "<script>alert('1')<:script>\"&quot;' onerror='x"
FOLDER = "s3://bucket/birds/runs/run-1"
STARTED = datetime(2026, 11, 12, 16, 5, 10, tzinfo=UTC)
NAMES_OF_PAGES = (
    *("run", "run-unchanged", "run-rejected", "run-hostile", "run-long", "rollback"),
    *("evaluation", "evaluation-minimal", "evaluation-first", "evaluation-many"),
    *("evaluation-hostile", "evaluation-long", "tuning", "tuning-two", "tuning-one"),
    *("data", "data-leak", "data-hostile", "data-many"),
)
NAMES = ["Robin", "Wren", "Great crested grebe", "Kingfisher", "Bar-tailed godwit", "Owl", "Nuthatch"]


def project(name: str = "birds", description: str = "Tells the birds of the garden apart.") -> Project:
    return Project(name=name, description=description)


def run(run_id: str = "manual__2026-11-12T16:05:10+00:00") -> Run:
    url = f"https://airflow.example.com/dags/birds.train_and_deploy/runs/{run_id}"
    return Run(id=run_id, url=url, started=STARTED)


def photo(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    """Return an image of colored blobs; another seed gives a different one."""
    blobs = Image.frombytes("RGB", (6, 6), random.Random(seed).randbytes(6 * 6 * 3))
    file = io.BytesIO()
    blobs.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def classes(count: int) -> list[str]:
    return [f"{number + 1:03d}.{NAMES[number % len(NAMES)]}" for number in range(count)]


def evaluation(labels: list[str], wrong: int = 1, live: bool = True) -> Evaluation:
    """Return an evaluation on 8 images of each class, of which some are confused with the next class."""
    count, each = len(labels), 8
    images = count * each

    def figures(wrong: int) -> dict[str, Any]:
        matrix = [[0] * count for _ in labels]
        for row in range(count):
            matrix[row][row] += each - wrong
            matrix[row][(row + 1) % count] += wrong
        accuracy = (each - wrong) / each
        return {
            "accuracy": accuracy,
            "accuracy_interval": [accuracy - 0.05, accuracy + 0.03],
            "top5_accuracy": 0.99,
            "macro_f1": accuracy,
            "loss": 0.3123,
            "ece": 0.0312,
            "milliseconds_per_image": 21.4,
            "milliseconds_p95": 34.9,
            "size_bytes": 26_300_000,
            "reliability": [
                {"images": images // 4, "confidence": 0.55, "accuracy": 0.5},
                {"images": images - images // 4, "confidence": 0.96, "accuracy": 0.98},
            ],
            "confusion": matrix,
            "per_class": {
                label: {"images": each, "precision": accuracy, "recall": accuracy, "f1": accuracy}
                for label in labels
            },
            "worst_classes": [
                {
                    "class": label,
                    "recall": accuracy,
                    "images": each,
                    "mistaken_for": {labels[(number + 1) % count]: wrong},
                }
                for number, label in enumerate(labels[:10])
            ],
            "mistakes": [
                {
                    "image": f"{label}/{number}.jpg",
                    "truth": label,
                    "answer": labels[(number + 1) % count],
                    "probability": 0.98 - number / 100,
                    "picture": data_uri(photo(number)) if number != 4 else None,
                }
                for number, label in enumerate(labels[:24])
            ],
        }

    difference = {
        "accuracy": 0.02,
        "interval": [-0.01, 0.05],
        "confidence": 0.95,
        "significant": False,
        "only_candidate_right": 5,
        "only_live_right": 3,
    }
    return Evaluation.model_validate(
        {
            "images": images,
            "classes": labels,
            "candidate": figures(wrong),
            "live": figures(wrong + 1) if live else None,
            "difference": difference if live else None,
        }
    )


def training(epochs: int) -> TrainingRecord:
    return TrainingRecord.model_validate(
        {
            "history": [
                {
                    "epoch": number,
                    "train_loss": 1.4 / number,
                    "train_accuracy": 1 - 0.6 / number,
                    "validation_loss": 1.5 / number + 0.1,
                    "validation_accuracy": 1 - 0.7 / number,
                    "data_seconds": 0.4,
                    "forward_seconds": 1.1,
                    "backward_seconds": 0.8,
                    "other_seconds": 0.3,
                }
                for number in range(1, epochs + 1)
            ],
            "warnings": [{"check": "overfitting", "message": "The validation loss has risen since epoch 7."}],
        }
    )


def evaluation_page(
    labels: list[str], *, epochs: int = 10, live: bool = True, made_by: Run | None = None, **changed: Any
) -> str:
    evaluated, record = evaluation(labels, live=live), training(epochs)
    document = EvaluationReport(
        project="birds",
        description=changed.pop("description", project().description),
        run=made_by or run(),
        model="birds-3f9c0a1b2c3d",
        job="birds-evaluate-0123456789ab",
        evaluation=evaluated,
        training=record,
        charts=evaluation_report.draw_charts(evaluated, record),
        data_report="s3://bucket/birds/data/f00d/report.html",
        version=3,
        accepted=True,
        verdict="The candidate is as good or better: accuracy 0.875 against the live model's 0.750.",
        finished=True,
    ).model_copy(update=changed)
    return evaluation_report.render(document, f"{FOLDER}/evaluation.html")


def minimal_evaluation_page() -> str:
    """Return the page of a job of an earlier version, before the candidate is registered."""
    bare = Evaluation.model_validate({"images": 2, "candidate": {"accuracy": 1.0}})
    document = EvaluationReport(
        project="birds", description="Birds.", run=Run(id="run-1"), model="m", evaluation=bare
    )
    return evaluation_report.render(document, f"{FOLDER}/evaluation.html")


def tuning(trials: int, made_by: Run | None = None) -> str:
    found = [
        Trial(
            name=f"birds-tune-01234567-{number:03d}-abcdef01",
            hyperparameters={
                "learning_rate": str(0.0009712345678901234 * 1.9**number),
                "batch_size": f'"{(16, 32)[number % 2]}"',
            },
            objective=0.3 + (number - 2) ** 2 / 50,
            status="Completed",
        )
        for number in range(trials)
    ]
    failed = Trial(
        name="birds-tune-01234567-099-abcdef01",
        hyperparameters={"learning_rate": "0.1", "batch_size": '"64"'},
        status="Failed",
    )
    best = min(found, key=lambda trial: trial.objective or 0)
    result = TuningResult(
        name="birds-tune-01234567",
        hyperparameters=best.hyperparameters,
        objective=best.objective,
        trials=[*found, failed] if trials > 1 else found,
        billable_seconds=754,
    )
    return tuning_report.render(project(), made_by or run(), result, f"{FOLDER}/tuning.html")


def cost() -> dict[str, Any]:
    steps = ("features", "tune", "train", "evaluate")
    return {
        "steps": [
            {"step": step, "instance_type": "ml.m5.large", "at_most_usd": 0.92, "last_usd": 0.0031}
            for step in steps
        ],
        "at_most_usd": 3.68,
        "last_usd": 0.0124,
        "monthly": [
            {"what": "1 x ml.m5.large of the endpoint", "usd": 83.95},
            {"what": "1 warm environments of the function", "usd": 11.2},
        ],
        "monthly_usd": 95.15,
        "thousand_calls_usd": 0.0044,
        "notes": ["Prices of 2026-09-01 in us-east-1, each job run once; without S3, volumes and logs."],
    }


def billed() -> BilledCost:
    steps = [
        {"step": "features", "usd": 0.0, "seconds": 0.0, "reused": True},
        {"step": "tune", "usd": 0.0412, "seconds": 1290, "reused": False},
        {"step": "train", "usd": 0.0023, "seconds": 71, "reused": False},
    ]
    return BilledCost.model_validate({"steps": steps, "usd": 0.0435, "spot_saved_usd": 0.012})


def smoke_test(labels: list[str], wrong: int = 1) -> dict[str, Any]:
    requests = [
        {
            "image": f"test/{label}/{number}.jpg",
            "truth": label,
            "label": labels[(number + 1) % len(labels)] if number < wrong else label,
            "probability": 0.97 - number / 100,
            "milliseconds": 31.4 + number,
        }
        for number, label in enumerate(labels)
    ]
    return {"accuracy": 0.9, "milliseconds_p95": 44.2, "requests": requests}


def live(version: int = 3) -> LiveVersion:
    properties = {"accuracy": "0.8750", "accuracy_low": "0.8250", "accuracy_high": "0.9050"}
    package = ModelVersion("arn", version, "Approved", "birds-3f9c0a1b2c3d", {}, properties)
    return LiveVersion(package.model, package, datetime(2026, 11, 12, 16, 20, 3, tzinfo=UTC))


def results(labels: list[str], **changed: Any) -> dict[str, Any]:
    """Return the results of all tasks of a complete run."""
    evaluated = evaluation(labels).model_dump(mode="json")
    return {
        "stage_data": {
            "uri": "s3://bucket/birds/data/f00d",
            "fingerprint": "f00d5eed12345678",
            "classes": labels,
            "counts": {"train": 48 * len(labels), "valid": 8 * len(labels), "test": 8 * len(labels)},
            "warnings": ["2 of 450 images can't be used. The first is train/a/0.jpg: it is empty."],
            "set_aside": 2,
            "report": "s3://bucket/birds/data/f00d/report.html",
        },
        "features": {"name": "birds-features-0123456789ab", "output": "s3://bucket/birds/features/1"},
        "tune": {
            "name": "birds-tune-01234567",
            "hyperparameters": {"learning_rate": "0.003162277660168379", "batch_size": '"32"'},
            "objective": 0.31,
            "trials": [
                {
                    "name": "t",
                    "hyperparameters": {"learning_rate": "0.003162277660168379", "batch_size": '"32"'},
                    "objective": 0.31,
                    "status": "Completed",
                }
            ]
            * 2,
        },
        "train": {
            "name": "birds-train-0123456789ab",
            "artifact": "s3://bucket/birds/training/birds-train-0123456789ab/output/model.tar.gz",
            "billable_seconds": 71,
            "training_seconds": 236,
        },
        "evaluate": {"name": "birds-evaluate-1", "output": "s3://bucket/birds/evaluate/birds-evaluate-1"},
        "register": {"arn": "arn:3", "version": 3, "approval_status": "Approved"},
        "gate": {
            "accepted": True,
            "reason": "The candidate is as good or better: accuracy 0.875 against the live model's 0.750.",
            "evaluation": evaluated,
            "candidate": {"model": "m", "package": "arn:3", "version": 3, "evaluation": "e"},
        },
        "smoke_test": smoke_test(labels),
        "estimate_cost": cost(),
        **changed,
    }


def release(
    labels: list[str], made_by: Run | None = None, of: Project | None = None, **changed: Any
) -> ReleaseReport:
    """Return the report of a complete run; ``changed`` replaces results of tasks."""
    document = EvaluationReport(
        project="birds",
        description="Birds.",
        run=made_by or run(),
        model="m",
        evaluation=evaluation(labels),
        training=training(2),
    )
    made = report.summarize(
        of or project(),
        made_by or run(),
        StepResults.model_validate(results(labels, **changed)),
        live=live(),
        answer="Approved by admin at 2026-11-12 16:12 UTC.",
        evaluation=document,
        billed=billed(),
        bucket="bucket",
    )
    return made.model_copy(update={"ended": datetime(2026, 11, 12, 16, 20, 31, tzinfo=UTC)})


def release_page(
    labels: list[str], made_by: Run | None = None, of: Project | None = None, **changed: Any
) -> str:
    made = release(labels, made_by, of, **changed)
    if made.smoke_test:
        requests = [
            each.model_copy(update={"picture": None if each.right else data_uri(photo(50 + number))})
            for number, each in enumerate(made.smoke_test.requests)
        ]
        pictured = made.smoke_test.model_copy(update={"requests": requests})
        made = made.model_copy(update={"smoke_test": pictured})
    return report.render(made, f"{FOLDER}/report.html")


def unchanged_page() -> str:
    """Return the page of a run that had nothing to do."""
    staged = {
        "uri": "s3://b/d",
        "fingerprint": "f",
        "classes": ["a", "b"],
        "counts": {"train": 4, "valid": 2, "test": 2},
    }
    made = report.summarize(
        project(),
        Run(id="scheduled__2026-11-12"),
        StepResults.model_validate({"stage_data": staged}),
        live=live(),
        answer=None,
        evaluation=None,
        billed=None,
        bucket="bucket",
    )
    return report.render(made, f"{FOLDER}/report.html")


def rollback_page(labels: list[str], made_by: Run | None = None) -> str:
    made = RollbackReport(
        project="birds",
        description=project().description,
        run=made_by or run(),
        ended=datetime(2026, 11, 12, 16, 20, 31, tzinfo=UTC),
        now="Version 2 is live since 16:20 UTC, accuracy 0.875 (0.825 to 0.905).",
        outcome="Version 2 is live again instead of version 3.",
        model="birds-0123456789ab",
        smoke_test=SmokeTestResult.model_validate({**smoke_test(labels), "accuracy": 1}),
    )
    return report.render(made, f"{FOLDER}/report.html")


def data_page(
    labels: list[str], *, set_aside: int = 0, seeds: int = 10_000, each: int = 1, made_by: Run | None = None
) -> str:
    """Return the page of a data set with the same number of images in each split.

    :param seeds: the number of different images; the others are copies.
    """
    paths = [
        f"{split}/{label}/{number}.jpg"
        for split in ("train", "valid", "test")
        for label in labels
        for number in range(each)
    ]
    pictured = data_report.choose_thumbnails(paths)
    images = [
        check_image(path, photo(seed % seeds), Data(), thumbnail=path in pictured)
        for seed, path in enumerate(paths)
    ]
    left = [SetAside(f"train/{HOSTILE}/{n}.jpg", f"it is {HOSTILE}") for n in range(set_aside)]
    data_set = assemble(layout_of(paths, left), images, left, Data())
    source = f"https://host/{HOSTILE}"
    made = data_report.report(project(), source, "s3://bucket/birds/data/f00d", data_set, made_by or run())
    return data_report.render(made, "s3://bucket/birds/data/f00d/report.html")


def pages() -> dict[str, str]:
    """Return every page of :data:`NAMES_OF_PAGES`, minimal and maximal."""
    few, many = classes(7), classes(133)
    long = [f"{number:03d}.{'Averylongnamewithoutaspace' * 4}" for number in range(3)]
    hostile = [f"a{HOSTILE}".replace("/", ":"), f"b{HOSTILE}".replace("/", ":")]
    by_hostile = Run(id=HOSTILE, url="javascript:alert(1)", started=STARTED)
    made = {
        "run": release_page(few),
        "run-unchanged": unchanged_page(),
        "run-rejected": release_page(few, smoke_test=None),
        "run-hostile": release_page(hostile, by_hostile, project(description=HOSTILE)),
        "run-long": release_page(long),
        "rollback": rollback_page(few),
        "evaluation": evaluation_page(few),
        "evaluation-minimal": minimal_evaluation_page(),
        "evaluation-first": evaluation_page(few, epochs=1, live=False),
        "evaluation-many": evaluation_page(many, epochs=2),
        "evaluation-hostile": evaluation_page(
            hostile, made_by=by_hostile, description=HOSTILE, verdict=HOSTILE
        ),
        "evaluation-long": evaluation_page(long),
        "tuning": tuning(9),
        "tuning-two": tuning(2),
        "tuning-one": tuning(1, by_hostile),
        "data": data_page(few, each=6),
        "data-leak": data_page(few[:2], seeds=4, set_aside=3),
        "data-hostile": data_page(hostile, set_aside=1, made_by=by_hostile),
        "data-many": data_page(many, set_aside=400),
    }
    assert tuple(made) == NAMES_OF_PAGES
    return made
