"""What detectors, segmenters and instance segmenters are, and how files of theirs are opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


class BadModel(ValueError):
    """The file is no model of the kind that was asked for; the message says what was expected."""


@dataclass(frozen=True)
class Detections:
    """Things found in one picture, the surest first.

    boxes : (n, 4); left, top, right and bottom edge in pixels of the picture.
    scores : (n,) in [0, 1].
    classes : (n,) index into the model's classes.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: IntArray


@dataclass(frozen=True)
class Instances:
    """Things found in one picture, as masks, the surest first.

    masks : of each, (H, W) in pycocotools' compressed run lengths {"size", "counts"} (text).
    scores : (n,) in [0, 1].   classes : (n,) index into the model's classes.
    """

    masks: Sequence[dict[str, Any]]
    scores: FloatArray
    classes: IntArray


class Model(Protocol):
    """digest : SHA-256 over the file and over how it is used here: whoever has the same digest
    gets the same answers. name : what people read; the file's name."""

    name: str
    digest: str


class Detector(Model, Protocol):
    n_classes: int

    def detect(self, pixels: Pixels) -> Detections: ...


class Segmenter(Model, Protocol):
    classes: Sequence[str]
    """By index; the first is the background. Names as PASCAL VOC has them."""

    def class_map(self, pixels: Pixels) -> Pixels:
        """(H, W), uint8: the index of each pixel's class."""


class InstanceSegmenter(Model, Protocol):
    n_classes: int | None
    """None: `Instances.classes` are category numbers as COCO's file has them, not indexes."""

    def instances(self, pixels: Pixels) -> Instances: ...


def digest_of(file: Path, rule: str, *, runtime: str = "onnxruntime", **settings: float) -> str:
    """SHA-256 (hexadecimal) of a model's file and of how it is used. Raises BadModel.

    rule : names the code that uses it, with a number that rises when its answers change.
    runtime : the package that runs it, whose version counts, too.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadModel(f"{file} cannot be read ({error.strerror})") from None
    used = json.dumps([rule, settings, runtime, version(runtime)], sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(content).digest() + used).hexdigest()


def onnx_session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX file, ready to run on the CPU. Raises BadModel."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone: warnings tell of how it was exported
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises many kinds of its own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadModel(f"{file} is no ONNX model that can be run here: {first}") from None


def onnx_input(
    session: onnxruntime.InferenceSession, file: Path, *, default: int
) -> tuple[str, int, int]:
    """Name, height and width of the input of a model that takes one picture (1, 3, H, W);
    `default` stands for sides that the file leaves open. Raises BadModel."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs)
        raise BadModel(f"{file}: expected one input (1, 3, H, W) of float32, found {found}")
    height, width = (side if isinstance(side, int) else default for side in shape[2:])
    return inputs[0].name, height, width


def outputs_in_words(outputs: Sequence[Any]) -> str:
    """Of arrays, or of what a session says of its outputs: for messages."""
    return ", ".join(str(tuple(each.shape)) for each in outputs) or "none"
