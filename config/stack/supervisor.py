"""Starts processes in order, restarts those that die, and stops all of them in the reverse order.

Why not honcho, circus or supervisord: docs/decisions/0002-supervisor.md.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LONGEST_BACKOFF_S = 5.0
STEADY_S = 30.0  # who has run so long may fail again without being punished for earlier
LEFTOVERS_TIMEOUT_S = 5.0
SAME_START_S = 5.0  # start times are reckoned from the clock, which may have been set meanwhile

logger = logging.getLogger(__name__)


class StartFailed(Exception):
    """A process ended, or never became ready; the message ends with what it last logged."""


@dataclass
class Service:
    """A program to keep running, and how one sees that it is ready.

    niceness : from 0 to 19, at which it takes what others leave of the processors.
    """

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    stop_signal: int = signal.SIGTERM
    niceness: int = 0
    run_as: Mapping[str, object] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    started: float = 0.0
    spawned_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Keeps services running until `stop`.

    Each service is a session of its own, so that Ctrl-C reaches the supervisor alone and whatever
    a killed service leaves behind can be found and ended. Their output goes to logs/NAME.log.
    """

    def __init__(self, *, logs: Path, process_list: Path) -> None:
        self.logs = logs
        self.process_list = process_list
        self.groups: list[tuple[Service, ...]] = []  # started together, stopped together
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, *services: Service) -> None:
        """Start services together and wait until all of them are ready.

        Raises StartFailed if one ends or is not ready in START_TIMEOUT_S.
        """
        with self._lock:
            self.groups.append(services)
            for service in services:
                self._spawn(service)
        deadline = time.monotonic() + START_TIMEOUT_S
        for service in services:
            while not service.is_ready():
                ended = service.process.poll()
                if ended is not None:
                    raise StartFailed(f"{service.name} ended with {ended}.\n{self._tail(service)}")
                if time.monotonic() > deadline:
                    raise StartFailed(
                        f"{service.name} was not ready in {START_TIMEOUT_S:.0f} s.\n"
                        f"{self._tail(service)}"
                    )
                time.sleep(0.02)

    def watch(self) -> None:
        """Restart, from a thread of its own, every service that ends before `stop`."""
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def stop(self) -> None:
        """Stop all services, those started last first; each may finish what it does."""
        self._stopping.set()
        with self._lock:
            for group in reversed(self.groups):
                started = [service for service in group if service.process]
                for service in started:
                    service.process.send_signal(service.stop_signal)
                for service in started:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        service.process.wait(STOP_TIMEOUT_S)
                    _end_session(service.process.pid)
                    service.process.wait()
            self.process_list.unlink(missing_ok=True)

    @property
    def services(self) -> list[Service]:
        return [service for group in self.groups for service in group]

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            with self._lock:
                for service in self.services:
                    try:
                        self._restart_if_ended(service)
                    except Exception:  # a full disk, say: the next round may succeed
                        logger.exception("%s could not be started again", service.name)

    def _restart_if_ended(self, service: Service) -> None:
        now = time.monotonic()
        if self._stopping.is_set() or not service.process:
            return
        if service.process.poll() is None:
            if now - service.spawned_at > STEADY_S:
                service.failures = 0
        elif not service.restart_at:
            # Orphans of a killed service may hold its port or its lock.
            _end_session(service.process.pid)
            service.restart_at = now + min(0.2 * 2**service.failures, LONGEST_BACKOFF_S)
        elif now >= service.restart_at:
            service.failures += 1
            self._spawn(service)

    def _spawn(self, service: Service) -> None:
        with (self.logs / f"{service.name}.log").open("ab") as log:
            service.process = subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **service.run_as,
            )
        if service.niceness:
            _make_nice(service.process.pid, service.niceness)
        service.restart_at, service.spawned_at = 0.0, time.monotonic()
        service.started = psutil.Process(service.process.pid).create_time()
        noted = {
            each.name: {
                "pid": each.process.pid,
                "started": each.started,
                "stop_signal": int(each.stop_signal),
            }
            for each in self.services
            if each.process
        }
        aside = self.process_list.with_suffix(".new")
        aside.write_text(json.dumps(noted))
        aside.replace(self.process_list)

    def _tail(self, service: Service) -> str:
        log = (self.logs / f"{service.name}.log").read_text(errors="replace")
        return "\n".join(log.splitlines()[-15:])


def _make_nice(leader: int, niceness: int) -> None:
    """Of a session's leader, before it starts anything.

    Linux shares processors between sessions before it looks at processes (autogroups, sched(7)), so
    that in one of its own a process is as nice as its session alone.
    """
    os.setpriority(os.PRIO_PROCESS, leader, niceness)
    with contextlib.suppress(OSError):  # another system has no such groups
        Path(f"/proc/{leader}/autogroup").write_text(str(niceness))


def end_leftovers(process_list: Path) -> None:
    """End what a supervisor that was killed left running, and nothing else.

    A process counts as left over only if its start time, too, is the one that was noted.
    """
    try:
        noted = json.loads(process_list.read_text())
    except (OSError, ValueError):
        return
    left = []
    for each in noted.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(each["pid"])
            if abs(process.create_time() - each["started"]) < SAME_START_S:
                process.send_signal(each["stop_signal"])
                left.append(process)
    psutil.wait_procs(left, timeout=LEFTOVERS_TIMEOUT_S)
    for process in left:
        _end_session(process.pid)
    process_list.unlink(missing_ok=True)


def _end_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
