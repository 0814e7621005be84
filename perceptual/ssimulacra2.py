"""SSIMULACRA 2, after the program of its author in libjxl (tools/ssimulacra2.cc).

J. Sneyers, "SSIMULACRA 2: Structural SIMilarity Unveiling Local And Compression Related Artifacts",
2022-2023. There is no paper; the program is the definition.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from perceptual.metric import Metric

SCALES = 6
C2 = 0.0009
SIGMA, RADIUS = 1.5, 5

# libjxl's opsin: the responses of long, middle and short cones, mixed from linear R, G and B.
MIX = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
BIAS = 0.0037930732552754493

# fmt: off
WEIGHTS = (
    # X
    0, 0.0007376606707406586, 0, 0, 0.0007793481682867309, 0,
    0, 0.0004371155730107379, 0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0, 0.0016406437456599754, 0, 1.8422455520539298, 11.441172603757666, 0,
    0.0007989109436015163, 0.000176816438078653, 0, 1.8787594979546387, 10.94906990605142, 0,
    0.0007289346991508072, 0.9677937080626833, 0, 0.00014003424285435884,
    0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0, 0, 0.0013648766163243398, 0, 0,
    # Y
    0, 0, 0, 7.466890328078848, 0, 17.445833984131262,
    0.0006235601634041466, 0, 0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0, 0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0, 0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0, 0, 0, 34.77906344483772, 44.835625328877896, 0,
    0, 0, 0, 0, 0, 0,
    # B - Y
    0, 0.0008680556573291698, 0, 0, 0, 0,
    0, 0.0005313191874358747, 0, 0.00016533814161379112, 0, 0,
    0, 0, 0, 0.0004179171803251336, 0.0017290828234722833, 0,
    0.0020827005846636437, 0, 0, 8.826982764996862, 23.19243343998926, 0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353,
    0.0012286405048278493, 171.2667255897307, 0.9807858872435379,
    0, 0, 0, 0.0005130064588990679, 0, 0.00010854057858411537,
)
# fmt: on
"""Of each channel and scale: the means of the three maps, and then their 4-norms. (Fitted by the
author; published with libjxl, BSD-3.)"""


class Ssimulacra2(Metric):
    """100 - SSIMULACRA 2: 0 for equal pictures, some 10 where no difference is seen, 30 at high and
    50 at medium quality; without bound.

    In the colour space XYB, on six scales, each half of the one before, three maps are compared for
    each channel: structural similarity, edges that appeared, and edges that vanished. Each map's
    mean and 4-norm are weighted by the published 108 weights and bent onto the published scale.
    Blurred, as in the program, by a sum of three cosines instead of a Gaussian window; what lies
    outside the picture is zero.
    """

    name, label = "ssimulacra2", "SSIMULACRA 2"
    low, high = 0.0, math.inf
    smallest_side = 8
    is_differentiable = True

    def __init__(self) -> None:
        self._kernel = torch.tensor(cosine_window(SIGMA, RADIUS), dtype=torch.float32)
        self._weights = torch.tensor(WEIGHTS, dtype=torch.float64)

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,); see Metric.distance."""
        self.check(reference, distorted)
        x, y = _linear(reference), _linear(distorted)
        scales = []
        for scale in range(SCALES):
            if min(x.shape[2:]) < 8:  # asked, as the program does, of the scale before
                break
            if scale:
                x, y = _halved(x), _halved(y)
            scales.append(self._compared(_xyb(x), _xyb(y)))
        # (N, channel, scale, 6). With fewer scales the weights move up, as they do in the program.
        found = torch.stack(scales, 2).flatten(1).double()
        total = found @ self._weights[: found.shape[1]].to(found.device)
        return _on_scale(total).to(distorted.dtype)

    def _compared(self, x: Tensor, y: Tensor) -> Tensor:
        """(N, 3, 6): of each channel the mean of the three maps, and then the 4-norms of them."""
        mean_x, mean_y = self._blurred(x), self._blurred(y)
        variance_x = self._blurred(x * x) - mean_x**2
        variance_y = self._blurred(y * y) - mean_y**2
        covariance = self._blurred(x * y) - mean_x * mean_y
        of_means = 1 - (mean_x - mean_y) ** 2
        similarity = of_means * (2 * covariance + C2) / (variance_x + variance_y + C2)
        edges = (1 + (y - mean_y).abs()) / (1 + (x - mean_x).abs()) - 1
        maps = [(1 - similarity).clamp_min(0), edges.clamp_min(0), (-edges).clamp_min(0)]
        means = [each.mean((2, 3)) for each in maps]
        norms = [_root(each.double().pow(4).mean((2, 3))).to(each.dtype) for each in maps]
        return torch.stack([*means, *norms], 2)

    def _blurred(self, planes: Tensor) -> Tensor:
        kernel = self._kernel.to(planes)
        channels, size = planes.shape[1], len(kernel)
        down = kernel.view(1, 1, size, 1).expand(channels, 1, size, 1)
        across = kernel.view(1, 1, 1, size).expand(channels, 1, 1, size)
        planes = functional.conv2d(planes, down, padding=(size // 2, 0), groups=channels)
        return functional.conv2d(planes, across, padding=(0, size // 2), groups=channels)


def cosine_window(sigma: float, radius: int) -> list[float]:
    """(2 radius + 1,) weights: the sum of three cosines that approximates a Gaussian.

    D. Charalampidis, "Recursive implementation of the Gaussian filter using truncated cosine
    functions", IEEE Trans. Signal Processing 64 (2016), equation 33: cosines of k pi / (2 radius),
    k = 1, 3, 5, whose factors follow from three conditions (equation 53): the window's sum is 1,
    its variance is sigma^2, and it is the nearest to the Gaussian of those.
    """
    k = np.array([1, 3, 5])
    omega = k * np.pi / (2 * radius)
    sign = np.array([1, -1, 1])
    p = sign / np.tan(omega / 2)  # (37): each cosine's sum
    r = sign * p**2 / np.sin(omega)  # (44): and what it adds to the variance
    rho = np.exp(-0.5 * sigma**2 * omega**2) / radius  # (50): its factor in the Gaussian itself
    normal = np.cross(p, r)  # (52)
    zeta = normal / normal[2]
    conditions = np.stack([p, r, zeta])
    beta = np.linalg.solve(conditions, [1, radius**2 - sigma**2, zeta @ rho])
    places = np.arange(-radius, radius + 1)
    return [float(each) for each in np.cos(np.outer(places, omega)) @ beta]


def _linear(pictures: Tensor) -> Tensor:
    """sRGB to linear light (IEC 61966-2-1)."""
    bent = ((pictures + 0.055) / 1.055).clamp_min(0).pow(2.4)
    return torch.where(pictures <= 0.04045, pictures / 12.92, bent)


def _xyb(linear: Tensor) -> Tensor:
    """Linear RGB to XYB, moved and stretched so that each channel lies in about [0, 1]."""
    mixed = torch.einsum("ij,njhw->nihw", linear.new_tensor(MIX), linear) + BIAS
    long, middle, short = (mixed.clamp_min(0).pow(1 / 3) - BIAS ** (1 / 3)).unbind(1)
    x, y = (long - middle) / 2, (long + middle) / 2
    return torch.stack([x * 14 + 0.42, y + 0.01, short - y + 0.55], 1)


def _halved(planes: Tensor) -> Tensor:
    """Averaged over 2 x 2 pixels, an odd last row or column with itself."""
    height, width = planes.shape[2:]
    padded = functional.pad(planes, (0, width % 2, 0, height % 2), mode="replicate")
    return functional.avg_pool2d(padded, 2)


def _root(powers: Tensor) -> Tensor:
    """The fourth root, whose slope at zero is taken to be zero instead of infinite."""
    return torch.where(powers > 0, powers.clamp_min(1e-30).pow(0.25), 0.0)


def _on_scale(total: Tensor) -> Tensor:
    """The published curve, from the sum of weighted norms to 100 - SSIMULACRA 2."""
    t = total * 0.9562382616834844
    t = 2.326765642916932 * t - 0.020884521182843837 * t**2 + 6.248496625763138e-05 * t**3
    return 10 * t.clamp_min(0).pow(0.6276336467831387)
