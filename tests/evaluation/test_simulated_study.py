"""The simulated study that the metric is tried on: its observers, and the dataset they leave."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import simulated_study
from benchmarks.simulated_study import CERTAIN, COARSE, FINE, LAPSE, probabilities
from evaluation.distances import DistanceStore, distances
from perceptual.metric import Metric
from perceptual.pairs import read_dataset
from tests import factories

SEEN = st.floats(0, 10)


def chosen(d0: float, d1: float) -> float:
    return float(probabilities(np.array([[d0, d1]]))[0])


@given(SEEN, SEEN)
def test_observers_are_fair_to_both_sides_and_lapse(d0, d1):
    np.testing.assert_allclose(chosen(d0, d1) + chosen(d1, d0), 1)
    assert LAPSE / 2 <= chosen(d0, d1) <= 1 - LAPSE / 2


@given(SEEN, SEEN, SEEN)
def test_the_more_the_first_differs_the_more_often_the_second_is_chosen(d0, more, d1):
    assert chosen(d0 + more, d1) >= chosen(d0, d1)


@pytest.fixture
def images(tmp_path) -> list[Path]:
    paths = [tmp_path / f"photo{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        Image.fromarray(factories.pixels(96, 64, seed=number)).save(path)
    return paths


def test_a_study_is_a_dataset_that_says_it_is_simulated_and_is_the_same_again(images, tmp_path):
    two = replace(COARSE, codecs=("jpeg", "webp"))
    digests = []
    for name in ("one", "other"):
        out = tmp_path / name
        ceiling = simulated_study.make(images, out, two, votes=3)
        dataset = read_dataset(out / "dataset")
        digests.append(dataset.digest)
    assert digests[0] == digests[1]
    assert len(dataset.pairs) == 2 * len(COARSE.bpp)
    assert all(pair.is_simulated and pair.votes == 3 for pair in dataset.pairs)
    assert {pair.stratum for pair in dataset.pairs} == {"0.23", "0.37", "0.67", "1.0"}
    assert {pair.split for pair in dataset.pairs} == {"train", "val"}
    card = json.loads((out / "dataset" / "dataset.json").read_text())
    assert card["expected_human_ceiling"] == ceiling
    assert 0.5 <= ceiling <= 1


def test_a_fine_study_asks_what_observers_may_see_either_way_whatever_the_rates(images, tmp_path):
    few = replace(FINE, codecs=("jpeg", "webp"), bpp=(2.0, 2.8, 4.0), drawn=5)
    simulated_study.make(images, tmp_path / "study", few)
    dataset = read_dataset(tmp_path / "study" / "dataset")
    of = Counter(pair.content for pair in dataset.pairs)
    assert len(of) == 2
    assert max(of.values()) <= 5
    assert {pair.stratum for pair in dataset.pairs} == {""}
    assert {pair.subset for pair in dataset.pairs} == {"simulated-fine"}
    seen = distances(
        dataset.pairs, Metric.load("cvvdp"), DistanceStore(tmp_path / "study" / "distances.sqlite3")
    )
    p = probabilities(seen)
    assert np.maximum(p, 1 - p).max() < CERTAIN
