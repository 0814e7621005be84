"""Whether a new version of the metric takes the place of the one in service."""

import pytest

from codecs_registry import clock
from evaluation import metric_tasks, promotion
from evaluation.distances import DistanceStore
from evaluation.metric_models import MetricVersion
from evaluation.metric_versions import in_service, metric_of
from evaluation.populations import PEOPLE
from evaluation.promotion import Decision, decide, is_not_worse
from evaluation.retraining import perform
from evaluation.statistics.estimate import Estimate
from evaluation.training_data import gather, is_held_out, write_snapshot
from evaluation.training_runs import claim_next, request
from perceptual.pairs import Pair, read_dataset
from tests.metric_factories import (
    AVIF_FIRST,
    BRIGHTER_AND_NOISY,
    JPEG_FIRST,
    judged_study,
    metric,
    quick,
    stored_version,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path, monkeypatch):
    settings.CLOSER_DATA = tmp_path
    monkeypatch.setattr(metric_tasks, "wake", lambda task: None)


@pytest.fixture
def store(tmp_path) -> DistanceStore:
    return DistanceStore(tmp_path / "distances.sqlite3")


def held_out(tmp_path, *choices, pictures: int = 9) -> list[Pair]:
    """Pairs that features and pixel error order differently."""
    judged_study(
        "Sea",
        *choices,
        trained=2,
        held_out=pictures,
        distortions=BRIGHTER_AND_NOISY,
    )
    write_snapshot(gather(PEOPLE), tmp_path / "dataset")
    return list(read_dataset(tmp_path / "dataset").val)


def of_features() -> MetricVersion:
    return stored_version("of-features", metric=metric(), is_in_service=True)


def of_pixel_error() -> MetricVersion:
    only = metric(pixel_error_only=True)
    return stored_version("of-pixel-error", metric=only, is_in_service=True)


def decided(present, new, pairs, store, *, is_simulated=False) -> Decision:
    return decide(new, is_simulated=is_simulated, held_out=pairs, present=present, store=store)


def estimate(value, low=None, high=None) -> Estimate:
    return Estimate(value, low, high, 40, "bootstrap")


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "is_promoted"),
    [
        (estimate(0.0, -1.0, 1.0), True),  # as good, and a loss of two points is ruled out
        (estimate(3.0, -2.0, 8.0), True),
        (estimate(3.0, 1.0, 5.0), True),  # better
        (estimate(3.0, -2.1, 8.1), False),  # who knows
        (estimate(-0.1, -0.4, 0.2), False),  # small losses would add up
        (estimate(-5.0, -9.0, -1.0), False),  # worse
        (estimate(0.0), True),  # all source images say the same
        (estimate(-1.0), False),
    ],
)
def test_not_worse_is_not_lower_with_a_loss_of_two_points_ruled_out(difference, is_promoted):
    assert promotion.MARGIN == 2.0
    assert is_not_worse(difference) == is_promoted


def test_the_first_version_is_promoted(store):
    assert decided(None, metric(), [], store).is_promoted


def test_a_better_version_is_promoted(tmp_path, store):
    # People go by what features say.
    pairs = held_out(tmp_path, AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    found = decided(of_pixel_error(), metric(), pairs, store)
    assert found.is_promoted
    assert found.reason.startswith(
        "Promoted: its score less that of of-pixel-error is +33.3 percentage points on 9 pairs of "
        "9 source images held out"
    )
    assert found.comparison["difference"] == pytest.approx(100 / 3)


def test_a_worse_version_is_kept_aside(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST)
    found = decided(of_features(), metric(pixel_error_only=True), pairs, store)
    assert not found.is_promoted
    assert found.reason.startswith("Kept aside, as it scored lower: ")


def test_one_that_chooses_alike_is_promoted(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST)
    assert decided(of_features(), metric(), pairs, store).is_promoted


def test_with_too_few_held_out_pictures_nothing_is_decided_by_chance(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST, pictures=7)
    found = decided(of_pixel_error(), metric(), pairs, store)
    assert not found.is_promoted
    assert found.reason == (
        "Kept aside: whether it is worse than of-pixel-error cannot be told from 7 source images "
        "held out; it takes 8. About one picture in five is held out: have more judged."
    )


def test_pictures_that_the_present_version_was_trained_on_do_not_count(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST, pictures=9)
    present = of_pixel_error()
    present.split = {"fitted": [pairs[0].content, pairs[1].content], "watched": [], "held_out": []}
    found = decided(present, metric(), pairs, store)
    assert not found.is_promoted
    assert found.comparison["n_contents"] == 7
    assert "(2 pairs, which of-pixel-error was trained on, left out)" in found.reason


def test_simulated_judgments_never_replace_people_and_people_always_do(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST)
    present = of_features()
    assert not decided(present, metric(), pairs, store, is_simulated=True).is_promoted
    present.population = "simulated"
    worse = metric(pixel_error_only=True)
    assert decided(present, worse, pairs, store, is_simulated=False).is_promoted


def test_one_that_cannot_be_loaded_here_is_not_replaced(tmp_path, store):
    pairs = held_out(tmp_path, AVIF_FIRST)
    present = of_features()
    present.settings = {**present.settings, "backbone_weights": "/nowhere/weights.pth"}
    found = decided(present, metric(), pairs, store)
    assert not found.is_promoted
    assert "cannot be compared with of-features: /nowhere/weights.pth" in found.reason


# --- in a training --------------------------------------------------------------------------------


def trained() -> MetricVersion:
    request(quick(), population=PEOPLE)
    return perform(claim_next(worker="here:1:1", now=clock.now()))


def test_a_training_whose_version_is_worse_leaves_the_present_one_in_service():
    # People go by features on what is trained on, and by pixel error on what is held out.
    def inconsistent(assignment):
        by_pixel_error = is_held_out(assignment.task.source.sha256)
        return (JPEG_FIRST if by_pixel_error else AVIF_FIRST)(assignment)

    judged_study("Sea", inconsistent, trained=4, held_out=9, distortions=BRIGHTER_AND_NOISY)
    present = of_pixel_error()
    version = trained()
    assert in_service() == present
    assert not version.is_in_service
    assert version.reason.startswith("Kept aside, as it scored lower")
    assert version.comparison["against"] == "of-pixel-error"
    assert {each["name"] for each in version.scores["metrics"]} >= {"psnr", "of-pixel-error"}


def test_a_training_whose_version_is_as_good_takes_its_place():
    judged_study("Sea", AVIF_FIRST, trained=4, held_out=9)
    first = trained()
    second = trained()
    assert in_service() == second
    first.refresh_from_db()
    assert not first.is_in_service
    assert metric_of(second).card.name == "closer-lpips-comp-2"
