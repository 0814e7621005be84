"""A trained codec: its file, and pictures to bytes and back.

    >>> codec = LearnedCodec.load(BUNDLED_FILE)
    >>> data = codec.encode(pixels, 0.0125)  # (H, W, 3) uint8; lambda
    >>> codec.decode(data)                   # (H, W, 3) uint8

A file is a safetensors: the network's weights in half precision, the whole numbers that are kept
because machines might not agree on them, and a card of what made it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from perceptual.codec import container, tiles
from perceptual.codec.card import (
    FORMAT,
    LOWEST_LAMBDA,
    METADATA,
    Card,
    InvalidModel,
    Stored,
    digest_of,
    read,
)
from perceptual.codec.container import BadBitstream
from perceptual.codec.exact import ExactEntropy, NotExact, exact_widths, rate_of, shares_of, whole
from perceptual.codec.importance import importance_of, weights_of
from perceptual.codec.network import HYPER_STRIDE, CodecNetwork
from perceptual.codec.symbols import BadSymbols, Reader, Tables, Writer, make_counts

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3), uint8, sRGB."""

KEPT_WHOLE = ("log2_step.table", "hyper_mean.table", "hyper_log2_scale.table", "deviation")
"""Of the weights, those that are not stored in half precision."""
WIDTHS, COUNTS, LENGTHS = "exact.widths", "exact.counts", "exact.lengths"
WORTH = 6 / math.log(2)
"""Bits for a squared error of one step: by how much lambda * 255^2 * MSE grows where a value of an
orthonormal transform is quantised with the step that is best for its lambda (`beginning`)."""
FARTHEST = 2**20
"""Of symbols: values beyond are cut off, and none occurs in a picture."""


def to_bytes(network: CodecNetwork, card: Card) -> bytes:
    """A trained network as the content of a file. The same network gives the same bytes."""
    state = {
        name: value.detach().cpu().to(torch.float32 if name in KEPT_WHOLE else torch.float16)
        for name, value in network.state_dict().items()
    }
    counts = make_counts()
    state[WIDTHS] = exact_widths(network).cpu()
    state[COUNTS] = torch.from_numpy(np.concatenate(counts))
    state[LENGTHS] = torch.tensor([len(each) for each in counts], dtype=torch.int32)
    stored = {name: value.contiguous() for name, value in state.items()}
    told = json.dumps({"format": FORMAT} | asdict(card), sort_keys=True)
    return bytes(save(stored, {METADATA: told}))


class LearnedCodec:
    """A network that is ready to code. Threads may share one.

    digest : SHA-256, in hexadecimal, of all that files and pictures depend on.
    """

    def __init__(self, card: Card, tensors: Mapping[str, Tensor]) -> None:
        self.card = card
        self.digest = digest_of(card, {name: each.numpy() for name, each in tensors.items()})
        counts = tensors[COUNTS].numpy()
        ends = np.cumsum(tensors[LENGTHS].numpy())
        self._tables = Tables(np.split(counts, ends[:-1]))
        self._saved = torch.from_numpy(self._tables.saved)
        self.network = CodecNetwork(card.shape)
        own = {name: value.float() for name, value in tensors.items() if "exact." not in name}
        self.network.load_state_dict(own)
        self.network.eval().requires_grad_(False)
        self._exact = ExactEntropy(self.network, tensors[WIDTHS])

    @staticmethod
    def load(file: str | Path) -> LearnedCodec:
        """The codec in a file of `to_bytes`. Raises InvalidModel if there is none in it."""
        stored = read(file)
        try:
            return LearnedCodec(stored.card, _tensors(stored))
        except (KeyError, RuntimeError, NotExact) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InvalidModel(f"{file} holds another codec than is known: {reason}") from None

    @torch.no_grad()
    def encode(
        self, pixels: Pixels, price: float, saliency: NDArray[np.float32] | None = None
    ) -> bytes:
        """A picture as a whole file; the same picture and price give the same bytes.

        pixels : sides of 1 to 65535.   price : lambda, from LEAST_PRICE to GREATEST_PRICE. Where
            the network's end, from LOWEST_LAMBDA to HIGHEST_LAMBDA, more is rounded to the mean, or
            steps are finer.
        saliency : (H, W) in [0, 1]; None: all places count alike.

        Raises ValueError if the picture is of another form or too large, if lambda is out of
        range, or if there is a map and the codec was not trained with any.
        """
        height, width = _checked(pixels)
        with _one_thread():
            return self._encode(pixels, price, saliency, height, width)

    def _encode(
        self,
        pixels: Pixels,
        price: float,
        saliency: NDArray[np.float32] | None,
        height: int,
        width: int,
    ) -> bytes:
        rate = rate_of(price)
        whole_picture = _continued(_samples(pixels))
        told = None if saliency is None else self.importance(saliency, (height, width))
        y, keep = tiles.analysed(self.network, whole_picture, shares_of(rate), told)
        writer = Writer(self._tables)
        exact = self._exact

        hyper = self.network.hyper_analysis(y)[0]
        of_hyper = exact.hyper(rate)
        symbols = (hyper.double() - of_hyper.mean / 2**14).round()
        symbols, levels = _coded(symbols, of_hyper.level.expand_as(hyper))
        writer.write(_flat(symbols), _flat(levels))
        state = exact.begin(symbols * 2**14 + of_hyper.mean, rate)

        step_width = exact.width(rate)
        worth = WORTH * min(price / LOWEST_LAMBDA, 1.0)
        parts = self.network.split(y)
        kept = None if keep is None else self.network.split(keep)
        decoded: list[Tensor] = []
        for s, part in enumerate(parts):
            state, of_step = exact.step(s, state, decoded, rate)
            left = (whole(part[0]) - of_step.mean) / step_width
            if kept is not None:
                left = left * kept[s][0]
            nearest = self._nearest(left, of_step.level, worth)
            symbols, levels = _coded(nearest, of_step.level)
            writer.write(_flat(symbols), _flat(levels))
            decoded.append(of_step.mean + symbols * step_width)
        return container.write(container.Header(self.digest, width, height, rate), writer.bytes())

    @torch.no_grad()
    def decode(self, data: bytes) -> Pixels:
        """The picture of a file, (H, W, 3).

        Raises BadBitstream if it is broken, of another format, or of another model.
        """
        header, coded = container.read(data)
        if header.digest != self.digest[: len(header.digest)]:
            raise BadBitstream(
                f"it was made by another model ({header.digest}) than this ({self.digest[:8]})"
            )
        with _one_thread():
            try:
                y = self._read(Reader(self._tables, coded), header)
            except BadSymbols as error:
                raise BadBitstream(str(error)) from None
            picture = tiles.synthesised(self.network, y, shares_of(header.rate))
        shown = picture[:, : header.height, : header.width]
        return np.ascontiguousarray(shown.permute(1, 2, 0).numpy())

    def _nearest(self, left: Tensor, level: Tensor, worth: float) -> Tensor:
        """Whole numbers for what is left, in steps: the nearest, or the next towards 0 where that
        saves more bits than the error that it adds is worth.

        worth : bits for a squared error of one step.
        """
        nearest = left.round()
        size = nearest.abs()
        saved = self._saved[level, size.clamp_max(self._saved.shape[1] - 1).long()]
        added = 2 * (left.abs() - size) + 1
        is_thrifty = (size > 0) & (saved * self.card.thrift > worth * added)
        return torch.where(is_thrifty, nearest - nearest.sign(), nearest)

    def importance(self, saliency: NDArray[np.float32], size: tuple[int, int]) -> Tensor:
        """(1, 1, h, w): what the guide is told."""
        if saliency.shape != size:
            raise ValueError(f"the map is {saliency.shape}, the picture {size}")
        if self.card.saliency_floor is None:
            raise ValueError(f"{self.card.name} was not trained with maps of saliency")
        whole_map = torch.from_numpy(saliency)[None, None].float()
        return importance_of(_continued(weights_of(whole_map, self.card.saliency_floor)))

    def _read(self, reader: Reader, header: container.Header) -> Tensor:
        """Whitened latents (1, C, h, w)."""
        exact, rate = self._exact, header.rate
        rows, columns = (-(-side // HYPER_STRIDE) for side in (header.height, header.width))
        of_hyper = exact.hyper(rate)
        levels = of_hyper.level.expand(-1, rows, columns)
        symbols = _read(reader, levels)
        state = exact.begin(symbols * 2**14 + of_hyper.mean, rate)
        step_width = exact.width(rate)
        decoded: list[Tensor] = []
        for s in range(len(exact.steps)):
            state, of_step = exact.step(s, state, decoded, rate)
            decoded.append(of_step.mean + _read(reader, of_step.level) * step_width)
        reader.finish()
        return (exact.join(decoded) / 2**14).float()[None]


def _tensors(stored: Stored) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in stored.arrays.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have this thread's operators use no other: the same sums however many cores there are, and no
    waiting for one another where others use them too, which is slower by far."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _coded(symbols: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols as they are decoded: 0 where the level codes nothing."""
    return (symbols * (levels > 0)).clamp(-FARTHEST, FARTHEST), levels


def _flat(values: Tensor) -> Any:
    found = values.contiguous().flatten().numpy()
    return found if found.dtype == np.int64 else found.astype(np.int32)


def _read(reader: Reader, levels: Tensor) -> Tensor:
    """float64 symbols, in the shape of the levels."""
    symbols = reader.read(levels.contiguous().flatten().numpy())
    return torch.from_numpy(symbols).double().view(levels.shape)


def _checked(pixels: Pixels) -> tuple[int, int]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"a picture must be (height, width, 3) uint8, not {pixels.shape} {pixels.dtype}"
        )
    height, width = pixels.shape[:2]
    if pixels.size == 0 or max(height, width) > container.LARGEST_SIDE:
        raise ValueError(
            f"sides must be 1 to {container.LARGEST_SIDE} pixels, not {width} x {height}"
        )
    if height * width > container.LARGEST_PICTURE:
        raise ValueError(
            f"a picture has at most {container.LARGEST_PICTURE} pixels, not {width} x {height}"
        )
    return height, width


def _samples(pixels: Pixels) -> Tensor:
    """(1, 3, H, W) uint8, a copy: the array may be one that cannot be written to."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


def _continued(picture: Tensor) -> Tensor:
    """By its last row and column, to sides that are multiples of 64."""
    height, width = picture.shape[2:]
    rows = torch.arange(-(-height // HYPER_STRIDE) * HYPER_STRIDE).clamp_max(height - 1)
    columns = torch.arange(-(-width // HYPER_STRIDE) * HYPER_STRIDE).clamp_max(width - 1)
    return picture[:, :, rows][:, :, :, columns]
