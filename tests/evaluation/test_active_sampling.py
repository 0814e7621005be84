"""Active sampling in service: which tasks are asked next, whatever happens meanwhile."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import serving
from annotation.models import Assignment, Task
from annotation.records import complete_records
from evaluation import active_sampling
from evaluation.active_sampling import MARKED, prioritise, prioritise_all, queue
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

CODECS = ("avif", "jpeg", "webp")


def active_study(**asked):
    given = {"codecs": CODECS, "sources": 6, "sampling": "active", "judgments_per_task": 4}
    return factories.study(**{**given, **asked})


def marked(study) -> list[Task]:
    return list(study.campaign.tasks.filter(priority__gt=0).order_by("id"))


def pair_of(task: Task) -> tuple[str, ...]:
    return tuple(sorted(task.reconstructions.values_list("codec", flat=True)))


def reconsider(study) -> list[int]:
    """What a round marks that looks at all anew."""
    type(study).objects.filter(id=study.id).update(sampled_until=None)
    assert prioritise(study.id)
    return [each.id for each in marked(study)]


def test_what_is_asked_first_connects_all_codecs_at_each_bit_rate():
    study = active_study(bpp=("0.37", "1.0"))
    assert prioritise_all() == 1
    for bpp in study.targets_bpp:
        pairs = {pair_of(each) for each in marked(study) if each.target_bpp == bpp}
        assert {codec for pair in pairs for codec in pair} == set(CODECS)
    assert {each.priority for each in marked(study)} == {MARKED}


def test_marked_tasks_go_first_and_an_assignment_remembers_it():
    study = active_study()
    prioritise(study.id)
    wanted = {each.id for each in marked(study)}
    who = factories.annotator(study.campaign)
    held = serving.lease(who, now=NOW, ahead=2)
    assert {each.task_id for each in held} <= wanted
    assert {each.priority for each in held} == {MARKED}
    factories.judge_all(who)
    said = Counter(each["sampling"] for each in complete_records(study.campaign))
    assert said["active"] > 0
    assert said["balanced"] > 0, "and went on when nothing was marked any more"


def test_pairs_that_are_hard_to_tell_apart_are_asked_more_often():
    """AVIF wins three times of four; JPEG and WebP half of the time."""
    study = active_study(sources=12, judgments_per_task=20)
    times_asked: Counter = Counter()

    def choose(assignment) -> str:
        shown = {each.id: each.codec for each in assignment.task.reconstructions.all()}
        left, right = (shown[each] for each in assignment.shown)
        times_asked[frozenset((left, right))] += 1
        turn = times_asked[frozenset((left, right))]
        if "avif" in (left, right):
            closer = "avif" if turn % 4 else ({left, right} - {"avif"}).pop()
        else:
            closer = ("jpeg", "webp")[turn % 2]
        return "left" if left == closer else "right"

    for _ in range(12):
        who = factories.annotator(study.campaign)
        for _ in range(8):
            prioritise(study.id)
            [held] = serving.lease(who, now=NOW, ahead=1)
            serving.judge(held, answer=choose(held), response_ms=900, viewing={}, now=NOW)
    given = Assignment.objects.filter(priority__gt=0).select_related("task")
    times = Counter(pair_of(each.task) for each in given)
    assert sum(times.values()) == 12 * 8
    assert times["jpeg", "webp"] == max(times.values())


def test_a_balanced_study_and_one_that_is_closed_are_left_alone():
    balanced = factories.study(codecs=CODECS)
    closed = active_study(name="Closed")
    type(closed.campaign).objects.filter(id=closed.campaign_id).update(state="closed")
    assert prioritise_all() == 0
    assert not Task.objects.filter(priority__gt=0).exists()
    assert balanced.campaign.tasks.count()


def test_a_round_without_news_does_nothing():
    study = active_study()
    assert prioritise(study.id)
    assert not prioritise(study.id)
    [held] = serving.lease(factories.annotator(study.campaign), now=NOW, ahead=1)
    assert prioritise(study.id)
    assert not prioritise(study.id)
    serving.judge(held, answer="left", response_ms=900, viewing={}, now=NOW)
    assert prioritise(study.id)


def test_without_a_worker_the_study_fills_as_a_balanced_one():
    study = active_study(judgments_per_task=2)
    prioritise(study.id)
    for _ in range(2):
        assert factories.judge_all(factories.annotator(study.campaign)) == 18
    assert not study.campaign.tasks.filter(places_left__gt=0).exists()
    assert reconsider(study) == []


def test_simulated_judgments_steer_a_rehearsal_and_nothing_once_people_judge():
    study = active_study()
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    before = reconsider(study)
    who = factories.annotator(study.campaign)
    [held] = serving.lease(who, now=NOW, ahead=1)
    serving.judge(held, answer="left", response_ms=900, viewing={}, now=NOW)
    assert before
    assert reconsider(study)
    [stratum] = active_sampling._strata(study).values()
    assert stratum.wins.sum() == 1


def test_the_page_of_a_study_shows_what_is_asked_next(as_researcher):
    study = active_study()
    address = reverse("study", args=[study.slug])
    assert "see whether a worker runs" in as_researcher.get(address).content.decode()
    prioritise(study.id)
    page = as_researcher.get(address).content.decode()
    assert "Asked next" in page
    asked = {each.codecs: each for each in queue(study)}
    assert sum(each.questions for each in asked.values()) == len(marked(study))
    assert {each.preferred for each in asked.values()} == {None}
    factories.judge_all(factories.annotator(study.campaign), choose=factories.preferring(*CODECS))
    prioritise(study.id)
    assert {each.preferred for each in queue(study)} == {1.0}
    balanced = factories.study("Lake", codecs=CODECS)
    page = as_researcher.get(reverse("study", args=[balanced.slug])).content.decode()
    assert "Asked next" not in page


def test_trouble_with_one_study_leaves_the_others_their_pairs(monkeypatch, caplog):
    broken, fine = active_study(name="Broken"), active_study(name="Fine")
    work = active_sampling._strata

    def fail(study):
        if study.id == broken.id:
            raise RuntimeError("trouble")
        return work(study)

    monkeypatch.setattr(active_sampling, "_strata", fail)
    assert prioritise_all() == 1
    assert marked(fine)
    assert not marked(broken)
    assert "no pairs could be chosen" in caplog.text


steps = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.integers(0, 2)),
        st.tuples(st.just("judge"), st.integers(0, 2)),
        st.tuples(st.just("tie"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("round"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None)
@given(steps=steps)
def test_whatever_happened_a_round_says_the_same_of_the_same_judgments(db, steps):
    with transaction.atomic():
        study = active_study(sources=2, judgments_per_task=2, allow_ties=True)
        people = [factories.annotator(study.campaign) for _ in range(3)]
        now = NOW
        for what, detail in steps:
            if what == "lease":
                serving.lease(people[detail], now=now)
            elif what == "wait":
                now += timedelta(minutes=detail)
                serving.release_ended(now=now)
            elif what == "round":
                prioritise(study.id)
            elif held := people[detail].assignments.filter(judgment=None, holds_place=True).first():
                answer = "tie" if what == "tie" else "left"
                serving.judge(held, answer=answer, response_ms=900, viewing={}, now=now)
        once = reconsider(study)
        assert reconsider(study) == once
        # Nothing is asked for that has no place, and while there is one something is.
        is_open = study.campaign.tasks.filter(places_left__gt=0)
        assert set(once) <= set(is_open.values_list("id", flat=True))
        assert bool(once) == is_open.exists()
        transaction.set_rollback(True)
