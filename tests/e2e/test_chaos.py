"""Nothing that was acknowledged is lost or doubled, and no work is stuck, whatever goes wrong.

Twenty annotators judge at two web servers, and workers of two "hosts" encode another study; the
clock of one host is ten minutes behind. Meanwhile, one thing after another is killed, frozen, cut
off, or has no room to write. CLOSER_LONG=1 takes more annotators and rounds of faults in changing
order. `pytest -s` prints what each fault came to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.web import ROOT, free_port, web_service
from config import processes
from config.stack.supervisor import Service, Supervisor
from evaluation.simulation import SimulatedAnnotator
from tests import factories
from tests.e2e.conftest import Stack, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

IS_LONG = bool(os.environ.get("CLOSER_LONG"))
ANNOTATORS = 60 if IS_LONG else 12
ROUNDS = 6 if IS_LONG else 1
MORE = ANNOTATORS // 2  # judgments that come after a fault before the next


# --- what goes wrong ------------------------------------------------------------------------------


def kill(stack: Stack, service: str, how: signal.Signals = signal.SIGKILL) -> None:
    """End it, and wait until the supervisor has started it again."""
    before = stack.pid(service)
    os.kill(before, how)
    wait_for(lambda: stack.pid(service) != before)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """It and all that it started answer nobody, and do not know of it: what a network that is cut
    off, a storage that hangs, or a machine that sleeps look like from outside."""
    held = [each for each in tree(pid) if each.is_running()]
    for each in held:
        each.suspend()
    try:
        yield
    finally:
        for each in held:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()


@contextlib.contextmanager
def no_room(pid: int) -> Iterator[None]:
    """The kernel refuses it and all that it started to write a file, as a full disk does."""
    held = tree(pid)
    before = {}
    for each in held:
        with contextlib.suppress(psutil.NoSuchProcess):
            before[each] = each.rlimit(resource.RLIMIT_FSIZE)
            each.rlimit(resource.RLIMIT_FSIZE, (0, before[each][1]))
    try:
        yield
    finally:
        for each, limit in before.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.rlimit(resource.RLIMIT_FSIZE, limit)


def tree(pid: int) -> list[psutil.Process]:
    whole = psutil.Process(pid)
    return [whole, *whole.children(recursive=True)]


def freeze(service: str, seconds: float) -> Callable[[Stack], None]:
    def act(stack: Stack) -> None:
        with frozen(stack.pid(service)):
            time.sleep(seconds)

    return act


def fill(service: str, seconds: float) -> Callable[[Stack], None]:
    def act(stack: Stack) -> None:
        with no_room(stack.pid(service)):
            time.sleep(seconds)

    return act


FAULTS: dict[str, Callable[[Stack], None]] = {
    "a web server is killed": lambda stack: kill(stack, "web"),
    "a worker is killed while it encodes": lambda stack: kill(stack, "worker"),
    "PostgreSQL restarts": lambda stack: kill(stack, "postgres", signal.SIGINT),
    "PostgreSQL is killed, and recovers": lambda stack: kill(stack, "postgres"),
    "PostgreSQL is cut off for 2 s": freeze("postgres", 2.0),
    "the broker is killed, with all that it held": lambda stack: kill(stack, "valkey"),
    "the broker is cut off for 3 s": freeze("valkey", 3.0),
    "a worker hangs for 2 s, as on slow storage": freeze("worker", 2.0),
    "the disk of a worker is full for 2 s": fill("worker", 2.0),
    "the disk of a web server is full for 2 s": fill("web", 2.0),
}


# --- what goes on meanwhile -----------------------------------------------------------------------


BEHIND = Path(__file__).parent / "ten_minutes_behind"


class Others:
    """A web server and an encoder as another host has them, over the same database and storage; and
    its clock is ten minutes behind."""

    def __init__(self, stack: Stack) -> None:
        port = free_port()
        self.url = f"http://localhost:{port}"
        behind = stack.environment | {"PYTHONPATH": str(BEHIND)}
        environment = {"env": behind | {"CLOSER_URL": stack.url}, "cwd": ROOT}
        self.web = web_service(port, workers=2, environment=behind)
        command = processes.by_this_python(processes.worker("encode"))
        command += ["--hostname=another@host", "--concurrency=1"]
        self.encoder = Service("encoder", command, lambda: True, run_as=environment)
        folder = stack.data / "others"
        self.supervisor = Supervisor(logs=folder, process_list=folder / "processes.json")

    def __enter__(self) -> Others:
        self.supervisor.start(self.web)
        self.supervisor.start(self.encoder)
        self.supervisor.watch()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()


@dataclass
class Judging:
    """Annotators who judge until it is over, each at one of the web servers."""

    token: str
    urls: list[str]

    def __post_init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        self.twice: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def goes_on(self) -> float:
        """Wait until so many more were acknowledged; returns how many seconds that took."""
        started, enough = time.monotonic(), len(self.acknowledged) + MORE
        wait_for(lambda: len(self.acknowledged) >= enough)
        return time.monotonic() - started

    def run(self, index: int) -> None:
        address = self.urls[index % len(self.urls)]
        with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as client:
            annotator = SimulatedAnnotator(client, np.random.default_rng(index))
            annotator.join(self.token, simulation_pass="")
            # One at a time, so that faults fall between and into requests of all kinds.
            while not self.over.is_set() and (given := annotator.judge(1).assignments):
                with self._lock:
                    self.twice += self.acknowledged.keys() & given.keys()
                    self.acknowledged.update(given)


def judged_and_encoded(stack: Stack, photographs: Path) -> str:
    """The token of an open study, beside one that takes its time to encode."""
    stack.launch_study(
        "Judged",
        photographs,
        codecs=["jpeg", "webp", "jpeg2000", "avif"],
        bpp=[0.4, 0.7, 1.1, 1.6],
        judgments_per_task=ANNOTATORS,
    )
    [(token,)] = stack.sql("SELECT token FROM annotation_campaign WHERE state = 'open'")
    large = stack.data / "large"
    large.mkdir()
    for seed in range(3 * ROUNDS):
        Image.fromarray(factories.pixels(640, 480, seed=seed)).save(large / f"large{seed}.png")
    stack.launch_study(
        "Encoded",
        large,
        wait=False,
        codecs=["avif", "heic", "webp"],
        bpp=[0.3, 0.6, 1.2],
    )
    return token


STORED = """
    SELECT a.token, CASE WHEN j.ranks[1] = 1 THEN 'left' ELSE 'right' END
    FROM annotation_judgment j JOIN annotation_assignment a ON a.id = j.assignment_id
"""
DOUBLED = """
    SELECT count(*) FROM (
        SELECT assignment_id FROM annotation_judgment GROUP BY assignment_id HAVING count(*) > 1
    ) AS twice
"""
OVERFILLED = """
    SELECT count(*) FROM annotation_task t JOIN annotation_campaign c ON c.id = t.campaign_id
    WHERE c.token = %s AND t.places_left <> %s - (
        SELECT count(*) FROM annotation_assignment a WHERE a.task_id = t.id AND a.holds_place
    )
"""


def test_what_was_acknowledged_is_there_once_whatever_goes_wrong(stack, photographs):
    token = judged_and_encoded(stack, photographs)
    chance = random.Random(1)
    told: list[Told] = []
    with Others(stack) as others, ThreadPoolExecutor(ANNOTATORS) as pool:
        judging = Judging(token, [stack.url, others.url])
        running = [pool.submit(judging.run, index) for index in range(ANNOTATORS)]
        try:
            judging.goes_on()
            for number in range(ROUNDS):
                order = list(FAULTS)
                if number:
                    chance.shuffle(order)
                for name in order:
                    before = len(judging.acknowledged)
                    FAULTS[name](stack)
                    meanwhile = len(judging.acknowledged) - before
                    told.append(Told(name, meanwhile, judging.goes_on()))
                    assert not any(each.done() for each in running), f"{name} came too late"
        finally:
            judging.over.set()
        for each in running:
            each.result()
        # No work is stuck: what waited is made, by whom it may be.
        wait_for(lambda: is_encoded(stack))

    acknowledged = judging.acknowledged
    stored = dict(stack.sql(STORED))
    lost = acknowledged.keys() - stored.keys()
    changed = {each for each in acknowledged if stored.get(each, "") != acknowledged[each]} - lost
    [(doubled,)] = stack.sql(DOUBLED)
    sys.stdout.write(table(told, len(acknowledged), len(stored), len(lost), doubled))
    assert len(acknowledged) > MORE * len(FAULTS)
    assert (len(lost), len(changed), doubled, judging.twice) == (0, 0, 0, [])
    assert stored.keys() == acknowledged.keys()
    assert stack.sql(OVERFILLED, token, ANNOTATORS) == [(0,)]
    nothing_is_made_twice_or_broken(stack)


def is_encoded(stack: Stack) -> bool:
    """Whether nothing waits any more, and both studies are complete."""
    return stack.sql(
        """SELECT count(*) FILTER (WHERE state NOT IN ('ready', 'failed')),
                  (SELECT count(*) FROM annotation_campaign WHERE state = 'open')
           FROM codecs_registry_reconstruction"""
    ) == [(0, 2)]


def nothing_is_made_twice_or_broken(stack: Stack) -> None:
    failed = stack.sql(
        "SELECT codec, error FROM codecs_registry_reconstruction WHERE state = 'failed'"
    )
    assert failed == []
    # Nobody took from a host that lives what it made, whatever its clock says.
    [(attempts,)] = stack.sql("SELECT max(attempts) FROM codecs_registry_reconstruction")
    assert attempts <= 2 * ROUNDS  # once, and once more where its worker was killed
    [(contradicting,)] = stack.sql(
        """SELECT count(*) FROM (
               SELECT source_id, codec, codec_version, setting FROM codecs_registry_encode
               GROUP BY 1, 2, 3, 4 HAVING count(DISTINCT bitstream) > 1
           ) AS twice"""
    )
    assert contradicting == 0
    blobs = stack.data / "blobs"
    named = {
        name
        for (name,) in stack.sql(
            """SELECT bitstream FROM codecs_registry_encode
               UNION SELECT decoded FROM codecs_registry_reconstruction"""
        )
        if name
    }
    for name in named:
        content = (blobs / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == Path(name).name.partition(".")[0]
    assert not list(blobs.rglob(".writing-*"))


@dataclass(frozen=True)
class Told:
    """meanwhile : judgments acknowledged while a fault lasted.
    seconds : from its end until MORE others were."""

    name: str
    meanwhile: int
    seconds: float


def table(told: list[Told], acknowledged: int, stored: int, lost: int, doubled: int) -> str:
    rows = [f"| {each.name} | {each.meanwhile} | {each.seconds:.1f} s |" for each in told]
    head = f"| fault | judged meanwhile | until {MORE} more were |", "|---|---|---|"
    total = f"acknowledged {acknowledged}, stored {stored}, lost {lost}, doubled {doubled}"
    return "\n".join(["", *head, *rows, "", total, ""])
