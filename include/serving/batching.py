"""Computes the images of requests that are under way at the same time in one forward pass."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

MAX_IMAGES = 16
"""The most images of one forward pass, unless one request has more: larger ones are not faster on a CPU."""


class _Request:
    """The prepared images of one request, and what became of them."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images
        self.answer: np.ndarray | None = None
        self.error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.error is not None


class BatchingModel:
    """A model that several threads use, with one forward pass at a time.

    A request is computed at once where nothing is under way: it never waits for others to join. Those that arrive
    meanwhile are computed together in the next pass, by the thread of one of them.

    :param model: as ``model_fn`` returns it, with ``prepare`` and ``probabilities``.
    :param decoders: how many images may be decoded at once; a decoded image may take 500 MB.
    """

    def __init__(self, model: Any, decoders: int) -> None:
        self._model = model
        self._decoders = threading.BoundedSemaphore(decoders)
        self._changed = threading.Condition()
        self.waiting: list[_Request] = []
        self._is_computing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def prepare(self, image: bytes) -> np.ndarray:
        """Return what the model takes of an encoded image."""
        with self._decoders:
            prepared: np.ndarray = self._model.prepare(image)
            return prepared

    def probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        """Return the probability of every class for prepared images, N x C."""
        request = _Request(prepared)
        with self._changed:
            self.waiting.append(request)
            self._changed.wait_for(lambda: request.is_done or not self._is_computing)
            if not request.is_done:
                self._is_computing = True
        while not request.is_done:
            with self._changed:
                batch = self._take()
            self._compute(batch)
            with self._changed:
                self._is_computing = not request.is_done
                self._changed.notify_all()
        if request.error is not None:
            raise request.error
        assert request.answer is not None
        return request.answer

    def _take(self) -> list[_Request]:
        """Remove the requests of the next forward pass from those that wait, the oldest first."""
        count, images = 0, 0
        for request in self.waiting:
            images += len(request.images)
            if count and images > MAX_IMAGES:
                break
            count += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def _compute(self, batch: list[_Request]) -> None:
        try:
            answers = self._model.probabilities([image for request in batch for image in request.images])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].error = error
            else:  # one of them is to blame: the others shall not fail with it
                for request in batch:
                    self._compute([request])
            return
        start = 0
        for request in batch:
            request.answer = answers[start : start + len(request.images)]
            start += len(request.images)
