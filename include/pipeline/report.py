"""The report of one run: a page for people and a summary for programs."""

from __future__ import annotations

import html
import io
import json
import posixpath
import re
import tarfile
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import tuning_results
from include.pipeline.cost import dollars, rows
from include.pipeline.gate import class_changes
from include.pipeline.job_requests import training_output
from include.pipeline.names import endpoint_name, function_name, project_uri, split_s3_uri
from include.pipeline.page import page, put_page, table
from include.pipeline.settings import Project

NONE = "\N{EN DASH}"
DIAGNOSIS = "diagnosis.json"


def evaluation_page(evaluation: dict[str, Any] | None) -> str | None:
    """The address of the page that an evaluation job wrote; None where there was none.

    :param evaluation: what the job's task returned.
    """
    return f"{evaluation['output']}/report.html" if evaluation else None


def read_warnings(training: dict[str, Any] | None, s3: Any) -> list[dict[str, str]]:
    """What the training job found wrong with its own training: ``check`` and ``message`` of each.

    :param training: what the job's task returned; None where there was none.
    """
    if training is None:
        return []
    bucket, key = split_s3_uri(training_output(training["artifact"]))
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return []  # a report without warnings is better than none
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file and posixpath.basename(member.name) == DIAGNOSIS:
                warnings: list[dict[str, str]] = json.load(file)
                return warnings
    return []


def summarise(
    project: Project,
    data: dict[str, Any],
    training: dict[str, Any] | None,
    tuning: dict[str, Any] | None,
    evaluation: dict[str, Any] | None,
    evaluation_page: str | None,
    warnings: list[dict[str, str]],
    smoke_test: dict[str, Any] | None,
    package: dict[str, Any] | None,
    outcome: str,
    cost: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What one run did, in few figures. Parts that the run did not reach are None.

    :param evaluation: the content of ``evaluation.json``, which may lack what is large.
    :param evaluation_page: see :func:`evaluation_page`; likewise ``warnings``, see :func:`read_warnings`.
    :param package: what the task that registered the candidate returned.
    :param outcome: what was decided, in a sentence or two.
    :param cost: ``estimate`` and ``actual``, see :mod:`include.pipeline.cost`.
    """
    candidate = (evaluation or {}).get("candidate", {})
    removed, added = class_changes(evaluation or {})
    return {
        "project": project.name,
        "outcome": outcome,
        "images": data["counts"],
        "classes": len(data["classes"]),
        "removed_classes": removed,
        "added_classes": added,
        "fingerprint": data["fingerprint"],
        "hyperparameters": (tuning or {}).get("hyperparameters"),
        "objective": project.tuning.objective,
        "trials": (tuning or {}).get("trials"),
        "training_job": (training or {}).get("name"),
        "package_version": (package or {}).get("version"),
        "billable_seconds": (training or {}).get("billable_seconds"),
        "spot_saving": _spot_saving(training) if project.training.spot and training else None,
        "warnings": warnings,
        "test_images": (evaluation or {}).get("images"),
        "test_accuracy": candidate.get("accuracy"),
        "test_accuracy_interval": candidate.get("accuracy_interval"),
        "test_macro_f1": candidate.get("macro_f1"),
        "test_ece": candidate.get("ece"),
        "live_accuracy": ((evaluation or {}).get("live") or {}).get("accuracy"),
        "difference": (evaluation or {}).get("difference"),
        "evaluation_page": evaluation_page,
        "cost": cost,
        "smoke_test": smoke_test,
        "endpoint": endpoint_name(project) if smoke_test else None,
        "function": function_name(project) if smoke_test else None,
    }


def publish(
    project: Project,
    summary: dict[str, Any],
    run_id: str,
    bucket: str,
    s3: Any,
    show: Callable[[dict[str, Any], str, str], str] | None = None,
) -> str:
    """Put ``report.html`` and ``summary.json`` below ``s3://<bucket>/<project>/runs/<run>/``.

    :param show: what makes the page of summary, run and address; :func:`render` unless it is another kind of run.
    :return: the page's address.
    """
    folder = re.sub(r"[^\w.-]", "-", run_id)  # a time's colons and plus signs are a nuisance in an address
    uri = f"{project_uri(bucket, project)}/runs/{folder}"
    target, prefix = split_s3_uri(uri)
    s3.put_object(
        Bucket=target,
        Key=f"{prefix}/summary.json",
        Body=json.dumps(summary, indent=2).encode(),
        ContentType="application/json",
    )
    page_uri = f"{uri}/report.html"
    return put_page((show or render)(summary, run_id, page_uri), page_uri, s3)


def render(summary: dict[str, Any], run_id: str, uri: str) -> str:
    """The page: figures, warnings, trials, and the smoke test's answers.

    :param uri: where the page is put: links to other pages are relative to it.
    """
    figures = [
        ("Images", ", ".join(f"{count} {split}" for split, count in summary["images"].items())),
        ("Classes", summary["classes"]),
        *(
            (name, ", ".join(summary[key]))
            for name, key in (("Removed classes", "removed_classes"), ("New classes", "added_classes"))
            if summary[key]
        ),
        ("Test accuracy", _accuracy(summary)),
        ("Macro F1", _figure(summary["test_macro_f1"])),
        ("Expected calibration error", _figure(summary["test_ece"])),
        ("Live model's test accuracy", _figure(summary["live_accuracy"])),
        ("Difference", _difference(summary["difference"])),
        ("Hyperparameters", json.dumps(summary["hyperparameters"]) if summary["hyperparameters"] else NONE),
        ("Training job", summary["training_job"] or NONE),
        ("Version in the model registry", summary["package_version"] or NONE),
        (
            "Billable seconds of training",
            summary["billable_seconds"] if summary["billable_seconds"] is not None else NONE,
        ),
        *([("Saved by spot instances", _saving(summary["spot_saving"]))] if summary["spot_saving"] else []),
        ("Endpoint", summary["endpoint"] or NONE),
        ("Function", summary["function"] or NONE),
    ]
    body = (
        f"<h1>{html.escape(summary['project'])}</h1>"
        f"<p>{html.escape(summary['outcome'])}</p><p>Run {html.escape(run_id)}</p>"
        + table(["", ""], figures)
        + _link("Evaluation", summary["evaluation_page"], uri)
        + _warnings(summary["warnings"])
        + _cost(summary["cost"])
        + (
            f"<h2>Tuning</h2>{tuning_results.show(summary['trials'], summary['objective'])}"
            if summary["trials"]
            else ""
        )
        + _answers(summary["smoke_test"])
    )
    return page(summary["project"], body)


def render_rollback(summary: dict[str, Any], run_id: str, uri: str) -> str:
    """The page of a rollback: what serves now, and the smoke test's answers."""
    body = (
        f"<h1>{html.escape(summary['project'])}</h1>"
        f"<p>{html.escape(summary['outcome'])}</p><p>Run {html.escape(run_id)}</p>"
        + table(["", ""], [("Model", summary["model"])])
        + _answers(summary["smoke_test"])
    )
    return page(summary["project"], body)


def _spot_saving(training: dict[str, Any]) -> float | None:
    """The share of the training time that is not billed, which is how SageMaker states what spot instances save."""
    billable, seconds = training.get("billable_seconds"), training.get("training_seconds")
    # EC2 bills an instance for longer than it trains.
    return max(0.0, 1 - billable / seconds) if billable is not None and seconds else None


def _saving(share: float) -> str:
    return f"{share:.0%} of the training time is not billed"


def _accuracy(summary: dict[str, Any]) -> str:
    figure, interval = _figure(summary["test_accuracy"]), summary["test_accuracy_interval"]
    if interval is None:
        return figure
    return f"{figure} on {summary['test_images']} images; 95% interval {interval[0]:.4f} to {interval[1]:.4f}"


def _difference(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return NONE
    low, high = difference["interval"]
    verdict = "more than noise" if difference["significant"] else "may be noise"
    interval = f"{difference['confidence']:.0%} interval {low:+.4f} to {high:+.4f}"
    return f"{difference['accuracy']:+.4f}; {interval}: {verdict}"


def _link(text: str, target: str | None, uri: str) -> str:
    """A link to another page of the same bucket, with its address as text: a signed address follows no link."""
    if target is None:
        return ""
    bucket, _ = split_s3_uri(uri)
    path = posixpath.relpath(target.removeprefix(f"s3://{bucket}/"), posixpath.dirname(split_s3_uri(uri)[1]))
    return f"<p><a href='{html.escape(path, quote=True)}'>{text}</a>: {html.escape(target)}</p>"


def _answers(smoke_test: dict[str, Any] | None) -> str:
    if smoke_test is None:
        return ""
    rows = [
        (
            request["truth"],
            request["label"],
            f"{request['probability']:.3f}",
            f"{request['milliseconds']:.0f} ms",
        )
        for request in smoke_test["requests"]
    ]
    return f"<h2>Smoke test</h2>{table(['True class', 'Answer', 'Probability', 'Time'], rows)}"


def _warnings(warnings: list[dict[str, str]]) -> str:
    if not warnings:
        return ""
    rows = [(warning["check"], warning["message"]) for warning in warnings]
    return f"<h2>Warnings of the training</h2>{table(['Check', 'What was found'], rows)}"


def _cost(told: dict[str, Any] | None) -> str:
    """Estimate against actual, and what goes on to be billed."""
    if told is None:
        return ""
    estimated, billed = told["estimate"], told["actual"]
    running = [(item["what"], dollars(item["usd"])) for item in estimated["monthly"]]
    running.append(("in all", dollars(estimated["monthly_usd"])))
    calls = f"1,000 calls of a second each: {dollars(estimated['thousand_calls_usd'])}."
    notes = [calls, *estimated["notes"]]
    if billed["spot_saved_usd"]:
        notes.insert(0, f"Spot instances saved {dollars(billed['spot_saved_usd'])}.")
    return (
        "<h2>Cost</h2>"
        + table(["Step", "At most", "Last time", "This run"], rows(estimated, billed))
        + table(["What stays, while it serves", "Per month"], running)
        + "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    )


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"
