"""PSNR, SSIM and MS-SSIM as distances of batches of tensors.

Their values are those of `perceptual.reference`, which reads 8-bit pictures of any size with little
memory; here they are differentiable and run on any device.
"""

from __future__ import annotations

import torch
from pytorch_msssim import ms_ssim, ssim
from torch import Tensor

from perceptual.metric import Metric
from perceptual.reference import SMALLEST_SIDE

LUMA = (0.299, 0.587, 0.114)  # Rec. ITU-R BT.601-7, section 2.5.1
SMALLEST_MSE = 1e-12


class Psnr(Metric):
    """Peak signal-to-noise ratio, negated: -10 log10(1 / MSE), in dB.

    MSE is the mean of (reference - distorted)^2 over the red, green and blue samples together. It
    counts as SMALLEST_MSE or more: equal pictures have a distance of -120 dB.
    """

    name, label = "psnr", "PSNR"
    low, high = -120.0, 0.0
    is_differentiable = True

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,): negative decibels; see Metric.distance."""
        self.check(reference, distorted)
        mse = (reference - distorted).double().square().mean((1, 2, 3))
        return (10 * torch.log10(mse.clamp_min(SMALLEST_MSE))).to(distorted.dtype)


class Ssim(Metric):
    """1 - SSIM of luma (Y' of BT.601): from 0 for equal pictures to 2.

    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE Trans. Image Processing 13 (2004), equations 6 and
    13: an 11 x 11 Gaussian window of sigma 1.5, wholly inside the picture, at full resolution.
    """

    name, label = "ssim", "SSIM"
    low, high = 0.0, 2.0
    smallest_side = 11
    is_differentiable = True

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,): 1 - SSIM; see Metric.distance."""
        self.check(reference, distorted)
        x, y = _lumas(reference, distorted)
        return _one_minus(ssim(x, y, data_range=1.0, size_average=False))


class MsSsim(Metric):
    """1 - MS-SSIM of luma (Y' of BT.601): from 0 for equal pictures to 1.

    Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multi-scale structural similarity for image quality
    assessment", Asilomar 2003, equation 7, with five scales and the weights of its section 3.2.
    With sides that 16 divides this is `perceptual.reference.ms_ssim`; otherwise it differs in the
    third decimal, since an odd row or column is averaged there with itself, and here with zeros.
    """

    name, label = "ms-ssim", "MS-SSIM"
    low, high = 0.0, 1.0
    smallest_side = SMALLEST_SIDE
    is_differentiable = True

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,): 1 - MS-SSIM; see Metric.distance."""
        self.check(reference, distorted)
        x, y = _lumas(reference, distorted)
        return _one_minus(ms_ssim(x, y, data_range=1.0, size_average=False))


def _lumas(reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, H, W) each."""
    weights = distorted.new_tensor(LUMA).view(1, 3, 1, 1)
    x, y = ((each * weights).sum(1, keepdim=True) for each in (reference, distorted))
    return x.expand(len(y), -1, -1, -1), y


def _one_minus(similarity: Tensor) -> Tensor:
    # Rounding may leave the similarity of equal pictures a little over 1.
    return (1 - similarity).clamp_min(0)
