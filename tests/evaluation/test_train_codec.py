"""`manage.py train_codec`: photographs in, a codec out; it goes on, and says what it cannot do."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image
from skimage import data

from evaluation.codec_trainings import record
from perceptual.codec.card import read
from perceptual.codec.model import LearnedCodec
from perceptual.codec.training.pictures import digest_of
from perceptual.codec.training.pictures import read as read_picture
from tests.evaluation.codec_trainings import part

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

    command(photographs, work, steps=3, name="mine")
    assert [each["step"] for each in log(work)] == [1, 2, 3]
    told = record.read(work)
    assert (told.name, told.steps, told.ended.how) == ("mine", 3, record.FINISHED)
    assert [each["step"] for each in told.parts] == [0, 2]
    assert told.now["provenance"]["libraries"]["torch"]
    assert told.now["data"]["folders"] == [photographs.name]
    [watched] = told.now["data"]["held_out"]
    [seen] = [each for each in photographs.iterdir() if each.name != watched]
    assert told.now["data"]["digest"] == digest_of([read_picture(seen)])
    # The codec says so as well.
    card = read(work / "codec.safetensors").card
    assert card.trained_on == told.origin(3)
    assert [each["settings"]["steps"] for each in card.trained_on["earlier"]] == [2]
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
    digest = read(first).digest
    for told in (
        record.read(tmp_path / "second").now,
        read(tmp_path / "second" / first.name).card.trained_on,
    ):
        assert told["begins_from"] == {"name": "closer-codec", "digest": digest}


def test_a_stop_is_written_down_and_what_was_done_is_kept(photographs, tmp_path):
    work = tmp_path / "work"

    def stop_once_it_trains():
        while not (work / "log.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop_once_it_trains)
    stopper.start()
    with pytest.raises(CommandError, match="Stopped; the same command goes on"):
        command(photographs, work, steps=1000)
    stopper.join()
    assert record.read(work).ended.how == record.STOPPED
    assert read(work / "codec.safetensors").card.trained_on["steps"] == log(work)[-1]["step"]


def test_a_failure_is_written_down(photographs, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "held-out").write_text("where pictures are to be")
    with pytest.raises(CommandError, match="held-out"):
        command(photographs, work)
    ended = record.read(work).ended
    assert ended.how == record.FAILED
    assert "held-out" in ended.why


# What is written down.


def test_what_held_from_which_step_on_is_told_in_parts(tmp_path):
    record.begin(tmp_path, "mine", part(0), at=1.0)
    record.end(tmp_path, record.STOPPED, at=2.0)
    again = record.begin(tmp_path, "mine", part(4), at=3.0)
    assert [each["step"] for each in again.parts] == [0], "nothing was changed"
    assert (again.begun_at, again.went_on_at, again.ended) == (1.0, 3.0, None)
    record.begin(tmp_path, "mine", part(5, processes=2), at=4.0)
    found = record.begin(tmp_path, "mine", part(8, device="GPU"), at=5.0)
    assert [each["step"] for each in found.parts] == [0, 5, 8]
    # Killed, it goes on from a checkpoint before what was written last.
    found = record.begin(tmp_path, "mine", part(7, processes=2), at=6.0)
    assert [each["step"] for each in found.parts] == [0, 5]
    assert record.read(tmp_path) == found
    # Begun anew.
    assert record.begin(tmp_path, "mine", part(0), at=7.0).begun_at == 7.0


def a_record(**changes) -> bytes:
    whole = {"format": 1, "name": "a", "begun_at": 0, "went_on_at": 0, "ended": None}
    return json.dumps({**whole, "parts": [part(0)], **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"half a",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 10**5,
        a_record(format=2),
        a_record(begun_at="today"),
        a_record(went_on_at=float("inf")),
        a_record(ended={"how": "stopped", "at": "today"}),
        a_record(ended={"how": "stopped"}),
        a_record(parts=[]),
        a_record(parts=[{}]),
        a_record(parts=[part("first")]),
        a_record(parts=[part(0, settings=3)]),
        a_record(parts=[part(0, data={})]),
        a_record(parts=[part(0, provenance={"libraries": 1})]),
        a_record(
            parts=[part(0, settings=part(0)["settings"] | {"objective": {"mse_weight": "all"}})]
        ),
    ],
)
def test_a_file_that_tells_nothing_known_is_none(tmp_path, content):
    (tmp_path / record.FILE).write_bytes(a_record())
    assert record.read(tmp_path)
    (tmp_path / record.FILE).write_bytes(content)
    assert record.read(tmp_path) is None
    record.end(tmp_path, record.STOPPED, at=0.0)
    assert (tmp_path / record.FILE).read_bytes() == content
