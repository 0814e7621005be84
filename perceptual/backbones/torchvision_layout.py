"""VGG16, AlexNet and SqueezeNet 1.1, with weights named as torchvision names them.

The maps that are compared are those of Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric" (section 3): after the rectifiers that end each stage.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from perceptual.backbones.base import Backbone, State, is_traced


class _Sequential(Backbone):
    """A network that is a list of layers, with maps taken after some of them."""

    taps: ClassVar[tuple[int, ...]]

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.features = nn.ModuleList(layers[: self.taps[-1] + 1])

    def features_of(self, normal: Tensor) -> list[Tensor]:
        maps = []
        x = normal
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self.taps:
                maps.append(x)
        return maps

    def take(self, state: State) -> None:
        self.load_state_dict({name: state[name] for name in self.state_dict()})


class _Convolution3x3(nn.Conv2d):
    """A 3 x 3 convolution that keeps the size of its map; on a CPU, where its weights are frozen,
    by Winograd's algorithm, which takes half as long and differs by some 1e-5 of the values."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if _suits_winograd(x, self.weight):
            result: Tensor = _Winograd.apply(  # type: ignore[no-untyped-call]
                x, self.weight, self.bias
            )
            return result
        return super().forward(x.contiguous(memory_format=torch.channels_last))


def _suits_winograd(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not weight.requires_grad
        and min(weight.shape[:2]) >= 64  # else there is too little to multiply
        and x.shape[2] * x.shape[3] >= 2000  # or turning the weights takes most of the time
        and not is_traced()
        and torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]
    )


class _Winograd(torch.autograd.Function):
    """NNPACK's 3 x 3 convolution by F(6 x 6, 3 x 3) (Lavin and Gray, "Fast algorithms for
    convolutional neural networks", CVPR 2016). PyTorch chooses it for batches of 16 only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return _nnpack(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        # The gradient of a convolution is one by the kernel turned round, from out to in.
        return _nnpack(gradients[0], weight.transpose(0, 1).flip(2, 3), None), None, None


def _nnpack(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # One picture at a time: for several, NNPACK takes an algorithm for training, which is slower.
    weight = weight.contiguous()
    found = [
        torch._nnpack_spatial_convolution(each[None], weight, bias, [1, 1], [1, 1])
        for each in x.contiguous()
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _convolutions(*widths: int | str) -> list[nn.Module]:
    """3 x 3 convolutions of so many channels with rectifiers; "pool" halves the maps."""
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [_Convolution3x3(channels, width), nn.ReLU(inplace=True)]
            channels = width
    return layers


class Vgg16(_Sequential):
    """Simonyan and Zisserman, "Very deep convolutional networks", ICLR 2015, configuration D."""

    name = "vgg16"
    channels = (64, 128, 256, 512, 512)
    smallest_side = 16
    taps = (3, 8, 15, 22, 29)

    def __init__(self) -> None:
        super().__init__(
            _convolutions(
                *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
                *(512, 512, 512, "pool", 512, 512, 512),
            )
        )


class AlexNet(_Sequential):
    """Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014."""

    name = "alexnet"
    channels = (64, 192, 384, 256, 256)
    smallest_side = 63
    taps = (1, 4, 7, 9, 11)

    def __init__(self) -> None:
        super().__init__(
            [
                *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True)),
                nn.MaxPool2d(3, 2),
                *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True)),
                nn.MaxPool2d(3, 2),
                *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
                *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
                *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True)),
            ]
        )


class _Fire(nn.Module):
    """Squeeze to few channels, and expand from them by 1 x 1 and 3 x 3 convolutions."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(_Sequential):
    """Iandola et al., "SqueezeNet", 2016, in version 1.1 of its authors."""

    name = "squeezenet"
    channels = (64, 128, 256, 384, 384, 512, 512)
    smallest_side = 33
    taps = (1, 4, 7, 9, 10, 11, 12)

    def __init__(self) -> None:
        super().__init__(
            [
                *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True)),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                *(_Fire(64, 16, 64), _Fire(128, 16, 64)),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                *(_Fire(128, 32, 128), _Fire(256, 32, 128)),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                *(_Fire(256, 48, 192), _Fire(384, 48, 192)),
                *(_Fire(384, 64, 256), _Fire(512, 64, 256)),
            ]
        )
