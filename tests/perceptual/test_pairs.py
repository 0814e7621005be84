"""Reading 2AFC datasets: ours, and any in the layout of BAPPS."""

import csv
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptual.pairs import InvalidDataset, file_digest, pixels, read_dataset
from tests.perceptual.datasets import MANIFEST_COLUMNS, a_dataset, a_picture, a_row, write_pair

SHARES = st.integers(0, 8).map(lambda eighths: eighths / 8)
PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["train", "val"]),
        st.sampled_from(["bpp-0.23", "simulated-bpp-1.0", "cnn"]),
        st.integers(0, 5),  # which photograph
        SHARES,
    ),
    min_size=1,
    max_size=12,
)


def numbered(pairs):
    """Each pair with the number it has in its subset."""
    numbers: dict = {}
    for split, subset, photograph, share in pairs:
        number = numbers[split, subset] = numbers.get((split, subset), -1) + 1
        yield split, subset, f"{number:06d}", photograph, share


@given(PAIRS, st.booleans())
def test_every_pair_that_was_written_is_read(tmp_path_factory, pairs, has_level):
    folder = tmp_path_factory.mktemp("bapps")
    top = folder / "2afc" if has_level else folder
    for split, subset, name, photograph, share in numbered(pairs):
        write_pair(top / split / subset, name, share=share, photograph=photograph)
    found = read_dataset(folder)
    written = sorted((split, subset, share) for split, subset, _, share in pairs)
    assert sorted((each.split, each.subset, each.share) for each in found.pairs) == written
    assert len(found.contents) == len({photograph for *_, photograph, _ in pairs})


@given(PAIRS)
def test_without_a_manifest_a_source_is_known_by_its_pixels_and_votes_are_not(
    tmp_path_factory, pairs
):
    folder = tmp_path_factory.mktemp("bapps")
    for split, subset, name, photograph, share in numbered(pairs):
        write_pair(folder / split / subset, name, share=share, photograph=photograph)
    for each in read_dataset(folder).pairs:
        assert each.content == file_digest(each.reference)
        assert each.votes is None
        assert each.codecs is None
        assert each.is_simulated == each.subset.startswith("simulated-")
        assert (
            each.stratum == {"bpp-0.23": "0.23", "simulated-bpp-1.0": "1.0", "cnn": ""}[each.subset]
        )


@given(PAIRS)
def test_what_is_trained_on_shows_no_source_that_is_validated_on(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("bapps")
    for split, subset, name, photograph, share in numbered(pairs):
        write_pair(folder / split / subset, name, share=share, photograph=photograph)
    found = read_dataset(folder)
    trained = {each.content for each in found.train}
    validated = {each.content for each in found.val}
    assert not trained & validated
    assert trained | validated == set(found.contents)


@given(st.lists(st.tuples(st.integers(0, 9), SHARES), min_size=1, max_size=15))
def test_a_folder_without_splits_is_split_by_source_the_same_always(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("bapps")
    for number, (photograph, share) in enumerate(pairs):
        write_pair(folder / "mix", f"{number}", share=share, photograph=photograph)
    found = read_dataset(folder)
    split = {each.content: each.split for each in found.pairs}
    assert all(split[each.content] == each.split for each in found.pairs)
    n_val = sum(each == "val" for each in split.values())
    assert n_val == (round(0.2 * len(split)) or int(len(split) > 1))
    assert read_dataset(folder) == found


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 18)), min_size=1, max_size=6))
def test_the_manifest_tells_votes_contents_and_codecs(tmp_path_factory, votes):
    folder = tmp_path_factory.mktemp("ours")
    rows = []
    for number, (n_votes, halves) in enumerate(votes):
        votes_p1 = min(halves / 2, n_votes)  # a tie is half a vote for each
        write_pair(
            folder / "2afc" / "train" / "bpp-0.23", f"{number:06d}", share=votes_p1 / n_votes
        )
        rows.append(a_row(file=f"{number:06d}", content="pond", votes=n_votes, votes_p1=votes_p1))
    write_manifest(folder, rows)
    for each, (n_votes, halves) in zip(read_dataset(folder).pairs, votes, strict=True):
        assert each.votes == n_votes
        assert each.share == min(halves / 2, n_votes) / n_votes
        assert each.content == "pond"
        assert each.stratum == "0.23"
        assert each.codecs == ("avif", "jpeg")


def write_manifest(folder, rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_one_subset_can_be_read_alone(tmp_path):
    folder = a_dataset(tmp_path)
    assert len(read_dataset(folder / "2afc" / "val").pairs) == 1
    (pair,) = read_dataset(folder / "2afc" / "val" / "bpp-0.23").pairs
    assert (pair.split, pair.subset, pair.stratum) == ("val", "bpp-0.23", "0.23")


def test_the_jnd_half_of_bapps_is_left_alone(tmp_path):
    write_pair(tmp_path / "2afc" / "val" / "cnn", "000000")
    (tmp_path / "jnd" / "val" / "cnn" / "p0").mkdir(parents=True)
    assert len(read_dataset(tmp_path).pairs) == 1


def test_files_that_are_no_pictures_are_left_alone(tmp_path):
    write_pair(tmp_path / "val" / "cnn", "000000")
    (tmp_path / "val" / "cnn" / "ref" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "val" / "cnn" / "p0" / ".000000.png").write_bytes(b"")
    assert len(read_dataset(tmp_path).pairs) == 1


class TestRefused:
    @pytest.fixture
    def subset(self, tmp_path):
        for name in ("000000", "000001"):
            write_pair(tmp_path / "2afc" / "train" / "bpp-0.23", name)
        return tmp_path / "2afc" / "train" / "bpp-0.23"

    def refusal(self, folder):
        with pytest.raises(InvalidDataset) as refused:
            read_dataset(folder)
        return str(refused.value)

    def test_no_folder(self, tmp_path):
        assert "nowhere is not a folder" in self.refusal(tmp_path / "nowhere")

    def test_an_empty_folder(self, tmp_path):
        assert "holds no pairs" in self.refusal(tmp_path)

    def test_an_empty_subset(self, tmp_path):
        for name in ("ref", "p0", "p1", "judge"):
            (tmp_path / "cnn" / name).mkdir(parents=True)
        assert "holds no pairs" in self.refusal(tmp_path)

    @pytest.mark.parametrize("file", ["ref/000001.png", "p0/000001.png", "p1/000001.png"])
    def test_a_missing_picture(self, tmp_path, subset, file):
        (subset / file).unlink()
        assert f"has no counterpart in {(subset / file).parent}" in self.refusal(tmp_path)

    def test_a_missing_judge(self, tmp_path, subset):
        (subset / "judge" / "000000.npy").unlink()
        assert f"ref/000000.png has no counterpart in {subset / 'judge'}" in self.refusal(tmp_path)

    def test_a_missing_folder(self, tmp_path, subset):
        shutil.rmtree(subset / "judge")
        assert f"{subset / 'judge'} is missing" in self.refusal(tmp_path)

    def test_two_pictures_of_one_name(self, tmp_path, subset):
        a_picture(5).save(subset / "p0" / "000001.bmp")
        assert "have one name" in self.refusal(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
    def test_a_judge_that_is_no_array(self, tmp_path, subset, content):
        (subset / "judge" / "000001.npy").write_bytes(content)
        assert "judge/000001.npy cannot be read" in self.refusal(tmp_path)

    @pytest.mark.parametrize("value", [[1.5], [-0.1], [np.nan], [np.inf]])
    def test_a_share_out_of_range(self, tmp_path, subset, value):
        np.save(subset / "judge" / "000001.npy", np.array(value, np.float32))
        assert "judge/000001.npy: expected a share between 0 and 1" in self.refusal(tmp_path)

    @pytest.mark.parametrize("value", [[0.5, 0.5], [], ["half"], [True]])
    def test_a_judge_that_is_not_one_number(self, tmp_path, subset, value):
        np.save(subset / "judge" / "000001.npy", np.array(value))
        assert "judge/000001.npy: expected one number" in self.refusal(tmp_path)

    def test_a_pickled_judge(self, tmp_path, subset):
        np.save(subset / "judge" / "000001.npy", np.array([{}], object), allow_pickle=True)
        assert "judge/000001.npy cannot be read" in self.refusal(tmp_path)

    def test_pictures_of_other_sizes(self, tmp_path, subset):
        a_picture(3, size=(8, 9)).save(subset / "p1" / "000001.png")
        assert "p1/000001.png is 8x9 pixels, and its reference 8x8" in self.refusal(tmp_path)

    def test_a_picture_that_is_none(self, tmp_path, subset):
        (subset / "p1" / "000001.png").write_bytes(b"no picture")
        assert "p1/000001.png cannot be read as a picture" in self.refusal(tmp_path)


class TestManifest:
    @pytest.fixture
    def folder(self, tmp_path):
        write_pair(tmp_path / "2afc" / "train" / "bpp-0.23", "000000", share=0.75)
        return tmp_path

    def refusal(self, folder, *rows):
        write_manifest(folder, rows)
        with pytest.raises(InvalidDataset) as refused:
            read_dataset(folder)
        return str(refused.value)

    def test_a_pair_that_it_does_not_know(self, folder):
        assert "has no row for" in self.refusal(folder)

    def test_a_row_without_files(self, folder):
        rows = [a_row(votes=4, votes_p1=3), a_row(file="000001", votes=4, votes_p1=3)]
        assert "has a row for train/bpp-0.23/000001" in self.refusal(folder, *rows)

    def test_a_row_that_is_there_twice(self, folder):
        rows = [a_row(votes=4, votes_p1=3)] * 2
        assert "has two rows for train/bpp-0.23/000000" in self.refusal(folder, *rows)

    def test_votes_that_contradict_the_judge(self, folder):
        assert "its judge says 0.75" in self.refusal(folder, a_row(votes=4, votes_p1=1))

    @pytest.mark.parametrize("votes", [("", "3"), ("4", "many"), ("4.5", "3")])
    def test_votes_that_are_no_numbers(self, folder, votes):
        row = a_row(votes=votes[0], votes_p1=votes[1])
        assert "expected numbers of votes" in self.refusal(folder, row)

    @pytest.mark.parametrize("votes", [(0, 0), (2, 3), (4, -1)])
    def test_votes_that_cannot_be(self, folder, votes):
        row = a_row(votes=votes[0], votes_p1=votes[1])
        assert "votes for p1, found" in self.refusal(folder, row)

    def test_a_missing_column(self, folder):
        (folder / "manifest.csv").write_text("split,subset,file\n")
        with pytest.raises(InvalidDataset, match="has no column content"):
            read_dataset(folder)


class TestDigest:
    def test_it_survives_moving_and_renaming(self, tmp_path):
        first, second = tmp_path / "a", tmp_path / "b"
        write_pair(first / "2afc" / "train" / "cnn", "000000", share=0.5)
        write_pair(second / "train" / "cnn", "a_name", share=0.5)
        assert read_dataset(first).digest == read_dataset(second).digest

    @pytest.mark.parametrize("file", ["ref/000000.png", "p0/000000.png", "p1/000000.png"])
    def test_a_changed_pixel_changes_it(self, tmp_path, file):
        write_pair(tmp_path / "train" / "cnn", "000000")
        before = read_dataset(tmp_path).digest
        picture = Image.open(tmp_path / "train" / "cnn" / file)
        picture.putpixel((0, 0), (1, 2, 3))
        picture.save(tmp_path / "train" / "cnn" / file)
        assert read_dataset(tmp_path).digest != before

    def test_another_share_changes_it(self, tmp_path):
        write_pair(tmp_path / "train" / "cnn", "000000", share=0.5)
        before = read_dataset(tmp_path).digest
        write_pair(tmp_path / "train" / "cnn", "000000", share=0.75)
        assert read_dataset(tmp_path).digest != before

    def test_another_split_changes_it(self, tmp_path):
        write_pair(tmp_path / "a" / "train" / "cnn", "000000")
        write_pair(tmp_path / "b" / "val" / "cnn", "000000")
        assert read_dataset(tmp_path / "a").digest != read_dataset(tmp_path / "b").digest


class TestPixels:
    def test_they_are_the_samples_of_the_file(self, tmp_path):
        samples = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(samples).save(tmp_path / "a.png")
        found = pixels(tmp_path / "a.png")
        assert found.shape == (3, 5, 7)
        assert found.dtype == torch.float32
        assert torch.equal(
            (found * 255).round().to(torch.uint8).permute(1, 2, 0), torch.tensor(samples)
        )

    def test_grey_is_three_equal_samples(self, tmp_path):
        Image.new("L", (4, 4), 51).save(tmp_path / "a.png")
        assert torch.equal(pixels(tmp_path / "a.png"), torch.full((3, 4, 4), 0.2))

    def test_alpha_that_hides_nothing_is_left_out(self, tmp_path):
        Image.new("RGBA", (4, 4), (255, 0, 51, 255)).save(tmp_path / "a.png")
        assert pixels(tmp_path / "a.png")[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])

    @pytest.mark.parametrize(
        ("picture", "reason"),
        [
            (Image.new("RGBA", (4, 4), (255, 0, 51, 254)), "transparent"),
            (Image.new("I;16", (4, 4)), "8 bits"),
        ],
    )
    def test_what_is_not_known_to_be_seen_so_is_refused(self, tmp_path, picture, reason):
        picture.save(tmp_path / "a.png")
        with pytest.raises(InvalidDataset, match=reason):
            pixels(tmp_path / "a.png")

    def test_half_a_file_is_refused(self, tmp_path):
        a_picture(0, size=(64, 64)).save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InvalidDataset, match="cannot be read as a picture"):
            pixels(tmp_path / "a.png")
