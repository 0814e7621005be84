"""The metric as an ONNX file gives the distances that it gives here."""

import numpy as np
import onnxruntime
import pytest
import torch

from perceptual import lpips
from perceptual.backbones import RANDOM, load_backbone
from perceptual.onnx_export import export


@pytest.fixture(scope="module")
def metrics() -> dict[str, lpips.LpipsComp]:
    made = {
        "efficientnet-lite0": lpips.untrained(load_backbone("efficientnet-lite0"), with_psnr=True),
        "alexnet": lpips.untrained(load_backbone("alexnet", RANDOM)),
        "vgg16": lpips.untrained(load_backbone("vgg16", RANDOM)),
    }
    for metric in made.values():
        metric.weight.data = torch.rand(
            metric.weight.shape, generator=torch.Generator().manual_seed(1)
        )
    return made


@pytest.mark.parametrize("name", ["efficientnet-lite0", "alexnet", "vgg16"])
def test_distances_are_the_same_for_any_number_and_size_of_pictures(metrics, name, tmp_path):
    metric = metrics[name]
    export(metric, tmp_path / "metric.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "metric.onnx")
    rng = np.random.default_rng(0)
    for n, height, width in ((1, 96, 96), (3, 101, 130), (2, 64, 127)):
        reference, distorted = rng.random((2, n, 3, height, width), np.float32)
        [found] = session.run(None, {"reference": reference, "distorted": distorted})
        expected = metric.distance(torch.from_numpy(reference), torch.from_numpy(distorted))
        assert found.shape == (n,)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)
