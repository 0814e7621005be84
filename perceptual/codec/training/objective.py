"""What a training step makes smaller: rate + lambda * distortion.

    L = (R + lambda D) / sqrt(lambda),   D = w_1 255^2 MSE + w_2 d + w_3 (1 - MS-SSIM) + w_4 C

R in bits per pixel, d the distance of a metric, C Charbonnier's penalty. Divided by the square root
of lambda, pictures at low and at high rates pull about equally: R and lambda D grow about so. Where
some places count more, all of D is weighted by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from perceptual.codec.network import Coded
from perceptual.codec.training.ms_ssim import weighted_ms_ssim
from perceptual.codec.training.settings import Objective
from perceptual.lpips import LpipsComp
from perceptual.metric import Metric

PEAK = 255.0
CHARBONNIER = 1e-6


@dataclass(frozen=True)
class Terms:
    """Each (N,): the loss, and what it is made of."""

    loss: Tensor
    bpp: Tensor
    mse: Tensor


def terms_of(
    objective: Objective,
    coded: Coded,
    pictures: Tensor,
    prices: Tensor,
    metric: Metric | None,
    weights: Tensor | None = None,
) -> Terms:
    """The loss of a batch.

    pictures : (N, 3, H, W) in [0, 1].   prices : (N,) lambdas.
    weights : (N, 1, H, W), how much errors count, or None to weigh all places alike.
    """
    error = coded.picture - pictures
    mse = error.square().mean((1, 2, 3))
    bpp = coded.bits / pictures[0, 0].numel()
    distortion = objective.mse_weight * PEAK**2 * _mean(error.square(), weights)
    if metric is not None:
        seen = _in_range(coded.picture)
        distortion = distortion + objective.metric_weight * _seen(metric, pictures, seen, weights)
    if objective.ms_ssim_weight:
        alike = weighted_ms_ssim(_in_range(coded.picture), pictures, weights)
        distortion = distortion + objective.ms_ssim_weight * (1 - alike)
    if objective.charbonnier_weight:
        penalty = PEAK * ((error.square() + CHARBONNIER).sqrt() - CHARBONNIER**0.5)
        distortion = distortion + objective.charbonnier_weight * _mean(penalty, weights)
    loss = (bpp + prices * distortion) / prices.sqrt()
    return Terms(loss, bpp, mse)


def _seen(metric: Metric, pictures: Tensor, seen: Tensor, weights: Tensor | None) -> Tensor:
    """(N,): the metric's distance, weighted where it tells places apart."""
    if weights is None or not isinstance(metric, LpipsComp):
        return metric.distance(pictures, seen)
    metric.check(pictures, seen)
    return (metric.distance_map(pictures, seen) * weights[:, 0]).mean((1, 2))


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return (values if weights is None else values * weights).mean((1, 2, 3))


def _in_range(pictures: Tensor) -> Tensor:
    clipped: Tensor = _InRange.apply(pictures)  # type: ignore[no-untyped-call]
    return clipped


class _InRange(torch.autograd.Function):
    """Clipped to [0, 1], with the gradient as if it were not."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor) -> Tensor:
        return pictures.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]
