"""Let a step wait for AWS without occupying a worker: it raises :class:`Pending`, and is called again later."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

log = logging.getLogger(__name__)

WAIT_SECONDS = 1800

T = TypeVar("T")


class Pending(Exception):
    """Raised by a step that has done what is possible now; the message says what it waits for. Call it again later."""


class StepState:
    """What a step keeps between its calls.

    :param content: the content after the last call.
    :param save: stores the content, which is JSON. It is called after each change.
    :param attempt: the number of the try. A new try starts over.
    """

    def __init__(
        self,
        content: dict[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda content: None,
        attempt: int = 1,
    ) -> None:
        found = content or {"attempt": attempt, "since": {}, "results": {}, "earlier": {}}
        if found["attempt"] != attempt:
            earlier = {**found["earlier"], **found["results"]}
            found = {"attempt": attempt, "since": {}, "results": {}, "earlier": earlier}
        self._content = found
        self._save = save

    def once(self, key: str, call: Callable[[], T]) -> T:
        """Call a function once in a try, and return its result, which must be JSON.

        If the process dies before the result is stored, the next try calls it again.
        """
        results = self._content["results"]
        if key not in results:
            results[key] = call()
            self._save(self._content)
        result: T = results[key]
        return result

    def earlier(self, key: str) -> Any:
        """Return the result of :meth:`once` in an earlier try, or None."""
        return self._content["earlier"].get(key)

    def wait(self, what: str, late: Exception, seconds: float = WAIT_SECONDS, message: str = "") -> NoReturn:
        """Wait, unless the step has already waited too long for the same thing.

        :param what: what the step waits for. Each has its own limit.
        :param late: raised after the limit.
        :param message: the message for the log; by default, it names what the step waits for.
        :raises Pending: before the limit.
        """
        since = self._content["since"]
        if what not in since:
            since[what] = time.time()
            self._save(self._content)
        if time.time() - since[what] >= seconds:
            raise late
        raise Pending(message or f"Waiting for {what}.")


def finish(
    step: Callable[[StepState], T],
    state: StepState | None = None,
    *,
    pause: float,
    at_most: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call a step until it has finished, and return its result.

    :param pause: the number of seconds between two calls.
    :param at_most: the number of seconds after which the step is not called again.
    :raises Pending: if the step has not finished by then.
    """
    state, end, last = state or StepState(), time.monotonic() + at_most, ""
    while True:
        try:
            return step(state)
        except Pending as pending:
            if str(pending) != last:
                log.info("%s", pending)
                last = str(pending)
            if time.monotonic() + pause > end:
                raise
        sleep(pause)
