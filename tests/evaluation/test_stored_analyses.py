"""Analyses that are stored: when a new one is made, by whom, and what is shown meanwhile."""

from datetime import timedelta

import pytest
from django.urls import reverse

from annotation import people
from annotation.models import Annotator
from evaluation import stored_analyses, tasks
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE, SIMULATED, IntervalWidth, StoredAnalysis
from evaluation.statistics.options import Options
from evaluation.stored_analyses import BACKOFF, SOONEST, owed, refresh, standing
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def told(monkeypatch) -> list[int]:
    """Ids that the workers are told of; none of them does anything."""
    ids: list[int] = []
    monkeypatch.setattr(
        tasks.analyse, "apply_async", lambda arguments, **_: ids.append(arguments[0])
    )
    return ids


@pytest.fixture
def no_study_is_small(monkeypatch):
    monkeypatch.setattr(stored_analyses, "SMALL", -1)


def judged(times: int = 1, **asked):
    study = factories.study(**asked)
    for _ in range(times):
        factories.judge_all(factories.annotator(study.campaign))
    return study


def test_what_is_stored_is_what_analyse_prints_in_the_same_order():
    study = judged(bpp=("0.37", "1.0", "12.0"))
    assert refresh(study, PEOPLE, now=NOW)
    stored = StoredAnalysis.objects.get()
    document = analyse_study(study, population=PEOPLE)
    assert stored.document == document
    assert list(stored.document["strata"]) == ["0.37", "1.0", "12.0"]
    assert stored.n_judgments == 6
    assert stored.made_at == NOW


def test_it_is_made_anew_for_judgments_and_for_withdrawals_and_for_nothing_else():
    study = judged(2)
    assert refresh(study, PEOPLE, now=NOW)
    assert not refresh(study, PEOPLE, now=NOW), "nothing is new"
    factories.judge_all(factories.annotator(study.campaign))
    assert refresh(study, PEOPLE, now=NOW)
    people.withdraw(Annotator.objects.first(), now=NOW)
    assert not StoredAnalysis.objects.exists(), "an analysis names annotators"
    assert refresh(study, PEOPLE, now=NOW)
    assert StoredAnalysis.objects.get().n_judgments == 4


def test_a_small_study_is_analysed_while_its_page_loads(told):
    study = judged()
    assert standing(study, PEOPLE, now=NOW).stored.n_judgments == 2
    factories.judge_all(factories.annotator(study.campaign))
    assert standing(study, PEOPLE, now=NOW).stored.n_judgments == 4
    assert told == []


def test_a_page_that_asks_by_itself_waits_its_time_even_for_a_small_study(told):
    study = judged()
    standing(study, PEOPLE, now=NOW)
    factories.judge_all(factories.annotator(study.campaign))
    soon = standing(study, PEOPLE, now=NOW + SOONEST / 2, is_patient=True)
    assert (soon.stored.n_judgments, soon.is_stale) == (2, True)
    later = standing(study, PEOPLE, now=LATER, is_patient=True)
    assert (later.stored.n_judgments, later.is_stale) == (4, False)


def test_a_large_study_shows_what_there_is_and_asks_a_worker_once(told, no_study_is_small):
    study = judged()
    first = standing(study, PEOPLE, now=NOW)
    assert (first.stored, first.is_stale) == (None, True)
    standing(study, PEOPLE, now=NOW)
    [stored_id] = told
    tasks.analyse(stored_id)
    factories.judge_all(factories.annotator(study.campaign))
    stale = standing(study, PEOPLE, now=LATER)
    assert (stale.stored.n_judgments, stale.n, stale.is_stale) == (2, 4, True)


def test_the_page_says_how_old_it_is_and_when_no_worker_takes_it_up(
    as_researcher, told, no_study_is_small
):
    study = judged()
    address = reverse("study", args=["sea"])
    page = as_researcher.get(address).content.decode()
    assert "being analysed for the first time" in page
    report = as_researcher.get(reverse("report", args=["sea"]), follow=True)
    assert "try again soon" in report.content.decode()
    StoredAnalysis.objects.update(asked_at=NOW - timedelta(minutes=1))
    assert "no worker has taken them up" in as_researcher.get(address).content.decode()
    refresh(study, PEOPLE, now=NOW)
    factories.judge_all(factories.annotator(study.campaign))
    page = as_researcher.get(address).content.decode()
    assert "Analysis of 2 judgments" in page
    assert "It is being brought up to date." in page
    results = as_researcher.get(reverse("analysis-json", args=["sea"]))
    assert b'"judgments": 2' in b"".join(results.streaming_content)


def test_one_that_took_long_is_made_less_often():
    study = judged()
    refresh(study, PEOPLE, now=NOW)
    StoredAnalysis.objects.update(seconds=60)
    factories.judge_all(factories.annotator(study.campaign))
    assert owed(now=NOW + timedelta(seconds=60 * BACKOFF - 1)) == []
    assert owed(now=NOW + timedelta(seconds=60 * BACKOFF)) == [(study.id, PEOPLE)]


def test_workers_are_asked_for_each_population_that_has_news_and_for_no_other(told):
    study = judged()
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    factories.study("Nobody judged")
    factories.study("Encoding", ready=False)
    assert owed(now=NOW) == [(study.id, PEOPLE), (study.id, SIMULATED)]
    tasks.keep_analyses_fresh()
    for each in told:
        tasks.analyse(each)
    assert owed(now=LATER) == []


def test_other_options_are_stored_apart():
    study = judged()
    refresh(study, PEOPLE, now=NOW)
    wide = Options(confidence=0.99, n_boot=10)
    assert standing(study, PEOPLE, options=wide, now=NOW).stored.document["confidence"] == 0.99
    assert standing(study, PEOPLE, now=NOW).stored.document["confidence"] == 0.95
    assert IntervalWidth.objects.count() == 1, "the history is of the usual options"


def test_a_worker_that_died_leaves_its_analysis_to_the_next_one():
    study = judged()
    refresh(study, PEOPLE, now=NOW)
    StoredAnalysis.objects.update(news=0, worker="dead", lease_ends=NOW + timedelta(seconds=20))
    assert not refresh(study, PEOPLE, now=NOW)
    assert refresh(study, PEOPLE, now=NOW + timedelta(seconds=20))


def test_an_analysis_that_fails_is_claimed_no_longer(monkeypatch):
    study = judged()

    def fail(*args):
        raise RuntimeError("trouble")

    monkeypatch.setattr(stored_analyses, "_make", fail)
    with pytest.raises(RuntimeError):
        refresh(study, PEOPLE, now=NOW)
    monkeypatch.undo()
    assert refresh(study, PEOPLE, now=NOW)


def test_counts_are_those_of_the_rows_whoever_wrote_them():
    study = judged(2, gold_share=0.0)
    who = Annotator.objects.first()
    factories.judge_gold(who, is_right=True)
    who.refresh_from_db()
    assert (who.n_given, who.n_answered, who.n_counted, who.n_measured) == (3, 3, 3, 2)
    assert who.worked_ms == 3000
    assert study.judgment_counts() == {"people": 4, "simulated": 0}
