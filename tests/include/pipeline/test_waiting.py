"""Steps that wait without occupying a worker."""

from __future__ import annotations

import pytest

from include.pipeline import waiting
from include.pipeline.waiting import Pending, StepState, finish
from tests.include.pipeline.processes import Processes

LATE = RuntimeError("It took too long.")


def test_a_step_is_called_until_it_has_finished() -> None:
    calls: list[int] = []
    pauses: list[float] = []

    def step(state: StepState) -> int:
        calls.append(1)
        if len(calls) < 3:
            state.wait("the third call", LATE)
        return len(calls)

    assert finish(step, pause=7, sleep=pauses.append) == 3
    assert pauses == [7, 7]


def test_a_step_that_would_wait_for_longer_is_not_called_again() -> None:
    with pytest.raises(Pending, match=r"^Waiting for Godot\.$"):
        finish(lambda state: state.wait("Godot", LATE), pause=30, at_most=20, sleep=pytest.fail)


def test_each_thing_that_a_step_waits_for_has_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, processes = [0.0], Processes()
    monkeypatch.setattr(waiting.time, "time", lambda: now[0])

    def wait(what: str) -> None:
        with pytest.raises(Pending):
            processes.call(lambda state: state.wait(what, LATE, 100))

    wait("one")
    now[0] = 99
    wait("one")
    wait("other")
    now[0] = 100
    with pytest.raises(RuntimeError, match="too long"):
        processes.call(lambda state: state.wait("one", LATE, 100))
    wait("other")
    processes.attempt += 1
    wait("one")


def test_what_a_step_has_done_is_not_done_again_in_the_same_try() -> None:
    processes, calls = Processes(), iter(("first", "second", "third"))
    found = [processes.call(lambda state: state.once("call", lambda: next(calls))) for _ in range(2)]
    assert found == ["first", "first"]
    processes.attempt += 1
    assert processes.call(lambda state: state.earlier("call")) == "first"
    assert processes.call(lambda state: state.once("call", lambda: next(calls))) == "second"
    assert processes.call(lambda state: state.earlier("call")) == "first"


def test_what_had_to_wait_is_called_again() -> None:
    processes, waits = Processes(), iter((True, False))

    def step(state: StepState) -> str:
        def call() -> str:
            if next(waits):
                state.wait("something", LATE)
            return "done"

        return state.once("call", call)

    with pytest.raises(Pending):
        processes.call(step)
    assert processes.call(step) == "done"
    assert next(waits, None) is None
