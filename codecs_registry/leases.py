"""Work that stands in the database, held by one worker at a time
(docs/decisions/0003-the-database-is-the-queue.md).

    waiting ----take----> held --------> over
     ^  ^                  |  \\--fail, or its worker died too often--> failed
     |  '-- give_back, or--'                                              |
     |      its lease ends                                                |
     '------------------------------- retry ------------------------------'

A worker is named after its process, and renews its lease for as long as it lives. Rows without a
state, which are made anew again and again, have a lease alone. (Deliveries of webhooks have none:
the time of their next try is pushed back before each.)
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Model, Q, QuerySet

from codecs_registry import clock

LEASE = timedelta(seconds=30)
DATABASE_GONE = (OperationalError, InterfaceError)
"""What work raises whose database went away beneath it: no fault of the work's, so it waits."""


@dataclass(frozen=True)
class Work:
    """The rows of a model that workers take: with `state`, `worker`, `lease_ends`, `attempts`,
    `error` and `finished_at`.

    waiting, held, failed : what their states are called.
    most_attempts : after so many lost workers a row fails.
    """

    model: type[Model]
    waiting: str
    held: str
    failed: str
    most_attempts: int

    @property
    def _rows(self) -> QuerySet:
        return self.model._default_manager.all()

    def take(self, rows: QuerySet, *, worker: str, now: datetime) -> int:
        """Have a worker hold these rows; returns how many. None is taken where a constraint of the
        database says that another is held."""
        try:
            with transaction.atomic():
                return rows.update(
                    state=self.held,
                    worker=worker,
                    lease_ends=now + LEASE,
                    attempts=F("attempts") + 1,
                    error="",
                )
        except IntegrityError:
            return 0

    def held_by(self, worker: str) -> QuerySet:
        return self._rows.filter(state=self.held, worker=worker)

    def under_way(self, *, now: datetime) -> QuerySet:
        """Rows whose worker is alive, as far as can be seen."""
        return self._rows.filter(state=self.held, lease_ends__gt=now)

    def owed(self, *, now: datetime) -> Q:
        """What waits, or lost its worker: somebody has to make it, or to say that nobody can."""
        return Q(state=self.waiting) | Q(state=self.held, lease_ends__lte=now)

    def free(self, *, now: datetime) -> Q:
        """What waits, or lost its worker and may be tried again."""
        return self.owed(now=now) & ~Q(state=self.held, attempts__gte=self.most_attempts)

    def release_lost(self, *, now: datetime) -> int:
        """Have rows wait again whose lease ended; returns how many. What lost its worker too often
        fails."""
        self.give_up(now=now)
        lost = self._rows.filter(state=self.held, lease_ends__lte=now)
        return lost.update(state=self.waiting, worker="", lease_ends=None)

    def give_up(self, *, now: datetime) -> list[int]:
        """Have fail what lost its worker too often; returns the ids."""
        lost = self._rows.filter(
            state=self.held, lease_ends__lte=now, attempts__gte=self.most_attempts
        )
        ids = list(lost.values_list("pk", flat=True))
        reason = f"Its worker died {self.most_attempts} times; it may need more memory."
        return ids if self.fail(lost.filter(pk__in=ids), reason, now=now) else []

    def release_dead(self, *, now: datetime) -> int:
        """End the leases of processes of this host that are no more; returns how many.

        Leases would end by themselves; this spares a restarted worker the wait. Should it err (two
        hosts of one name), something is made twice, and the database keeps one.
        """
        held = self._rows.filter(state=self.held, worker__startswith=f"{socket.gethostname()}:")
        workers = held.values_list("worker", flat=True).order_by().distinct()
        dead = [worker for worker in workers if not is_alive(worker)]
        return held.filter(worker__in=dead).update(lease_ends=now)

    def give_back(self, rows: QuerySet) -> int:
        """Have rows wait for the next worker; it does not count as an attempt."""
        return rows.update(
            state=self.waiting, worker="", lease_ends=None, attempts=F("attempts") - 1
        )

    def let_go(self, rows: QuerySet) -> None:
        """Give back rows whose work met one of DATABASE_GONE. Where the database is away still,
        their lease ends."""
        for _ in range(2):  # the second time over a connection that is new
            try:
                self.give_back(rows)
                return
            except DATABASE_GONE:
                connection.close()

    def fail(self, rows: QuerySet, reason: str, *, now: datetime, **more: object) -> int:
        return rows.update(state=self.failed, error=reason, finished_at=now, **more)

    def retry(self, rows: QuerySet) -> int:
        """Ask again for those that failed; returns how many. None where a constraint of the
        database says that the same was asked for since."""
        try:
            with transaction.atomic():
                return rows.filter(state=self.failed).update(
                    state=self.waiting, error="", attempts=0, finished_at=None
                )
        except IntegrityError:
            return 0


def unclaimed(*, now: datetime) -> Q:
    """Of rows without a state: nobody holds them."""
    return Q(lease_ends=None) | Q(lease_ends__lte=now)


def worker_name() -> str:
    """'host:process:thread' of the caller."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"


def is_alive(worker: str) -> bool:
    """Whether the process of a worker of this host, by its name, is there."""
    try:
        os.kill(int(worker.split(":")[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextlib.contextmanager
def lease_kept(held: QuerySet) -> Iterator[None]:
    """Renew the lease of rows from a second thread, thrice in its time, for as long as the work
    takes."""
    done, lease = threading.Event(), LEASE

    def keep() -> None:
        try:
            while not done.wait(lease.total_seconds() / 3):
                with contextlib.suppress(Exception):  # the next renewal may succeed
                    held.update(lease_ends=clock.now() + lease)
        finally:
            connection.close()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
