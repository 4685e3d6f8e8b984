"""The report of one run: a page for people and a summary for programs."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from include.pipeline.names import endpoint_name, function_name, project_uri, split_s3_uri
from include.pipeline.page import page, put_page, table
from include.pipeline.settings import Project

NONE = "\N{EN DASH}"


def summarise(
    project: Project,
    data: dict[str, Any],
    training: dict[str, Any] | None,
    tuning: dict[str, Any] | None,
    evaluation: dict[str, Any] | None,
    smoke_test: dict[str, Any] | None,
    outcome: str,
) -> dict[str, Any]:
    """What one run did, in few figures. Parts that the run did not reach are None.

    :param outcome: one sentence.
    """
    return {
        "project": project.name,
        "outcome": outcome,
        "images": data["counts"],
        "classes": len(data["classes"]),
        "fingerprint": data["fingerprint"],
        "hyperparameters": (tuning or {}).get("hyperparameters"),
        "trials": (tuning or {}).get("trials"),
        "training_job": (training or {}).get("name"),
        "billable_seconds": (training or {}).get("billable_seconds"),
        "test_accuracy": (evaluation or {}).get("candidate", {}).get("accuracy"),
        "live_accuracy": ((evaluation or {}).get("live") or {}).get("accuracy"),
        "smoke_test": smoke_test,
        "endpoint": endpoint_name(project) if smoke_test else None,
        "function": function_name(project) if smoke_test else None,
    }


def publish(project: Project, summary: dict[str, Any], run_id: str, bucket: str, s3: Any) -> str:
    """Put ``report.html`` and ``summary.json`` below ``s3://<bucket>/<project>/runs/<run>/``.

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
    return put_page(render(summary, run_id), f"{uri}/report.html", s3)


def render(summary: dict[str, Any], run_id: str) -> str:
    """The page: figures, trials, and the smoke test's answers."""
    smoke_test = summary["smoke_test"] or {"requests": []}
    figures = [
        ("Images", ", ".join(f"{count} {split}" for split, count in summary["images"].items())),
        ("Classes", summary["classes"]),
        ("Test accuracy", _figure(summary["test_accuracy"])),
        ("Live model's test accuracy", _figure(summary["live_accuracy"])),
        ("Hyperparameters", json.dumps(summary["hyperparameters"]) if summary["hyperparameters"] else NONE),
        ("Training job", summary["training_job"] or NONE),
        (
            "Billable seconds of training",
            summary["billable_seconds"] if summary["billable_seconds"] is not None else NONE,
        ),
        ("Endpoint", summary["endpoint"] or NONE),
        ("Function", summary["function"] or NONE),
    ]
    trials = [
        (trial["name"], json.dumps(trial["hyperparameters"]), _figure(trial["objective"]), trial["status"])
        for trial in summary["trials"] or []
    ]
    answers = [
        (
            request["truth"],
            request["label"],
            f"{request['probability']:.3f}",
            f"{request['milliseconds']:.0f} ms",
        )
        for request in smoke_test["requests"]
    ]
    body = (
        f"<h1>{html.escape(summary['project'])}</h1>"
        f"<p>{html.escape(summary['outcome'])}</p><p>Run {html.escape(run_id)}</p>"
        + table(["", ""], figures)
        + (
            f"<h2>Tuning</h2>{table(['Trial', 'Hyperparameters', 'Validation loss', 'Status'], trials)}"
            if trials
            else ""
        )
        + (
            f"<h2>Smoke test</h2>{table(['True class', 'Answer', 'Probability', 'Time'], answers)}"
            if answers
            else ""
        )
    )
    return page(summary["project"], body)


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"
