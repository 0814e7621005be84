"""The simulated study that the metric is tried on: its observers, and the dataset they leave."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import simulated_study
from benchmarks.simulated_study import LAPSE, probabilities
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


def test_a_study_is_a_dataset_that_says_it_is_simulated_and_is_the_same_again(tmp_path):
    images = []
    for number in range(2):
        images.append(tmp_path / f"photo{number}.png")
        Image.fromarray(factories.pixels(96, 64, seed=number)).save(images[-1])
    digests = []
    for name in ("one", "other"):
        out = tmp_path / name
        ceiling = simulated_study.make(images, out, codecs=("jpeg", "webp"), votes=3)
        dataset = read_dataset(out / "dataset")
        digests.append(dataset.digest)
    assert digests[0] == digests[1]
    assert len(dataset.pairs) == 2 * len(simulated_study.BPP)
    assert all(pair.is_simulated and pair.votes == 3 for pair in dataset.pairs)
    assert {pair.stratum for pair in dataset.pairs} == {"0.23", "0.37", "0.67", "1.0"}
    assert {pair.split for pair in dataset.pairs} == {"train", "val"}
    card = json.loads((out / "dataset" / "dataset.json").read_text())
    assert card["expected_human_ceiling"] == ceiling
    assert 0.5 <= ceiling <= 1
