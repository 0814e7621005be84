"""What a codec's file says of it, read without PyTorch, which takes seconds to load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

FORMAT = 2
METADATA = "closer_codec"
BUNDLED_FILE = Path(str(files("perceptual") / "weights" / "closer-codec.safetensors"))
LOWEST_LAMBDA, HIGHEST_LAMBDA = 0.0008, 0.2
"""Of the loss  bits per pixel + lambda * 255^2 * MSE: those that networks know."""
LEAST_PRICE, GREATEST_PRICE = LOWEST_LAMBDA / 8, HIGHEST_LAMBDA * 16
"""The lambdas at which pictures can be coded."""
STEPS = 4
"""Of decoding: each gives a quarter of the latents."""


@dataclass(frozen=True)
class Shape:
    """How large the network is.

    fine, middle, coarse : channels at strides 4, 8 and 16; `coarse` is also the latents'.
    inside_coarse : channels within a block at stride 16; elsewhere they are as many as outside.
    fine_blocks, ... : residual blocks at each, in the analysis and in the synthesis.
    state : channels of what the probabilities are made from.   hyper : of the hyper latents.
    """

    fine: int = 64
    middle: int = 128
    coarse: int = 384
    inside_coarse: int = 112
    fine_blocks: int = 2
    middle_blocks: int = 3
    coarse_blocks: int = 3
    state: int = 160
    hyper: int = 64

    def __post_init__(self) -> None:
        if self.coarse % STEPS:
            raise ValueError(f"the latents' channels must be a multiple of {STEPS}")


class InvalidModel(ValueError):
    """A file holds no codec that this program can load; the message says why."""


@dataclass(frozen=True)
class Card:
    """What a codec's file says of it.

    saliency_floor : how much places that are not salient counted in training; None if all counted
        alike.   thrift : how much a bit saved by rounding towards the mean counts against the error
        that this adds; the encoder alone uses it.   trained_on, results : free of form.
    """

    name: str
    shape: Shape = field(default_factory=Shape)
    saliency_floor: float | None = None
    thrift: float = 0.25
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """What a file holds.

    arrays : by name, weights and the whole numbers that go with them.
    digest : SHA-256, in hexadecimal, of all that files and pictures depend on.
    """

    card: Card
    arrays: Mapping[str, NDArray[Any]]
    digest: str


def read(file: str | Path) -> Stored:
    """What is in the file of a codec. Raises InvalidModel if it holds none."""
    try:
        with safe_open(str(file), "np") as stored:
            card = _card(stored.metadata() or {}, file)
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{file} is no codec's file: {error}") from None
    return Stored(card, arrays, digest_of(card, arrays))


def digest_of(card: Card, arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.sha256(json.dumps([FORMAT, asdict(card.shape)]).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.shape} {array.dtype}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _card(metadata: Mapping[str, str], file: str | Path) -> Card:
    if METADATA not in metadata:
        raise InvalidModel(f"{file} is no codec's file: it says nothing of one")
    try:
        told = json.loads(metadata[METADATA])
        if told.pop("format") != FORMAT:
            raise InvalidModel(f"{file} is of another format than {FORMAT}, which is known")
        return Card(**told | {"shape": Shape(**told["shape"])})
    except InvalidModel:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InvalidModel(f"{file} says of its codec what is not known: {error}") from None
