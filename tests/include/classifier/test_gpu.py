"""Where there is a GPU, nothing computes on the CPU without a word."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from image_classifier import distributed, extraction, gpu, serve_app
from image_classifier.errors import ClassifierError
from image_classifier.predictor import Predictor

from tests.include.classifier.conftest import CLASSIFIER
from tests.include.classifier.training import Trained


@pytest.fixture
def old_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU whose driver is too old for PyTorch."""

    def fail() -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040).\nPlease update."
        )

    device = tmp_path / "nvidiactl"
    device.touch()
    monkeypatch.setattr(gpu, "DEVICE", device)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.setattr(torch.version, "cuda", "13.3")


MESSAGE = (
    r"has an NVIDIA GPU, but PyTorch .* with CUDA 13.3 can't use it: The NVIDIA driver on your system is too old "
    r"\(found version 11040\)\. Choose"
)


def test_a_gpu_that_cannot_be_used_is_an_error_in_training(old_driver: None) -> None:
    with pytest.raises(ClassifierError, match=MESSAGE), distributed.join():
        pytest.fail("the training went on")


def test_a_gpu_that_cannot_be_used_is_an_error_in_extraction(old_driver: None) -> None:
    with pytest.raises(ClassifierError, match=MESSAGE):
        extraction.fastest_runtime()


def test_a_gpu_that_cannot_be_used_is_an_error_in_serving(trained: Trained, old_driver: None) -> None:
    with pytest.raises(ClassifierError, match=MESSAGE):
        Predictor(trained.model)


def test_the_cpu_computes_where_a_person_hides_the_gpu(
    trained: Trained, old_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")

    assert Predictor(trained.model).runtime == "onnxruntime"
    assert gpu.device().type == "cpu"


def test_without_a_gpu_the_cpu_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "DEVICE", tmp_path / "nothing")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert gpu.device().type == "cpu"


def test_a_gpu_that_ray_does_not_see_is_an_error(old_driver: None) -> None:
    with pytest.raises(ClassifierError, match="Ray counts none"):
        serve_app.replicas({"CPU": 4.0})


@pytest.mark.parametrize(
    ("resources", "count", "each"),
    [
        ({"CPU": 2.0, "memory": 1e9}, 2, {"num_cpus": 1}),
        ({"CPU": 0.5}, 1, {"num_cpus": 1}),
        ({"CPU": 4.0, "GPU": 1.0}, 1, {"num_gpus": 1, "num_cpus": 4}),
        ({"CPU": 48.0, "GPU": 4.0}, 4, {"num_gpus": 1, "num_cpus": 12}),
    ],
)
def test_replicas_share_the_machine(resources: dict[str, float], count: int, each: dict[str, float]) -> None:
    assert serve_app.replicas(resources) == {"num_replicas": count, "ray_actor_options": each}


@pytest.mark.parametrize(("replicas", "queued"), [(1, 78), (2, 76), (39, 2), (40, 1), (96, 1)])
def test_ray_refuses_before_aws_adapter_has_requests_wait(replicas: int, queued: int) -> None:
    """The adapter has at most 100 connections to Ray."""
    assert serve_app.max_queued_requests(replicas) == queued
    if replicas < 50:
        assert queued + replicas * serve_app.MAX_ONGOING_REQUESTS < 100


def test_whether_there_is_a_gpu_is_found_out_without_torch(tmp_path: Path) -> None:
    code = "import sys; from image_classifier import gpu; gpu.is_present(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CLASSIFIER)
