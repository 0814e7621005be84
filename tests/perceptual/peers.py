"""Packages to compare with, on the networks that we have.

`lpips` and `piq` take networks from torchvision, whose wheels bring another torch than ours. They
need of it only networks in its layout, and ours are that: a stand-in hands them over.
"""

import sys
import types
import warnings
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec

import torch
from torch import nn

from perceptual.backbones import RANDOM, load_backbone
from perceptual.backbones.torchvision_layout import Vgg16
from perceptual.lpips import published

NETWORKS = {"vgg16": "vgg16", "alexnet": "alexnet", "squeezenet1_1": "squeezenet"}


class _Network(nn.Module):
    """Our layers; but for convolutions as torch has them, not as ours are sped up."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = load_backbone(name, RANDOM).features
        self.features = nn.Sequential(*(_plain(layer) for layer in layers))


def _plain(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Conv2d) or type(layer) is nn.Conv2d:
        return layer
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, padding=1)
    plain.load_state_dict(layer.state_dict())
    return plain.requires_grad_(False)


@contextmanager
def torchvision_stand_in():
    """While it lasts, `torchvision.models` has our networks, with random weights of seed 0."""
    before = sys.modules.copy()
    models = types.ModuleType("torchvision.models")
    for theirs, ours in NETWORKS.items():
        setattr(models, theirs, lambda *_, ours=ours, **__: _Network(ours))
    models.vgg19 = None
    package = types.ModuleType("torchvision")
    package.models = models
    sys.modules |= {"torchvision": package, "torchvision.models": models}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in ("torchvision", "torchvision.models"):
            sys.modules.pop(name)
            if name in before:
                sys.modules[name] = before[name]


def published_lpips(net: str) -> nn.Module:
    """The package's own metric: "vgg", "alex" or "squeeze", its published linear weights on our
    random backbone."""
    with torchvision_stand_in():
        import lpips

        return lpips.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False).eval()


def piq_lpips() -> nn.Module:
    """piq's LPIPS on VGG16: as `published_lpips("vgg")`, whose linear weights it fetches from
    elsewhere."""
    with torchvision_stand_in():
        # Its __init__ would import all its metrics, some of which need more of torchvision.
        sys.modules.setdefault("piq", module_from_spec(find_spec("piq")))
        piq = import_module("piq.perceptual")
    linear = published("lpips-vgg", load_backbone("vgg16", RANDOM)).weight
    weights = [each.view(1, -1, 1, 1) for each in torch.split(linear, [*Vgg16.channels])]
    metric = piq.LPIPS.__new__(piq.LPIPS)
    piq.ContentLoss.__init__(
        metric,
        _Network("vgg16").features,
        layers=[str(position) for position in Vgg16.taps],
        weights=weights,
        normalize_features=True,
        reduction="none",
    )
    return metric


@torch.no_grad()
def package_distance(metric: nn.Module, reference: torch.Tensor, distorted: torch.Tensor):
    """(N,), of pictures in [0, 1]: the package takes them from -1 to 1."""
    return metric(2 * reference - 1, 2 * distorted - 1)[:, 0, 0, 0]
