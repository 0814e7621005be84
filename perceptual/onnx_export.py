"""LPIPS-Comp for programs without PyTorch: one ONNX file, pictures in, distances out."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from perceptual.lpips import LpipsComp

OPSET = 18
MEDIAN_SIDE = 256  # of the pictures that the export is traced with


class _Distance(nn.Module):
    def __init__(self, metric: LpipsComp) -> None:
        super().__init__()
        self.metric = metric

    def forward(self, reference: Tensor, distorted: Tensor) -> Tensor:
        return self.metric.components(reference, distorted) @ self.metric.weight


def export(metric: LpipsComp, file: Path) -> None:
    """Write a metric as ONNX, opset 18.

    Inputs `reference` and `distorted`: float32 (N, 3, H, W), sRGB in [0, 1], any N, and any sides
    from `metric.smallest_side`. Output `distance`: float32 (N,). Nothing is checked in it: pictures
    that do not fit give whatever they give.
    """
    example = torch.rand(2, 3, MEDIAN_SIDE, MEDIAN_SIDE + 32)
    axes = {0: "n", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        # The newer exporter takes half a minute for what this one does in a second: it reckons
        # with each layer's height and width as expressions of the first one's.
        torch.onnx.export(
            _Distance(metric).eval(),
            (example, example.clone()),
            str(file),
            input_names=["reference", "distorted"],
            output_names=["distance"],
            dynamic_axes={"reference": axes, "distorted": axes, "distance": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
