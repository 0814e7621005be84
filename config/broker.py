"""What the broker knows: messages that wait, workers that live, and how the tasks went.

Workers add up how long their tasks took in the broker, since they have no address at which anybody
could ask them, and are many. It is forgotten with a restart of the broker, as counters may be.
"""

import json
import logging
import time
from dataclasses import dataclass, field
from functools import lru_cache

import redis
from django.conf import settings

QUEUES = ("encode", "analyse", "train")
TASKS = "closer:tasks"
WORKERS = "closer:workers"
SILENT_S = 30.0  # of a worker that tells of itself every two seconds
FORGOTTEN_S = 24 * 3600.0
BUCKETS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)  # upper bounds; longer: one more
PATIENCE_S = 2.0
SENT_AT = "closer_sent_at"

Unreachable = (redis.RedisError, OSError)
logger = logging.getLogger(__name__)


@dataclass
class TaskTimes:
    """Of the tasks of one name and end: buckets counts by BUCKETS_S, not cumulative."""

    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))


@dataclass(frozen=True)
class Worker:
    """What a worker told of itself last.

    silent_s : for how long it has told nothing.   doing : names of its tasks, and for how long each
    had gone on when it told.
    """

    name: str
    queues: list[str]
    silent_s: float
    doing: list[tuple[str, float]]

    @property
    def is_silent(self) -> bool:
        return self.silent_s > SILENT_S


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    address = url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=", 1)
    return redis.Redis.from_url(
        address,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
    )


def client() -> redis.Redis:
    """A connection that gives up soon. Its calls raise one of Unreachable."""
    return _client(settings.CELERY_BROKER_URL)


def ping() -> None:
    """Raises one of Unreachable if the broker does not answer."""
    client().ping()


def depths() -> dict[str, int]:
    """How many messages wait in each queue."""
    pipeline = client().pipeline(transaction=False)
    for queue in QUEUES:
        pipeline.llen(queue)
    return dict(zip(QUEUES, pipeline.execute(), strict=True))


def oldest_waits_s(*, now: float) -> dict[str, float | None]:
    """For how long the message that is next has waited in each queue; None where there is none."""
    pipeline = client().pipeline(transaction=False)
    for queue in QUEUES:
        pipeline.lindex(queue, -1)
    found: dict[str, float | None] = {}
    for queue, message in zip(QUEUES, pipeline.execute(), strict=True):
        headers = json.loads(message).get("headers", {}) if message else {}
        sent_at = headers.get(SENT_AT)
        found[queue] = max(0.0, now - sent_at) if isinstance(sent_at, int | float) else None
    return found


def note_task(name: str, end: str, seconds: float) -> None:
    """Add one task to what is known of its name. end: Celery's state, SUCCESS or FAILURE, say."""
    bucket = sum(seconds > bound for bound in BUCKETS_S)
    pipeline = client().pipeline(transaction=False)
    pipeline.hincrby(TASKS, f"{name}|{end}|{bucket}", 1)
    pipeline.hincrbyfloat(TASKS, f"{name}|{end}|seconds", seconds)
    try:
        pipeline.execute()
    except Unreachable as error:  # the task is done all the same
        logger.warning("a task could not be counted: %s", type(error).__name__)


def task_times() -> dict[tuple[str, str], TaskTimes]:
    """By name and end of tasks."""
    found: dict[tuple[str, str], TaskTimes] = {}
    for key, value in client().hgetall(TASKS).items():
        name, end, what = key.decode().split("|")
        times = found.setdefault((name, end), TaskTimes())
        if what == "seconds":
            times.seconds = float(value)
        else:
            times.buckets[int(what)] = int(value)
    return found


def note_worker(name: str, queues: list[str], doing: list[tuple[str, float]]) -> None:
    """Keep what a worker tells of itself. Raises one of Unreachable."""
    told = {"at": now(), "queues": sorted(queues), "doing": doing}
    client().hset(WORKERS, name, json.dumps(told))


def forget_worker(name: str) -> None:
    """Of one that ends in peace. Raises one of Unreachable."""
    client().hdel(WORKERS, name)


def workers() -> list[Worker]:
    """Those that told of themselves within a day, by name. Raises one of Unreachable."""
    found = []
    for name, told in sorted(client().hgetall(WORKERS).items()):
        known = json.loads(told)
        silent_s = max(0.0, now() - known["at"])
        if silent_s > FORGOTTEN_S:
            client().hdel(WORKERS, name)
            continue
        doing = [(task, seconds) for task, seconds in known["doing"]]
        found.append(Worker(name.decode(), known["queues"], silent_s, doing))
    return found


def now() -> float:
    """The clock that messages are stamped by."""
    return time.time()
