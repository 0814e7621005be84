"""Perceptual metrics, LPIPS-Comp and its training, later the learned codec; no Django.

from perceptual import Metric

metric = Metric.load("closer-lpips-comp")
metric.distance(reference, distorted)
"""

from typing import Any

__all__ = ["Metric"]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to load, and the pages need only perceptual.reference.
    if name == "Metric":
        from perceptual.metric import Metric

        return Metric
    raise AttributeError(name)
