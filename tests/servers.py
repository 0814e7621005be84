"""A pytest plugin: the servers that the tests run on, and where they and all tests write.

They are the ones that the environment names (DATABASE_URL, CELERY_BROKER_URL), else an embedded
PostgreSQL and Valkey that live as long as the test run. It is loaded before Django's settings are
read, and once for all processes of a parallel run.
"""

import os
import shutil
import tempfile
from pathlib import Path

from config.stack.supervisor import Supervisor

IS_MAIN_PROCESS = "PYTEST_XDIST_WORKER" not in os.environ
IN_MEMORY, ENOUGH = Path("/dev/shm"), 4 * 2**30  # noqa: S108

if IS_MAIN_PROCESS:
    # Databases and blobs are flushed to disk at every step, and those of tests need not last.
    may_write = "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK)
    if may_write and shutil.disk_usage(IN_MEMORY).free >= ENOUGH:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)
    os.environ["CLOSER_DATA"] = tempfile.mkdtemp(prefix="closer-tests-")
    os.environ["CLOSER_URL"] = "http://localhost"
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    # Tests run beside each other: threads of one would wait for a core that another has, busily.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

DATA = Path(os.environ["CLOSER_DATA"])
_supervisor = None


def pytest_configure(config) -> None:
    global _supervisor
    if not IS_MAIN_PROCESS or config.option.collectonly:
        return
    from config.stack.__main__ import servers

    _supervisor = Supervisor(logs=DATA / "logs", process_list=DATA / "processes.json")
    _supervisor.start(*servers(DATA))


def pytest_unconfigure() -> None:
    if _supervisor is not None:
        _supervisor.stop()
    if IS_MAIN_PROCESS:
        shutil.rmtree(DATA, ignore_errors=True)
