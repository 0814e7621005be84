"""DISTS: alike in structure and in texture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptual.backbones.torchvision_layout import Vgg16
from perceptual.metric import Metric, MetricUnavailable

PACKAGE = "DISTS_pytorch"


class Dists(nn.Module, Metric):
    """Deep Image Structure and Texture Similarity, as a distance: 0 for equal pictures.

    K. Ding, K. Ma, S. Wang and E. P. Simoncelli, "Image quality assessment: unifying structure and
    texture similarity", IEEE Trans. Pattern Analysis and Machine Intelligence 44 (2022), equation
    7: over the channels j of the picture itself and of five stages of VGG16,

        D = 1 - sum of (alpha_j l_j + beta_j s_j)

    where l (equation 5) compares the channel's means, and s (equation 6) its variances and their
    covariance, over the whole picture. VGG16's maximum pooling gives way to blurred L2 pooling
    (equation 3). alpha and beta, >= 0 and of sum 1, are its authors'. Pictures are taken in the
    size they have; its authors shrink theirs to 256 pixels before.

    backbone : VGG16. With other weights than torchvision's own, this is not the published metric.

    Raises MetricUnavailable where the package with its authors' weights is missing.
    """

    name, label = "dists", "DISTS"
    low, high = 0.0, 2.0
    smallest_side = 16
    is_differentiable = True

    EPSILON = 1e-6  # c1 and c2, as in its authors' program
    alpha: Tensor
    beta: Tensor
    window: Tensor

    def __init__(self, backbone: Vgg16) -> None:
        super().__init__()
        self.backbone = backbone
        alpha, beta = _authors_weights()
        total = alpha.sum() + beta.sum()
        self.register_buffer("alpha", alpha / total)
        self.register_buffer("beta", beta / total)
        # The inner 3 x 3 of a Hann window of 5 (equation 3).
        taps = torch.tensor([0.5, 1.0, 0.5])
        self.register_buffer("window", torch.outer(taps, taps) / 4)

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,); see Metric.distance."""
        self.check(reference, distorted)
        n = len(reference)
        maps = self._maps(torch.cat([reference, distorted]))
        similarities = [self._similarities(each[:n], each[n:]) for each in maps]
        means, structures = (torch.cat(each, 1) for each in zip(*similarities, strict=True))
        similarity: Tensor = means @ self.alpha + structures @ self.beta
        return (1 - similarity).clamp_min(0)

    forward = distance

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        """The pictures themselves, and what each stage makes of them."""
        maps = [pictures]
        mean, sd = (pictures.new_tensor(each).view(3, 1, 1) for each in (Vgg16.mean, Vgg16.sd))
        x = (pictures - mean) / sd
        for position, layer in enumerate(self.backbone.features):
            x = self._pooled(x) if isinstance(layer, nn.MaxPool2d) else layer(x)
            if position in self.backbone.taps:
                maps.append(x)
        return maps

    def _pooled(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.window.expand(channels, 1, 3, 3)
        squares = functional.conv2d(x.square(), kernel, stride=2, padding=1, groups=channels)
        return (squares + 1e-12).sqrt()

    def _similarities(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) each: of the means, and of the structures, of each channel."""
        mean_x, mean_y = (each.mean((2, 3), keepdim=True) for each in (x, y))
        variance_x = (x - mean_x).square().mean((2, 3))
        variance_y = (y - mean_y).square().mean((2, 3))
        covariance = ((x - mean_x) * (y - mean_y)).mean((2, 3))
        a, b = mean_x[..., 0, 0], mean_y[..., 0, 0]
        of_means = (2 * a * b + self.EPSILON) / (a**2 + b**2 + self.EPSILON)
        of_structures = (2 * covariance + self.EPSILON) / (variance_x + variance_y + self.EPSILON)
        return of_means, of_structures


def _authors_weights() -> tuple[Tensor, Tensor]:
    """alpha and beta, (1475,) each."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise MetricUnavailable("DISTS needs its authors' weights: pip install DISTS-pytorch==0.1")
    file = Path(package.origin).with_name("weights.pt")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    return weights["alpha"].detach().flatten(), weights["beta"].detach().flatten()
