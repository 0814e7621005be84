"""Semantic segmentation by a TFLite file such as DeepLab-v3's (L.-C. Chen, G. Papandreou, F.
Schroff and H. Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv:1706.05587), with the 21 classes of PASCAL VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from perceptual.downstream.geometry import letterboxed
from perceptual.downstream.models import BadModel, Pixels, digest_of

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
FILL = 128.0
"""Mid-grey: 0 to the network, as the margins of its training pictures."""


class DeepLab:
    """A segmenter from a file: input (1, S, T, 3), RGB, uint8, or float32 of -1 to 1; output (1, S,
    T) class indexes, or (1, S, T, 21) scores."""

    classes = VOC_CLASSES

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        # Imported here: it takes a while, and only who segments needs it.
        from ai_edge_litert.interpreter import Interpreter

        self.name = file.name
        self.digest = digest_of(file, "deeplab 1", runtime="ai-edge-litert")
        try:
            self._network = Interpreter(str(file), num_threads=threads)
            self._network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadModel(f"{file} is no TFLite model that can be run here: {error}") from None
        self._input, self._output = self._checked(file)

    def _checked(self, file: Path) -> tuple[dict, dict]:  # type: ignore[type-arg]
        inputs, outputs = self._network.get_input_details(), self._network.get_output_details()
        [takes, gives] = inputs[0], outputs[0]
        shape, answer = tuple(takes["shape"].tolist()), tuple(gives["shape"].tolist())
        takes_picture = len(inputs) == 1 and len(shape) == 4 and shape[::3] == (1, 3)
        is_map = answer == shape[:3] or answer == (*shape[:3], len(VOC_CLASSES))
        if not takes_picture or takes["dtype"] not in (np.uint8, np.float32) or not is_map:
            raise BadModel(
                f"{file} is no segmenter of VOC's 21 classes: expected an input (1, S, T, 3) of "
                "uint8 or float32 and an output (1, S, T) or (1, S, T, 21), found an input "
                f"{shape} of {np.dtype(takes['dtype'])} and an output {answer}"
            )
        return takes, gives

    def class_map(self, pixels: Pixels) -> Pixels:
        height, width = self._input["shape"][1:3].tolist()
        whole, place = letterboxed(pixels, height=height, width=width, fill=FILL, antialias=True)
        is_whole = self._input["dtype"] == np.uint8
        tensor = whole.astype(np.uint8) if is_whole else whole / np.float32(127.5) - np.float32(1)
        self._network.set_tensor(self._input["index"], tensor[None])
        self._network.invoke()
        answer = self._network.get_tensor(self._output["index"])[0]
        found = answer if answer.ndim == 2 else answer.argmax(axis=-1)
        cut = found[: place.height, : place.width].astype(np.uint8)
        size = (pixels.shape[1], pixels.shape[0])
        return np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.NEAREST))
