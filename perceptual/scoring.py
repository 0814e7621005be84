"""How well distances agree with people's choices."""

from __future__ import annotations

import torch
from torch import Tensor


def credit(d0: Tensor, d1: Tensor, share: Tensor) -> Tensor:
    """(n,): the share of votes on the side that a metric finds closer; one half where it finds
    both alike.

    d0, d1 : (n,) distances of two versions of a picture.   share : (n,) of votes for the second.

    R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
    2018, section 4.1: their mean is the 2AFC score.
    """
    chosen = torch.where(d1 < d0, share, 1 - share)
    return torch.where(d0 == d1, torch.full_like(share, 0.5), chosen)
