"""The programs that an installation runs, by the commands that start them.

docker-compose.yml has these (tests/config/test_compose.py holds it to them), the demo's stack
starts them with what fits one machine, and tests start them as they stand.
"""

import sys
from collections.abc import Sequence

from config.broker import QUEUES

WEB = ("gunicorn", "--config=python:config.gunicorn", "config.wsgi")
MIGRATE = ("python", "manage.py", "migrate")
SCHEDULER = ("celery", "-A", "config", "beat", "--pidfile=")


def worker(*queues: str) -> tuple[str, ...]:
    """A worker that takes up what waits in these queues."""
    unknown = set(queues) - set(QUEUES)
    if unknown or not queues:
        raise ValueError(f"queues are {', '.join(QUEUES)}")
    names = f"--queues={','.join(queues)}", f"--hostname={'-'.join(queues)}@%h"
    return ("celery", "-A", "config", "worker", *names)


ENCODER = worker("encode")
ANALYST = worker("analyse")
# Trainings hold up nobody: apart, niced, and in threads that learn at once when to stop.
TRAINER_LOAD = ("--pool=threads", "--concurrency=2")
TRAINER = ("nice", "-n", "10", *worker("train"), *TRAINER_LOAD)

PROCESSES = {
    "migrate": MIGRATE,
    "web": WEB,
    "encoder": ENCODER,
    "analyst": ANALYST,
    "trainer": TRAINER,
    "scheduler": SCHEDULER,
}


def by_this_python(command: Sequence[str]) -> list[str]:
    """A command by the programs of this Python's environment, whatever PATH says."""
    program, *arguments = command
    if program == "python":
        return [sys.executable, *arguments]
    if program in ("celery", "gunicorn"):
        return [sys.executable, "-m", program, *arguments]
    first = next(i for i, each in enumerate(arguments) if each in ("python", "celery", "gunicorn"))
    return [program, *arguments[:first], *by_this_python(arguments[first:])]
