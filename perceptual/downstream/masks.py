"""Masks as COCO keeps them: pycocotools' compressed run lengths."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask


def encoded(drawn: NDArray[np.bool_]) -> dict[str, Any]:
    """Run lengths of a mask (H, W), {"size", "counts"}; `counts` is text, so that JSON takes it."""
    found = mask.encode(np.asfortranarray(drawn, dtype=np.uint8))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def decoded(run_lengths: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask (H, W) of run lengths."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11's array has no `copy` for NumPy 2, which does without.
        warnings.simplefilter("ignore", DeprecationWarning)
        drawn: NDArray[np.bool_] = mask.decode(run_lengths) > 0
    return drawn
