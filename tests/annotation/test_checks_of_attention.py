"""Gold tasks and hidden repeats: at their shares, unpredictable, and in no result."""

import io
from bisect import bisect_left
from collections import Counter
from math import floor

import numpy as np
import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from annotation import serving
from annotation.choosing import FEWEST_BETWEEN, due
from annotation.datasets import judgments_csv, pairs
from annotation.models import COUNTED, Judgment, Purpose
from annotation.records import judgment_records
from codecs_registry import blobs
from codecs_registry.models import Reconstruction
from codecs_registry.pictures import write_png
from evaluation import launching
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE
from evaluation.statistics import read_judgments
from evaluation.study_files import StudySpecification
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

BPP = ("0.23", "1.0")
shares = st.floats(0.01, 0.5)


def checked_study(**asked):
    """24 pairs, and two gold tasks for each of four photographs."""
    return factories.study(
        **{"sources": 4, "codecs": ("avif", "jpeg", "webp"), "bpp": BPP, "judgments_per_task": 9}
        | asked
    )


def right_and_left(assignment):
    """The right answer to a gold task, and always left else."""
    closest = assignment.task.closest_id
    return "left" if closest is None else ("left", "right")[assignment.shown.index(closest)]


def wrong(assignment):
    closest = assignment.task.closest_id
    return "left" if closest is None else ("right", "left")[assignment.shown.index(closest)]


def purposes(who) -> list[str]:
    return list(who.assignments.order_by("id").values_list("purpose", flat=True))


@given(share=shares, seed=st.text(max_size=5), index=st.integers(0, 500))
def test_a_share_holds_within_one_at_any_time(share, seed, index):
    given_so_far = due(share, index, seed)
    assert abs(given_so_far - (index + 1) * share) <= 1
    assert given_so_far >= (due(share, index - 1, seed) if index else 0)


@given(share=shares, seed=st.text(max_size=5))
def test_where_a_check_comes_is_not_to_be_foretold(share, seed):
    """Within each stretch of 1/share tasks its place is uniform: the mean is the middle."""
    stretches = 200
    last = floor(stretches / share)
    counts = [due(share, index, seed) for index in range(last)]
    places = [bisect_left(counts, n) * share - (n - 1) for n in range(1, stretches)]
    mean = sum(places) / len(places)
    assert abs(mean - 0.5 + share / 2) < 0.12  # five standard errors


def test_without_shares_there_are_no_checks():
    study = factories.study(sources=3, bpp=BPP)
    who = factories.annotator(study.campaign)
    factories.judge_all(who)
    assert set(purposes(who)) == {Purpose.MEASURE}
    assert not study.campaign.tasks.exclude(closest=None).exists()


def test_a_gold_task_shows_one_codec_at_its_lowest_and_its_highest_rate():
    study = checked_study(gold_share=0.1)
    gold = study.campaign.tasks.exclude(closest=None)
    assert gold.count() == 4 * 3
    for task in gold:
        low, high = task.reconstructions.order_by("target_bpp")
        assert (low.codec, low.stratum, high.codec, high.stratum) == (
            low.codec,
            *BPP[:1],
            low.codec,
            BPP[1],
        )
        assert task.closest == high
        assert (task.places_left, task.simulated_places_left) == (0, 0)
    assert study.campaign.measured_tasks.count() == 4 * 2 * 3


def test_what_is_not_certain_is_no_gold_task():
    study = factories.study("Near", sources=1, bpp=BPP, ready=False, gold_share=0.1)
    [source] = study.sources.all()
    for codec, low_db, high_db, ratio in (("avif", 30, 32, 4), ("jpeg", 30, 40, 1.5)):
        for bpp, psnr, actual in ((BPP[0], low_db, 0.25), (BPP[1], high_db, 0.25 * ratio)):
            made = factories.reconstruction(
                source, codec, bpp=bpp, psnr=psnr, actual_bpp=actual, codec_version="test"
            )
            study.reconstructions.filter(codec=codec, target_bpp=bpp).delete()
            study.reconstructions.add(made)

    assert launching.advance(study.id)
    assert not study.campaign.tasks.exclude(closest=None).exists()


def test_gold_tasks_and_repeats_come_at_their_shares_beside_all_that_is_measured():
    study = checked_study(gold_share=0.15, repeat_share=0.2)
    for _ in range(3):
        who = factories.annotator(study.campaign)
        factories.judge_all(who, choose=right_and_left)
        found = Counter(purposes(who))
        asked = sum(found.values())
        assert found[Purpose.MEASURE] == 24
        assert abs(found[Purpose.GOLD] - 0.15 * asked) <= 1
        assert abs(found[Purpose.REPEAT] - 0.2 * asked) <= 2  # the first can only come later
    assert len({tuple(purposes(each)) for each in study.campaign.annotators.all()}) == 3


def test_a_repeat_comes_after_others_the_other_way_round_and_once():
    study = checked_study(repeat_share=0.3)
    who = factories.annotator(study.campaign)
    factories.judge_all(who)
    order = list(who.assignments.order_by("id"))
    repeats = [each for each in order if each.purpose == Purpose.REPEAT]
    assert len(repeats) >= 6
    assert len({each.repeats_id for each in repeats}) == len(repeats)
    for each in repeats:
        assert each.shown == each.repeats.shown[::-1]
        assert each.task_id == each.repeats.task_id
        assert order.index(each) - order.index(each.repeats) > FEWEST_BETWEEN


def test_checks_take_no_place_of_any_task():
    study = checked_study(gold_share=0.2, repeat_share=0.2, judgments_per_task=1)
    factories.judge_all(factories.annotator(study.campaign))
    assert not study.campaign.measured_tasks.exclude(places_left=0).exists()
    measured = Judgment.objects.filter(assignment__purpose=Purpose.MEASURE)
    assert measured.count() == study.campaign.measured_tasks.count()
    assert factories.judge_all(factories.annotator(study.campaign)) == 0, (
        "nothing is left to measure"
    )


def test_an_annotators_quota_counts_all_that_they_are_asked():
    study = checked_study(gold_share=0.2, repeat_share=0.2, judgments_per_annotator=10)
    assert factories.judge_all(factories.annotator(study.campaign)) == 10


def test_a_lost_gold_task_comes_again_and_is_judged_once():
    study = checked_study(gold_share=0.5, sources=1)
    who = factories.annotator(study.campaign)
    unanswered = who.assignments.filter(purpose=Purpose.GOLD, judgment=None)
    held = serving.lease(who, now=NOW)
    while not unanswered:
        serving.judge(held[0], answer="left", response_ms=1, viewing={}, now=NOW)
        held = serving.lease(who, now=NOW)
        unanswered = unanswered.all()
    gold = unanswered.get()
    serving.release_ended(now=NOW + serving.LEASE)
    gold.refresh_from_db()
    assert not gold.holds_place
    later = NOW + 2 * serving.LEASE
    factories.judge_all(who, now=later)
    gold.refresh_from_db()
    assert gold.holds_place
    assert gold.judgment


def test_nothing_on_the_page_tells_a_check_from_what_is_measured(client):
    study = checked_study(gold_share=0.3, repeat_share=0.3)
    who = factories.annotator(study.campaign)
    shapes = set()

    def post(name, body):
        address = reverse(name, args=[who.token])
        return client.post(address, body, content_type="application/json").json()

    todo = post("next-assignments", {})
    while todo["assignments"]:
        first = todo["assignments"][0]
        shapes.add((first["width"], first["height"], len(first["token"]), *first["images"]))
        assert first.keys() == {"token", "width", "height", "images"}
        assert (todo.get("feedback"), todo["stage"], todo["warnings"]) == (None, None, [])
        answer = {"assignment": first["token"], "answer": "left", "response_ms": 900}
        todo = post("judgments", answer)
    assert len(shapes) == 1
    assert {Purpose.GOLD, Purpose.REPEAT} < set(purposes(who))


def test_results_take_gold_tasks_for_screening_alone_and_repeats_for_agreement_with_oneself():
    study = checked_study(gold_share=0.2, repeat_share=0.2)
    careful, careless = (factories.annotator(study.campaign) for _ in range(2))
    factories.judge_all(careful, choose=right_and_left)
    factories.judge_all(careless, choose=wrong)
    result = analyse_study(study, population=PEOPLE)
    votes = sum(pair["n"] for stratum in result["strata"].values() for pair in stratum["pairs"])
    assert votes == 2 * 24, "a person has one vote a task"
    found = {each["annotator"]: each for each in result["annotators"]}
    assert found[f"annotator-{careful.id}"]["gold_correct"] == 1.0
    assert found[f"annotator-{careless.id}"]["gold_correct"] == 0.0
    # Always left, and each repeat the other way round: never the same answer.
    assert found[f"annotator-{careful.id}"]["repeat_agreement"] == 0.0
    assert set(result["strata"]) == set(BPP)
    for stratum in result["strata"].values():
        assert {each["condition"] for each in stratum["win_share"]} == {"avif", "jpeg", "webp"}
    gold = Judgment.objects.filter(assignment__purpose=Purpose.GOLD).count()
    assert result["counts"]["gold"] == gold > 0


def test_gold_rankings_are_right_when_the_better_coded_one_comes_first():
    study = checked_study(gold_share=0.3, task="ranking")
    gold = study.campaign.tasks.exclude(closest=None)
    assert {task.reconstructions.filter(target_bpp=1).count() for task in gold} == {1}
    assert {task.parts.count() for task in gold} == {3}, "as many copies as in all others"

    def choose(is_careful):
        def ranks(assignment):
            shown = Reconstruction.objects.in_bulk(assignment.shown)
            order = sorted(assignment.shown, key=lambda each: -shown[each].target_bpp)
            ranks = [order.index(each) + 1 for each in assignment.shown]
            return ranks if is_careful else ranks[::-1]

        return ranks

    careful, careless = (factories.annotator(study.campaign) for _ in range(2))
    factories.judge_all(careful, choose=choose(True))
    factories.judge_all(careless, choose=lambda a: [4 - rank for rank in choose(True)(a)])
    result = analyse_study(study, population=PEOPLE)
    found = {each["annotator"]: each["gold_correct"] for each in result["annotators"]}
    assert found == {f"annotator-{careful.id}": 1.0, f"annotator-{careless.id}": 0.0}
    conditions = {each["condition"] for each in result["strata"]["0.23"]["win_share"]}
    assert conditions == {"avif", "jpeg", "webp"}


def test_files_mark_gold_and_datasets_hold_only_what_was_measured():
    study = checked_study(gold_share=0.2, repeat_share=0.2, judgments_per_task=1)
    who = factories.annotator(study.campaign)
    factories.judge_all(who, choose=right_and_left)
    text = "".join(judgments_csv(study.campaign))
    judgments = read_judgments(io.StringIO(text))
    counted = Judgment.objects.filter(assignment__purpose__in=COUNTED)
    assert judgments.n_rows == counted.count()
    repeats = counted.filter(assignment__purpose=Purpose.REPEAT).count()
    assert len(judgments.repeats.outcome) == repeats > 0
    assert len(judgments.comparisons.outcome) == counted.count() - repeats
    gold = [record for record in judgment_records(study.campaign) if record.is_gold]
    assert len(gold) == counted.filter(assignment__purpose=Purpose.GOLD).count()
    assert all(record.is_right for record in gold)
    found = pairs(study.campaign)
    assert [pair.votes for pair in found] == [1] * 24


def test_a_ranking_has_no_gold_task_where_another_codecs_low_rate_may_be_as_close():
    study = factories.study(
        sources=1,
        codecs=("avif", "jpeg", "webp"),
        bpp=BPP,
        task="ranking",
        ready=False,
        gold_share=0.1,
    )
    [source] = study.sources.all()
    study.reconstructions.all().delete()
    for codec, low_db, high_db in (("avif", 36, 45), ("jpeg", 28, 37), ("webp", 30, 44)):
        for bpp, psnr in (("0.23", low_db), ("1.0", high_db)):
            study.reconstructions.add(factories.reconstruction(source, codec, bpp=bpp, psnr=psnr))
    assert launching.advance(study.id)
    gold = study.campaign.tasks.exclude(closest=None)
    assert {task.closest.codec for task in gold} == {"avif", "webp"}  # jpeg's 37 against avif's 36


def test_practice_uses_up_no_check():
    study = checked_study(sources=1, gold_share=0.3, practice={"tasks": 6})
    who = factories.annotator(study.campaign, practice_owed=6)
    factories.judge_all(who, choose=right_and_left)
    assert purposes(who).count("gold") >= 2  # of six that it practised on


def test_a_crop_is_gold_only_where_the_difference_lies_in_it():
    flat = np.full((64, 96, 3), 120, np.uint8)
    flat[:, 48:] = factories.pixels(48, 64, seed=5)
    source = factories.source_image(flat)
    asked = {"name": "Sea", "images": "-", "codecs": ["jpeg", "webp"], "bpp": list(BPP)}
    more = {"viewing": {"crop": 16, "crops_per_image": 8}, "gold_share": 0.1}
    study, _ = launching.launch(StudySpecification.from_mapping(asked | more), [source])
    study.reconstructions.all().delete()
    for codec in study.codecs:
        for bpp, strength in (("0.23", 40), ("1.0", 4)):
            noise = np.random.default_rng(1).normal(0, strength, (64, 48, 3))
            copy = flat.copy()
            copy[:, 48:] = np.clip(copy[:, 48:] + noise, 0, 255)
            png = write_png(copy)
            files = {"decoded": blobs.put(png, ".png"), "decoded_bytes": len(png)}
            study.reconstructions.add(factories.reconstruction(source, codec, bpp=bpp, **files))
    assert launching.advance(study.id)
    gold = study.campaign.tasks.exclude(closest=None)
    assert gold.count() == 2
    assert all(task.crop[0] + task.crop[2] > 48 for task in gold), "not in the flat half"
