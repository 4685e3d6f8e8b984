"""Handlers, servers and local AWS, measured with few drawn pictures and a model with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import classifier_jobs, local, serve, torchserve
from benchmarks.dataset import GENERATED, Images, unpack
from benchmarks.options import Options

FEW = Options(images=10, rounds=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("serving")
    return serve.write_photos(unpack(GENERATED, scratch / "images", FEW.of_each_split()), scratch)


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> serve.Model:
    folder = tmp_path_factory.mktemp("model")
    classifier_jobs.run_module("random_model", "efficientnet_lite0", 5, photos, folder)
    return serve.Model("efficientnet_lite0", folder)


@pytest.mark.timeout(900)  # TorchServe and half a dozen processes import PyTorch, most of them on one core
def test_serving_is_measured(monkeypatch: pytest.MonkeyPatch, model: serve.Model) -> None:
    """With TorchServe, where it can be had; the answers are compared on the way."""

    def prepare(images: Images, photos: Path, scratch: Path) -> Iterator[serve.Model]:
        yield model

    monkeypatch.setattr(serve, "prepare", prepare)
    results = serve.run(FEW)
    groups = ["serve"] if torchserve.missing() else ["serve", "serve over HTTP"]
    assert [result.name for result in results] == [
        f"{group}, efficientnet_lite0, {what}"
        for group in groups
        for what in ("one photo, p50", "one photo, p99", "8 at once")
    ]
    assert all(result.ours > 0 and result.peer > 0 for result in results)


def test_answers_that_differ_stop_the_measurement(
    monkeypatch: pytest.MonkeyPatch, model: serve.Model, photos: Path
) -> None:
    monkeypatch.setattr(serve, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="does not answer as the original's network"):
        serve.check_answers(model, photos)


def test_where_java_is_missing_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "there is no java" in str(torchserve.missing())


def test_a_handler_that_cannot_start_is_told(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(RuntimeError, match="The handler of original ended with status 1"):
        with serve.worker("original", tmp_path, photos):
            pass


def test_each_photo_is_timed_alone_through_the_endpoint_and_through_the_function() -> None:
    """What is added is not told: with another test beside this one, it would be chance."""
    times = local.measure(FEW)
    assert [len(each) for each in times] == [FEW.images * FEW.rounds] * 3
    assert all(seconds > 0 for each in times for seconds in each)


def test_what_is_added_is_the_difference_for_the_same_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    times = ([0.01, 0.04, 0.02], [0.015, 0.05, 0.025], [0.02, 0.06, 0.03])
    monkeypatch.setattr(local, "measure", lambda options: times)
    by_endpoint, by_function = local.run(FEW)
    assert by_endpoint.name == "local, added by the endpoint, p50"
    assert (by_endpoint.ours, by_endpoint.peer, by_endpoint.ratio) == pytest.approx((5.0, 20.0, 4.0))
    assert by_function.name == "local, added by function and endpoint, p50"
    assert (by_function.ours, by_function.peer, by_function.ratio) == pytest.approx((10.0, 20.0, 2.0))


def test_a_way_that_seems_to_add_nothing_is_not_believed() -> None:
    with pytest.raises(RuntimeError, match="too busy to measure what is added by the endpoint"):
        local.added("the endpoint", [0.01], [0.02])
