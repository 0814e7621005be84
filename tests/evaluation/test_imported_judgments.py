"""Judgments made elsewhere become a dataset like ours, and nobody's choice is turned round."""

import csv
import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from annotation.datasets import split_by_source
from codecs_registry.pictures import identify
from evaluation.imported_judgments import InvalidJudgments, read_mucped23, write_mucped23
from perceptual.metric import Metric
from perceptual.pairs import pixels, read_dataset
from tests.perceptual.datasets import a_picture, changed
from tests.real_data import real_data

FINE, COARSE = "libjpeg-q95", "libjpeg-q20"


def mucped23(folder, *answers, photographs=("pond",)):
    """A folder in the format of mucped23; an answer is (method_a, method_b, image, worse)."""
    (folder / "originals").mkdir(parents=True)
    for seed, name in enumerate(photographs):
        original = a_picture(seed, size=(32, 24))
        original.save(folder / "originals" / f"{name}.png")
        for method, quality in ((FINE, 95), (COARSE, 20)):
            (folder / "stimuli" / method).mkdir(parents=True, exist_ok=True)
            file = folder / "stimuli" / method / f"{name}.jpg"
            changed(original, 1).save(file, quality=quality)
    with (folder / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("method_a", "method_b", "image", "worse"), *answers])
    return folder


def write(source, out, **options):
    return write_mucped23(source, out, provenance={}, **options)


@pytest.mark.parametrize("seed", range(6))
def test_whoever_says_that_one_side_is_worse_votes_for_the_other(tmp_path, seed):
    source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"), (FINE, COARSE, "pond", "B"))
    write(source, tmp_path / "out", seed=seed)
    (pair,) = read_dataset(tmp_path / "out").pairs
    assert pair.votes == 2
    assert pair.codecs[round(pair.share)] == FINE
    # And the pictures are those of the methods: the fine one is nearer to the original.
    d0, d1 = (
        Metric.load("psnr").distance(pixels(pair.reference)[None], pixels(each)[None])
        for each in (pair.p0, pair.p1)
    )
    assert (d1 < d0) == (pair.codecs[1] == FINE)


def test_which_method_is_p0_follows_from_the_seed_and_is_not_always_the_same(tmp_path):
    source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"))
    sides = [read_mucped23(source, seed=seed)[0].p0 for seed in range(20)]
    assert set(sides) == {FINE, COARSE}
    assert sides == [read_mucped23(source, seed=seed)[0].p0 for seed in range(20)]


def test_several_answers_on_one_pair_are_its_votes(tmp_path):
    answers = [(COARSE, FINE, "pond", worse) for worse in "AABA"]
    (found,) = read_mucped23(mucped23(tmp_path / "in", *answers))
    assert found.votes == 4
    assert found.votes_p1 == (3 if found.p1 == FINE else 1)


def test_the_dataset_is_laid_out_as_our_own(tmp_path):
    names = ("pond", "tree", "wall")
    source = mucped23(
        tmp_path / "in", *[(COARSE, FINE, name, "A") for name in names], photographs=names
    )
    write(source, tmp_path / "out", seed=3)
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shas = {
        name: identify(np.asarray(Image.open(source / "originals" / f"{name}.png")))
        for name in names
    }
    split = split_by_source(enumerate(shas.values()), seed=3)
    for number, name in enumerate(names):
        row = next(row for row in rows if row["content"] == name)
        assert row["sha256"] == shas[name]
        assert row["split"] == split[number]
        assert row["stratum"] == ""
        assert row["simulated"] == "false"
        file = source / "stimuli" / row["p0_codec"] / f"{name}.jpg"
        assert float(row["p0_bpp"]) == pytest.approx(8 * file.stat().st_size / (32 * 24), abs=1e-6)
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (card["judgments"], card["pairs"], card["seed"]) == (3, 3, 3)


def test_the_pictures_have_the_samples_of_the_decoded_files(tmp_path):
    source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"))
    write(source, tmp_path / "out")
    (pair,) = read_dataset(tmp_path / "out").pairs
    for side, method in zip((pair.p0, pair.p1), pair.codecs, strict=True):
        with Image.open(source / "stimuli" / method / "pond.jpg") as decoded:
            assert np.array_equal(np.asarray(Image.open(side)), np.asarray(decoded))


def test_halves_are_had_by_a_share_of_one_half(tmp_path):
    names = [f"photograph {n}" for n in range(6)]
    source = mucped23(
        tmp_path / "in", *[(COARSE, FINE, name, "A") for name in names], photographs=names
    )
    write(source, tmp_path / "out", validation_share=0.5)
    found = read_dataset(tmp_path / "out")
    assert len(found.val) == len(found.train) == 3


class TestRefused:
    def test_a_folder_without_answers(self, tmp_path):
        with pytest.raises(InvalidJudgments, match=r"answers.csv cannot be read"):
            read_mucped23(tmp_path)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ((FINE, COARSE, "pond", "C"), "line 2: expected two methods, and A or B"),
            ((FINE, FINE, "pond", "A"), "line 2: expected two methods"),
            ((FINE, COARSE, "", "A"), "line 2: a value is missing"),
        ],
    )
    def test_an_answer_that_is_none(self, tmp_path, answer, reason):
        with pytest.raises(InvalidJudgments, match=reason):
            read_mucped23(mucped23(tmp_path / "in", answer))

    def test_a_missing_picture_leaves_no_folder(self, tmp_path):
        source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"))
        (source / "stimuli" / FINE / "pond.jpg").unlink()
        with pytest.raises(InvalidJudgments, match=r"pond\.jpg"):
            write(source, tmp_path / "out")
        assert [each.name for each in tmp_path.iterdir()] == ["in"]


class TestCommand:
    def run(self, *arguments):
        out = io.StringIO()
        call_command("import_judgments", *map(str, arguments), stdout=out)
        return out.getvalue()

    def test_it_says_what_it_wrote(self, tmp_path):
        source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"))
        said = self.run(source, "--format", "mucped23", "--out", tmp_path / "out")
        assert "1 pairs of 1 pictures, 1 votes" in said
        assert len(read_dataset(tmp_path / "out").pairs) == 1

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--validation-share", "1"], "between 0 and 1"),
            ([], "answers.csv cannot be read"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, tmp_path, arguments, reason):
        with pytest.raises(CommandError, match=reason):
            self.run(tmp_path, "--format", "mucped23", "--out", tmp_path / "out", *arguments)

    def test_a_folder_in_use_is_left_alone(self, tmp_path):
        source = mucped23(tmp_path / "in", (COARSE, FINE, "pond", "A"))
        with pytest.raises(CommandError, match="is not empty"):
            self.run(source, "--format", "mucped23", "--out", source)


def test_in_the_real_data_people_prefer_more_bits(tmp_path):
    """That `worse` names the worse side was inferred: then the file with more bits is chosen in
    most answers, and with the sides turned it would be in few."""
    source = real_data("judgments/mucped23")
    votes_for_more = votes = 0
    for each in read_mucped23(source):
        size_p0, size_p1 = (
            (source / "stimuli" / method / f"{each.content}.jpg").stat().st_size
            for method in (each.p0, each.p1)
        )
        votes += each.votes
        votes_for_more += each.votes_p1 if size_p1 > size_p0 else each.votes - each.votes_p1
    assert votes == 1066
    assert votes_for_more / votes > 0.65
