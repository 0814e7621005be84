"""Training the learned codec on a folder of photographs.

    photographs --- by the hash of names ---> trained on | held out
        trained on: rate + lambda * distortion of crops at all rates (`objective`)
        held out: told of from time to time, and some of them shown (`held_out_pictures`)

One network is trained for all rates; each crop has a lambda of its own. A process alone takes one
accelerator, or the CPU; under `torchrun` each process takes its part of every batch.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from perceptual.codec.card import Shape
from perceptual.codec.network import CodecNetwork
from perceptual.codec.training import held_out_pictures
from perceptual.codec.training.held_out_pictures import Shown
from perceptual.codec.training.pictures import digest_of, held_out, photographs, read
from perceptual.codec.training.run import Keep, Run, Seen
from perceptual.codec.training.settings import Begun, CannotTrain, Data, Settings, Tell
from perceptual.metric import Metric, MetricUnavailable, UnknownMetric
from perceptual.saliency import Saliency, SaliencyUnavailable
from perceptual.training import distributed

CHECKPOINT, MAPS = "checkpoint.pt", "saliency.npz"


def train(
    folders: Sequence[Path],
    settings: Settings,
    *,
    folder: Path,
    shape: Shape = Shape(),  # noqa: B008
    start: CodecNetwork | None = None,
    tell: Tell = lambda progress: None,
    keep: Keep = lambda network, step: None,
    begun: Begun = lambda data, step: None,
) -> CodecNetwork:
    """Train the codec; returns it with its averaged weights.

    folders : of photographs.   folder : where it keeps what it needs to go on.
    start : the network to begin from, instead of principal components.   shape : of the network,
        where none is given.
    keep : called with the averaged network, in the first process, when it was watched and when the
        training ends or is stopped.
    begun : called once in the first process, before the first step: on what it trains, and after
        how many steps it goes on.

    Called again with the same folder it goes on where it was, also with other settings: with more
    steps, or another objective. Raises CannotTrain, and `run.Stopped` after SIGTERM or SIGINT.
    """
    files, watched = held_out(photographs(folders), settings.held_out, seed=settings.seed)
    if settings.batch % distributed.count():
        raise CannotTrain(
            f"a batch of {settings.batch} crops cannot be shared by {distributed.count()} processes"
        )
    metric = _metric(settings.objective.metric)
    pictures = [read(file) for file in files]
    data = Data(
        folders=tuple(each.resolve().name for each in folders),
        pictures=len(files),
        held_out=tuple(each.name for each in watched),
        digest=digest_of(pictures) if distributed.is_first() else "",
    )
    shown = [read(file) for file in watched]

    def show(step: int, seen: list[Seen]) -> None:
        about = [
            _about(file.name, picture, each)
            for file, picture, each in zip(watched, shown, seen, strict=False)
        ]
        held_out_pictures.write(folder, step, about, [each.parts for each in seen])

    if settings.objective.saliency:
        pictures = _with_maps(pictures, Path(settings.objective.saliency), folder / MAPS)
    run = Run(
        settings,
        pictures,
        shown,
        folder / CHECKPOINT,
        shape=shape if start is None else start.shape,
        start=None if start is None else start.state_dict(),
        metric=metric,
        keep=keep,
        show=show,
    )
    if distributed.is_first():
        held_out_pictures.forget(folder, since=run.step + 1)
        begun(data, run.step)
    with _asked_to_stop(run):
        return run.until_done(tell)


def _about(name: str, picture: Tensor, seen: Seen) -> Shown:
    (height, width), (whole_height, whole_width) = seen.parts[0].shape[:2], picture.shape[1:]
    return Shown(name, width, height, whole_width, whole_height, tuple(seen.reconstructions))


def _with_maps(pictures: Sequence[Tensor], model: Path, kept: Path) -> list[Tensor]:
    """(4, H, W) uint8 of (3, H, W): with a map of saliency. Maps are found once, and kept."""
    try:
        network = Saliency(model)
    except SaliencyUnavailable as error:
        raise CannotTrain(str(error)) from None
    keys = [_key(network, each) for each in pictures]
    if distributed.is_first():
        found = _kept_maps(kept)
        if any(key not in found for key in keys):
            for key, picture in zip(keys, pictures, strict=True):
                if key not in found:
                    shares = network.map(picture.permute(1, 2, 0).contiguous().numpy())
                    found[key] = np.rint(shares * 255).astype(np.uint8)
            kept.parent.mkdir(parents=True, exist_ok=True)
            aside = kept.with_suffix(".writing.npz")
            np.savez_compressed(aside, **found)  # type: ignore[arg-type]
            aside.replace(kept)
    distributed.wait()
    found = _kept_maps(kept)
    return [
        torch.cat([picture, torch.from_numpy(found[key])[None]])
        for key, picture in zip(keys, pictures, strict=True)
    ]


def _key(network: Saliency, picture: Tensor) -> str:
    found = hashlib.sha256(network.digest.encode() + picture.numpy().tobytes())
    return found.hexdigest()


def _kept_maps(kept: Path) -> dict[str, NDArray[np.uint8]]:
    if not kept.exists():
        return {}
    with np.load(kept) as stored:
        return dict(stored)


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
    """Have SIGTERM and SIGINT end the run between two steps."""

    def ask(number: int, frame: FrameType | None) -> None:
        run.is_to_stop = True

    before = {each: signal.signal(each, ask) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
