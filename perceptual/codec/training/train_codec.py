"""Training the learned codec on a folder of photographs.

    photographs --- by the hash of names ---> trained on | held out
        trained on: rate + lambda * distortion of crops at all rates (`objective`)
        held out: told of from time to time

One network is trained for all rates; each crop has a lambda of its own. A process alone takes one
accelerator, or the CPU; under `torchrun` each process takes its part of every batch.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor, nn

from perceptual.codec.network import CodecNetwork
from perceptual.codec.training.pictures import held_out, photographs, read
from perceptual.codec.training.run import Run
from perceptual.codec.training.settings import CannotTrain, Settings, Tell
from perceptual.metric import Metric, MetricUnavailable, UnknownMetric
from perceptual.training import distributed

CHECKPOINT = "checkpoint.pt"


def train(
    folders: Sequence[Path],
    settings: Settings,
    *,
    folder: Path,
    start: dict[str, Tensor] | None = None,
    tell: Tell = lambda progress: None,
) -> CodecNetwork:
    """Train the codec; returns it with its averaged weights.

    folders : of photographs.   folder : where it keeps what it needs to go on.
    start : the weights to begin from, instead of principal components.

    Called again with the same folder it goes on where it was, also with other settings: with more
    steps, or another objective. Raises CannotTrain, and `run.Stopped` after SIGTERM.
    """
    files, watched = held_out(photographs(folders), settings.held_out, seed=settings.seed)
    if settings.batch % distributed.count():
        raise CannotTrain(
            f"a batch of {settings.batch} crops cannot be shared by {distributed.count()} processes"
        )
    run = Run(
        settings,
        [read(file) for file in files],
        [read(file) for file in watched],
        folder / CHECKPOINT,
        start=start,
        metric=_metric(settings.objective.metric),
    )
    with _asked_to_stop(run):
        return run.until_done(tell)


def _metric(name: str) -> Metric | None:
    if not name:
        return None
    try:
        metric = Metric.load(name)
    except (MetricUnavailable, UnknownMetric) as error:
        raise CannotTrain(str(error)) from None
    if not metric.is_differentiable:
        raise CannotTrain(f"{metric.label} has no gradient to train with")
    if isinstance(metric, nn.Module):
        metric.to(distributed.device())
    return metric


@contextmanager
def _asked_to_stop(run: Run) -> Iterator[None]:
    """Have SIGTERM end the run between two steps."""

    def ask(number: int, frame: FrameType | None) -> None:
        run.is_to_stop = True

    before: Callable[[int, FrameType | None], Any] | int | None
    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
