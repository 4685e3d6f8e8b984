"""The page of an evaluation for people: one file, without scripts, with its charts and pictures inside."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import charts
from charts import Line
from images import open_image
from training_record import TrainingRecord

TITLE = "Evaluation of the candidate"
THUMBNAIL_SIDE = 160  # pixels
MAX_NAMED_CLASSES = 20
MAX_CONFUSED_PAIRS = 20
TIME_PARTS = ("data", "forward", "backward", "other")
STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.3rem .8rem;border-bottom:1px solid #8886;text-align:left;vertical-align:top}"
    ".figures td+td,.figures th+th{text-align:right;font-variant-numeric:tabular-nums}"
    ".verdict{font-size:1.2rem}.warning{border-left:.4rem solid #e0962b;padding-left:1rem}"
    "h3{margin:.8rem 0 .2rem;font-size:1rem}"
    "figure{display:inline-block;margin:.3rem;width:10rem;vertical-align:top}"
    "figcaption{font-size:.75rem;overflow-wrap:anywhere}figure img{display:block}"
)

Model = dict[str, Any]


def render(evaluation: dict[str, Any], data: Path, training: TrainingRecord | None) -> str:
    """Return the page as HTML.

    :param evaluation: the content of evaluation.json.
    :param data: the test split, to show some of its images.
    :param training: how the candidate was trained; left out if None.
    """
    candidate, live, labels = evaluation["candidate"], _comparable(evaluation), evaluation["classes"]
    body = [
        f"<h1>{TITLE}</h1>",
        f"<p class='verdict'>{html.escape(_verdict(evaluation))}</p>",
        f"<p>{evaluation['images']:,} test images of {len(labels)} classes</p>",
        _header(candidate, live),
        "<h2>Confusion matrix</h2>" + _confusion(candidate["confusion"], labels),
        _worst_classes(candidate["worst_classes"]),
        f"<h2>The most confident mistakes</h2>{_mistakes(candidate['mistakes'], data)}",
        f"<h2>How far its probabilities can be trusted</h2>{_reliability(candidate, live, evaluation['images'])}",
        _training(training) if training else "",
        f"<h2>Each class</h2>{_per_class(candidate, live)}",
    ]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{TITLE}</title><style>{STYLE}{charts.STYLE}</style>{''.join(body)}</html>"
    )


def _comparable(evaluation: dict[str, Any]) -> Model | None:
    live = evaluation["live"]
    return None if live is None or "incomparable" in live else live


def _verdict(evaluation: dict[str, Any]) -> str:
    """Say whether the candidate differs from the live model by more than noise."""
    difference = evaluation["difference"]
    if evaluation["live"] is None:
        return "No model is live yet, so there is nothing to compare the candidate with."
    if difference is None:
        return f"The live model can't be compared: {evaluation['live']['incomparable']}"
    better, worse = difference["only_candidate_right"], difference["only_live_right"]
    if better == worse == 0:
        return "The candidate and the live model are right on the same images."
    low, high = difference["interval"]
    measured = (
        f"the difference is {difference['accuracy']:+.3f}, with a {difference['confidence']:.0%} interval of "
        f"{low:+.3f} to {high:+.3f}. "
        f"On {better} images only the candidate is right, on {worse} only the live model."
    )
    if not difference["significant"]:
        return (
            f"The candidate's accuracy does not differ from the live model's by more than noise: {measured}"
        )
    return (
        f"The candidate's accuracy is {'higher' if low > 0 else 'lower'} than the live model's by more than noise: "
        f"{measured}"
    )


def _header(candidate: Model, live: Model | None) -> str:
    models = [candidate] if live is None else [candidate, live]
    rows = [
        ("Accuracy", [f"{model['accuracy']:.3f}" for model in models]),
        (
            "Accuracy, 95% interval",
            ["{:.3f} to {:.3f}".format(*model["accuracy_interval"]) for model in models],
        ),
        ("Top-5 accuracy", [f"{model['top5_accuracy']:.3f}" for model in models]),
        ("Macro F1", [f"{model['macro_f1']:.3f}" for model in models]),
        ("Cross-entropy loss", [f"{model['loss']:.3f}" for model in models]),
        ("Expected calibration error", [f"{model['ece']:.3f}" for model in models]),
        ("Time of a request, median", [f"{model['milliseconds_per_image']:.1f} ms" for model in models]),
        ("Time of a request, 95th percentile", [f"{model['milliseconds_p95']:.1f} ms" for model in models]),
        ("Size of model.tar.gz", [f"{model['size_bytes'] / 1e6:.1f} MB" for model in models]),
    ]
    head = ["", "Candidate"] if live is None else ["", "Candidate", "Live"]
    return _table(head, [(name, *figures) for name, figures in rows], figures=True)


def _confusion(matrix: list[list[int]], labels: list[str]) -> str:
    title = "Confusion matrix: a row for each true class, a column for each answer"
    if len(labels) <= MAX_NAMED_CLASSES:
        chart = charts.confusion_chart(title, matrix, labels)
        return f"<p>Rows are the truth, columns the candidate's answers.</p>{chart}"
    pairs = sorted(
        (
            (-count, labels[row], labels[column])
            for row, counts in enumerate(matrix)
            for column, count in enumerate(counts)
            if count and row != column
        )
    )[:MAX_CONFUSED_PAIRS]
    return (
        "<p>Rows are the truth, columns the candidate's answers, both in the order of the table of classes below. "
        f"What is right lies on the diagonal.</p>{charts.small_confusion_chart(title, matrix, labels)}"
        + (
            "<h3>Most frequent confusions</h3>"
            + _table(
                ["Truth", "Answer", "Images"], [(truth, answer, -count) for count, truth, answer in pairs]
            )
            if pairs
            else ""
        )
    )


def _worst_classes(worst: list[dict[str, Any]]) -> str:
    rows = [
        (
            entry["class"],
            f"{entry['recall']:.3f}",
            entry["images"],
            ", ".join(f"{label} ({count})" for label, count in entry["mistaken_for"].items()),
        )
        for entry in worst
    ]
    if not rows:
        return "<p>Every test image was answered rightly.</p>"
    return f"<h3>Worst classes</h3>{_table(['Class', 'Recall', 'Images', 'Mistaken for'], rows)}"


def _mistakes(mistakes: list[dict[str, Any]], data: Path) -> str:
    if not mistakes:
        return "<p>There is no mistake to show.</p>"
    return "".join(
        f"<figure><img src='data:image/jpeg;base64,{_thumbnail(data / mistake['image'])}' "
        f"alt='{html.escape(mistake['image'])}'><figcaption>Truth: {html.escape(mistake['truth'])}<br>"
        f"Answer: {html.escape(mistake['answer'])} ({mistake['probability']:.3f})</figcaption></figure>"
        for mistake in mistakes
    )


def _thumbnail(path: Path) -> str:
    image = open_image(path)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def _reliability(candidate: Model, live: Model | None, images: int) -> str:
    lines = [
        Line(
            name,
            [(entry["confidence"], entry["accuracy"]) for entry in model["reliability"]],
            [entry["images"] / images for entry in model["reliability"]],
        )
        for name, model in (("Candidate", candidate), ("Live", live))
        if model is not None
    ]
    chart = charts.line_chart(
        "Reliability curve; the table below has the candidate's figures",
        lines,
        "Mean probability of the answers",
        "Share that is right",
        x=(0, 1),
        y=(0, 1),
        diagonal=True,
    )
    rows = [
        (f"{entry['confidence']:.3f}", f"{entry['accuracy']:.3f}", entry["images"])
        for entry in candidate["reliability"]
    ]
    return (
        "<p>Answers in bins by their probability. On the dashed line, a model is right as often as it says; "
        f"below it, it is too sure of itself. The larger a mark, the more answers it stands for.</p>{chart}"
        "<details><summary>The candidate's bins</summary>"
        f"{_table(['Mean probability', 'Share that is right', 'Images'], rows)}</details>"
    )


def _training(training: TrainingRecord) -> str:
    parts = ["<h2>Training</h2>"]
    if training.diagnosis is not None:
        parts += [
            f"<section class='warning'><h3>Warning: {html.escape(warning['check'])}</h3>"
            f"<p>{html.escape(warning['message'])}</p></section>"
            for warning in training.diagnosis
        ] or ["<p>The checks of the training loop found nothing amiss.</p>"]
    history = training.history
    if history:
        for name in ("loss", "accuracy"):
            lines = [
                Line(split, [(epoch["epoch"], epoch[f"{split}_{name}"]) for epoch in history])
                for split in ("train", "validation")
            ]
            y = (0.0, 1.0) if name == "accuracy" else None
            parts.append(charts.line_chart(f"Learning curve: {name}", lines, "Epoch", name.capitalize(), y=y))
        if all(f"{part}_seconds" in epoch for part in TIME_PARTS for epoch in history):
            columns = [[epoch[f"{part}_seconds"] for part in TIME_PARTS] for epoch in history]
            title = "Seconds of each epoch, by what they went to"
            parts.append(
                f"<h3>{title}</h3>{charts.stacked_columns(title, TIME_PARTS, columns, 'Epoch', 'Seconds')}"
            )
    return "".join(parts)


def _per_class(candidate: Model, live: Model | None) -> str:
    head = ["Class", "Images", "Precision", "Recall", "F1"]
    rows: list[tuple[Any, ...]] = [
        (label, entry["images"], *(f"{entry[name]:.3f}" for name in ("precision", "recall", "f1")))
        for label, entry in candidate["per_class"].items()
    ]
    if live is not None:
        head.append("Live model's F1")
        rows = [(*row, f"{live['per_class'][row[0]]['f1']:.3f}") for row in rows]
    return _table(head, rows, figures=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], figures: bool = False) -> str:
    """A table of plain text. Where it holds figures, all but the first column are set flush right."""
    header = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table{' class=figures' if figures else ''}><tr>{header}</tr>{body}</table>"
