"""A network for saliency, small enough to be made in a test."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper


def bright_is_salient(side: int = 32, gain: float = 1.0) -> bytes:
    """An ONNX file: (1, 3, side, side) to (1, 1, side, side), the sigmoid of gain times what red,
    green and blue are above the mean."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [gain] * 3)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "weight"], ["sum"], kernel_shape=[1, 1]),
            helper.make_node("Sigmoid", ["sum"], ["map"]),
        ],
        "bright",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, side, side])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model.SerializeToString()
