"""What every backbone is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = Mapping[str, Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


def is_traced() -> bool:
    """Whether operations are being recorded, for ONNX or by a compiler: values are then none of
    ours to look at, and only operations that PyTorch knows can be written down."""
    is_recorded: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return is_recorded or torch.compiler.is_compiling()


class BackboneUnavailable(Exception):
    """The weights of a backbone are not at hand; the message says how to get them."""


class Backbone(nn.Module):
    """A network whose feature maps are compared.

    channels : of each feature map, the finest first. smallest_side : of the pictures that it takes,
        in pixels. mean, sd : of the red, green and blue samples that it was trained on, in [0, 1].
    digest : SHA-256 of its weights.
    """

    name: ClassVar[str]
    channels: ClassVar[tuple[int, ...]]
    smallest_side: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    sd: ClassVar[tuple[float, float, float]] = IMAGENET_SD
    digest: str = ""
    _mean: Tensor
    _sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_mean", torch.tensor(self.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_sd", torch.tensor(self.sd).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps of pictures (N, 3, H, W), sRGB in [0, 1]: (N, C, H', W') each."""
        normal = (pictures - self._mean) / self._sd
        return self.features_of(normal.contiguous(memory_format=torch.channels_last))

    def features_of(self, normal: Tensor) -> list[Tensor]:
        """Feature maps of pictures that are normalised already."""
        raise NotImplementedError

    def take(self, state: State) -> None:
        """Take ImageNet weights as their makers publish them."""
        raise NotImplementedError

    def draw(self, generator: torch.Generator) -> None:
        """Draw all weights: He et al., "Delving deep into rectifiers", ICCV 2015, equation 14."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
