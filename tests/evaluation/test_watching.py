"""A study's page while it goes on: what it shows, when it answers nothing, and what it costs."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import serving
from annotation.counts import counts_of_campaign
from annotation.models import Assignment, Judgment
from codecs_registry import clock, encoding
from codecs_registry.models import Reconstruction
from codecs_registry.tasks import encode_owed
from evaluation import encoding_progress, launching, watch_plots, watching
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE, PILOT, SIMULATED
from evaluation.statistics.options import Options
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

State = Reconstruction.State
QUICK = Options(n_boot=20)


@pytest.fixture(autouse=True)
def no_worker_listens(monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)


def ask(client, state: str, **query):
    return client.get(
        reverse("watch", args=["sea"]), {"state": state} | query, headers={"HX-Request": "true"}
    )


def seen_by(response) -> str:
    return response.context["seen"]


# --- the part that moves --------------------------------------------------------------------------


def test_a_page_that_has_all_there_is_is_answered_with_nothing(as_researcher):
    study = factories.study()
    page = as_researcher.get(reverse("study", args=["sea"]))
    assert f"seen={seen_by(page)}" in page.content.decode()
    assert ask(as_researcher, "open", seen=seen_by(page)).status_code == 204
    factories.judge_all(factories.annotator(study.campaign))
    fresh = ask(as_researcher, "open", seen=seen_by(page), shown="")
    assert fresh.status_code == 200
    assert "<html" not in fresh.content.decode()
    assert "Show the results below with all of these" in fresh.content.decode()
    assert ask(as_researcher, "open", seen=seen_by(fresh), shown="").status_code == 204


def test_a_page_of_another_state_is_loaded_anew(as_researcher):
    study = factories.study()
    launching.pause(study)
    response = ask(as_researcher, "open")
    assert (response.status_code, response["HX-Refresh"]) == (204, "true")


def test_a_page_shows_simulations_once_there_are_any_unless_it_was_asked_for_others(as_researcher):
    study = factories.study()
    page = as_researcher.get(reverse("study", args=["sea"]))
    assert "population=people" in page.context["next_query"]
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    assert ask(as_researcher, "open", population="people")["HX-Refresh"] == "true"
    asked = ask(as_researcher, "open", population="people", judged_by="people")
    assert asked.status_code == 200
    assert "judged_by=people" in asked.context["next_query"]


def test_a_page_stops_asking_once_nothing_can_come(as_researcher):
    study = factories.study()
    factories.judge_all(factories.annotator(study.campaign))
    assert "every 5s" in as_researcher.get(reverse("study", args=["sea"])).content.decode()
    launching.close(study)
    assert "every 5s" not in as_researcher.get(reverse("study", args=["sea"])).content.decode()


def test_outsiders_learn_nothing(client):
    study = factories.study()
    task = study.campaign.tasks.first().id
    for name, arguments in (
        ("watch", ["sea"]),
        ("change-study", ["sea"]),
        ("preview", ["sea", 1]),
        ("preview-stimulus", ["sea", task, "left"]),
    ):
        assert client.get(reverse(name, args=arguments)).status_code == 302
    for name, arguments in (
        ("move", ["sea"]),
        ("when-ready", ["sea"]),
        ("change-study", ["sea"]),
        ("preview-next", ["sea", 1]),
        ("preview-answer", ["sea", 1]),
    ):
        assert client.post(reverse(name, args=arguments), {"move": "close"}).status_code == 302
    study.campaign.refresh_from_db()
    assert study.campaign.state == "open"


def test_pages_take_as_many_queries_for_many_studies_and_judgments_as_for_few(as_researcher):
    def count(address: str) -> int:
        as_researcher.get(address)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            as_researcher.get(address)
        return len(queries)

    study = factories.study(judgments_per_task=9)
    factories.study("Encoding", ready=False)
    for _ in range(2):  # so that there are questions on which they agree
        factories.judge_all(factories.annotator(study.campaign))
    names = ("studies", "study", "watch", "stimuli", "annotators")
    addresses = [
        reverse("studies") if name == "studies" else reverse(name, args=["sea"]) for name in names
    ]
    addresses[2] += "?state=open"
    few = [count(each) for each in addresses]
    for number in range(2):
        factories.study(f"More {number}", ready=number > 0)
        factories.judge_all(factories.annotator(study.campaign))
    assert [count(each) for each in addresses] == few
    assert max(few) < 40


# --- encoding -------------------------------------------------------------------------------------


def test_encoding_is_told_by_codec_and_bit_rate_with_failures_by_reason(as_researcher):
    study = factories.study(ready=False, bpp=("0.37", "1.0"))
    encoding.make_next()
    study.reconstructions.filter(codec="jpeg", state=State.WAITING).update(
        state=State.FAILED, error="no memory"
    )
    now = study.launched_at + timedelta(seconds=30)
    found = encoding_progress.progress(study, now=now)
    cells = {
        (codec, cell.stratum): (cell.ready, cell.waiting, cell.failed)
        for codec, of_codec in found.rows
        for cell in of_codec
    }
    made = study.reconstructions.filter(state=State.READY).values_list("codec", "target_bpp")
    assert found.ready == len(made) == 2
    assert sum(failed for _, _, failed in cells.values()) == found.failed > 0
    assert sum(sum(cell) for cell in cells.values()) == 8
    [failure] = encoding_progress.failures(study)
    assert (failure.reason, failure.more) == ("no memory", found.failed - 1)
    # Two were made in 30 s: the rest takes 15 s each.
    assert found.left == timedelta(seconds=15 * found.waiting)
    shown = as_researcher.get(reverse("study", args=["sea"])).content.decode()
    assert 'aria-label="jpeg at 1.0 bpp"' in shown


def test_encoding_that_nobody_does_is_said_to_be_at_rest():
    study = factories.study(ready=False)
    assert not encoding_progress.progress(study, now=study.launched_at).is_quiet
    later = study.launched_at + timedelta(minutes=2)
    assert encoding_progress.progress(study, now=later).is_quiet
    study.reconstructions.filter(codec="avif").update(state=State.ENCODING)
    assert not encoding_progress.progress(study, now=later).is_quiet


# --- what is left ---------------------------------------------------------------------------------


def test_what_is_left_is_told_in_judgments_hours_and_pay():
    study = factories.study(judgments_per_task=30, crowd={"pay": 0.1, "currency": "EUR"})

    def left(population=PEOPLE):
        about = watching.facts(study.campaign, population)
        counts = counts_of_campaign(study.campaign_id)
        return watching.left(study, counts, about, population=population, now=NOW)

    assert (left().judgments, left().each_s, left().is_own) == (60, 56.0, False)
    assert left().cost == Decimal("6.0")
    for _ in range(10):
        factories.judge_all(factories.annotator(study.campaign))
    now = left()
    assert (now.judgments, now.each_s, now.is_own) == (40, 1.0, True)
    assert now.hours == pytest.approx(40 / 3600)
    assert now.done_at == NOW + timedelta(hours=2), "20 came in the last hour"
    assert left(SIMULATED).cost is None


def test_gold_tasks_and_repeats_take_time_and_pay_too():
    study = factories.study(judgments_per_task=30, crowd={"pay": 0.1}, repeat_share=0.25)
    counts = counts_of_campaign(study.campaign_id)
    left = watching.left(study, counts, {}, population=PEOPLE, now=NOW)
    assert (left.judgments, left.asked, left.cost) == (60, 80, Decimal("8.0"))


def test_the_pace_counts_the_hours_in_which_nobody_judged():
    study = factories.study(judgments_per_task=300)
    per_bin = [[(NOW - timedelta(hours=hours)).isoformat(), 100] for hours in (48, 24)]
    about = {"bin_s": 24 * 3600, "per_bin": per_bin, "median_ms": None}
    counts = counts_of_campaign(study.campaign_id)
    left = watching.left(study, counts, about, population=PEOPLE, now=NOW - timedelta(minutes=1))
    assert left.done_at - NOW == pytest.approx(timedelta(hours=600 * 24 / 100), rel=0.01)


def test_a_budget_says_what_is_left_where_it_is_less():
    study = factories.study(judgments_per_task=30, budget=10)
    counts = counts_of_campaign(study.campaign_id)
    assert watching.left(study, counts, {}, population=PEOPLE, now=NOW).judgments == 10


def test_pairs_are_covered_bit_rate_by_bit_rate():
    study = factories.study(codecs=("avif", "jpeg", "webp"), bpp=("0.37", "1.0"))
    study.campaign.tasks.filter(target_bpp="1.0").update(places_left=0)
    factories.judge_all(factories.annotator(study.campaign))
    document = analyse_study(study, population=PEOPLE, options=QUICK)
    low, high = watching.coverage(study, document)
    assert (low.stratum, low.wanted) == ("0.37", 6)
    assert low.rows == [
        ("jpeg", [(2, pytest.approx(1 / 3))]),
        ("webp", [(2, pytest.approx(1 / 3))] * 2),
    ]
    assert {cell for _, cells in high.rows for cell in cells} == {(0, 0.0)}


def test_judgments_are_binned_so_that_bars_stay_few():
    study = factories.study(sources=4)
    who = factories.annotator(study.campaign)
    for number, held in enumerate(serving.lease(who, now=NOW, ahead=4)):
        Judgment.objects.create(
            assignment=held,
            ranks=[1, 2],
            response_ms=1000,
            judged_at=NOW + timedelta(days=10 * number),
        )
    about = watching.facts(study.campaign, PEOPLE)
    assert about["bin_s"] == 86400
    assert [n for _, n in about["per_bin"]] == [1, 1, 1, 1]
    assert watch_plots.pace_plot(about).startswith("<svg")


def test_widths_are_drawn_with_their_target_at_any_length():
    rows = [
        {"stratum": "0.37", "n_judgments": n, "widest": 10 / n**0.5, "codec": "jpeg"}
        for n in range(1, 1000)
    ]
    svg = watch_plots.width_plot(rows, target=0.5)
    assert "target" in svg
    assert "0.37 bpp" in svg
    assert len(svg) < 60_000
    nothing = [{"stratum": "0.37", "n_judgments": 1, "widest": None, "codec": ""}]
    assert watch_plots.width_plot(nothing, target=None) is None


# --- the preview ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codecs", "task", "answer"),
    [(("avif", "jpeg"), "2afc", "left"), (("avif", "jpeg", "webp"), "ranking", [1, 2, 3])],
)
def test_the_preview_is_the_judging_page_and_stores_nothing(as_researcher, codecs, task, answer):
    study = factories.study(codecs=codecs, task=task, when_ready="wait")
    address = reverse("preview", args=["sea", 1])
    page = as_researcher.get(address).content.decode()
    assert f'data-judge="{address}"' in page
    assert "Nothing that you answer here is kept" in page
    assert "What is stored of you" not in page

    def post(path: str, body: dict) -> dict:
        response = as_researcher.post(address + path, body, content_type="application/json")
        assert response.status_code == 200
        return response.json()

    todo = post("next", {})
    asked = [each["token"] for each in todo["assignments"]]
    image = as_researcher.get(todo["assignments"][0]["images"]["original"])
    assert image["Content-Type"].startswith("image/")
    given = {"assignment": asked[0], "answer": answer, "response_ms": 900}
    after = post("judgments", given)
    assert [each["token"] for each in after["assignments"]] == asked[1:]
    last = post("judgments", given | {"assignment": asked[-1]})
    assert last["ending"]["outcome"] == "completed"
    assert (
        as_researcher.post(address + "judgments", "{", content_type="application/json").status_code
        == 400
    )
    assert not Assignment.objects.exists()
    assert counts_of_campaign(study.campaign_id).given == 0


def test_there_is_no_preview_before_there_are_questions_nor_of_another_study_s(as_researcher):
    factories.study(ready=False)
    assert as_researcher.get(reverse("preview", args=["sea", 1])).status_code == 404
    other = factories.study("Lake")
    task = other.campaign.tasks.first().id
    address = reverse("preview-stimulus", args=["sea", task, "left"])
    assert as_researcher.get(address).status_code == 404


def test_a_pilot_s_page_shows_its_pilot_while_it_goes_on(as_researcher):
    study = factories.study(when_ready="pilot")
    response = ask(as_researcher, "pilot")
    assert response.context["population"] == PILOT
    assert study.pilot.tasks.count() == 2
    assert clock.now() - study.changes.last().at < timedelta(minutes=1)
