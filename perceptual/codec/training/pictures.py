"""Parts of photographs to train on, from pictures that lie in memory as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from perceptual.codec.training.settings import CannotTrain
from perceptual.pairs import InvalidDataset, pixels

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MOST_REDUCED = 2.5
"""By how much a part of a large picture is made smaller at most before it is cut."""
SHORTEST_LEFT = 340
"""Pixels that the shorter side of a reduced picture would have left at least."""
PAINTED, PERMUTED = 0.03, 0.05
"""Shares of crops that are flat patches of any colour, and whose red, green and blue are exchanged:
photographs alone teach little of saturated colours, and drawings are coded as well."""
GROWS = 0.75
"""How often a picture is drawn grows as this power of its pixels: large ones tell more, yet not as
much more as they are larger."""


def photographs(folders: Sequence[Path]) -> list[Path]:
    """All pictures under the folders, in the names' order. Raises CannotTrain if there are none."""
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise CannotTrain(f"{folder} is no folder")
        found += [each for each in sorted(folder.rglob("*")) if each.suffix.lower() in ENDINGS]
    if not found:
        raise CannotTrain(f"there is no picture under {', '.join(map(str, folders))}")
    return found


def held_out(files: Sequence[Path], count: int, *, seed: int) -> tuple[list[Path], list[Path]]:
    """Files to train on and `count` to watch: those whose name's hash with the seed comes first."""
    order = sorted(files, key=lambda file: hashlib.sha256(f"{seed}/{file.name}".encode()).digest())
    if len(order) <= count:
        raise CannotTrain(f"{len(order)} pictures are too few to hold {count} out")
    watched = set(order[:count])
    return [file for file in files if file not in watched], sorted(watched)


def read(file: Path) -> Tensor:
    """(3, H, W) uint8. Raises CannotTrain, naming the file, if it is no opaque 8-bit picture."""
    try:
        return (pixels(file) * 255).round().to(torch.uint8)
    except InvalidDataset as error:
        raise CannotTrain(str(error)) from None


def digest_of(pictures: Sequence[Tensor]) -> str:
    """SHA-256, in hexadecimal, of the pictures' pixels and sizes, whatever their files are called
    and in whichever order they come.   pictures : (3, H, W) uint8 each."""
    each = sorted(
        hashlib.sha256(f"{tuple(one.shape)}\n".encode() + one.numpy().tobytes()).digest()
        for one in pictures
    )
    return hashlib.sha256(b"".join(each)).hexdigest()


class Photographs:
    """Pictures of which crops are drawn: anywhere, mirrored, transposed, and reduced where the
    picture is large enough.

    pictures : (3, H, W) uint8 each; or (4, H, W) with a map of saliency, 255 for the most.
    """

    def __init__(self, pictures: Sequence[Tensor], crop: int) -> None:
        self.pictures = [each for each in pictures if min(each.shape[1:]) >= crop]
        if not self.pictures:
            raise CannotTrain(f"no picture is {crop} pixels wide and high")
        self.crop = crop
        area = torch.tensor([float(each[0].numel()) for each in self.pictures])
        self._often = area**GROWS
        self._saliency = torch.tensor(
            [float(each[3].float().mean()) / 255 if len(each) > 3 else 0 for each in self.pictures]
        )

    def draw(self, count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Crops, (count, C, crop, crop) float32 in [0, 1], and (count,) the mean saliency of the
        pictures that they are of."""
        drawn = torch.multinomial(self._often, count, replacement=True, generator=chance)
        parts = torch.stack([self._part(self.pictures[int(at)], chance) for at in drawn])
        return parts, self._saliency[drawn]

    def _part(self, picture: Tensor, chance: torch.Generator) -> Tensor:
        height, width = picture.shape[1:]
        most = min(MOST_REDUCED, min(height, width) / max(SHORTEST_LEFT, self.crop))
        by, straight, mirror, turn = torch.rand(4, generator=chance).tolist()
        side = self.crop
        if most > 1 and straight < 0.5:
            side = min(round(self.crop * most**by), height, width)
        top = int(torch.randint(height - side + 1, (), generator=chance))
        left = int(torch.randint(width - side + 1, (), generator=chance))
        part = picture[:, top : top + side, left : left + side].to(torch.float32) / 255
        if side != self.crop:
            part = functional.interpolate(
                part[None], (self.crop, self.crop), mode="bilinear", antialias=True
            )[0].clamp(0, 1)
        if mirror < 0.5:
            part = part.flip(2)
        part = part.transpose(1, 2) if turn < 0.5 else part
        return _recoloured(part, chance)


def _recoloured(part: Tensor, chance: torch.Generator) -> Tensor:
    """The part, or now and then other colours in its place."""
    which = float(torch.rand((), generator=chance))
    if which < PAINTED:
        size = 2 ** int(torch.randint(3, 8, (), generator=chance))
        many = -(-part.shape[1] // size)
        patches = torch.rand(3, many, many, generator=chance)
        # As often the corners of the cube of colours as anything within.
        patches = torch.where(
            torch.rand(1, many, many, generator=chance) < 0.5, patches.round(), patches
        )
        grown = patches.repeat_interleave(size, 1).repeat_interleave(size, 2)
        part = part.clone()
        part[:3] = (grown[:, : part.shape[1], : part.shape[2]] * 255).round() / 255
    elif which < PAINTED + PERMUTED:
        order = torch.randperm(3, generator=chance)
        part = torch.cat([part[order], part[3:]])
    return part
