"""Detectors and segmenters: what they find, and files that are none."""

import numpy as np
import pytest

from codecs_registry.pictures import read_picture
from perceptual.downstream.deeplab import DeepLab
from perceptual.downstream.instances import from_boxes, open_instances
from perceptual.downstream.masks import decoded, encoded
from perceptual.downstream.models import BadModel, Detections
from perceptual.downstream.yolox import Yolox
from tests.downstream_models import N_CELLS, SIDE, write_onnx, yolox_answer
from tests.real_data import real_data

GREY = np.full((48, 64, 3), 128, dtype=np.uint8)  # half of it is the network's input
ANY_SIZE = (1, 3, "height", "width")


def yolox(tmp_path, *seen) -> Yolox:
    return Yolox(write_onnx(tmp_path / "yolox.onnx", {"output": yolox_answer(*seen)}))


def test_boxes_are_told_in_the_picture_s_pixels_and_the_surest_first(tmp_path):
    found = yolox(tmp_path, (4, 4, 12, 12, 0, 0.5), (16, 2, 24, 20, 1, 0.75)).detect(GREY)
    assert found.boxes == pytest.approx(np.array([[32, 4, 48, 40], [8, 8, 24, 24]]), abs=1e-4)
    assert found.scores == pytest.approx([0.75, 0.5])
    assert found.classes.tolist() == [1, 0]


def test_a_box_is_cut_at_the_picture_s_edge_and_doubles_go(tmp_path):
    seen = [(-6, 4, 10, 30, 0, 0.9), (-6, 4, 10, 29, 0, 0.8), (-6, 4, 10, 29, 1, 0.7)]
    found = yolox(tmp_path, *seen).detect(GREY)
    assert found.boxes[0] == pytest.approx([0, 8, 20, 48], abs=1e-4)
    assert found.classes.tolist() == [0, 1]


def test_a_model_s_digest_is_of_its_file_and_of_how_it_is_used(tmp_path):
    first, again = yolox(tmp_path), yolox(tmp_path)
    other = yolox(tmp_path, (4, 4, 12, 12, 0, 0.5))
    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize(
    ("open_it", "outputs", "shape", "said"),
    [
        (Yolox, {"a": np.zeros((1, 84, 8400), np.float32)}, (1, 3, SIDE, SIDE), "no YOLOX"),
        (Yolox, {"a": np.zeros((1, N_CELLS, 5), np.float32)}, (1, 3, SIDE, SIDE), "no YOLOX"),
        (Yolox, {"a": np.zeros((1, N_CELLS, 7), np.float32)}, (1, 1, SIDE, SIDE), "one input"),
        (open_instances, {"a": np.zeros((1, 9), np.float32)}, ANY_SIZE, "no instance segmenter"),
        (
            open_instances,
            {"a": np.zeros((1, 20, 9), np.float32), "b": np.zeros((1, 32, 8, 8), np.float32)},
            (1, 3, SIDE, SIDE),
            "YOLO-seg's two outputs",
        ),
        (
            open_instances,
            {name: np.zeros((1, 4), np.float32) for name in "abcd"},
            (1, 3, SIDE, SIDE),
            "dynamic_axes",
        ),
    ],
)
def test_a_file_with_other_outputs_is_told_which_were_expected(
    tmp_path, open_it, outputs, shape, said
):
    file = write_onnx(tmp_path / "other.onnx", outputs, shape=shape)
    with pytest.raises(BadModel, match=said) as told:
        open_it(file)
    assert str(file) in str(told.value)


@pytest.mark.parametrize("open_it", [Yolox, open_instances, DeepLab])
def test_a_file_that_is_no_model_says_so(tmp_path, open_it):
    file = tmp_path / "notes.txt"
    with pytest.raises(BadModel, match=r"notes\.txt"):
        open_it(file)
    file.write_text("not a model")
    with pytest.raises(BadModel, match=r"notes\.txt is no"):
        open_it(file)


def test_a_box_s_mask_is_what_has_its_class_inside_it():
    class_map = np.zeros((20, 30), dtype=np.uint8)
    class_map[5:15, 5:15] = 8
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10]], dtype=np.float64)
    detections = Detections(boxes, np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]))
    found = from_boxes(detections, class_map, {1: 8})
    assert found.scores.tolist() == [0.9], "of no known class, and without a pixel"
    expected = np.zeros((20, 30))
    expected[5:10, 5:10] = 1
    assert np.array_equal(decoded(found.masks[0]), expected)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_yolo_seg_makes_masks_of_prototypes_inside_boxes(tmp_path, is_swapped):
    answer = np.zeros((1, 4 + 2 + 32, 3), dtype=np.float32)
    answer[0, :4, 0] = 16, 16, 16, 16  # centre and size, in the input: columns and rows 8 to 24
    answer[0, :4, 1] = 16, 16, 16, 15
    answer[0, 5, :2] = 0.9, 0.8
    answer[0, 6, :2] = 1
    prototypes = np.full((1, 32, 8, 8), -1, dtype=np.float32)
    prototypes[0, 0, :, :4] = 1  # the left half
    outputs = {"output0": answer, "output1": prototypes}
    if is_swapped:
        outputs = dict(reversed(outputs.items()))
    found = open_instances(write_onnx(tmp_path / "seg.onnx", outputs)).instances(GREY)
    assert found.scores == pytest.approx([0.9])
    assert found.classes.tolist() == [1]
    # The picture lies between margins: rows 4 to 28 of the input are its rows 0 to 48.
    drawn = decoded(found.masks[0])
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max() + 1) == (8, 40)
    assert columns.min() == 16
    assert abs(columns.max() + 1 - 32) <= 1, "where the prototype turns"


def test_mask_rcnn_is_known_by_its_outputs_shapes_whatever_their_names(tmp_path):
    masks = np.zeros((2, 1, 48, 64), dtype=np.float32)
    masks[0, 0, :10, :10] = 0.4
    masks[1, 0, :10, :20] = 0.9
    outputs = {
        "1": np.zeros((2, 4), dtype=np.float32),
        "2": np.array([3, 7]),
        "3": np.array([0.2, 0.6], dtype=np.float32),
        "4": masks,
    }
    file = write_onnx(tmp_path / "rcnn.onnx", outputs, shape=(1, 3, "height", "width"))
    found = open_instances(file).instances(GREY)
    assert found.classes.tolist() == [7, 3]
    assert found.masks == [encoded(masks[1, 0] > 0.5), encoded(masks[0, 0] > 0.5)]
    with pytest.raises(BadModel, match="Mask R-CNN's four"):
        open_instances(file).instances(GREY[:40])


def test_yolox_nano_sees_a_stop_sign_and_deeplab_draws_a_map():
    weights = real_data("weights")
    pixels = read_picture(real_data("coco") / "val2017" / "000000000724.jpg").pixels
    found = Yolox(weights / "yolox_nano" / "yolox_nano.onnx").detect(pixels)
    assert found.classes[0] == 11, "a stop sign"
    assert found.scores[0] > 0.5
    segmenter = DeepLab(weights / "deeplab_voc" / "deeplabv3_mnv2_pascal_quant.tflite")
    drawn = segmenter.class_map(pixels)
    assert drawn.shape == pixels.shape[:2]
    assert drawn.max() < len(segmenter.classes)
