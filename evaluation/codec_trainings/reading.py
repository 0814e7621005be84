"""What the folders of trainings tell: how far each is, and what it reached."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from django.conf import settings

from codecs_registry.bd_rate import NoBdRate, bd_rate
from evaluation.codec_trainings import record
from evaluation.codec_trainings.record import FINISHED, Record
from perceptual.codec.card import InvalidModel
from perceptual.codec.card import read as read_model
from perceptual.codec.training import held_out_pictures
from perceptual.codec.training.held_out_pictures import Watching
from perceptual.codec.training.settings import Watched

LOG, CODEC, CHECKPOINT = "log.jsonl", "codec.safetensors", "checkpoint.pt"
RUNNING, LOST = "running", "lost"
WRITES_WITHIN_S = 300.0
"""A training that goes on writes to its folder at least so often: its checkpoint every three
minutes."""
OF_LATE = 10
"""Lines of the log, the last ones, from which the speed is taken, and the loss."""
MAKES_A_TRAINING = (LOG, record.FILE)


@dataclass(frozen=True)
class Point:
    """A line of the log: see `perceptual.codec.training.settings.Progress`. A number that is none,
    as a loss that grew beyond all bounds, is NaN."""

    step: int
    steps: int
    loss: float
    bpp: float
    psnr: float
    steps_per_s: float
    watched: tuple[Watched, ...]


@dataclass(frozen=True)
class Training:
    """A training as its folder tells of it.

    touched_at : when it last wrote there, seconds since 1970.   read_at : when it was read.
    """

    name: str
    folder: Path
    log: tuple[Point, ...]
    record: Record | None
    touched_at: float
    read_at: float

    @property
    def state(self) -> str:
        """RUNNING, or how it ended: FINISHED, FAILED, STOPPED, or LOST: it stopped writing and did
        not say why."""
        if self.record and self.record.ended:
            return self.record.ended.how
        if self.steps and self.step >= self.steps:
            return FINISHED
        return RUNNING if self.read_at - self.touched_at < WRITES_WITHIN_S else LOST

    @property
    def is_running(self) -> bool:
        return self.state == RUNNING

    @property
    def loss(self) -> float | None:
        """The mean of late, each line by how many steps it tells of: the last one may tell of a few
        alone. None: there is no line."""
        late = covered(self.log)[-OF_LATE:]
        total = sum(steps for _, steps in late)
        return sum(point.loss * steps for point, steps in late) / total if total else None

    @property
    def step(self) -> int:
        return self.log[-1].step if self.log else 0

    @property
    def steps(self) -> int:
        """How many it is to make; 0: it did not tell yet."""
        if self.record:
            return self.record.steps
        return self.log[-1].steps if self.log else 0

    @property
    def steps_per_s(self) -> float | None:
        """The pace of late; None: not known."""
        paces = [point.steps_per_s for point in self.log[-OF_LATE:]]
        usable = [pace for pace in paces if math.isfinite(pace) and pace > 0]
        return statistics.harmonic_mean(usable) if usable else None

    @property
    def seconds_left(self) -> float | None:
        """None: it does not run, or its pace is not known."""
        pace = self.steps_per_s
        return (self.steps - self.step) / pace if self.is_running and pace else None

    @cached_property
    def watchings(self) -> tuple[Point, ...]:
        """The points at which what is held out was watched."""
        return tuple(point for point in self.log if point.watched)

    @property
    def middle(self) -> Watched | None:
        """What was last reached at the lambda in the middle of those watched."""
        if not self.watchings:
            return None
        watched = self.watchings[-1].watched
        return watched[len(watched) // 2]

    @property
    def gained(self) -> float | None:
        """BD-rate of what was last reached against what was first: bits in percent for the same
        PSNR of what is held out, negative where fewer; None: there are no two curves."""
        if len(self.watchings) < 2:
            return None
        first, last = (
            [(each.bpp, each.psnr) for each in self.watchings[at].watched] for at in (0, -1)
        )
        try:
            return bd_rate(first, last)
        except NoBdRate:
            return None

    def pictures(self) -> list[Watching]:
        return held_out_pictures.watchings(self.folder)

    def model(self) -> Model | None:
        """The codec as it was when last kept; None: there is none yet."""
        file = self.folder / CODEC
        try:
            return _model(file, file.stat().st_mtime_ns)
        except (OSError, InvalidModel):
            return None


@dataclass(frozen=True)
class Model:
    """A codec's file. digest : of `perceptual.codec.card`, of all that its files depend on."""

    file: Path
    size_bytes: int
    digest: str
    steps: int | None


def trainings(now: float) -> list[Training]:
    """Those in CLOSER_CODEC_TRAININGS: what runs first, then what was last written to."""
    found = [each for folder in _folders() if (each := _training(folder, now))]
    return sorted(found, key=lambda each: (not each.is_running, -each.touched_at, each.name))


def training(name: str, now: float) -> Training | None:
    """The one whose folder is called so; None: there is none."""
    # Found among what is there: no name leads out of the folder.
    folder = next((each for each in _folders() if each.name == name), None)
    return None if folder is None else _training(folder, now)


def _folders() -> list[Path]:
    """Folders whose names can be addresses."""
    try:
        return [
            each
            for each in Path(settings.CLOSER_CODEC_TRAININGS).iterdir()
            if each.name.isprintable() and each.name[0] != "." and each.is_dir()
        ]
    except OSError:
        return []


def _training(folder: Path, now: float) -> Training | None:
    """None: it is none, or cannot be read."""
    changed = {
        name: stat.st_mtime_ns
        for name in (*MAKES_A_TRAINING, CHECKPOINT)
        if (stat := _stat(folder / name))
    }
    if not any(name in changed for name in MAKES_A_TRAINING):
        return None
    try:
        log = read_log(folder / LOG) if LOG in changed else ()
    except OSError:
        return None
    touched_at = max(changed.values()) / 1e9
    return Training(folder.name, folder, log, record.read(folder), touched_at, now)


def _stat(file: Path):
    try:
        return file.stat()
    except OSError:
        return None


def read_log(file: Path) -> tuple[Point, ...]:
    """The points of a log, their steps rising."""
    stat = file.stat()
    return _log(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _log(file: Path, changed: int, size: int) -> tuple[Point, ...]:
    return tuple(points(file.read_bytes()))


def points(content: bytes) -> Sequence[Point]:
    """The points of a log's content, their steps rising: what tells nothing, as half a line, is
    left out. Where a training went back to its checkpoint, what was told of the steps that it did
    again counts as it was told last.
    """
    found: list[Point] = []
    for point in filter(None, map(_point, content.split(b"\n"))):
        while found and found[-1].step >= point.step:
            found.pop()
        found.append(point)
    return found


def covered(log: Sequence[Point]) -> list[tuple[Point, int]]:
    """The points, each with how many steps it tells of: those since the one before."""
    before = [0, *(point.step for point in log)]
    return [(point, point.step - since) for point, since in zip(log, before, strict=False)]


def _point(line: bytes) -> Point | None:
    if not line.strip():
        return None
    try:
        told = json.loads(line)
        step, steps = told["step"], told["steps"]
        if not (type(step) is type(steps) is int and 0 <= step <= steps):
            return None
        numbers = (float(told[name]) for name in ("loss", "bpp", "psnr", "steps_per_s"))
        return Point(step, steps, *map(_finite, numbers), tuple(_watched(told["watched"])))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _watched(told: list[dict]) -> Iterator[Watched]:
    for each in told:
        watched = Watched(*(float(each[name]) for name in ("price", "bpp", "psnr")))
        if math.isfinite(watched.price + watched.bpp + watched.psnr) and watched.bpp > 0:
            yield watched


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


@lru_cache(maxsize=16)
def _model(file: Path, changed: int) -> Model:
    stored = read_model(file)
    steps = stored.card.trained_on.get("steps")
    return Model(file, file.stat().st_size, stored.digest, steps if type(steps) is int else None)
