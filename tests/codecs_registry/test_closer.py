"""The learned codec in the registry: its model, its maps of saliency, and the rates that it meets.

What every codec promises is in test_codecs.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecs_registry.codecs import load_codecs
from codecs_registry.codecs.base import CodecUnavailable, DecodeFailed
from codecs_registry.codecs.closer import VARIABLE, Closer
from codecs_registry.codecs.command_line import declarations
from codecs_registry.rate_matched import encode_to_rates
from perceptual import saliency
from perceptual.codec.model import LearnedCodec
from tests.perceptual.codecs import photograph, small_file
from tests.perceptual.networks import bright_is_salient
from tests.real_data import real_data

STRATA = (0.23, 0.37, 0.67, 1.0)


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that was trained with maps, and a network for them."""
    file, network = tmp_path / "own.safetensors", tmp_path / "bright.onnx"
    file.write_bytes(small_file())
    network.write_bytes(bright_is_salient())
    monkeypatch.setenv(VARIABLE, str(file))
    monkeypatch.setenv(saliency.VARIABLE, str(network))
    return file


@pytest.mark.parametrize("name", ["kodim05.png", "kodim23.png"])
def test_it_meets_the_rates_of_the_four_strata(name: str) -> None:
    with Image.open(real_data(f"images/kodak/{name}")) as image:
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:256, :384])
    for encoded in encode_to_rates(Closer(), pixels, STRATA):
        assert not encoded.miss
        assert encoded.actual_bpp == pytest.approx(encoded.target_bpp, rel=0.02)
        assert encoded.pixels.shape == pixels.shape


def test_a_model_that_was_trained_with_maps_gets_one_of_each_picture(own_model: Path) -> None:
    codec, plain = Closer(), LearnedCodec.load(own_model)
    assert not codec.unavailable()
    data = codec.encode(photograph(), 50.0)
    price = codec.settings(50.0)["lambda"]
    assert isinstance(price, float)
    network = saliency.Saliency()
    assert data == plain.encode(photograph(), price, network.map(photograph()))
    assert data != plain.encode(photograph(), price)
    assert np.array_equal(codec.decode(data), plain.decode(data))


def test_its_version_names_the_model_and_the_network_for_maps(own_model: Path) -> None:
    assert LearnedCodec.load(own_model).digest[:12] in Closer().version()
    assert saliency.Saliency().digest[:12] in Closer().version()
    own_model.write_bytes(small_file(1))
    assert LearnedCodec.load(own_model).digest[:12] in Closer().version()


def test_models_in_a_folder_are_codecs_of_their_files_names(
    own_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_model.parent / "models"
    folder.mkdir()
    (folder / "closer-mse.safetensors").write_bytes(small_file(1, saliency_floor=None))
    (folder / "Not A Name.safetensors").write_bytes(small_file(1))
    (folder / "closer-none.safetensors").write_bytes(b"no model")
    found = load_codecs([], declarations(str(folder)))
    codec = found["closer-mse"]
    assert codec.label == "Closer (closer-mse)"
    assert not codec.unavailable()
    data = codec.encode(photograph(), 50.0)
    assert np.array_equal(
        codec.decode(data), LearnedCodec.load(folder / "closer-mse.safetensors").decode(data)
    )
    with pytest.raises(DecodeFailed, match="another model"):
        Closer().decode(data)
    assert "name its file in CLOSER_CODECS" in found["closer-none"].unavailable()
    assert any("is not 1 to 40 of" in each.unavailable() for each in found.values())


def test_without_what_it_needs_it_says_how_to_get_it(
    own_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(saliency.VARIABLE)
    monkeypatch.setattr(saliency, "PACKAGE", "a-package-that-is-not-there")
    assert "pip install" in Closer().unavailable()
    own_model.write_bytes(small_file(saliency_floor=None))
    assert not Closer().unavailable()
    own_model.write_bytes(b"no model")
    assert "no codec's file" in Closer().unavailable()
    own_model.unlink()
    assert "train_codec" in Closer().unavailable()
    with pytest.raises(CodecUnavailable):
        Closer().encode(photograph(), 50.0)


def test_the_file_of_another_model_is_refused(own_model: Path) -> None:
    data = Closer().encode(photograph(), 50.0)
    own_model.write_bytes(small_file(1))
    with pytest.raises(DecodeFailed, match="another model"):
        Closer().decode(data)
