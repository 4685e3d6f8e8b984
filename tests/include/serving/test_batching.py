"""Requests that come while the model computes are computed together, and fail apart."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "include" / "serving"))
from batching import MAX_IMAGES, BatchingModel

WAIT_SECONDS = 60


class Model:
    """Doubles what it is given; the first pass waits at a gate."""

    classes = ("a",)

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def prepare(self, image: bytes) -> np.ndarray:
        return np.array([float(image)])

    def probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        self.passes.append(len(prepared))
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS)
        if any(image[0] < 0 for image in prepared):
            raise ValueError("a negative one")
        return 2 * np.stack(prepared)


def ask(batching: BatchingModel, *numbers: int) -> list[float]:
    prepared = [batching.prepare(str(number).encode()) for number in numbers]
    return [float(row[0]) for row in batching.probabilities(prepared)]


def ask_together(model: Model, *requests: tuple[int, ...]) -> list[Any]:
    """Have the first request computed while the others come, and return what became of each."""
    batching = BatchingModel(model, decoders=2)
    with ThreadPoolExecutor(len(requests)) as pool:
        first = pool.submit(ask, batching, *requests[0])
        assert model.entered.wait(WAIT_SECONDS)
        others = [pool.submit(ask, batching, *numbers) for numbers in requests[1:]]
        while len(batching.waiting) < len(others):
            pass
        model.gate.set()
        return [each.exception() or each.result() for each in (first, *others)]


def test_one_request_is_computed_at_once() -> None:
    model = Model()
    model.gate.set()

    assert ask(BatchingModel(model, decoders=1), 1, 2) == [2, 4]
    assert model.passes == [2]


def test_requests_that_wait_share_a_pass_and_get_their_own_answers() -> None:
    model = Model()

    assert ask_together(model, (1,), (2,), (3, 4), (5,)) == [[2], [4], [6, 8], [10]]
    assert model.passes == [1, 4]


def test_a_pass_has_so_many_images() -> None:
    model = Model()

    answers = ask_together(model, (1,), *[(n,) * 6 for n in range(2, 6)])

    assert answers == [[2], [4] * 6, [6] * 6, [8] * 6, [10] * 6]
    assert model.passes == [1, 12, 12]
    assert max(model.passes) <= MAX_IMAGES


def test_a_request_larger_than_a_pass_is_computed_alone() -> None:
    model = Model()

    answers = ask_together(model, (1,), (2,) * (MAX_IMAGES + 1), (3,))

    assert [len(answer) for answer in answers] == [1, MAX_IMAGES + 1, 1]


def test_a_request_that_fails_fails_alone() -> None:
    model = Model()

    first, bad, good = ask_together(model, (1,), (-1,), (2,))

    assert (first, good) == ([2], [4])
    assert str(bad) == "a negative one"


def test_so_many_images_are_decoded_at_once() -> None:
    model = Model()
    batching = BatchingModel(model, decoders=2)
    lock, now, seen = threading.Lock(), 0, []
    together = threading.Barrier(2)

    def prepare(image: bytes) -> np.ndarray:
        nonlocal now
        with lock:
            now += 1
            seen.append(now)
        together.wait(WAIT_SECONDS)
        with lock:
            now -= 1
        return np.zeros(1)

    model.prepare = prepare  # type: ignore[method-assign]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(batching.prepare, [b"1"] * 4))
    assert max(seen) == 2


def test_the_rest_is_the_models() -> None:
    assert BatchingModel(Model(), 1).classes == ("a",)
    with pytest.raises(AttributeError):
        _ = BatchingModel(Model(), 1).other
