"""What a worker holds for a while: named after its process, and renewed for as long as it lives."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

from django.db import connection

LEASE = timedelta(seconds=30)


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
def lease_kept(renew: Callable[[], object], lease: timedelta, *, name: str) -> Iterator[None]:
    """Call `renew` from a second thread, of this name, thrice in the time of a lease, for as long
    as the work takes."""
    done = threading.Event()

    def keep() -> None:
        try:
            while not done.wait(lease.total_seconds() / 3):
                with contextlib.suppress(Exception):  # the next renewal may succeed
                    renew()
        finally:
            connection.close()

    thread = threading.Thread(target=keep, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
