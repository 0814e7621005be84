"""Closer's learned codec (docs/learned-codec.md), by the model that comes with Closer or one of
one's own."""

from __future__ import annotations

import hashlib
import math
import os
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codecs_registry.codecs.base import (
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_setting,
)
from codecs_registry.codecs.checks import check_size
from codecs_registry.codecs.command_line import VARIABLE as FOLDERS
from perceptual.codec.card import (
    BUNDLED_FILE,
    GREATEST_PRICE,
    LEAST_PRICE,
    Card,
    InvalidModel,
    read,
)
from perceptual.saliency import Saliency, SaliencyUnavailable, default_file
from perceptual.saliency import digest_of as saliency_digest_of

if TYPE_CHECKING:  # PyTorch takes seconds to load, and whoever codes by others needs none
    from perceptual.codec.model import LearnedCodec

VARIABLE = "CLOSER_CODEC_MODEL"
"""Of the environment: the file of another model."""
MAPS_KEPT = 2


class Closer:
    """The learned codec. Its setting is a quality from 0 to 100 along the logarithm of lambda, the
    price of distortion in bits, from the least to the greatest at which it codes.

    A model that was trained with maps of saliency gets one of each picture.
    """

    label = "Closer"
    extension = ".clo"
    knob = Knob(
        low=0.0,
        high=100.0,
        curve=(
            (0.0, 0.0609),
            (21.13, 0.0986),
            (28.89, 0.164),
            (35.74, 0.256),
            (42.4, 0.394),
            (49.0, 0.604),
            (55.86, 0.918),
            (63.51, 1.38),
            (72.41, 2.1),
            (84.37, 3.05),
            (97.87, 4.44),
        ),
    )
    memory_per_pixel = 120

    def __init__(self, name: str = "closer", file: Path | None = None) -> None:
        """file : of the model; None: the one of VARIABLE, or that which comes with Closer."""
        self.name = name
        self.label = self.label if file is None else f"{self.label} ({file.stem})"
        self._file = file

    def version(self) -> str:
        (_, digest), maps_by = self.told(), self._saliency_digest()
        guided = f", saliency {maps_by[:12]}" if maps_by else ""
        return f"Closer codec 1, model {digest[:12]}{guided}"

    def unavailable(self) -> str:
        try:
            self._saliency_digest()
        except CodecUnavailable as error:
            return str(error)
        return ""

    def settings(self, setting: float) -> dict[str, Setting]:
        card, _ = self.told()
        return {"quality": setting, "lambda": _price(setting), "thrift": card.thrift}

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        from perceptual.codec.container import LARGEST_PICTURE, LARGEST_SIDE

        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=LARGEST_SIDE)
        if pixels.shape[0] * pixels.shape[1] > LARGEST_PICTURE:
            raise EncodeFailed(f"{self.label} takes at most {LARGEST_PICTURE} pixels")
        saliency = self._saliency()
        told = None if saliency is None else _map(saliency, pixels)
        return self._model().encode(pixels, _price(setting), told)

    def decode(self, bitstream: bytes) -> Pixels:
        from perceptual.codec.container import BadBitstream

        try:
            return self._model().decode(bitstream)
        except BadBitstream as error:
            raise DecodeFailed(f"this is not a file that {self.label} can read: {error}") from error

    def told(self) -> tuple[Card, str]:
        """The model's card and digest. Raises CodecUnavailable, saying how to get a model."""
        try:
            return _read(self.file, self.file.stat().st_mtime_ns)
        except OSError:
            raise CodecUnavailable(
                f"its model {self.file} is missing: train one (manage.py train_codec), and "
                f"{self._mend}"
            ) from None
        except InvalidModel as error:
            raise CodecUnavailable(f"{error}; {self._mend}") from None

    @property
    def file(self) -> Path:
        return self._file or Path(os.environ.get(VARIABLE) or BUNDLED_FILE)

    @property
    def _mend(self) -> str:
        return f"name its file in {VARIABLE if self._file is None else FOLDERS}"

    def _model(self) -> LearnedCodec:
        """The model, loaded once for each file. Raises CodecUnavailable."""
        self.told()
        try:
            return _loaded(self.file, self.file.stat().st_mtime_ns)
        except InvalidModel as error:
            raise CodecUnavailable(f"{error}; {self._mend}") from None

    def _saliency_digest(self) -> str:
        """Of the network for maps, which is not loaded for it; "" if the model takes none."""
        file = self._saliency_file()
        try:
            return "" if file is None else _digest_of_maps(file, _changed(file))
        except SaliencyUnavailable as error:
            raise CodecUnavailable(str(error)) from None

    def _saliency(self) -> Saliency | None:
        """The network for maps, where the model takes any."""
        file = self._saliency_file()
        try:
            return None if file is None else _loaded_saliency(file)
        except SaliencyUnavailable as error:
            raise CodecUnavailable(str(error)) from None

    def _saliency_file(self) -> Path | None:
        card, _ = self.told()
        try:
            return None if card.saliency_floor is None else default_file()
        except SaliencyUnavailable as error:
            raise CodecUnavailable(str(error)) from None


def _price(quality: float) -> float:
    """Lambda."""
    price = LEAST_PRICE * math.exp(quality / 100 * math.log(GREATEST_PRICE / LEAST_PRICE))
    return min(max(price, LEAST_PRICE), GREATEST_PRICE)


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> tuple[Card, str]:
    stored = read(file)
    return stored.card, stored.digest


@lru_cache(maxsize=4)
def _loaded(file: Path, changed: int) -> LearnedCodec:
    from perceptual.codec.model import LearnedCodec

    return LearnedCodec.load(file)


@lru_cache(maxsize=2)
def _digest_of_maps(file: Path, changed: int) -> str:
    return saliency_digest_of(file)


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


@lru_cache(maxsize=2)
def _loaded_saliency(file: Path) -> Saliency:
    return Saliency(file)


_maps: OrderedDict[tuple[str, str], NDArray[np.float32]] = OrderedDict()
_maps_lock = Lock()


def _map(saliency: Saliency, pixels: Pixels) -> NDArray[np.float32]:
    """A picture's map. The last few are kept: a rate search encodes one picture many times."""
    key = saliency.digest, hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    with _maps_lock:
        if key not in _maps:
            _maps[key] = saliency.map(pixels)
            while len(_maps) > MAPS_KEPT:
                _maps.popitem(last=False)
        _maps.move_to_end(key)
        return _maps[key]
