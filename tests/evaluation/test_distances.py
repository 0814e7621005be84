"""Distances of datasets: right whatever the batches, and reckoned once."""

import pytest
import torch

from evaluation import distances as module
from evaluation.distances import DistanceStore, distances
from perceptual.metric import Metric
from perceptual.pairs import pixels, read_dataset
from tests.perceptual.datasets import write_pair


class Counting(Metric):
    """The mean absolute error, with how many pictures it was asked about."""

    name, label, low, high = "counting", "Counting", 0.0, 1.0

    def __init__(self, definition="1"):
        self.definition = definition
        self.asked: list[int] = []

    def distance(self, reference, distorted):
        self.check(reference, distorted)
        self.asked.append(len(distorted))
        return (reference - distorted).abs().mean((1, 2, 3))


@pytest.fixture
def store(tmp_path):
    return DistanceStore(tmp_path / "store" / "distances.sqlite3")


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "dataset"
    for number in range(6):  # two pairs of each photograph, one of which is larger
        write_pair(
            folder / "val" / "mix",
            f"{number}",
            photograph=number // 2,
            changes=(number, 2 * number + 1),
            size=(16, 8) if number > 3 else (8, 8),
        )
    return read_dataset(folder).pairs


@pytest.mark.parametrize("at_once_pixels", [1, 8 * 8 * 3, 2**20])
def test_distances_are_right_however_many_pictures_are_looked_at_together(
    pairs, store, monkeypatch, at_once_pixels
):
    monkeypatch.setattr(module, "AT_ONCE_PIXELS", at_once_pixels)
    found = distances(pairs, Counting(), store)
    for pair, row in zip(pairs, found, strict=True):
        for distorted, distance in zip((pair.p0, pair.p1), row, strict=True):
            expected = (pixels(pair.reference) - pixels(distorted)).abs().mean()
            assert distance == pytest.approx(expected.item(), abs=1e-7)


def test_a_second_run_looks_at_no_picture(pairs, store):
    first, second = Counting(), Counting()
    assert (distances(pairs, first, store) == distances(pairs, second, store)).all()
    assert sum(first.asked) == 11  # p0 of the first pair is the same picture as its reference
    assert second.asked == []


def test_a_run_that_was_stopped_goes_on_where_it_was(pairs, store, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE_PIXELS", 1)

    class Stopping(Counting):
        def distance(self, reference, distorted):
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().distance(reference, distorted)

    with pytest.raises(KeyboardInterrupt):
        distances(pairs, Stopping(), store)
    metric = Counting()
    distances(pairs, metric, store)
    assert sum(metric.asked) == 11 - 4


def test_another_definition_of_a_metric_meets_nothing_of_the_one_before(pairs, store):
    distances(pairs, Counting(), store)
    other = Counting(definition="2")
    distances(pairs, other, store)
    assert sum(other.asked) == 11


def test_progress_is_told_from_the_first_to_the_last(pairs, store):
    told = []
    distances(pairs, Counting(), store, progress=lambda *args: told.append(args))
    assert told[0] == (0, 11)
    assert told[-1] == (11, 11)
    assert told == sorted(told)


def test_a_picture_that_is_half_a_file_is_named(pairs, store):
    whole = pairs[0].p1.read_bytes()
    pairs[0].p1.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=pairs[0].p1.name):
        distances(pairs, Counting(), store)


def test_networks_see_no_gradient(pairs, store):
    class Network(torch.nn.Module, Counting):
        def __init__(self):
            torch.nn.Module.__init__(self)
            Counting.__init__(self)
            self.weight = torch.nn.Parameter(torch.ones(()))

        def distance(self, reference, distorted):
            found = self.weight * super().distance(reference, distorted)
            assert not found.requires_grad
            return found

    assert distances(pairs, Network(), store).shape == (6, 2)
