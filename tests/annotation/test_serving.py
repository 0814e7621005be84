"""Serving: whatever the order of requests, leases, crashes and repeats, its rules hold."""

import contextlib
from collections import Counter
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import serving
from annotation.models import COUNTED, Assignment, Campaign, Judgment, Purpose, Task
from codecs_registry.models import Reconstruction
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def lean(assignments) -> int:
    """How much more often the lower id was on the left than on the right."""
    return sum(1 if left < right else -1 for left, right in (each.shown for each in assignments))


def check_rules(campaign: Campaign, *, released=frozenset(), late: Counter | None = None) -> None:
    """`released`: ids of annotators who lost a place once; `late`: how many answers by annotator
    came after the place was lost. Both can go beyond what an annotator is given."""
    for task in campaign.measured_tasks:
        measuring = task.assignments.filter(purpose=Purpose.MEASURE)
        held = measuring.filter(holds_place=True).count()
        judged = Judgment.objects.filter(assignment__in=measuring).count()
        assert judged <= campaign.judgments_per_task
        assert held + task.places_left == campaign.judgments_per_task
        by_annotator = Counter(measuring.values_list("annotator", flat=True))
        assert all(times == 1 for times in by_annotator.values())
    limit = campaign.judgments_per_annotator
    for annotator in campaign.annotators.all():
        held = list(annotator.assignments.filter(holds_place=True, purpose__in=COUNTED))
        if limit is not None:
            assert len(held) <= limit + (late or Counter())[annotator.id]
        if annotator.id not in released:
            assert abs(lean(each for each in held if each.purpose == Purpose.MEASURE)) <= 1
        check_checks(campaign, annotator)
    if campaign.budget is not None:
        taken = Assignment.objects.filter(
            task__campaign=campaign,
            holds_place=True,
            purpose__in=COUNTED,
            annotator__is_simulated=False,
        )
        campaign.refresh_from_db()
        assert taken.count() + campaign.budget_left == campaign.budget
    unplaced = Judgment.objects.filter(assignment__holds_place=False)
    assert not unplaced.exists(), "every judgment has a place of its task"


def check_checks(campaign: Campaign, annotator) -> None:
    """Gold tasks and repeats are never beyond their shares, and a repeat is of a judgment."""
    asked = list(annotator.assignments.filter(purpose__in=COUNTED))
    for purpose, share in (
        (Purpose.GOLD, campaign.gold_share),
        (Purpose.REPEAT, campaign.repeat_share),
    ):
        assert sum(each.purpose == purpose for each in asked) <= share * (len(asked) + 1) + 1
    for each in annotator.assignments.filter(purpose=Purpose.REPEAT):
        assert each.repeats.judgment
        assert (each.task_id, each.shown) == (each.repeats.task_id, each.repeats.shown[::-1])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.just("judge"), st.integers(0, 3), st.sampled_from(["left", "right"])),
        st.tuples(st.just("judge again"), st.integers(0, 3), st.sampled_from(["left", "right"])),
        st.tuples(st.just("judge late"), st.integers(0, 3), st.sampled_from(["left", "right"])),
        st.tuples(st.just("give back"), st.integers(0, 3), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 40), st.none()),
        st.tuples(st.just("release"), st.none(), st.none()),
        st.tuples(st.just("prioritise"), st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.0])),
        st.tuples(st.just("crash"), st.integers(0, 3), st.none()),
    ),
    max_size=40,
)


class Crash(Exception):
    pass


class Play:
    """Carries out steps as four annotators and a clock, remembering what was acknowledged."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.now = NOW
        self.people = [factories.annotator(campaign) for _ in range(4)]
        self.acknowledged: dict[int, list[int]] = {}
        self.released: set[int] = set()
        self.late: Counter = Counter()

    def step(self, what, who, detail) -> None:
        getattr(self, what.replace(" ", "_"))(who, detail)

    def lease(self, who, ahead):
        before = set(self.people[who].assignments.values_list("id", flat=True))
        for each in serving.lease(self.people[who], now=self.now, ahead=ahead):
            if each.id not in before and each.purpose == Purpose.MEASURE:
                assert each.priority == Task.objects.get(id=each.task_id).priority

    def judge(self, who, closest):
        self._answer(self._unanswered(who).filter(holds_place=True).first(), closest)

    def judge_late(self, who, closest):
        self._answer(self._unanswered(who).filter(holds_place=False).first(), closest)

    def judge_again(self, who, closest):
        done = self.people[who].assignments.exclude(judgment=None).first()
        if done:
            judgment, is_new = serving.judge(
                done, answer=closest, response_ms=1, viewing={}, now=self.now
            )
            assert not is_new
            assert judgment.ranks == self.acknowledged[done.id]

    def give_back(self, who, _):
        if held := self._unanswered(who).first():
            serving.give_back(held, now=self.now)

    def wait(self, minutes, _):
        self.now += timedelta(minutes=minutes)

    def prioritise(self, which, priority):
        ids = list(self.campaign.measured_tasks.order_by("id").values_list("id", flat=True))
        Task.objects.filter(id__in=ids[which : which + 1]).update(priority=priority)

    def release(self, *_):
        serving.release_ended(now=self.now)

    def crash(self, who, _):
        """The server dies after the work and before its transaction is committed."""
        with contextlib.suppress(Crash), transaction.atomic():
            for held in serving.lease(self.people[who], now=self.now):
                serving.judge(held, answer="left", response_ms=1, viewing={}, now=self.now)
            raise Crash

    def _unanswered(self, who):
        return self.people[who].assignments.filter(judgment=None).order_by("id")

    def _answer(self, assignment, closest):
        if assignment is None:
            return
        try:
            judgment, is_new = serving.judge(
                assignment, answer=closest, response_ms=900, viewing={}, now=self.now
            )
        except serving.PlaceTaken:
            task = Task.objects.get(id=assignment.task_id)
            self.campaign.refresh_from_db()
            assert task.places_left == 0 or self.campaign.budget_left == 0
        else:
            assert is_new
            self.late[assignment.annotator_id] += not assignment.holds_place
            assert judgment.ranks == ([1, 2] if closest == "left" else [2, 1])
            self.acknowledged[assignment.id] = judgment.ranks

    def check(self):
        unplaced = Assignment.objects.filter(task__campaign=self.campaign, holds_place=False)
        self.released |= set(unplaced.values_list("annotator", flat=True))
        check_rules(self.campaign, released=self.released, late=self.late)
        stored = Judgment.objects.filter(assignment__task__campaign=self.campaign)
        assert dict(stored.values_list("assignment", "ranks")) == self.acknowledged


@settings(max_examples=30)
@given(
    steps=steps,
    tasks=st.integers(1, 5),
    per_task=st.integers(1, 3),
    per_annotator=st.none() | st.integers(1, 4),
    budget=st.none() | st.integers(1, 6),
    gold_share=st.sampled_from([0, 0.2, 0.5]),
    repeat_share=st.sampled_from([0, 0.2, 0.5]),
)
def test_the_rules_hold_whatever_happens(
    db, steps, tasks, per_task, per_annotator, budget, gold_share, repeat_share
):
    with transaction.atomic():
        campaign = factories.open_campaign(
            tasks,
            judgments_per_task=per_task,
            judgments_per_annotator=per_annotator,
            budget=budget,
            budget_left=budget,
            gold_share=gold_share,
            repeat_share=repeat_share,
        )
        for _ in range(2):
            factories.gold_task(campaign)
        play = Play(campaign)
        for what, who, detail in steps:
            play.step(what, who, detail)
            play.check()
        transaction.set_rollback(True)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), tasks=st.integers(1, 9), people=st.integers(1, 5))
def test_a_campaign_fills_to_exactly_what_it_wants_if_annotators_suffice(db, seed, tasks, people):
    with transaction.atomic():
        campaign = factories.open_campaign(tasks, judgments_per_task=people, seed=seed)
        for _ in range(people):
            assert factories.judge_all(factories.annotator(campaign)) == tasks
        assert factories.judge_all(factories.annotator(campaign)) == 0
        check_rules(campaign)
        assert campaign.tasks.filter(places_left=0).count() == tasks
        transaction.set_rollback(True)


def test_sides_are_balanced_within_one_for_each_annotator_and_nearly_so_for_each_task():
    campaign = factories.open_campaign(8, judgments_per_task=6)
    for _ in range(6):
        annotator = factories.annotator(campaign)
        factories.judge_all(annotator)
        assert abs(lean(annotator.assignments.all())) <= 1
    leans = [abs(lean(task.assignments.all())) for task in campaign.tasks.all()]
    assert sum(leans) <= 2 * len(leans)


def test_sides_are_balanced_for_each_pair_of_codecs_far_better_than_by_chance():
    study = factories.study(codecs=("avif", "jpeg", "jpeg2000", "webp"), sources=8)
    found = []
    for _ in range(3):
        who = factories.annotator(study.campaign)
        factories.judge_all(who)
        codec_of = dict(Reconstruction.objects.values_list("id", "codec"))
        leans: Counter = Counter()
        for assignment in who.assignments.all():
            left, right = (codec_of[each] for each in assignment.shown)
            leans[frozenset((left, right))] += 1 if left < right else -1
        found += leans.values()
        assert abs(lean(who.assignments.all())) <= 1
    # Eight answers a pair: by chance alone squares are 8 in the mean.
    assert sum(each**2 for each in found) / len(found) < 3


def test_the_first_side_is_drawn_by_chance():
    first_shown = []
    for seed in range(40):
        campaign = factories.open_campaign(1, seed=seed)
        [assignment] = serving.lease(factories.annotator(campaign), now=NOW, ahead=1)
        first_shown.append(lean([assignment]))
    # 40 fair coins: fewer than 8 of a kind has a probability below 1 in 20,000.
    assert 8 <= first_shown.count(1) <= 32


@pytest.mark.parametrize(("sources", "distance"), [(4, 3), (5, 2), (3, 0)])
def test_a_source_image_comes_again_only_after_so_many_others(sources, distance):
    campaign = factories.campaign(judgments_per_task=2, source_distance=distance)
    photos, made = [factories.source_image() for _ in range(sources)], {}
    for photo in photos:
        for codecs in (("avif", "jpeg"), ("avif", "webp"), ("jpeg", "webp")):
            factories.task(campaign, photo, codecs, made=made)
    who = factories.annotator(campaign)
    assert factories.judge_all(who) == 3 * sources
    seen = list(who.assignments.order_by("id").values_list("task__source", flat=True))
    # At the end only images may be left that were just shown: what is there is asked all the same.
    assert_apart(seen[:-sources], distance)


def assert_apart(seen: list[int], distance: int) -> None:
    for at in range(len(seen)):
        assert seen[at] not in seen[max(at - distance, 0) : at]


def test_checks_of_attention_wait_for_a_source_image_that_rests():
    campaign = factories.campaign(
        source_distance=3, gold_share=0.3, repeat_share=0.2, judgments_per_annotator=24
    )
    made: dict = {}
    for _ in range(6):
        photo = factories.source_image()
        for codecs in (("avif", "jpeg"), ("avif", "webp"), ("jpeg", "webp"), ("heic", "webp")):
            factories.task(campaign, photo, codecs, made=made)
    only = factories.gold_task(campaign).source  # one photograph has all that is known
    for codecs in (("avif", "heic"), ("heic", "jpeg")):
        gold = factories.task(campaign, only, codecs, made=made, places_left=0)
        gold.closest_id = gold.parts.first().reconstruction_id
        gold.save()
    who = factories.annotator(campaign)
    factories.judge_all(who)
    given = who.assignments.order_by("id").values_list("task__source", "purpose")
    assert_apart([source for source, _ in given], 3)
    assert {purpose for _, purpose in given} == {"measure", "gold", "repeat"}


def test_one_source_image_is_judged_whole_though_it_never_rests():
    campaign = factories.campaign(source_distance=5)
    photo, made = factories.source_image(), {}
    for codecs in (("avif", "jpeg"), ("avif", "webp")):
        factories.task(campaign, photo, codecs, made=made)
    assert factories.judge_all(factories.annotator(campaign)) == 2


def test_annotators_begin_at_different_tasks():
    campaign = factories.open_campaign(12, judgments_per_task=20)
    begun = set()
    for _ in range(12):
        begun.add(serving.lease(factories.annotator(campaign), now=NOW, ahead=1)[0].task_id)
    assert len(begun) == 12, "all tasks fill evenly"


def test_tasks_of_higher_priority_are_served_first():
    campaign = factories.open_campaign(5)
    urgent = factories.task(campaign, priority=2.0)
    assert serving.lease(factories.annotator(campaign), now=NOW)[0].task == urgent


def test_asking_again_gives_the_same_pairs_in_the_same_order():
    annotator = factories.annotator(factories.open_campaign(5))
    first = serving.lease(annotator, now=NOW)
    again = serving.lease(annotator, now=NOW + timedelta(minutes=1))
    assert [(each.token, each.shown) for each in again] == [
        (each.token, each.shown) for each in first
    ]


def test_a_lease_that_ended_is_given_to_the_next_annotator():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    first, second = factories.annotator(campaign), factories.annotator(campaign)
    [left_alone] = serving.lease(first, now=NOW)
    assert serving.lease(second, now=NOW + serving.LEASE / 2) == []
    [taken_up] = serving.lease(second, now=NOW + serving.LEASE)
    assert taken_up.task == left_alone.task


def test_an_answer_after_the_lease_ended_counts_while_its_task_has_a_place():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    [assignment] = serving.lease(factories.annotator(campaign), now=NOW)
    late = NOW + 2 * serving.LEASE
    serving.release_ended(now=late)
    _, is_new = serving.judge(assignment, answer="left", response_ms=1, viewing={}, now=late)
    assert is_new
    check_rules(campaign)


def test_an_answer_whose_place_is_gone_is_refused_and_changes_nothing():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    [assignment] = serving.lease(factories.annotator(campaign), now=NOW)
    late = NOW + 2 * serving.LEASE
    assert factories.judge_all(factories.annotator(campaign), now=late) == 1
    with pytest.raises(serving.PlaceTaken):
        serving.judge(assignment, answer="left", response_ms=1, viewing={}, now=late)
    check_rules(campaign)


def test_who_comes_back_another_day_goes_on_with_the_pair_that_was_open():
    annotator = factories.annotator(factories.open_campaign(3))
    [before, *_] = serving.lease(annotator, now=NOW)
    [after, *_] = serving.lease(annotator, now=NOW + timedelta(days=1))
    assert after == before
    assert after.lease_ends > NOW + timedelta(days=1)


def test_a_closed_campaign_serves_nothing_new_but_takes_the_answer_to_what_is_open():
    campaign = factories.open_campaign(3)
    annotator = factories.annotator(campaign)
    held = serving.lease(annotator, now=NOW, ahead=1)
    Campaign.objects.update(state=Campaign.State.CLOSED)
    annotator.refresh_from_db()
    assert serving.lease(annotator, now=NOW) == held
    serving.judge(held[0], answer="right", response_ms=1, viewing={}, now=NOW)
    assert serving.lease(annotator, now=NOW) == []


def test_an_annotator_is_served_no_more_than_the_campaign_asks_of_one():
    campaign = factories.open_campaign(5, judgments_per_annotator=2)
    assert factories.judge_all(factories.annotator(campaign)) == 2
    assert Assignment.objects.count() == 2


def test_who_has_judged_enough_is_given_no_pair_back_that_they_lost():
    campaign = factories.open_campaign(2, judgments_per_task=1, judgments_per_annotator=1)
    slow, quick = factories.annotator(campaign), factories.annotator(campaign)
    [lost] = serving.lease(slow, now=NOW)
    later = NOW + serving.LEASE
    campaign.tasks.filter(id=lost.task_id).update(priority=1)
    [taken] = serving.lease(quick, now=later)
    assert taken.task == lost.task
    [other] = serving.lease(slow, now=later)
    serving.give_back(taken, now=NOW)
    assert serving.lease(slow, now=later) == [other]


def test_a_late_answer_counts_beyond_what_is_asked_of_an_annotator():
    campaign = factories.open_campaign(2, judgments_per_task=1, judgments_per_annotator=1)
    slow, quick = factories.annotator(campaign), factories.annotator(campaign)
    [lost] = serving.lease(slow, now=NOW)
    later = NOW + serving.LEASE
    campaign.tasks.filter(id=lost.task_id).update(priority=1)
    [taken] = serving.lease(quick, now=later)
    assert factories.judge_all(slow, now=later) == 1
    serving.give_back(taken, now=NOW)
    _, is_new = serving.judge(lost, answer="left", response_ms=1, viewing={}, now=later)
    assert is_new


def test_a_pair_that_is_given_back_is_free_for_others_and_its_judgment_if_any_stays():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    first, second = factories.annotator(campaign), factories.annotator(campaign)
    [assignment] = serving.lease(first, now=NOW)
    serving.give_back(assignment, now=NOW)
    serving.give_back(assignment, now=NOW)
    assert campaign.tasks.get().places_left == 1, "twice is once"
    [taken] = serving.lease(second, now=NOW)
    serving.judge(taken, answer="left", response_ms=1, viewing={}, now=NOW)
    serving.give_back(taken, now=NOW)
    assert campaign.tasks.get().places_left == 0
    assert Judgment.objects.count() == 1


def test_the_lease_of_what_was_judged_never_ends():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    assert factories.judge_all(factories.annotator(campaign)) == 1
    assert serving.release_ended(now=NOW + timedelta(days=400)) == 0
    check_rules(campaign)


def test_simulated_annotators_take_no_place_from_people():
    campaign = factories.open_campaign(3, judgments_per_task=2)
    for _ in range(3):
        factories.judge_all(factories.annotator(campaign, is_simulated=True))
    assert campaign.tasks.filter(simulated_places_left=0, places_left=2).count() == 3
    assert factories.judge_all(factories.annotator(campaign)) == 3


def test_who_is_away_for_long_takes_back_no_more_than_is_shown():
    campaign = factories.open_campaign(6, judgments_per_task=1)
    annotator = factories.annotator(campaign)
    serving.lease(annotator, now=NOW, ahead=3)
    back = serving.lease(annotator, now=NOW + 2 * serving.LEASE, ahead=2)
    assert len(back) == 2
    assert annotator.assignments.filter(holds_place=True).count() == 2
