"""Things that happen at the same moment, each over a database connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection


def at_once(work: Callable, count: int) -> list:
    """Run work(number) in `count` threads that start together; returns what each returned."""
    start = threading.Barrier(count)

    def run(number: int):
        try:
            start.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
