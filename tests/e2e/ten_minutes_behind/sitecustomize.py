"""With this folder on PYTHONPATH, a process takes it to be ten minutes earlier than it is."""

import time
from datetime import timedelta
from functools import partial

from django.utils import timezone

BEHIND = timedelta(minutes=10)


def _earlier(now, by):
    return now() - by


# Not functions, which would become methods of the classes that keep them.
time.time = partial(_earlier, time.time, BEHIND.total_seconds())
timezone.now = partial(_earlier, timezone.now, BEHIND)
