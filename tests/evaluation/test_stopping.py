"""A study closes by itself when its intervals are narrow enough, and active sampling heeds that."""

from decimal import Decimal

import numpy as np
import pytest
from django.urls import reverse

from annotation import serving
from annotation.models import Assignment, Judgment, Task
from evaluation import launching, stopping
from evaluation.active_sampling import MARKED, MARKED_WIDEST, prioritise
from evaluation.changes import change
from evaluation.models import PEOPLE, SIMULATED, IntervalWidth, Study
from evaluation.stored_analyses import refresh, widths_of
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

CODECS = ("avif", "jpeg")


def judge(study: Study, people: int, *, is_simulated: bool = False, seed: int = 0) -> None:
    """Annotators who find the first of a pair closer two times of three judge every question,
    written at once: serving would take seconds."""
    rng = np.random.default_rng(seed)
    tasks = list(study.campaign.tasks.filter(places_left__gt=0).prefetch_related("reconstructions"))
    given = Assignment.objects.bulk_create(
        Assignment(
            task=task,
            annotator=who,
            shown=[each.id for each in task.reconstructions.order_by("codec")],
            leased_at=NOW,
        )
        for who in [
            factories.annotator(study.campaign, is_simulated=is_simulated) for _ in range(people)
        ]
        for task in tasks
    )
    Judgment.objects.bulk_create(
        Judgment(
            assignment=each,
            ranks=[1, 2] if rng.random() < 2 / 3 else [2, 1],
            response_ms=1000,
            judged_at=NOW,
        )
        for each in given
    )


def judge_by_serving(study: Study, people: int) -> None:
    """The same, as annotators do it."""
    rng = np.random.default_rng(0)
    best, worst = factories.preferring(*CODECS), factories.preferring(*reversed(CODECS))
    for _ in range(people):
        who = factories.annotator(study.campaign)
        factories.judge_all(
            who, choose=lambda held: (best if rng.random() < 2 / 3 else worst)(held)
        )


def wide_study(target: float | None, **asked) -> Study:
    return factories.study(
        sources=6, judgments_per_task=20, codecs=CODECS, target_width=target, **asked
    )


def test_a_study_stops_when_its_intervals_are_narrow_and_says_why_and_when(as_researcher):
    study = wide_study(3.0)
    judge_by_serving(study, 9)
    page = as_researcher.get(reverse("study", args=["sea"])).content.decode()
    study.refresh_from_db()
    assert study.state == Study.State.CLOSED
    last = study.changes.last()
    assert (last.key, last.after, last.by) == ("state", "closed", None)
    [width] = IntervalWidth.objects.all()
    assert width.widest < 3.0
    assert f"the widest is {width.widest:.2f}" in last.reason
    assert "after 54 judgments" in last.reason
    assert "This study closed itself" in page
    assert "p-values are biased" in page


def test_it_goes_on_while_an_interval_is_wide_or_judgments_are_few():
    wide = wide_study(0.05)
    judge(wide, 10)
    few = wide_study(20.0, name="Few")
    judge(few, 8)
    for study in (wide, few):
        refresh(study, PEOPLE, now=NOW)
        study.refresh_from_db()
        assert study.state == Study.State.OPEN


def test_it_goes_on_while_a_codec_was_hardly_compared():
    enough = {"n": stopping.FEWEST_A_CODEC}
    stratum = {"n_judgments": stopping.FEWEST, "win_share": [enough, enough]}
    assert stopping.is_judged_enough(stratum)
    assert not stopping.is_judged_enough(stratum | {"n_judgments": stopping.FEWEST - 1})
    assert not stopping.is_judged_enough(stratum | {"win_share": [enough, {"n": 0}]})


def test_it_goes_on_while_one_bit_rate_has_no_scale():
    study = wide_study(20.0, bpp=("0.37", "1.0"))
    Task.objects.filter(target_bpp="1.0").update(places_left=0)
    judge(study, 10)
    refresh(study, PEOPLE, now=NOW)
    study.refresh_from_db()
    assert study.state == Study.State.OPEN
    change(study, {"target_width": None})


def test_without_a_target_nothing_stops():
    study = wide_study(None)
    judge(study, 10)
    refresh(study, PEOPLE, now=NOW)
    study.refresh_from_db()
    assert study.state == Study.State.OPEN


def test_a_rehearsal_stops_a_study_and_nothing_simulated_does_once_people_judge():
    rehearsed = wide_study(3.0)
    judge(rehearsed, 10, is_simulated=True)
    refresh(rehearsed, SIMULATED, now=NOW)
    rehearsed.refresh_from_db()
    assert rehearsed.state == Study.State.CLOSED
    mixed = wide_study(3.0, name="Mixed")
    judge(mixed, 10, is_simulated=True)
    judge(mixed, 1)
    refresh(mixed, SIMULATED, now=NOW)
    mixed.refresh_from_db()
    assert mixed.state == Study.State.OPEN


def test_a_study_that_a_person_paused_is_not_closed_behind_their_back():
    study = wide_study(3.0)
    judge(study, 10)
    launching.pause(study)
    refresh(study, PEOPLE, now=NOW)
    study.refresh_from_db()
    assert study.state == Study.State.PAUSED


def test_where_one_codec_has_no_interval_there_is_no_width():
    row = {"condition": "a", "low": None, "high": None}
    other = {"condition": "b", "low": -1.0, "high": 0.5}
    document = {"strata": {"0.37": {"scale": [row, other]}, "1.0": {"scale": [other]}}}
    assert widths_of(document) == {"0.37": (None, ""), "1.0": (1.5, "b")}


def test_intervals_are_noted_after_each_analysis_and_shrink():
    study = wide_study(None)
    for seed in range(2):
        judge(study, 9, seed=seed)
        refresh(study, PEOPLE, now=NOW)
    first, last = IntervalWidth.objects.all()
    assert (first.n_judgments, last.n_judgments) == (54, 108)
    assert last.widest < first.widest


def test_active_sampling_leaves_narrow_bit_rates_alone_and_asks_in_the_widest_first():
    study = factories.study(
        sources=3,
        codecs=("avif", "jpeg", "webp"),
        bpp=("0.23", "0.37", "1.0"),
        sampling="active",
        target_width=1.0,
    )
    for stratum, widest in (("0.23", 0.9), ("0.37", 1.2), ("1.0", 2.5)):
        IntervalWidth.objects.create(
            study=study, population=PEOPLE, stratum=stratum, n_judgments=1, widest=widest
        )
    prioritise(study.id)
    marked = Task.objects.filter(priority__gt=0).order_by().values_list("target_bpp", "priority")
    assert set(marked) == {(Decimal("0.37"), MARKED), (Decimal("1.0"), MARKED_WIDEST)}
    [held] = serving.lease(factories.annotator(study.campaign), now=NOW, ahead=1)
    assert held.task.target_bpp == Decimal("1.0")
