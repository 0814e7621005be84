"""Analysis and synthesis of pictures of any size, in tiles that meet without seams.

A tile is seen with so much around it that no convolution of the network reaches from its inside
beyond what is there (but at the picture's own edge, where all of them see zeros, as they would
without tiles). So where tiles meet, values are what they would be without them, and memory does not
grow with the picture. Pictures up to one tile are done at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from perceptual.codec.card import Shape
from perceptual.codec.network import LATENT_STRIDE, CodecNetwork

SIDE = 96
"""Latents: 1536 pixels, a tile's side without what is around it."""


@dataclass(frozen=True)
class _Tile:
    """Places along one side, in latents: what is seen, and what of that is kept."""

    first: int
    end: int
    kept_first: int
    kept_end: int

    @property
    def inside(self) -> slice:
        return slice(self.kept_first - self.first, self.kept_end - self.first)


def reach(shape: Shape) -> int:
    """How many latents around a tile are seen: as far as 3x3 convolutions at strides 4, 8 and 16
    reach together, and one of the guide."""
    pixels = 4 * shape.fine_blocks + 8 * shape.middle_blocks + 16 * (shape.coarse_blocks + 1)
    return -(-pixels // LATENT_STRIDE)


def analysed(
    network: CodecNetwork,
    picture: Tensor,
    rate: Tensor,
    importance: Tensor | None,
    *,
    side: int = SIDE,
) -> tuple[Tensor, Tensor | None]:
    """What `network.analysed` gives for (1, 3, H, W) uint8 and a map (1, 1, H / 16, W / 16)."""
    rows, columns = (size // LATENT_STRIDE for size in picture.shape[2:])
    y = torch.empty(1, network.shape.coarse, rows, columns)
    keep = None if importance is None else torch.empty_like(y)
    for down, across in _tiles(rows, columns, side, reach(network.shape)):
        part = picture[:, :, _pixels(down), _pixels(across)].float() / 255
        told = None
        if importance is not None:
            told = importance[:, :, down.first : down.end, across.first : across.end]
        found, kept = network.analysed(part, rate, told)
        to = (
            *(slice(None), slice(None)),
            slice(down.kept_first, down.kept_end),
            slice(across.kept_first, across.kept_end),
        )
        y[to] = found[:, :, down.inside, across.inside]
        if keep is not None and kept is not None:
            keep[to] = kept[:, :, down.inside, across.inside]
    return y, keep


def synthesised(network: CodecNetwork, y: Tensor, rate: Tensor, *, side: int = SIDE) -> Tensor:
    """(3, H, W) uint8: what `network.synthesised` gives for whitened latents, rounded."""
    rows, columns = y.shape[2:]
    picture = torch.empty(3, rows * LATENT_STRIDE, columns * LATENT_STRIDE, dtype=torch.uint8)
    for down, across in _tiles(rows, columns, side, reach(network.shape)):
        part = y[:, :, down.first : down.end, across.first : across.end]
        shown = network.synthesised(part, rate)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
        picture[:, _kept_pixels(down), _kept_pixels(across)] = shown[
            :, _inside_pixels(down), _inside_pixels(across)
        ]
    return picture


def _tiles(rows: int, columns: int, side: int, around: int) -> Iterator[tuple[_Tile, _Tile]]:
    for down in _along(rows, side, around):
        for across in _along(columns, side, around):
            yield down, across


def _along(size: int, side: int, around: int) -> list[_Tile]:
    count = max(1, -(-size // side))
    ends = [size * n // count for n in range(count + 1)]
    return [
        _Tile(max(0, first - around), min(size, end + around), first, end)
        for first, end in pairwise(ends)
    ]


def _pixels(tile: _Tile) -> slice:
    return slice(tile.first * LATENT_STRIDE, tile.end * LATENT_STRIDE)


def _kept_pixels(tile: _Tile) -> slice:
    return slice(tile.kept_first * LATENT_STRIDE, tile.kept_end * LATENT_STRIDE)


def _inside_pixels(tile: _Tile) -> slice:
    return slice(tile.inside.start * LATENT_STRIDE, tile.inside.stop * LATENT_STRIDE)
