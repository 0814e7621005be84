"""Where the components of pairs come from while a metric is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from perceptual.components import VIEWS
from perceptual.lpips import LpipsComp
from perceptual.pairs import Pair, pixels
from perceptual.training.distributed import device

KEPT = 2000  # pictures, as 8-bit samples
TYPICAL_OF = 64  # pairs


class Source(Protocol):
    """Where the components of pairs come from: a table, or a network that is being trained."""

    def typical(self, model: LpipsComp) -> Tensor:
        """(K,): the mean of each component over some of what is fitted."""

    def batch(self, model: LpipsComp, at: Tensor, generator: torch.Generator) -> Tensor:
        """(len(at), 2, K) of fitted pairs, changed as augmentation has it."""

    def watched(self, model: LpipsComp) -> Tensor:
        """(n_watched, 2, K), as the pictures are."""

    def held_out(self, model: LpipsComp) -> Tensor:
        """(n_held_out, 2, K), as the pictures are."""


class Table:
    """Components that are there: augmentation looks at the whole, or as often at one quarter."""

    def __init__(self, fitted: Tensor, watched: Tensor, held_out: Tensor) -> None:
        self._fitted = fitted
        self._watched = watched[:, :, 0]
        self._held_out = held_out[:, :, 0]

    def typical(self, model: LpipsComp) -> Tensor:
        return self._fitted[:, :, 0].mean((0, 1))

    def batch(self, model: LpipsComp, at: Tensor, generator: torch.Generator) -> Tensor:
        quarter = torch.randint(1, VIEWS, at.shape, generator=generator)
        is_whole = torch.randint(2, at.shape, generator=generator)
        return self._fitted[at, :, quarter * (1 - is_whole)]

    def watched(self, model: LpipsComp) -> Tensor:
        return self._watched

    def held_out(self, model: LpipsComp) -> Tensor:
        return self._held_out


class Pictures:
    """Components by a network as it is at the moment, of parts of pictures of `crop` pixels.

    A picture smaller than that is shown whole; then a batch is looked at one pair at a time.
    """

    def __init__(
        self,
        fitted: Sequence[Pair],
        watched: Sequence[Pair],
        held_out: Sequence[Pair],
        *,
        crop: int,
    ) -> None:
        self._fitted = fitted
        self._watched = watched
        self._held_out = held_out
        self._crop = crop

    def typical(self, model: LpipsComp) -> Tensor:
        return _whole(self._fitted[:: -(-len(self._fitted) // TYPICAL_OF)], model).mean((0, 1))

    def batch(self, model: LpipsComp, at: Tensor, generator: torch.Generator) -> Tensor:
        parts = [self._part(self._fitted[int(each)], generator) for each in at]
        if len({part.shape for part in parts}) > 1:
            return torch.cat([_look(model, part[None]) for part in parts])
        return _look(model, torch.stack(parts))

    def watched(self, model: LpipsComp) -> Tensor:
        return _whole(self._watched, model)

    def held_out(self, model: LpipsComp) -> Tensor:
        return _whole(self._held_out, model)

    def _part(self, pair: Pair, generator: torch.Generator) -> Tensor:
        """(3, 3, h, w): reference, p0 and p1."""
        shown = _shown(pair)
        for axis in (2, 3):
            spare = shown.shape[axis] - self._crop
            if spare > 0:
                first = int(torch.randint(spare + 1, (), generator=generator))
                shown = shown.narrow(axis, first, self._crop)
        return shown.flip(3) if int(torch.randint(2, (), generator=generator)) else shown


@torch.no_grad()
def _whole(pairs: Sequence[Pair], model: LpipsComp) -> Tensor:
    """(n_pairs, 2, K): components of p0 and p1, as the pictures are."""
    return torch.cat([_look(model, _shown(pair)[None]) for pair in pairs])


def _look(model: LpipsComp, shown: Tensor) -> Tensor:
    """(n, 2, K) of (n, 3, 3, h, w)."""
    where = device()
    model.to(where)
    reference, p0, p1 = shown.to(where).unbind(1)
    with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
        maps = model.backbone(torch.cat([reference, p0, p1]))
    x, y, z = ([each.float() for each in part] for part in _thirds(maps))
    return (
        model.from_maps(
            [torch.cat([a, a]) for a in x],
            [torch.cat([b, c]) for b, c in zip(y, z, strict=True)],
            torch.cat([reference, reference]),
            torch.cat([p0, p1]),
        )
        .view(2, len(shown), -1)
        .transpose(0, 1)
        .cpu()
    )


def _thirds(maps: Sequence[Tensor]) -> list[list[Tensor]]:
    return [list(part) for part in zip(*(each.chunk(3) for each in maps), strict=True)]


def _shown(pair: Pair) -> Tensor:
    files = (pair.reference, pair.p0, pair.p1)
    return torch.stack([_samples(file) for file in files]).to(torch.float32) / 255


@lru_cache(maxsize=KEPT)
def _samples(file: Path) -> Tensor:
    return (pixels(file) * 255).round().to(torch.uint8)
