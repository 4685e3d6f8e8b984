"""All instances of one server: boots them, powers them off when asked or when their own timer says so."""

import logging
import threading
from collections.abc import Callable

from include.local_aws.config import Config
from include.local_aws.ec2.machine import Machine
from include.local_aws.moto_patches import instances
from include.local_aws.processes import ChildProcesses

_BOOT_AWS_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Machines:
    """The machines behind moto's records of instances."""

    def __init__(self, config: Config, children: ChildProcesses) -> None:
        self._config = config
        self._children = children
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._closed = threading.Event()

    def find(self, instance_id: str) -> Machine | None:
        """Return an instance's machine; a terminated one is still known."""
        with self._lock:
            return self._machines.get(instance_id)

    def all(self) -> list[Machine]:
        """Return all machines, the oldest first."""
        with self._lock:
            return list(self._machines.values())

    def boot(self, instance_id: str, user_data: bytes) -> None:
        """Begin to boot an instance; only its first boot runs its user data."""
        with self._lock:
            is_first = instance_id not in self._machines
            machine = self._machines.setdefault(
                instance_id, Machine(self._config, self._children, instance_id)
            )
        machine.switch_on()
        threading.Thread(
            target=self._boot, args=(machine, user_data if is_first else b""), daemon=True
        ).start()

    def power_off(self, instance_id: str, ended: Callable[[], None], *, remove: bool) -> None:
        """Begin to end all that runs on an instance; then remove its folder, if asked, and call ended."""
        self.cancel(instance_id)
        machine = self.find(instance_id)
        if machine is None:
            ended()
            return
        machine.switch_off()
        threading.Thread(
            target=self._power_off, args=(machine, ended), kwargs={"remove": remove}, daemon=True
        ).start()

    def console_output(self, instance_id: str) -> bytes:
        """Return the end of what an instance has printed to its console."""
        machine = self.find(instance_id)
        return b"" if machine is None else machine.console_output()

    def schedule(self, instance_id: str, minutes: int) -> None:
        """Power an instance off in some minutes, as ``shutdown`` does; a later call replaces an earlier one."""
        self.cancel(instance_id)
        timer = threading.Timer(
            minutes * self._config.shutdown_minute_seconds, self._shut_down, args=(instance_id,)
        )
        timer.daemon = True
        with self._lock:
            self._timers[instance_id] = timer
        timer.start()

    def cancel(self, instance_id: str) -> None:
        """Forget that an instance is to be powered off."""
        with self._lock:
            timer = self._timers.pop(instance_id, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Boot nothing more and forget all timers; the processes are the server's to end."""
        self._closed.set()
        for instance_id in list(self._timers):
            self.cancel(instance_id)

    def _shut_down(self, instance_id: str) -> None:
        instances.shut_down(self._config.region, instance_id)

    def _boot(self, machine: Machine, user_data: bytes) -> None:
        if self._closed.wait(self._config.lasts(_BOOT_AWS_SECONDS)):
            return
        region, instance_id = self._config.region, machine.instance_id
        if not machine.boot():
            return
        instances.show_running(region, instance_id)
        _log.info("Instance %s is running", instance_id)
        role = instances.role(region, instance_id)
        machine.run_user_data(user_data, credentials=role is not None)

    def _power_off(self, machine: Machine, ended: Callable[[], None], *, remove: bool) -> None:
        machine.halt()
        if remove:
            machine.remove()
        if not self._closed.is_set():
            ended()
        _log.info("Instance %s is powered off", machine.instance_id)
