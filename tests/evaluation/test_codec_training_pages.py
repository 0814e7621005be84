"""The pages of the learned codec's trainings: what they show in every state, what they refuse."""

import io
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from evaluation.codec_trainings import reading, record
from evaluation.codec_trainings.plots import along_plot, held_out_plot, loss_plot
from evaluation.codec_trainings.reading import covered, points
from perceptual.codec.card import read
from tests.evaluation.codec_trainings import BUNDLED_LOG, line, part, show_grey, tell_of_training
from tests.evaluation.test_pages import text_of

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """Where trainings are."""
    settings.CLOSER_CODEC_TRAININGS = tmp_path / "trainings"
    return tmp_path / "trainings"


def get(client, name: str, *arguments, status: int = 200, query: str = "", **options):
    response = client.get(reverse(name, args=arguments) + query, **options)
    assert response.status_code == status
    return response


def written_ago(training, seconds: float) -> None:
    """Have all in a training's folder be as old as that."""
    for file in training.iterdir():
        os.utime(file, (time.time() - seconds,) * 2)


# --- logs -----------------------------------------------------------------------------------------


LINES = [json.dumps(line(step, watched=step % 20 == 0)).encode() for step in range(10, 60, 10)]
WHOLE = b"".join(each + b"\n" for each in LINES)


@given(st.integers(0, len(WHOLE)))
def test_a_log_that_is_cut_anywhere_tells_of_its_whole_lines(cut):
    content = WHOLE[:cut]
    whole = sum(len(b"\n".join(LINES[: count + 1])) <= cut for count in range(len(LINES)))
    assert [each.step for each in points(content)] == [10, 20, 30, 40, 50][:whole]


@given(st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=80)), max_size=12))
def test_whatever_stands_between_lines_is_passed_over(parts):
    wanted = [each for part in parts for each in part.split(b"\n") if each in LINES]
    found = points(b"\n".join(parts))
    assert [each.step for each in found] == sorted({each.step for each in found})
    if wanted:
        assert found[-1].step == json.loads(wanted[-1])["step"]
    else:
        assert not found


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "10"}, {"step": -1}, {"step": 200}, {"step": True}, {"steps": None}, {"loss": []},
        {"watched": 3}, {"watched": [1]}, {"watched": [{"price": 0.1}]}, {"psnr": "many"},
        {"steps_per_s": 10**400},
    ],
)  # fmt: skip
def test_a_line_of_another_form_tells_nothing(changes):
    assert points(json.dumps(line(10) | changes).encode()) == []


def test_where_a_training_went_back_what_was_told_last_counts():
    told = [(10, 1.0), (20, 2.0), (30, 3.0), (20, 4.0)]
    content = "\n".join(json.dumps(line(step, loss=loss)) for step, loss in told)
    assert [(each.step, each.loss) for each in points(content.encode())] == [(10, 1.0), (20, 4.0)]


def test_the_log_of_the_codec_that_comes_with_closer_is_read_to_its_end():
    found = points(BUNDLED_LOG.read_bytes())
    assert found[-1].step == last_of_bundled()["step"]
    assert len(found) >= found[-1].step / 100
    watched = [each for each in found if each.watched]
    assert len(watched) >= 4
    for plot in (loss_plot(found), held_out_plot(watched), along_plot(watched)):
        assert plot.startswith("<svg")


def last_of_bundled() -> dict:
    return json.loads(BUNDLED_LOG.read_text().splitlines()[-1])


def test_plots_pass_over_what_is_no_number_and_are_none_without_any(folder):
    lost = line(30, loss=float("nan"), psnr=float("inf"))
    content = "\n".join(json.dumps(each) for each in (line(10), line(20), lost)).encode()
    found = points(content)
    assert len(found) == 3
    assert "NaN" not in loss_plot(found)
    assert loss_plot(found[2:]) is loss_plot([]) is None
    assert held_out_plot([]) is along_plot([]) is None


def test_a_line_that_tells_of_few_steps_counts_for_as_little():
    log = points("\n".join(json.dumps(each) for each in (line(20), line(40), line(42))).encode())
    assert [steps for _, steps in covered(log)] == [20, 20, 2]
    last = last_of_bundled()
    after = line(last["step"] + 2, steps=last["steps"] + 100, loss=99)
    stopped = points(BUNDLED_LOG.read_bytes() + json.dumps(after).encode())
    assert loss_plot(stopped) == loss_plot(points(BUNDLED_LOG.read_bytes()))
    training = reading.Training("mine", Path(), tuple(stopped), None, 0.0, 0.0)
    assert abs(training.loss - last["loss"]) < 1


def test_bits_gained_are_those_of_bd_rate(folder):
    training = tell_of_training(folder / "mine", upto=40)
    [found] = reading.trainings(time.time())
    assert found.folder == training
    # Each rate is less by 0.002 of 0.2 to 1.0 bits: between 1 % and 0.2 %.
    assert -1.01 < found.gained < -0.19
    assert found.middle.price == 0.0125


# --- the list -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_list_is_reached_from_the_codecs_and_tells_how_to_begin(as_researcher, folder):
    assert reverse("codec-trainings") in get(as_researcher, "codecs").content.decode()
    shown = get(as_researcher, "codec-trainings")
    assert f"manage.py train_codec --images FOLDER --work {folder}/NAME" in text_of(shown)
    assert 'aria-current="true">Codecs' in shown.content.decode()


@pytest.mark.django_db
def test_what_runs_comes_first_and_what_is_no_training_is_left_out(as_researcher, folder):
    written_ago(tell_of_training(folder / "silent"), 7200)
    written_ago(tell_of_training(folder / "done", steps=20), 3600)
    tell_of_training(folder / "running")
    tell_of_training(folder / ".hidden")
    (folder / "notes").mkdir()
    (folder / "log.jsonl").write_text("no folder")
    shown = get(as_researcher, "codec-trainings").content.decode()
    assert re.findall(r'trainings/([^/"]+)/"', shown) == ["running", "done", "silent"]
    assert re.findall(r'class="tag[^"]*">(\w+)<', shown) == ["training", "done", "silent"]
    said = text_of(get(as_researcher, "codec-trainings"))
    # 80 steps at two a second; held out, in the middle, after step 20.
    assert "20 100 2.00 40 s 12.000 0.598 32.00" in said


@pytest.mark.django_db
def test_a_page_that_is_up_to_date_gets_nothing_anew(as_researcher, folder):
    training = tell_of_training(folder / "mine")
    for name, arguments in (("codec-trainings", ()), ("codec-training", ("mine",))):
        page = get(as_researcher, name, *arguments).content.decode()
        query = re.search(r'hx-get="[^?]+(\?[^"]+)"', page)[1].replace("&amp;", "&")
        get(as_researcher, name, *arguments, query=query, headers=HTMX, status=204)
        with (training / "log.jsonl").open("a") as log:
            log.write(json.dumps(line(30, loss=11.0)) + "\n")
        live = get(as_researcher, name, *arguments, query=query, headers=HTMX)
        assert "11.667" in text_of(live), "the mean of the lines of late"
        assert "<html" not in live.content.decode()
        (training / "log.jsonl").write_text(json.dumps(line(20, watched=True)) + "\n")


# --- one of them ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("how", "why", "told"),
    [
        (record.STOPPED, "", "The same command goes on from here"),
        (record.FAILED, "The disk is full.", "It failed on .* The disk is full. The same command"),
        (record.FINISHED, "", "All steps are done"),
    ],
)
def test_an_end_that_is_written_down_is_told_at_once(as_researcher, folder, how, why, told):
    training = tell_of_training(folder / "mine")
    assert "It can be stopped at any time" in text_of(get(as_researcher, "codec-training", "mine"))
    record.begin(training, "mine", part(0), at=time.time())
    record.end(training, how, at=time.time(), why=why)
    shown = get(as_researcher, "codec-training", "mine")
    assert re.search(told, text_of(shown))
    assert "hx-get" not in shown.content.decode()


@pytest.mark.django_db
def test_a_training_that_no_longer_writes_is_said_to_be_silent(as_researcher, folder):
    written_ago(tell_of_training(folder / "mine"), 3600)
    said = text_of(get(as_researcher, "codec-training", "mine"))
    assert "it was stopped or killed since" in said
    assert "Time left" not in said


@pytest.mark.django_db
def test_a_log_without_pictures_or_codec_is_shown(as_researcher, folder):
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "log.jsonl").write_bytes(BUNDLED_LOG.read_bytes())
    shown = get(as_researcher, "codec-training", "old")
    said = text_of(shown)
    last = last_of_bundled()
    assert f"{last['step']:,} of {last['steps']:,}" in said
    assert re.search(r"Bits for the same PSNR [+−]\d\d\.\d % since step [\d,]+", said)
    assert "There are none yet: some are written each time they are watched" in said
    assert "an earlier version of Closer trained it" in said
    assert shown.content.decode().count("<svg") == 3
    get(as_researcher, "codec-training-file", "old", status=404)


@pytest.mark.django_db
def test_a_training_that_told_nothing_yet_is_shown(as_researcher, folder):
    (folder / "new").mkdir(parents=True)
    (folder / "new" / "log.jsonl").write_text("")
    said = text_of(get(as_researcher, "codec-training", "new"))
    assert "It has begun; the first numbers come after 100 steps" in said
    assert "new training 0 –" in text_of(get(as_researcher, "codec-trainings"))


@pytest.mark.django_db
def test_a_loss_beyond_all_bounds_is_said_to_be_none(as_researcher, folder):
    training = tell_of_training(folder / "mine")
    with (training / "log.jsonl").open("a") as log:
        log.write(json.dumps(line(30, loss=float("nan"))) + "\n")
    assert "not a number" in text_of(get(as_researcher, "codec-training", "mine"))


@pytest.mark.django_db
def test_newer_pictures_are_offered_and_do_not_take_the_place_of_what_is_looked_at(
    as_researcher, folder
):
    training = tell_of_training(folder / "mine")
    page = get(as_researcher, "codec-training", "mine", query="?picture=2").content.decode()
    assert ">two.png, held out<" in page
    query = re.search(r'hx-get="[^?]+(\?[^"]+)"', page)[1].replace("&amp;", "&")
    show_grey(training, 40)
    live = get(as_researcher, "codec-training", "mine", query=query, headers=HTMX)
    assert "Show the pictures of step 40, which are newer than those below" in text_of(live)
    assert 'href="?picture=2#viewer"' in live.content.decode()
    again = get(as_researcher, "codec-training", "mine", query="?picture=2").content.decode()
    # What was first watched stands beside it.
    assert "λ 0.0125, step 40" in again
    assert "λ 0.0125, step 20" in again


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["?picture=9", "?picture=x", "?a=none&b=<b>", "?picture=²"])
def test_what_the_viewer_does_not_have_is_not_shown(as_researcher, folder, query):
    tell_of_training(folder / "mine")
    page = get(as_researcher, "codec-training", "mine", query=query).content.decode()
    assert ">one.png, held out<" in page
    assert re.findall(r'value="([^"]+)"[^>]* selected', page) == ["original", "20-3"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", "mine%2f..", ".hidden", "notes"])
def test_no_name_leads_out_of_the_folder(as_researcher, folder, name):
    tell_of_training(folder / "mine")
    tell_of_training(folder / ".hidden")
    tell_of_training(folder.parent / "outside")
    (folder / "notes").mkdir()
    for rest in ("", "log.jsonl", "codec.safetensors", "held-out/20/1-original.webp"):
        response = as_researcher.get(f"/codecs/trainings/{name}/{rest}")
        assert response.status_code == 404, rest
    assert reading.training("../outside", time.time()) is None
    assert reading.training("", time.time()) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "picture", ["30/1-original", "20/3-original", "20/0-original", "20/1-6", "20/1-0", "20/1-about",
                "20/1-..", "20/1-²"],
)  # fmt: skip
def test_there_are_no_other_pictures(as_researcher, folder, picture):
    tell_of_training(folder / "mine")
    address = "/codecs/trainings/mine/held-out/{}.webp"
    assert as_researcher.get(address.format("20/1-original")).status_code == 200
    assert as_researcher.get(address.format(picture)).status_code == 404


# --- a real one -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_training_is_seen_with_its_pictures_its_codec_and_what_made_it(
    as_researcher, folder, tmp_path
):
    photographs = tmp_path / "holidays"
    photographs.mkdir()
    Image.fromarray(data.astronaut()[:96, 100:196]).save(photographs / "astronaut.png")
    Image.fromarray(data.coffee()[:100, :90]).save(photographs / "coffee.png")
    call_command(
        "train_codec", images=[photographs], work=folder / "tiny", name="tiny-codec",
        batch=1, crop=64, steps=1, held_out=1, watched_every=1, warm_up=1,
    )  # fmt: skip
    page = get(as_researcher, "codec-training", "tiny")
    said = text_of(page)
    digest = read(folder / "tiny" / "codec.safetensors").digest
    assert "tiny done Trainings of the learned codec Step 1 of 1" in said
    assert f"after step 1: model {digest[:12]}" in said
    assert "1 of holidays" in said
    assert "Distortion 255² MSE" in said
    assert re.search(r"torch \d", said)
    assert f"CLOSER_CODEC_MODEL={folder}/tiny/codec.safetensors manage.py encode" in said
    assert str(photographs) not in said

    # The original and five reconstructions, as they are.
    addresses = re.findall(r'<img src="([^"]+)"', page.content.decode())
    shown = {address: as_researcher.get(address) for address in addresses}
    assert len(shown) == 6
    original, *made = (
        np.asarray(Image.open(io.BytesIO(shown[each].content)))
        for each in sorted(shown, key=lambda each: ("original" not in each, each))
    )
    [held_out] = record.read(folder / "tiny").now["data"]["held_out"]
    assert np.array_equal(original, np.asarray(Image.open(photographs / held_out)))
    errors = [np.abs(each.astype(int) - original).mean() for each in made]
    assert errors == sorted(errors, reverse=True)

    sent = get(as_researcher, "codec-training-file", "tiny")
    assert b"".join(sent.streaming_content) == (folder / "tiny/codec.safetensors").read_bytes()
    sent = get(as_researcher, "codec-training-log", "tiny")
    assert sent.content == (folder / "tiny" / "log.jsonl").read_bytes()
    assert 'filename="tiny-log.jsonl"' in sent["Content-Disposition"]
