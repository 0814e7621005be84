"""Small ONNX files that answer the same to every picture, and photographs with labels."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codecs_registry.pictures import write_png
from tests import factories

SIDE = 32  # of a network's input
N_CELLS = 16 + 4 + 1  # of strides 8, 16 and 32


def write_onnx(file: Path, outputs: dict[str, np.ndarray], *, shape=(1, 3, SIDE, SIDE)) -> Path:
    """A network with one input of this shape, whose outputs are these arrays."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in outputs.items()
    ]
    told = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in outputs.items()
    ]
    takes = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "constant", [takes], told)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, file)
    return file


def yolox_answer(*seen: tuple[float, ...], n_classes: int = 2) -> np.ndarray:
    """What YOLOX says of things at (left, top, right, bottom, class, score) in the input's pixels:
    each by a cell of its own, of those of stride 8."""
    answer = np.zeros((1, N_CELLS, 5 + n_classes), dtype=np.float32)
    for cell, (left, top, right, bottom, of_class, score) in enumerate(seen):
        column, row = cell % 4, cell // 4
        answer[0, cell, 0] = (left + right) / 2 / 8 - column
        answer[0, cell, 1] = (top + bottom) / 2 / 8 - row
        answer[0, cell, 2:4] = np.log([(right - left) / 8, (bottom - top) / 8])
        answer[0, cell, 4] = score
        answer[0, cell, 5 + int(of_class)] = 1
    return answer


def write_labelled(folder: Path, n: int = 3, *, width: int = 64, height: int = 48) -> Path:
    """Photographs with a thing of each of two categories at the same place; returns the file of
    their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(n):
        name = f"photograph-{i}.png"
        (folder / name).write_bytes(write_png(factories.pixels(width, height, seed=i)))
        images.append({"id": 10 + i, "file_name": name, "width": width, "height": height})
        for category, box in ((3, [8, 8, 16, 16]), (7, [40, 8, 16, 24])):
            annotations.append(a_label(len(annotations), 10 + i, category, box))
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "person"}]
    file = folder.parent / f"{folder.name}.json"
    document = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(document))
    return file


def a_label(number: int, image: int, category: int, box: list[float]) -> dict:
    left, top, width, height = box
    right, bottom = left + width, top + height
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }
