"""One table says what is measured. Whatever computes, limits or shows a metric goes by it."""

import pytest
from image_classifier import evaluation_metrics
from image_classifier.metric_table import COMPARED, METRICS

from include.pipeline import approval
from include.pipeline.project_files import load_project
from include.pipeline.results import Candidate, Evaluation
from include.pipeline.settings import Gate, SettingsError
from tests.include.pipeline.pages import samples


def test_each_metric_is_computed() -> None:
    assert evaluation_metrics.COMPUTATIONS.keys() == {metric.key for metric in METRICS}


def test_the_gate_compares_what_should_be_high_and_limits_what_should_be_low() -> None:
    assert all(metric.higher_is_better for metric in METRICS if metric.compared)
    limited = [metric for metric in METRICS if metric.ceiling]
    assert not any(metric.higher_is_better for metric in limited)
    assert (
        {metric.ceiling for metric in limited}
        == {"max_latency_ms", "max_size_mb"}
        <= Gate.model_fields.keys()
    )


def test_the_gate_compares_by_the_metrics_of_the_table_alone(tmp_path) -> None:
    assert [Gate(metric=key).metric for key in COMPARED] == list(COMPARED)
    path = tmp_path / "fish.yaml"
    path.write_text("name: fish\ndescription: x\ngate:\n  metric: ece\n")
    with pytest.raises(
        SettingsError, match=r"gate.metric is 'ece'; input should be 'accuracy', 'top5_accuracy' or"
    ):
        load_project(path)


def test_the_page_and_the_question_show_each_metric_with_its_unit() -> None:
    labels = samples.classes(3)
    page = samples.evaluation_page(labels)
    about = Candidate(model="m", package="a", version=1, evaluation="e")
    question = approval.question(samples.evaluation(labels), "It is good.", about, "https://example.com")
    for metric in METRICS:
        value = metric.text(samples.evaluation(labels).candidate.metrics[metric.key])
        better = "higher" if metric.higher_is_better else "lower"
        assert f'<th scope="row">{metric.title} <span class="soft">{better} is better</span></th>' in page
        assert f'<td class="number">{value}</td>' in page
        assert f"| {metric.title} | " in question
        assert f" {value} |" in question


def test_a_metric_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="ece is 'low', not a number"):
        Evaluation.model_validate({"images": 1, "candidate": {"accuracy": 1.0, "ece": "low"}})
