"""What a frozen backbone sees of a dataset, looked at once and kept.

Training the weights of a metric needs of two pictures only their components, some hundred numbers
(perceptual/lpips.py): once they are there, thousands of judgments are trained on in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from perceptual.backbones import Backbone
from perceptual.kept import Kept
from perceptual.lpips import decibels, squared_differences
from perceptual.pairs import Pair, file_digest, pixels

VIEWS = 5
"""Of each pair of pictures: the whole, and its four quarters, so that training can look at parts
without looking at the pictures again."""
AT_ONCE_PIXELS = 2**18  # of distorted pictures in one pass: more do not fit a processor's cache

Progress = Callable[[int, int], None]
"""Called with how many pictures are done, and how many there are."""


@dataclass(frozen=True)
class Compared:
    """A reference and a distorted version, as files and by what is in them."""

    reference: Path
    distorted: Path
    key: str


class ComponentStore(Kept[Tensor]):
    """Components by backbone and pictures: (VIEWS, K) float32 each."""

    table, column = "components", "value BLOB NOT NULL"

    def encode(self, value: Tensor) -> bytes:
        return value.contiguous().numpy().tobytes()

    def decode(self, stored: bytes | float) -> Tensor:
        numbers: NDArray[np.float32] = np.frombuffer(stored, np.float32).copy()  # type: ignore[arg-type]
        return torch.from_numpy(numbers).view(VIEWS, -1)


def table_of(
    pairs: Sequence[Pair],
    backbone: Backbone,
    store: ComponentStore,
    *,
    progress: Progress = lambda done, total: None,
) -> Tensor:
    """(n_pairs, 2, VIEWS, K): components of p0 and of p1, each of the whole and of its quarters; K
    is the backbone's channels and, last, the decibels of pixel error.

    What the store lacks is looked at, and kept as it comes. Raises InvalidDataset for a file that
    is no picture.
    """
    digests = {file: file_digest(file) for file in _files(pairs)}

    def compared(reference: Path, distorted: Path) -> Compared:
        key = f"{backbone.digest}/{digests[reference]}/{digests[distorted]}"
        return Compared(reference, distorted, key)

    sides = [(compared(p.reference, p.p0), compared(p.reference, p.p1)) for p in pairs]
    wanted = {each.key: each for both in sides for each in both}
    found = store.read(list(wanted))
    missing = [each for key, each in wanted.items() if key not in found]
    for done in _look(missing, backbone):
        store.write(done)
        found |= done
        progress(len(found), len(wanted))
    return torch.stack([torch.stack([found[p0.key], found[p1.key]]) for p0, p1 in sides])


def _files(pairs: Iterable[Pair]) -> set[Path]:
    return {file for pair in pairs for file in (pair.reference, pair.p0, pair.p1)}


@torch.no_grad()
def _look(missing: list[Compared], backbone: Backbone) -> Iterator[dict[str, Tensor]]:
    """Components of all that is missing, a few pictures of one reference at a time."""
    by_reference = sorted(missing, key=lambda each: (str(each.reference), each.key))
    for reference, group in groupby(by_reference, key=lambda each: each.reference):
        original = pixels(reference)
        maps = backbone(original[None])
        several = list(group)
        at_once = max(1, AT_ONCE_PIXELS // original[0].numel())
        for start in range(0, len(several), at_once):
            part = several[start : start + at_once]
            pictures = torch.stack([pixels(each.distorted) for each in part])
            seen = _seen(backbone(pictures), maps, pictures - original)
            yield {each.key: seen[at].clone() for at, each in enumerate(part)}


def _seen(x: Sequence[Tensor], y: Sequence[Tensor], error: Tensor) -> Tensor:
    """(n, VIEWS, K) of feature maps and errors (n, 3, H, W)."""
    pixel_error = decibels(_views(error.square().mean(1, keepdim=True)))
    channels = [_views(squared_differences(a, b)) for a, b in zip(x, y, strict=True)]
    return torch.cat([*channels, pixel_error], 2).cpu()


def _views(squares: Tensor) -> Tensor:
    """(n, VIEWS, C): the mean of (n, C, H, W) over the whole and over each quarter, left to right
    and down; of an odd side both halves take in the middle."""
    quarters = functional.adaptive_avg_pool2d(squares, 2).flatten(2)
    return torch.cat([squares.mean((2, 3))[..., None], quarters], 2).transpose(1, 2)
