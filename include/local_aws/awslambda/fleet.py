"""Hands out the execution environments of all functions, keeps provisioned ones ready, ends the others."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from include.local_aws.awslambda.execution_environment import ExecutionEnvironment
from include.local_aws.awslambda.moto_aliases import set_weights
from include.local_aws.awslambda.moto_functions import (
    Function,
    find_function,
    reservations,
    reserved_concurrency,
)
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses

CONCURRENCY_LIMIT = 32
"""Environments of all functions together: what a laptop's memory holds. AWS's limit is the account's."""

IDLE_SECONDS = 300.0
"""How long an environment is kept that nobody uses."""

_CHECK_SECONDS = 0.25
_MOVE_AWS_SECONDS = 120.0
"""How long an alias with provisioned concurrency takes at least to move: in AWS 2 to 8 minutes."""

_log = logging.getLogger(__name__)

_Changed = TypeVar("_Changed")


@dataclass(frozen=True)
class Target:
    """The version or alias of a function that provisioned concurrency belongs to."""

    region: str
    name: str
    qualifier: str


@dataclass
class ProvisionedConcurrency:
    """How many environments a target was given, and how many of them are ready."""

    requested: int
    serving: Function | None = None
    """The version that has the environments: while its alias moves, the one that it leaves."""
    modified: float = field(default_factory=time.time)
    ready: int = 0
    broken: Function | None = None
    """The version that could not be imported, for which no further start is tried."""
    moved_at: float | None = None
    """When its alias has moved at the earliest, by the fleet's clock; None while it does not move."""

    @property
    def status(self) -> str:
        if self.broken:
            return "FAILED"
        return "READY" if self.ready >= self.requested and self.moved_at is None else "IN_PROGRESS"


@dataclass
class _Slot:
    """An environment and what it does: ``starting`` or ``busy`` in some thread's hands, or ``idle``."""

    environment: ExecutionEnvironment
    target: Target | None
    state: str = "starting"
    idle_since: float = 0.0


class Fleet:
    """Keeps what runs in step with the functions that moto has; a thread looks four times a second."""

    def __init__(
        self, config: Config, children: ChildProcesses, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """:param clock: says how late it is, in seconds, to tell how long an environment has been idle"""
        self._config = config
        self._children = children
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._provisioned: dict[Target, ProvisionedConcurrency] = {}
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @contextmanager
    def environment(self, function: Function, qualifier: str | None) -> Iterator[ExecutionEnvironment]:
        """An environment for one event: provisioned if one is idle, else a warm one, else a new one.

        :raises AwsError: TooManyRequestsException when all are busy, or what is reserved for the function is
        """
        with self._admitted(function):
            slot, is_new = self._take(function, qualifier)
            try:
                if is_new:
                    slot.environment.start()
                yield slot.environment
            except BaseException:
                slot.environment.alive = False
                raise
            finally:
                self._give_back(slot)

    def in_flight(self, region: str, name: str) -> int:
        """How many events of a function, of all its versions, are being answered."""
        return self._in_flight[region, name]

    def provision(self, target: Target, count: int) -> ProvisionedConcurrency:
        """Have ``count`` environments kept ready for a target; they start in the background.

        :return: what was requested, of which nothing is ready yet: AWS's answer does not wait either
        :raises AwsError: InvalidParameterValueException when a laptop has no room for so many
        """
        with self._lock:
            others = sum(item.requested for key, item in self._provisioned.items() if key != target)
            if count + others > CONCURRENCY_LIMIT:
                raise AwsError(
                    "InvalidParameterValueException",
                    f"Local AWS keeps at most {CONCURRENCY_LIMIT} environments provisioned, of which {others} are "
                    "taken.",
                )
            self._provisioned[target] = item = ProvisionedConcurrency(count, self._function(target))
            return replace(item)

    def is_provisioned(self, target: Target) -> bool:
        """Whether a target has provisioned concurrency."""
        return target in self._provisioned

    def has_failed_to_move(self, target: Target) -> bool:
        """Whether an alias was moved to a version that could not be provisioned."""
        item = self._provisioned[target]
        return item.broken is not None and item.broken != item.serving

    def move(self, target: Target, change: Callable[[], _Changed]) -> _Changed:
        """Provision the version that an alias points to next; meanwhile its calls go to the one that it leaves.

        :param change: has the alias point there. No check of what is provisioned sees it before it has its weights.
        :return: what change returns
        """
        with self._lock:
            item = self._provisioned[target]
            changed = change()
            item.broken = None
            if item.serving is None or item.serving == self._function(target):
                self._settle(target, item)
                return changed
            item.moved_at = self._clock() + self._config.lasts(_MOVE_AWS_SECONDS)
            set_weights(target.region, target.name, target.qualifier, {item.serving.version: 1.0})
            return changed

    def settle(self, target: Target) -> None:
        """Provision the version that an alias points to now, to which its calls go already."""
        with self._lock:
            if item := self._provisioned.get(target):
                item.moved_at, item.serving = None, self._function(target)

    def _settle(self, target: Target, item: ProvisionedConcurrency) -> None:
        item.moved_at, item.serving = None, self._function(target)
        set_weights(target.region, target.name, target.qualifier, {})

    @staticmethod
    def _function(target: Target) -> Function | None:
        return _current(target.region, target.name, target.qualifier)

    def forget(self, region: str, name: str, qualifier: str | None = None) -> None:
        """Let the environments of a version or alias end, or without a qualifier those of a function."""
        with self._lock:
            for target in list(self._provisioned):
                if (target.region, target.name) == (region, name) and qualifier in (None, target.qualifier):
                    del self._provisioned[target]

    def total_provisioned(self, region: str) -> Counter[str]:
        """Return how many environments are provisioned for each function, for all its versions and aliases."""
        total: Counter[str] = Counter()
        with self._lock:
            for target, item in self._provisioned.items():
                if target.region == region:
                    total[target.name] += item.requested
        return total

    def provisioned(self, region: str, name: str) -> dict[str, ProvisionedConcurrency]:
        """What each version and alias of a function was given."""
        with self._lock:
            return {
                target.qualifier: replace(item)
                for target, item in self._provisioned.items()
                if (target.region, target.name) == (region, name)
            }

    def close(self) -> None:
        """End every environment; none is handed out afterwards."""
        self._closed.set()
        self._keeper.join()
        with self._lock:
            slots, self._slots = self._slots, []
        for slot in slots:
            slot.environment.end()

    @contextmanager
    def _admitted(self, function: Function) -> Iterator[None]:
        """Count an event as one of its function's while it is answered."""
        key = function.region, function.name
        limit, reserved = reserved_concurrency(*key), reservations(function.region)
        with self._lock:
            if limit is not None and self._in_flight[key] >= limit:
                raise _too_many("ReservedFunctionConcurrentInvocationLimitExceeded")
            unreserved = self._config.concurrent_executions - sum(reserved.values())
            running = sum(
                count
                for (region, name), count in self._in_flight.items()
                if region == function.region and name not in reserved
            )
            if limit is None and running >= unreserved:
                raise _too_many("ConcurrentInvocationLimitExceeded")
            self._in_flight[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[key] -= 1

    def _take(self, function: Function, qualifier: str | None) -> tuple[_Slot, bool]:
        """A slot for one event, and whether its environment has yet to be started."""
        qualifiers = {qualifier, function.version}
        evicted = None
        with self._lock:
            if self._closed.is_set():
                raise AwsError("ServiceException", "Local AWS is shutting down.", 500)
            idle = [
                slot
                for slot in self._slots
                if slot.state == "idle"
                and slot.environment.function == function
                and (slot.target is None or slot.target.qualifier in qualifiers)
            ]
            if idle:
                # Provisioned before on demand; of these the one used last, so that the others can end.
                slot = max(idle, key=lambda slot: (slot.target is not None, slot.idle_since))
                slot.state = "busy"
                return slot, False
            if len(self._slots) >= CONCURRENCY_LIMIT:
                evicted = self._remove_longest_idle()
            slot = self._add(function, None)
        if evicted:
            evicted.environment.end()
        return slot, True

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            if slot.environment.initialized and not self._closed.is_set():
                slot.state, slot.idle_since = "idle", self._clock()
                return
            if slot in self._slots:
                self._slots.remove(slot)
        slot.environment.end()

    def _add(self, function: Function, target: Target | None) -> _Slot:
        environment = ExecutionEnvironment(
            function, self._config, self._children, provisioned=target is not None
        )
        slot = _Slot(environment, target)
        self._slots.append(slot)
        return slot

    def _remove_longest_idle(self) -> _Slot:
        idle = [slot for slot in self._slots if slot.target is None and slot.state == "idle"]
        if not idle:
            raise _too_many("ConcurrentInvocationLimitExceeded")
        slot = min(idle, key=lambda slot: slot.idle_since)
        self._slots.remove(slot)
        return slot

    def _keep(self) -> None:
        while not self._closed.wait(_CHECK_SECONDS):
            try:
                with self._lock:
                    new = self._add_missing()
                    surplus = self._remove_unwanted()
                for slot in new:
                    threading.Thread(target=self._start_provisioned, args=(slot,), daemon=True).start()
                for slot in surplus:
                    slot.environment.end()
            except Exception:
                _log.exception("Lambda's execution environments could not be brought in step with moto")

    def _add_missing(self) -> list[_Slot]:
        """Make slots for what is provisioned and not there, and count what is ready."""
        new = []
        for target, item in list(self._provisioned.items()):
            function = self._function(target)
            if function is None:
                del self._provisioned[target]
                continue
            if item.moved_at is None and not self.has_failed_to_move(target):
                item.serving = function
            slots = self._slots_of(target, function)
            is_complete = sum(slot.state != "starting" for slot in slots) >= item.requested
            if item.moved_at is not None and is_complete and self._clock() >= item.moved_at:
                self._settle(target, item)
            served = self._slots_of(target, item.serving or function)
            item.ready = sum(slot.state != "starting" for slot in served)
            if item.broken != function:
                item.broken = None
                new += [self._add(function, target) for _ in range(item.requested - len(slots))]
        return new

    def _slots_of(self, target: Target, function: Function) -> list[_Slot]:
        return [
            slot for slot in self._slots if slot.target == target and slot.environment.function == function
        ]

    def _start_provisioned(self, slot: _Slot) -> None:
        try:
            slot.environment.start()
        except Exception as error:
            slot.environment.alive = False
            _log.warning("An environment of %s did not start: %s", slot.environment.function.name, error)
        with self._lock:
            item = self._provisioned.get(slot.target) if slot.target else None
            if item and not slot.environment.initialized:
                item.broken, item.moved_at = slot.environment.function, None
        self._give_back(slot)

    def _remove_unwanted(self) -> list[_Slot]:
        """Take out the idle slots that nothing needs any more."""
        kept: Counter[tuple[Target, Function]] = Counter()
        unwanted = [slot for slot in self._slots if not self._is_wanted(slot, kept) and slot.state == "idle"]
        for slot in unwanted:
            self._slots.remove(slot)
        return unwanted

    def _is_wanted(self, slot: _Slot, kept: Counter[tuple[Target, Function]]) -> bool:
        function, target = slot.environment.function, slot.target
        if target is None:
            is_fresh = self._clock() - slot.idle_since <= IDLE_SECONDS
            return is_fresh and _current(function.region, function.name, function.version) == function
        item = self._provisioned.get(target)
        if item is None:
            return False
        if function not in (item.serving, self._function(target)):
            return False
        kept[target, function] += 1
        return kept[target, function] <= item.requested


def _too_many(reason: str) -> AwsError:
    return AwsError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=reason, Type="User")


def _current(region: str, name: str, qualifier: str) -> Function | None:
    """The function as moto has it now."""
    try:
        return find_function(region, name, qualifier)
    except AwsError:
        return None
