"""Distances of pictures by metrics, reckoned once and kept.

A distance is known by the metric's digest and by the SHA-256 of both files, so it outlives renamed
folders, and another version of a metric never meets what an earlier one left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from django.conf import settings
from numpy.typing import NDArray
from torch import Tensor

from perceptual.kept import Kept
from perceptual.metric import Metric
from perceptual.pairs import Pair, file_digest, pixels

AT_ONCE_PIXELS = 2**20
"""Of distorted pictures in one call of a metric."""

Progress = Callable[[int, int], None]
"""Called with how many distances are there, and how many there will be."""


class DistanceStore(Kept[float]):
    """Distances by metric and pictures."""

    table, column = "distances", "distance REAL"

    def encode(self, value: float) -> float:
        return value

    def decode(self, stored: bytes | float) -> float:
        return float(stored)


def distance_store() -> DistanceStore:
    """The one of this installation."""
    return DistanceStore(settings.CLOSER_DATA / "distances.sqlite3")


def distances(
    pairs: Sequence[Pair],
    metric: Metric,
    store: DistanceStore,
    *,
    progress: Progress = lambda done, total: None,
) -> NDArray[np.float64]:
    """(n, 2): of each pair's p0 and p1 to the reference.

    What the store lacks is reckoned, and kept as it comes: a run that was stopped goes on there.
    Raises InvalidDataset for a file that is no picture, ValueError for one that is too small for
    the metric, and MetricUnavailable where its program fails.
    """
    digest = cache(file_digest)
    of_metric = metric.digest

    def key(pair: Pair, distorted: Path) -> str:
        return f"{of_metric}/{digest(pair.reference)}/{digest(distorted)}"

    sides = [[(key(pair, side), pair, side) for side in (pair.p0, pair.p1)] for pair in pairs]
    wanted = {name: (pair.reference, side) for both in sides for name, pair, side in both}
    found = store.read(list(wanted))
    missing = {name: files for name, files in wanted.items() if name not in found}
    progress(len(found), len(wanted))
    for some in _reckoned(missing, metric):
        store.write(some)
        found |= some
        progress(len(found), len(wanted))
    return np.array([[found[name] for name, *_ in both] for both in sides]).reshape(-1, 2)


def _reckoned(missing: dict[str, tuple[Path, Path]], metric: Metric) -> Iterator[dict[str, float]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(metric, torch.nn.Module):
        metric.to(device)
    for batch in _batches(missing):
        names = [name for name, *_ in batch]
        references = [reference for _, reference, _ in batch]
        alike = all(each is references[0] for each in references)
        reference = torch.stack(references[:1] if alike else references).to(device)
        distorted = torch.stack([each for *_, each in batch]).to(device)
        with torch.inference_mode():
            found = metric.distance(reference, distorted)
        yield dict(zip(names, found.double().tolist(), strict=True))


def _batches(
    missing: dict[str, tuple[Path, Path]],
) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """What is missing with its pictures, those of one reference and then of one size together."""
    by_reference = groupby(
        sorted(missing.items(), key=lambda each: (str(each[1][0]), str(each[1][1]))),
        key=lambda each: each[1][0],
    )
    batch: list[tuple[str, Tensor, Tensor]] = []
    for file, group in by_reference:
        reference = pixels(file)
        for name, (_, distorted) in group:
            is_full = (len(batch) + 1) * reference[0].numel() > AT_ONCE_PIXELS
            if batch and (is_full or batch[0][1].shape != reference.shape):
                yield batch
                batch = []
            batch.append((name, reference, pixels(distorted)))
    if batch:
        yield batch
