"""A PostgreSQL of its own for a benchmark, with Closer's tables, gone at the end."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def database() -> Iterator[None]:
    data = Path(tempfile.mkdtemp(prefix="closer-bench-"))
    os.environ |= {
        "CLOSER_DATA": str(data),
        "CLOSER_URL": "http://localhost",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "WARNING",
    }
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("CELERY_BROKER_URL", None)
    from config.stack.__main__ import migrate, servers
    from config.stack.supervisor import Supervisor

    supervisor = Supervisor(logs=data / "logs", process_list=data / "processes.json")
    try:
        supervisor.start(*servers(data))
        migrate(data)
        yield
    finally:
        from django.db import connection

        connection.close()
        supervisor.stop()
        shutil.rmtree(data, ignore_errors=True)
