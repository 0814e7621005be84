"""`manage.py train_codec`: photographs in, a codec out; it goes on, and says what it cannot do."""

import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image
from skimage import data

from perceptual.codec.model import LearnedCodec

TINY = {
    "batch": 1,
    "crop": 64,
    "steps": 2,
    "held_out": 1,
    "watched_every": 1,
    "warm_up": 1,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    Image.fromarray(data.astronaut()[:128, 100:228]).save(folder / "astronaut.png")
    Image.fromarray(data.coffee()[:128, :128]).save(folder / "coffee.png")
    return folder


def command(folder, work, **options):
    call_command("train_codec", images=[folder], work=work, **{**TINY, **options})


def log(work):
    return [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]


def test_photographs_become_a_codec_that_codes_and_its_training_goes_on(
    photographs, tmp_path, capsys
):
    work = tmp_path / "work"
    command(photographs, work, name="mine")
    told = capsys.readouterr()
    assert told.out.strip() == str(work / "codec.safetensors")
    assert "step 2 of 2: loss" in told.err
    assert "held out:" in told.err
    codec = LearnedCodec.load(work / "codec.safetensors")
    assert codec.card.name == "mine"
    assert codec.card.trained_on["steps"] == 2
    assert len(codec.card.results["held_out"]) == 5
    assert codec.card.saliency_floor is None
    source = np.ascontiguousarray(data.astronaut()[:64, 100:164])
    assert codec.decode(codec.encode(source, 0.02)).shape == source.shape

    command(photographs, work, steps=3)
    assert [each["step"] for each in log(work)] == [1, 2, 3]
    assert LearnedCodec.load(work / "codec.safetensors").digest != codec.digest


def test_a_training_begins_from_a_codec_that_is_there(photographs, tmp_path):
    command(photographs, tmp_path / "first", steps=1)
    first = tmp_path / "first" / "codec.safetensors"
    command(photographs, tmp_path / "second", steps=1, learning_rate=1e-9, **{"from": first})
    one, two = (
        LearnedCodec.load(each / "codec.safetensors").network.state_dict()
        for each in (first.parent, tmp_path / "second")
    )
    for name, value in one.items():
        assert np.allclose(value, two[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"metric": "psnr", "metric_weight": 0.0}, "a weight needs a metric"),
        ({"metric": "butteraugli", "metric_weight": 1.0}, "(?i)butteraugli"),
        ({"saliency_model": "network.onnx"}, "with --saliency on alone"),
        ({"saliency": "on", "saliency_model": "/none.onnx"}, "none.onnx cannot be read"),
        ({"from": "none.safetensors"}, "no codec's file"),
        ({"held_out": 2}, "too few to hold 2 out"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(photographs, tmp_path, options, complaint):
    with pytest.raises(CommandError, match=complaint) as told:
        command(photographs, tmp_path / "work", **options)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "work" / "codec.safetensors").exists()
