"""Simulated annotators: what they see, and that they use the pages as everybody does.

They are connected to the application itself, without a server between; tests/e2e has the server.
"""

import httpx
import numpy as np
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.urls import reverse

from annotation import serving
from annotation.joining import issue_simulation_pass
from annotation.models import Annotator, Campaign, Judgment
from codecs_registry import blobs
from codecs_registry.pictures import write_png
from config.wsgi import application
from evaluation import simulation
from evaluation.simulation import SimulatedAnnotator, SimulationFailed, distortion_db
from tests import factories
from tests.factories import NOW


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


@pytest.fixture(autouse=True)
def one_connection():
    """A request's end would close the connection that holds the test's transaction; Django's own
    test client lets go of this in the same way."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def browser():
    with httpx.Client(
        transport=httpx.WSGITransport(app=application),
        base_url="http://localhost",
        follow_redirects=True,
    ) as client:
        yield client


def joined(browser, campaign: Campaign, *, seed: int = 1) -> SimulatedAnnotator:
    annotator = SimulatedAnnotator(browser, np.random.default_rng(seed))
    annotator.join(campaign.token, issue_simulation_pass(campaign))
    return annotator


# --- what they see --------------------------------------------------------------------------------


def test_the_more_a_picture_is_distorted_the_farther_it_is():
    original = factories.pixels(64, 64, seed=3)
    png = write_png(original)
    distances = [
        distortion_db(png, write_png(noisy(original, deviation))) for deviation in (0, 2, 8, 32)
    ]
    assert distances == sorted(distances)
    assert len(set(distances)) == 4
    assert distances[0] == -60, "the floor: nothing differs"
    assert distances[-1] < 3.1, "1 - SSIM is at most 2, which is 3.01 dB"


def test_distortion_is_the_same_in_both_directions():
    a, b = (write_png(factories.pixels(40, 30, seed=seed)) for seed in (1, 2))
    assert distortion_db(a, b) == pytest.approx(distortion_db(b, a))


def test_what_is_remembered_is_what_was_measured_and_no_file_is_kept():
    a, b = (write_png(factories.pixels(40, 30, seed=seed)) for seed in (3, 4))
    measured = distortion_db(a, b)
    for _ in range(2):
        assert simulation._remembered_db(a, b) == measured
    assert all(len(each) == 32 for key in simulation._distortions for each in key)


# --- what they do ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_simulated_annotator_joins_by_the_page_and_is_marked(browser):
    campaign = factories.open_campaign(1)
    annotator = joined(browser, campaign)
    assert Annotator.objects.get().is_simulated
    assert annotator.page == reverse("judge", args=[Annotator.objects.get().token])


@pytest.mark.django_db
def test_what_it_takes_for_acknowledged_is_what_is_stored(browser):
    campaign = factories.open_campaign(4)
    acknowledged = joined(browser, campaign).judge(judgments=3).assignments
    stored = Judgment.objects.values_list("assignment__token", "ranks")
    assert {token: ["left", "right"][ranks.index(1)] for token, ranks in stored} == acknowledged
    assert len(acknowledged) == 3, "no more than it was told"
    assert all(judgment.response_ms > 0 for judgment in Judgment.objects.all())


@pytest.mark.django_db
def test_it_stops_when_there_is_nothing_left(browser):
    acknowledged = joined(browser, factories.open_campaign(2)).judge(judgments=50)
    assert len(acknowledged.assignments) == 2


@pytest.mark.django_db
def test_it_mostly_chooses_the_side_that_is_closer_wherever_that_is_shown(browser):
    campaign = factories.campaign(judgments_per_task=1)
    for seed in range(8):
        picture = factories.pixels(48, 48, seed=seed)
        source = factories.source_image(picture)
        made = {}
        for codec, deviation in (("avif", 2), ("jpeg", 40)):
            png = write_png(noisy(picture, deviation))
            made[source.id, codec, "0.37"] = factories.reconstruction(
                source, codec, decoded=blobs.put(png, ".png"), decoded_bytes=len(png)
            )
        factories.task(campaign, source, made=made)
    joined(browser, campaign).judge(judgments=8)
    chosen = [
        judgment.assignment.task.reconstructions.get(
            id=judgment.assignment.shown[judgment.ranks.index(1)]
        ).codec
        for judgment in Judgment.objects.all()
    ]
    # Ten decibels apart, it errs with a probability below 1 in 1,000,000.
    assert chosen == ["avif"] * 8
    sides = {tuple(judgment.ranks) for judgment in Judgment.objects.all()}
    assert len(sides) == 2


@pytest.mark.django_db
def test_an_answer_that_was_not_taken_is_not_counted(browser, monkeypatch):
    campaign = factories.open_campaign(1, judgments_per_task=1)
    annotator = joined(browser, campaign)

    def decide_slowly(images):
        rival = factories.annotator(campaign, is_simulated=True)
        for assignment in Annotator.objects.exclude(id=rival.id).get().assignments.all():
            serving.give_back(assignment, now=NOW)
        assert factories.judge_all(rival, now=NOW) == 1
        return "left"

    monkeypatch.setattr(annotator, "_decide", decide_slowly)
    assert annotator.judge(judgments=5).assignments == {}
    assert Judgment.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", [Campaign.State.DRAFT, Campaign.State.CLOSED])
def test_a_campaign_that_is_not_open_is_told(browser, state):
    with pytest.raises(SimulationFailed, match="not open"):
        joined(browser, factories.campaign(state=state))


class Restarting:
    """The outside world: a server that is down for its first answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, environ, start_response):
        if self.failures:
            self.failures -= 1
            start_response("502 Bad Gateway", [("Content-Type", "text/plain")])
            return [b""]
        return application(environ, start_response)


def test_a_restarting_server_is_asked_again(db):
    campaign = factories.open_campaign(1)
    transport = httpx.WSGITransport(app=Restarting(failures=2))
    with httpx.Client(
        transport=transport, base_url="http://localhost", follow_redirects=True
    ) as client:
        acknowledged = joined(client, campaign).judge(judgments=1)
    assert len(acknowledged.assignments) == 1


def test_a_server_that_stays_away_is_given_up(db, monkeypatch):
    monkeypatch.setattr(simulation, "PATIENCE_S", 0.1)
    transport = httpx.WSGITransport(app=Restarting(failures=10**6))
    with (
        httpx.Client(transport=transport, base_url="http://localhost") as client,
        pytest.raises(SimulationFailed, match="no answer"),
    ):
        joined(client, factories.campaign())
