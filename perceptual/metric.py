"""What every metric is, and which there are.

    >>> metric = Metric.load("ms-ssim")
    >>> metric.distance(reference, distorted)  # (N, 3, H, W) each, sRGB in [0, 1]; (N,) comes back

A distance is larger where two pictures are less alike, whatever its unit. Metrics that need what is
not installed, a program or a network's weights, say so when they are loaded (`MetricUnavailable`),
and `availability` says it of all of them. docs/metrics.md describes each.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from torch import Tensor, nn

from perceptual.backbones import BackboneUnavailable, digest_of
from perceptual.backbones.base import is_traced

DEFAULT = "closer-lpips-comp"
FILE_ENDING = ".safetensors"
BUNDLED_FILE = Path(str(files("perceptual") / "weights" / f"{DEFAULT}{FILE_ENDING}"))


class MetricUnavailable(Exception):
    """A metric cannot run on this machine; the message says what it needs and how to get that."""


class UnknownMetric(LookupError):
    """No metric has this name; the message lists those that there are."""


class Metric(ABC):
    """A full-reference metric.

    name : as commands take it, such as "ms-ssim".   label : as people read it, such as "MS-SSIM".
    low, high : between which the distance lies; larger is less alike.
    smallest_side : of the pictures that it takes, in pixels.
    is_differentiable : whether gradients reach both pictures, wherever they differ.
    definition : changes whenever the same pictures would get another distance than before.
    """

    name: str
    label: str
    low: float
    high: float
    smallest_side: int = 1
    is_differentiable: bool = False
    definition: str = "1"

    @abstractmethod
    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """How unlike pairs of pictures are.

        reference : (N, 3, H, W) or (1, 3, H, W), which then stands for all; float32, sRGB samples
            in [0, 1].   distorted : (N, 3, H, W), likewise.

        Returns (N,) float32 between `low` and `high`. Raises ValueError where the two do not fit.
        """

    @property
    def digest(self) -> str:
        """SHA-256 of what the distance depends on besides the pictures: the metric's name, its
        definition and, of a network, its weights."""
        parts = [self.name, self.definition]
        if isinstance(self, nn.Module):
            parts.append(digest_of(self))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def check(self, reference: Tensor, distorted: Tensor) -> None:
        """Raise ValueError unless the two are what `distance` takes."""
        for what, pictures in (("reference", reference), ("distorted", distorted)):
            if pictures.ndim != 4 or pictures.shape[1] != 3:
                raise ValueError(
                    f"{what}: expected shape (N, 3, H, W), found {tuple(pictures.shape)}"
                )
            if not pictures.is_floating_point():
                raise ValueError(f"{what}: expected float32 in [0, 1], found {pictures.dtype}")
            _check_range(what, pictures)
        if reference.shape[1:] != distorted.shape[1:] or len(reference) not in (1, len(distorted)):
            raise ValueError(
                f"the pictures differ in shape: {tuple(reference.shape)}, {tuple(distorted.shape)}"
            )
        if min(reference.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"{self.label} takes pictures with sides of {self.smallest_side} pixels or more, "
                f"not {reference.shape[3]}x{reference.shape[2]}"
            )

    @staticmethod
    def load(name_or_file: str | Path) -> Metric:
        """The metric of a name of `metric_names`, or of a .safetensors file.

        Raises UnknownMetric for another name, MetricUnavailable where the metric cannot run here,
        and what `perceptual.lpips.load` raises for a file that holds none.
        """
        name = str(name_or_file)
        try:
            if name in _REGISTRY:
                return _REGISTRY[name]()
            if name.endswith(FILE_ENDING):
                return _of_file(Path(name))
        except BackboneUnavailable as error:
            raise MetricUnavailable(str(error)) from None
        raise UnknownMetric(
            f"there is no metric {name!r}; there are {', '.join(_REGISTRY)}, and files that end "
            f"in {FILE_ENDING}"
        )


def metric_names() -> list[str]:
    """The metrics that `Metric.load` knows by name, the simplest first."""
    return list(_REGISTRY)


def availability() -> dict[str, str]:
    """For each metric "", or why it cannot run here and what to do about it."""
    reasons = {}
    for name in _REGISTRY:
        try:
            Metric.load(name)
        except MetricUnavailable as error:
            reasons[name] = str(error)
        else:
            reasons[name] = ""
    return reasons


def _check_range(what: str, pictures: Tensor) -> None:
    if is_traced() or not pictures.numel():
        return  # what is traced has no values
    low, high = (float(each) for each in pictures.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{what}: expected samples in [0, 1], found {low:g} to {high:g}")


def _psnr() -> Metric:
    from perceptual.simple_metrics import Psnr

    return Psnr()


def _ssim() -> Metric:
    from perceptual.simple_metrics import Ssim

    return Ssim()


def _ms_ssim() -> Metric:
    from perceptual.simple_metrics import MsSsim

    return MsSsim()


def _published(name: str) -> Callable[[], Metric]:
    def load() -> Metric:
        from perceptual import lpips

        metric: Metric = lpips.published(name)
        return metric

    return load


def _untrained() -> Metric:
    from perceptual import lpips
    from perceptual.backbones import load_backbone

    return lpips.untrained(load_backbone("efficientnet-lite0"), name="lpips-untrained")


def _dists() -> Metric:
    from perceptual.backbones import load_backbone
    from perceptual.backbones.torchvision_layout import Vgg16
    from perceptual.dists import Dists

    backbone = load_backbone("vgg16")
    assert isinstance(backbone, Vgg16)  # noqa: S101
    return Dists(backbone)


def _ssimulacra2() -> Metric:
    from perceptual.ssimulacra2 import Ssimulacra2

    return Ssimulacra2()


def _butteraugli() -> Metric:
    from perceptual.butteraugli import Butteraugli

    return Butteraugli()


def _cvvdp() -> Metric:
    from perceptual.colorvideovdp import ColorVideoVdp

    return ColorVideoVdp()


def _of_file(file: Path) -> Metric:
    from perceptual import lpips

    metric: Metric = lpips.load(file)
    return metric


def _default() -> Metric:
    if not BUNDLED_FILE.is_file():
        raise MetricUnavailable(
            f"{BUNDLED_FILE} is missing: this copy of Closer has no trained weights"
        )
    return _of_file(BUNDLED_FILE)


# Each is made, and its module imported, only when it is asked for.
_REGISTRY: dict[str, Callable[[], Metric]] = {
    "psnr": _psnr,
    "ssim": _ssim,
    "ms-ssim": _ms_ssim,
    "lpips-untrained": _untrained,
    "lpips-alex": _published("lpips-alex"),
    "lpips-vgg": _published("lpips-vgg"),
    "lpips-squeeze": _published("lpips-squeeze"),
    "dists": _dists,
    "ssimulacra2": _ssimulacra2,
    "butteraugli": _butteraugli,
    "cvvdp": _cvvdp,
    DEFAULT: _default,
}
