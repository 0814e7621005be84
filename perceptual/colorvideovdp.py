"""ColorVideoVDP for still pictures, by its authors' package `cvvdp` where that is installed.

The package asks for torchvision, which ties the version of torch, and for much else that only
videos, plots and its learned variants need. Of torchvision the metric takes one thing, a Gaussian
blur, and where torchvision is missing the one below stands in for it.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from perceptual.metric import Metric, MetricUnavailable

PACKAGE = "pycvvdp"
DISPLAY = "standard_4k"
HOW = (
    "pip install --no-deps cvvdp==0.5.7 ffmpeg-python==0.2.0 future==1.0.0 imageio matplotlib tqdm"
)


class ColorVideoVdp(Metric):
    """10 - JOD of ColorVideoVDP: 0 for equal pictures, 1 where 75 % of people would find the
    original better; without bound.

    R. K. Mantiuk, P. Hanji, M. Ashraf, Y. Asano and A. Chapiro, "ColorVideoVDP: a visual difference
    predictor for image, video and display distortions", ACM Trans. Graphics 43 (2024).

    display : how the pictures are seen, one of the package's models; "standard_4k" is a display of
        30 inches and 200 cd/m^2, seen from 0.75 m, 75 pixels a degree.

    Raises MetricUnavailable where the package, or what it needs, is missing.
    """

    name, label = "cvvdp", "ColorVideoVDP"
    low, high = 0.0, math.inf
    smallest_side = 16
    is_differentiable = True

    def __init__(self, display: str = DISPLAY) -> None:
        self._module = _module()
        self._display = display
        self._models: dict[torch.device, Any] = {}
        self.definition = f"{_version()} {display}"

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,); see Metric.distance."""
        return (10 - self.jod(reference, distorted)).clamp_min(0)

    def jod(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,): quality in just-objectionable differences, 10 for equal pictures; a difference of 1
        is one that 75 % of people would choose by."""
        self.check(reference, distorted)
        model = self._model(distorted.device)
        expanded = reference.expand(len(distorted), -1, -1, -1)
        jod: Tensor = model.predict(distorted, expanded, dim_order="BCHW")[0]
        return jod.reshape(len(distorted)).to(distorted.dtype)

    def _model(self, device: torch.device) -> Any:
        if device not in self._models:
            self._models[device] = self._module.cvvdp(
                display_name=self._display, device=device, quiet=True
            )
        return self._models[device]


class GaussianBlur:
    """What the package uses of torchvision.transforms: size x size taps of a Gaussian window,
    pictures (..., C, H, W) mirrored at their edges."""

    def __init__(self, size: int, sigma: float) -> None:
        places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        taps = torch.exp(-0.5 * (places / sigma) ** 2)
        self._taps = taps / taps.sum()

    def forward(self, pictures: Tensor) -> Tensor:
        """Of the shape that came in."""
        taps = self._taps.to(pictures)
        channels, size = pictures.shape[-3], len(taps)
        planes = pictures.reshape(-1, *pictures.shape[-3:])
        planes = functional.pad(planes, (size // 2,) * 4, mode="reflect")
        down = taps.view(1, 1, size, 1).expand(channels, 1, size, 1)
        across = taps.view(1, 1, 1, size).expand(channels, 1, 1, size)
        planes = functional.conv2d(planes, down, groups=channels)
        return functional.conv2d(planes, across, groups=channels).view(pictures.shape)

    __call__ = forward


def _version() -> str:
    try:
        return version("cvvdp")
    except PackageNotFoundError:  # it lies on the path without being installed
        return "unknown"


@cache
def _module() -> ModuleType:
    """The package's module with the metric of still pictures.

    Its `__init__` would import everything; so the package is entered without it.
    """
    spec = find_spec(PACKAGE)
    if spec is None:
        raise MetricUnavailable(f"ColorVideoVDP needs its authors' package: {HOW}")
    before = list(sys.path)
    with warnings.catch_warnings(), _torchvision():
        warnings.simplefilter("ignore")  # of its syntax
        sys.modules.setdefault(PACKAGE, module_from_spec(spec))
        try:
            return importlib.import_module(f"{PACKAGE}.cvvdp_metric")
        except ImportError as error:
            del sys.modules[PACKAGE]
            raise MetricUnavailable(f"ColorVideoVDP cannot be imported ({error}): {HOW}") from None
        finally:
            sys.path[:] = before  # it puts its own folder there


class _torchvision:  # noqa: N801
    """While the package is imported: torchvision, or what stands in for it."""

    NAMES = ("torchvision", "torchvision.transforms")

    def __enter__(self) -> None:
        self._added: list[str] = []
        if find_spec(self.NAMES[0]) is not None:
            return
        for name in self.NAMES:
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            module.GaussianBlur = GaussianBlur  # type: ignore[attr-defined]
            sys.modules[name] = module
            self._added.append(name)

    def __exit__(self, *error: object) -> None:
        for name in self._added:
            del sys.modules[name]
