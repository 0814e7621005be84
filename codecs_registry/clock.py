"""One clock for all hosts: the database's.

Leases are written by one host and read by others. Were each to go by its own clock, a host that is
a minute behind would seem to have died as soon as it takes anything up, and one that is ahead would
hold for long what it can no longer make. So each process learns how far its own count of seconds is
from the database's clock whenever it connects, which it does every few minutes.
"""

import time
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

# Counts while a machine sleeps, too, where there is such a clock; nobody ever sets it.
_COUNT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_ahead_s: float | None = None
"""Of this process' count: the database's clock, in seconds since 1970."""


def now() -> datetime:
    """The time by the database's clock. It asks the database only if nothing here ever did."""
    if _ahead_s is None:
        connection.ensure_connection()
    assert _ahead_s is not None  # noqa: S101
    return datetime.fromtimestamp(_count() + _ahead_s, UTC)


def learn(connection: Any, **_about: Any) -> None:
    """Compare this process' count with the clock of a database that it has connected to."""
    global _ahead_s
    with connection.cursor() as cursor:
        before = _count()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        told = float(cursor.fetchone()[0])
        _ahead_s = told - (before + _count()) / 2


def _count() -> float:
    return time.clock_gettime(_COUNT)


connection_created.connect(learn)
