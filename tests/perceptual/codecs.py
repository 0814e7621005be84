"""Small learned codecs, and pictures to code."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

from perceptual.codec.beginning import begin
from perceptual.codec.card import Card, Shape
from perceptual.codec.model import LearnedCodec, to_bytes
from perceptual.codec.network import CodecNetwork

SMALL = Shape(
    fine=48,
    middle=32,
    coarse=48,
    inside_coarse=16,
    fine_blocks=1,
    middle_blocks=1,
    coarse_blocks=1,
    state=16,
    hyper=8,
)


@functools.cache
def photograph(side: int = 256) -> NDArray[np.uint8]:
    """A face and what is around it."""
    return np.ascontiguousarray(data.astronaut()[:side, 100 : 100 + side])


def as_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def small_network(seed: int = 0) -> CodecNetwork:
    """One that codes photographs about as well as principal components do, and in which nothing is
    nothing: every part of it changes the result."""
    torch.manual_seed(seed)
    network = CodecNetwork(SMALL)
    crops = as_tensor(photograph()).unfold(2, 64, 32).unfold(3, 64, 32)
    begin(network, crops[0].permute(1, 2, 0, 3, 4).flatten(0, 1), seed=seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if any(part in name for part in ("point", "tell", "near", "move", "keep")):
                parameter.add_(torch.randn_like(parameter) * 0.02)
            if "shift" in name or "hyper_mean" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def small_file(seed: int = 0, *, saliency_floor: float | None = 0.3) -> bytes:
    return to_bytes(small_network(seed), Card("small", SMALL, saliency_floor))


@functools.cache
def small_codec(seed: int = 0) -> LearnedCodec:
    from safetensors.torch import load

    tensors = load(small_file(seed))
    return LearnedCodec(Card("small", SMALL, 0.3), tensors)
