"""What a measurement ran on, and how busy that was with other things."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LIBRARIES = ("closer", "numpy", "pillow", "torch")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK_S = 0.2


def machine_name() -> str:
    """Its processor and how many cores it has: 'AMD EPYC 9454, 8 cores'. Not its own name."""
    cores = os.cpu_count() or 1
    return f"{_processor()}, {cores} core{'' if cores == 1 else 's'}"


def software() -> dict[str, str]:
    """Versions of what codecs run on; a library that is not installed is left out."""
    found = {"python": platform.python_version(), "system": platform.system()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


@contextmanager
def on_one_core() -> Iterator[None]:
    """What this thread starts meanwhile runs on one core, the one that is least busy now, and is
    told to use one thread: libraries that make threads of their own gain nothing by them."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if cores:
            busy = psutil.cpu_percent(_LOOK_S, percpu=True)
            quietest = min(cores, key=lambda core: busy[core] if core < len(busy) else 100.0)
            os.sched_setaffinity(0, {quietest})
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class OthersLoad:
    """How many cores others kept busy since this was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._own, self._all = core_seconds(), _busy_seconds()

    def cores(self) -> float:
        """Others: all processes but this one and those that it started and that have ended.

        At most as many as there are: the kernel counts by ticks, which are coarse for a moment.
        """
        passed = time.perf_counter() - self._started
        others = (_busy_seconds() - self._all) - (core_seconds() - self._own)
        return min(max(0.0, others / passed), float(psutil.cpu_count() or 1))


def core_seconds() -> float:
    """Of cores that worked for this process, and for those that it started and that have ended."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def _busy_seconds() -> float:
    """Of all cores, since the machine started."""
    times = psutil.cpu_times()
    busy = float(times.user + times.system)
    for kind in ("nice", "irq", "softirq", "steal"):  # Linux's `user` has `guest` in it
        busy += float(getattr(times, kind, 0.0))
    return busy
