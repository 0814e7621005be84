"""2AFC scores of metrics: what they are, their intervals, and the ceiling beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluation import metric_scores
from evaluation.distances import DistanceStore
from evaluation.metric_plots import metric_score_plot
from evaluation.metric_scores import How, NoSuchPairs, pairs_to_score, score_table
from perceptual.metric import Metric
from perceptual.pairs import Dataset, Pair, read_dataset
from tests.perceptual.datasets import write_pair

NOWHERE = Path("nowhere")


def a_pair(**values) -> Pair:
    pair = Pair(
        reference=NOWHERE,
        p0=NOWHERE,
        p1=NOWHERE,
        share=0.75,
        votes=4,
        content="pond",
        stratum="0.23",
        split="val",
        subset="bpp-0.23",
        codecs=("avif", "jpeg"),
        is_simulated=False,
    )
    return replace(pair, **values)


class Given(Metric):
    """A metric whose distances are given."""

    low, high = -np.inf, np.inf

    def __init__(self, name, found):
        self.name, self.label, self.found = name, name.upper(), np.array(found, float)

    def distance(self, reference, distorted):
        raise NotImplementedError


@pytest.fixture
def score(monkeypatch, tmp_path):
    """score_table of pairs that have no files, by metrics whose distances are given."""
    monkeypatch.setattr(metric_scores, "distances", lambda pairs, metric, *_, **__: metric.found)
    monkeypatch.setattr(metric_scores, "size", lambda file: (64, 64))

    def score(pairs, *, unavailable=None, how=None, **given):
        metrics = {name: Given(name, found) for name, found in given.items()}
        store = DistanceStore(tmp_path / "distances.sqlite3")
        return score_table(pairs, metrics, store, unavailable=unavailable, how=how)

    return score


def named(rows, name):
    return next(each for each in rows if each["name"] == name)


def test_a_metric_is_credited_with_the_share_of_votes_on_its_side(score):
    pairs = [a_pair(share=0.75), a_pair(share=0.75), a_pair(share=0.2)]
    # The first metric finds p1, p0 and p1 closer; the second finds both alike, always.
    table = score(pairs, psnr=[[2, 1], [1, 2], [2, 1]], alike=[[1, 1]] * 3)
    assert named(table["metrics"], "psnr")["score"] == pytest.approx(100 * (0.75 + 0.25 + 0.2) / 3)
    assert named(table["metrics"], "alike")["score"] == pytest.approx(50)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=20))
def test_a_metric_and_its_contrary_share_the_credit(votes):
    share = torch.tensor([k / 4 for k, _ in votes], dtype=torch.float64)
    d0 = torch.tensor([float(finds_p1) for _, finds_p1 in votes])
    mine = metric_scores.credit(d0, 1 - d0, share)
    torch.testing.assert_close(
        mine + metric_scores.credit(1 - d0, d0, share), torch.ones_like(mine)
    )


def test_swapping_sides_changes_no_score(score):
    rng = np.random.default_rng(0)
    pairs = [a_pair(share=float(rng.integers(5)) / 4, content=f"{i % 10}") for i in range(40)]
    found = rng.random((40, 2))
    swapped = [replace(pair, share=1 - pair.share) for pair in pairs]
    assert score(pairs, psnr=found)["metrics"] == score(swapped, psnr=found[:, ::-1])["metrics"]


def test_the_ceiling_is_that_of_the_same_pairs(score):
    # Two raters of four, of whom three agree: (3 * 2 + 1 * 0) / (4 * 3) = 1 / 2.
    pairs = [a_pair(content=str(i), share=0.75, votes=4) for i in range(8)]
    pairs += [a_pair(content=str(i), share=1.0, votes=3) for i in range(8)]
    ceiling = score(pairs, psnr=[[2, 1]] * 16)["human_ceiling"]
    assert ceiling["score"] == pytest.approx(75)
    assert ceiling["n_pairs"] == 16


def test_a_tie_that_left_half_a_vote_is_no_vote_of_the_ceiling(score):
    pairs = [a_pair(share=2.5 / 5, votes=5), a_pair(share=1.0, votes=2)]
    # 2 against 2 agree in (2 + 2) / (4 * 3) = 1/3.
    ceiling = score(pairs, psnr=[[2, 1]] * 2)["human_ceiling"]
    assert ceiling["score"] == pytest.approx(100 * (1 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("votes", "reason"),
    [(None, "does not say how many votes"), (1, "no task has votes of two annotators")],
)
def test_where_there_is_no_ceiling_a_reason_stands_beside_it(score, votes, reason):
    table = score([a_pair(votes=votes, share=1.0)], psnr=[[2, 1]])
    assert table["human_ceiling"] is None
    assert reason in table["reason"]


def test_few_source_images_give_a_score_without_an_interval(score):
    row = named(score([a_pair()], psnr=[[2, 1]])["metrics"], "psnr")
    assert (row["low"], row["high"]) == (None, None)
    assert "needs 8 of them" in row["reason"]


def test_a_difference_is_that_of_the_scores_and_its_interval_is_paired(score):
    rng = np.random.default_rng(1)
    pairs = [a_pair(share=float(rng.random() < 0.7), content=f"{i // 4}") for i in range(200)]
    psnr = rng.random((200, 2))
    other = psnr.copy()
    other[::20] = other[::20, ::-1]  # they differ on one pair in twenty
    table = score(pairs, psnr=psnr, other=other)
    difference = named(table["differences"], "other")
    scores = [named(table["metrics"], name)["score"] for name in ("other", "psnr")]
    assert difference["difference"] == pytest.approx(scores[0] - scores[1])
    row = named(table["metrics"], "other")
    assert difference["high"] - difference["low"] < (row["high"] - row["low"]) / 2


def test_without_psnr_there_are_no_differences(score):
    assert score([a_pair()], other=[[2, 1]])["differences"] == []


def test_strata_and_pairs_of_codecs_have_scores_of_their_own(score):
    pairs = [
        a_pair(stratum="1.0", share=1.0),
        a_pair(stratum="0.23", share=1.0, codecs=("jpeg", "avif")),
        a_pair(stratum="0.23", share=0.0, codecs=("jpeg", "webp")),
    ]
    table = score(pairs, psnr=[[2, 1]] * 3)
    assert list(table["strata"]) == ["0.23", "1.0"]
    assert table["strata"]["0.23"]["n_pairs"] == 2
    assert named(table["strata"]["0.23"]["metrics"], "psnr")["score"] == pytest.approx(50)
    assert [(each["a"], each["b"], each["n_pairs"]) for each in table["codec_pairs"]] == [
        ("avif", "jpeg", 2),
        ("jpeg", "webp", 1),
    ]
    assert named(table["codec_pairs"][0]["metrics"], "psnr")["score"] == pytest.approx(100)


def test_subsets_stand_in_where_no_bit_rate_is_known(score):
    pairs = [a_pair(stratum="", subset=name, codecs=None) for name in ("cnn", "traditional")]
    table = score(pairs, psnr=[[2, 1]] * 2)
    assert list(table["subsets"]) == ["cnn", "traditional"]
    assert table["strata"] == {}
    assert table["codec_pairs"] == []


def test_the_same_seed_gives_the_same_table_and_another_one_other_intervals(score):
    rng = np.random.default_rng(2)
    pairs = [a_pair(content=f"{i}", share=float(rng.integers(5)) / 4) for i in range(30)]
    found = rng.random((30, 2))
    first, same = (score(pairs, psnr=found, how=How(seed=1)) for _ in range(2))
    other = score(pairs, psnr=found, how=How(seed=2))
    assert first == same
    assert first["metrics"] != other["metrics"]
    assert first["metrics"][0]["score"] == other["metrics"][0]["score"]


def test_more_confidence_is_a_wider_interval(score):
    rng = np.random.default_rng(2)
    pairs = [a_pair(content=f"{i}", share=float(rng.integers(5)) / 4) for i in range(30)]
    found = rng.random((30, 2))
    narrow, wide = (
        score(pairs, psnr=found, how=How(confidence=level))["metrics"][0] for level in (0.8, 0.99)
    )
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_intervals_cover_the_score_that_a_metric_has_in_the_long_run(score):
    """A metric that is right about 70 % of unanimous pairs, more or less from photograph to
    photograph: intervals of 80 % hold 70 % in about 80 % of datasets."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        pairs, found = [], []
        for content in range(20):
            right = rng.beta(7, 3)
            for _ in range(6):
                pairs.append(a_pair(content=str(content), share=1.0, stratum="", codecs=None))
                found.append([2, 1] if rng.random() < right else [1, 2])
        row = score(pairs, psnr=found, how=How(confidence=0.8))["metrics"][0]
        covered += row["low"] <= 70 <= row["high"]
    # The chance of fewer than 69 or more than 90 of 100 is 1 % at 80 %.
    assert 69 <= covered <= 90


class TestWhatCannotBeScored:
    def test_a_metric_that_cannot_run_here_has_a_row_with_its_reason(self, score):
        table = score([a_pair()], psnr=[[2, 1]], unavailable={"dists": "needs weights"})
        row = named(table["metrics"], "dists")
        assert row["score"] is None
        assert row["reason"] == "needs weights"
        assert "dists" not in [each["name"] for each in table["differences"]]

    def test_a_metric_that_takes_only_larger_pictures_has_a_row_with_its_reason(self, tmp_path):
        write_pair(tmp_path / "val" / "cnn", "000000")
        metrics = {name: Metric.load(name) for name in ("psnr", "ms-ssim")}
        store = DistanceStore(tmp_path / "distances.sqlite3")
        table = score_table(read_dataset(tmp_path).pairs, metrics, store)
        assert named(table["metrics"], "psnr")["score"] is not None
        assert "sides of 161 pixels or more" in named(table["metrics"], "ms-ssim")["reason"]


class TestWhichPairs:
    PEOPLE, SIMULATED = a_pair(), a_pair(is_simulated=True)
    TRAINED = a_pair(split="train")

    def test_all_splits_count_unless_one_is_asked_for(self):
        dataset = Dataset(NOWHERE, (self.PEOPLE, self.TRAINED))
        assert len(pairs_to_score(dataset)) == 2
        assert pairs_to_score(dataset, split="val") == [self.PEOPLE]
        assert pairs_to_score(dataset, split="train") == [self.TRAINED]

    def test_people_and_simulations_are_never_mixed_silently(self):
        dataset = Dataset(NOWHERE, (self.PEOPLE, self.SIMULATED))
        with pytest.raises(NoSuchPairs, match="say --people or --simulated"):
            pairs_to_score(dataset)
        assert pairs_to_score(dataset, simulated=False) == [self.PEOPLE]
        assert pairs_to_score(dataset, simulated=True) == [self.SIMULATED]

    def test_what_is_not_there_is_not_found(self):
        dataset = Dataset(NOWHERE, (self.PEOPLE,))
        with pytest.raises(NoSuchPairs, match="no simulated judgments"):
            pairs_to_score(dataset, simulated=True)
        with pytest.raises(NoSuchPairs, match="no pairs in the split 'train'"):
            pairs_to_score(dataset, split="train")


class TestPlot:
    def test_every_metric_with_a_score_is_on_it_and_the_ceiling_is_told(self, score):
        pairs = [a_pair(content=str(i % 9), stratum=("0.23", "1.0")[i % 2]) for i in range(36)]
        table = score(pairs, psnr=[[2, 1]] * 36, ssim=[[1, 2]] * 36, unavailable={"dists": "no"})
        picture = metric_score_plot(table)
        assert picture.startswith("<svg")
        for text in ("PSNR", "SSIM", "all pairs", "0.23 bpp", "1.0 bpp", "human ceiling"):
            assert text in picture
        assert "dists" not in picture

    def test_what_simulations_judged_says_so(self, score):
        table = score([a_pair(is_simulated=True)], psnr=[[2, 1]])
        assert "simulated annotators" in metric_score_plot(table)

    def test_without_a_score_there_is_no_plot(self, score):
        assert metric_score_plot(score([a_pair()], unavailable={"dists": "no"})) is None
