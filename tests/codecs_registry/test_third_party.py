"""The example package of docs/add-a-codec.md: installed as a newcomer would, found and used."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecs_registry.codecs.base import Codec, DecodeFailed

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example-codec"
PHOTO = Path(importlib.util.find_spec("skimage").origin).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the example, from a copy: building writes beside it."""
    source = tmp_path_factory.mktemp("source") / "example-codec"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, *offline, "--target", str(target), str(source)])
    return target


def run(command: list[str], **environment: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def manage(installed: Path, *arguments: str) -> str:
    return run([sys.executable, "manage.py", *arguments], PYTHONPATH=str(installed))


def test_an_installed_package_adds_its_codec_to_the_list(installed):
    codecs = json.loads(manage(installed, "codecs", "--json"))["codecs"]
    [example] = [codec for codec in codecs if codec["name"] == "example-dct"]
    assert example["available"], example["reason"]
    assert example["label"] == "Example DCT"
    assert example["version"].startswith("example-dct 1 ")


def test_its_codec_meets_the_rates_that_are_asked_for(installed, tmp_path):
    rates = ["--bpp", "0.23", "--bpp", "1"]
    manage(
        installed, "encode", "--codec", "example-dct", *rates, "--out", str(tmp_path), str(PHOTO)
    )
    with (tmp_path / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["target_bpp"]) for row in rows] == [0.23, 1]
    for row in rows:
        bpp = 8 * (tmp_path / row["bitstream"]).stat().st_size / 512**2
        assert bpp == pytest.approx(float(row["target_bpp"]), rel=0.02)
        assert bpp == pytest.approx(float(row["actual_bpp"]), rel=1e-5)


# --- the codec itself, as an example should be ----------------------------------------------------


def load() -> Codec:
    spec = importlib.util.spec_from_file_location("example_codec", EXAMPLE / "example_codec.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ExampleDct()


codec = load()


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.floats(codec.knob.low, 20),
)
def test_the_example_returns_every_size_of_picture_to_within_its_quantiser(
    width, height, seed, step
):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    bitstream = codec.encode(pixels, step)
    assert bitstream == codec.encode(pixels.copy(), step)
    decoded = codec.decode(bitstream)
    assert decoded.shape == pixels.shape
    # An orthonormal transform keeps the energy of an error: at most half a step for each number.
    padded = -(-width // 8) * 8 * -(-height // 8) * 8 * 3
    energy = np.sum((decoded.astype(float) - pixels) ** 2)
    assert np.sqrt(energy) <= np.sqrt(padded) * (step / 2 + 0.5) + 1e-3


@given(st.binary(max_size=200) | st.integers(0, 200))
def test_the_example_refuses_what_is_not_its_file(broken):
    if isinstance(broken, int):  # a truncated file
        whole = codec.encode(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3), 20)
        broken = whole[: broken % len(whole)]
    with pytest.raises(DecodeFailed):
        codec.decode(broken)
