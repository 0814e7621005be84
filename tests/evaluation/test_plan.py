"""A plan's numbers: those that launching makes, and those of the planning functions."""

import json
from decimal import Decimal
from itertools import count

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from codecs_registry.codecs import get_codec
from codecs_registry.models import Encode
from codecs_registry.pictures import write_png
from evaluation import launching
from evaluation.encoding_costs import SECONDS_PER_MEGAPIXEL, STORING_SECONDS_PER_MEGAPIXEL
from evaluation.plan import Assumptions, plan_of, scores_to_find
from evaluation.plan_plots import width_plot
from evaluation.statistics.planning import Prior, annotator_hours, judgments_for_power
from evaluation.statistics.planning import plan as simulate
from evaluation.study_files import InvalidStudy, StudySpecification
from tests import factories

pytestmark = pytest.mark.django_db

_numbers = count(1)


def specification(**asked) -> StudySpecification:
    return StudySpecification.from_mapping(
        {"name": "Sea", "images": "-", "codecs": ["avif", "jpeg", "webp"], "bpp": ["0.3", "1.5"]}
        | asked
    )


def sources(n: int) -> list:
    return [factories.source_image() for _ in range(n)]


def close_to(seconds: float):
    return pytest.approx(seconds, rel=1e-9)


# --- questions ------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(
    n_sources=st.integers(1, 2),
    codecs=st.sampled_from([("avif", "jpeg"), ("avif", "jpeg", "webp")]),
    bpp=st.sampled_from([("0.5",), ("0.3", "0.5", "1.5")]),
    ranks=st.booleans(),
    asked=st.fixed_dictionaries(
        {"judgments_per_task": st.integers(1, 3)},
        optional={
            "viewing": st.sampled_from([{"crop": 16}, {"crop": 16, "crops_per_image": 2}]),
            "checks": st.sampled_from([{"gold_share": 0.1}, {"practice": {"quiz": 1}}]),
        },
    ),
)
def test_a_plan_counts_the_tasks_that_launching_makes(n_sources, codecs, bpp, ranks, asked):
    asked = dict(asked)
    checks = asked.pop("checks", {})
    asked |= checks if len(bpp) > 1 else {}
    if ranks and len(codecs) > 2:
        asked["task"] = "ranking"
    launched = factories.study(
        f"Sea {next(_numbers)}", sources=n_sources, codecs=codecs, bpp=bpp, **asked
    )
    plan = plan_of(
        specification(name="Sea", codecs=list(codecs), bpp=list(bpp), **asked),
        list(launched.sources.all()),
    )
    campaign = launched.campaign
    assert plan.tasks == campaign.measured_tasks.count()
    places = campaign.measured_tasks.values_list("places_left", flat=True)
    assert plan.judgments_wanted == sum(places)
    assert plan.reconstructions == launched.reconstructions.count()
    assert plan.to_make == 0, "they are all there"
    # In pictures that are shown whole, the factory's rates are certain.
    made = campaign.gold_tasks.count()
    assert made <= plan.most_gold_tasks
    assert made == plan.most_gold_tasks or "viewing" in asked


def test_a_picture_that_is_smaller_than_the_part_that_is_shown_is_refused():
    with pytest.raises(InvalidStudy, match=r"viewing\.crop"):
        plan_of(specification(viewing={"crop": 64}), sources(1))


# --- people, time and money -----------------------------------------------------------------------


def test_without_a_word_on_annotators_each_has_about_an_hour():
    plan = plan_of(specification(judgments_per_task=20), sources(2))
    assert (plan.tasks, plan.judgments, plan.asked) == (12, 240, 240)
    assert plan.hours == close_to(annotator_hours(240))
    assert (plan.annotators, plan.annotators_from) == (20, "hour"), "as many as judge one question"
    assert plan.limits == []


def test_gold_tasks_repeats_and_practice_take_time_and_are_no_judgments():
    plan = plan_of(
        specification(
            gold_share=0.1,
            repeat_share=0.1,
            judgments_per_annotator=9,
            practice={"tasks": 2, "quiz": 3},
        ),
        sources(2),
    )
    assert (plan.judgments, plan.asked) == (36, 45)
    assert (plan.annotators, plan.annotators_from, plan.practice) == (5, "quota", 25)
    assert plan.hours == close_to(annotator_hours(45 + 25))
    assert plan.hours_each == close_to(plan.hours / 5)


@pytest.mark.parametrize(
    ("asked", "annotators", "judgments", "limit"),
    [
        ({"budget": 20}, None, 20, "The budget ends the study at 20 of 36."),
        ({"budget": 36}, None, 36, ""),
        ({"budget": 30, "gold_share": 0.1}, None, 27, "The budget ends the study at 30 of 40."),
        ({"judgments_per_annotator": 5}, 4, 20, "4 annotators with 5 questions each give 20 of 36"),
        ({}, 2, 24, "Nobody judges a question twice: 2 annotators give it at most 2 of 3"),
    ],
)
def test_what_keeps_a_study_from_what_it_wants_is_told(asked, annotators, judgments, limit):
    plan = plan_of(specification(**asked), sources(2), Assumptions(annotators=annotators))
    assert plan.judgments_wanted == 36
    assert plan.judgments == judgments
    assert plan.judgments_per_pair == close_to(judgments / 6)
    assert limit in " ".join(plan.limits)
    assert bool(plan.limits) == bool(limit)


def test_the_cost_is_the_pay_for_an_hour_or_that_for_a_judgment_where_the_file_has_one():
    pictures = sources(2)
    assumed = Assumptions(pay_per_hour=Decimal("12.50"), currency="EUR", seconds_per_judgment=100.0)
    assert plan_of(specification(), pictures).cost is None
    by_hour = plan_of(specification(), pictures, assumed)
    assert (by_hour.cost, by_hour.currency, by_hour.cost_from) == (Decimal("12.50"), "EUR", "hour")
    crowd = {"pay": "0.15", "bonus": "0.05", "currency": "GBP"}
    paid = plan_of(specification(crowd=crowd, gold_share=0.1), pictures, assumed)
    assert (paid.cost, paid.bonus) == (Decimal("6.00"), Decimal("2.00")), "of 40 answers"
    assert (paid.currency, paid.cost_from) == ("GBP", "judgment")


# --- what may be expected -------------------------------------------------------------------------


@pytest.fixture
def foretold():
    """(plan, the same of the planning functions) of three codecs with 24 judgments a pair."""
    assumed = Assumptions(annotators=12, preferred=0.95, annotator_sd=0.2, content_sd=0.4)
    plan = plan_of(specification(judgments_per_task=4), sources(6), assumed)
    rows = simulate(
        Prior.known(scores_to_find(3, 0.95)),
        [6, 12, 24, 48],  # of 96 somebody would judge the same twice
        n_contents=6,
        n_annotators=12,
        annotator_sd=0.2,
        content_sd=0.4,
        pair=(0, 2),
        holm=True,
        n_studies=200,
        rng=np.random.default_rng(0),
    )
    return plan, rows


def test_widths_and_power_are_those_of_the_planning_functions(foretold):
    plan, rows = foretold
    assert list(plan.foretold.rows) == rows
    assert plan.foretold.at == rows[2]
    assert plan.foretold.at.judgments_per_pair == plan.judgments_per_pair == 24
    assert plan.foretold.for_power == int(judgments_for_power(rows, 0.8).value)
    # The difference that is to be found is that which the share names.
    first, _, last = scores_to_find(3, 0.95)
    assert 1 / (1 + np.exp(last - first)) == pytest.approx(0.95)


def test_the_plot_shows_the_plan_among_other_sizes_and_is_the_same_each_time(foretold):
    plan, _ = foretold
    drawn = width_plot(plan.foretold)
    assert drawn.startswith("<svg")
    assert "this plan" in drawn
    assert "judgments of each pair" in drawn


def test_a_plan_tells_when_a_study_with_a_target_is_expected_to_close_by_itself():
    pictures, assumed = sources(6), Assumptions(annotators=12, annotator_sd=0.2, content_sd=0.2)

    def planned(**asked):
        return plan_of(specification(judgments_per_task=6, **asked), pictures, assumed)

    assert planned().target is None
    assert planned().target_told == ""
    at = planned().foretold.at
    assert at.score_width.value < at.width.value
    # The width that the plan itself has is reached at its own size, in both strata of three pairs.
    itself = planned(target_width=at.score_width.value).target
    assert itself.per_pair == at.judgments_per_pair == 36
    assert (itself.judgments, itself.is_within) == (36 * 3 * 2, True)
    wider = planned(target_width=1.2 * at.score_width.value)
    assert 17 <= wider.target.per_pair < 36, "50 judgments in a stratum at the least"
    assert f"at about {wider.target.judgments} judgments" in wider.target_told
    narrower = planned(target_width=0.9 * at.score_width.value)
    assert narrower.target.per_pair > 36
    assert not narrower.target.is_within
    assert narrower.target_told.startswith("The study is not expected to close by itself: interv")
    too_narrow = planned(target_width=0.05)
    assert (too_narrow.target.per_pair, too_narrow.target.is_within) == (None, False)
    assert "No size that was simulated" in too_narrow.target_told
    assert json.loads(json.dumps(too_narrow.as_dict()))["target"]["width"] == 0.05


def test_a_wide_target_still_takes_the_judgments_without_which_nothing_is_believed():
    plan = plan_of(
        specification(judgments_per_task=20, target_width=20),
        sources(6),
        Assumptions(annotators=30),
    )
    assert plan.target.per_pair == plan.foretold.rows[0].judgments_per_pair == 30
    few = plan_of(specification(judgments_per_task=3, target_width=20), sources(6))
    assert few.target.per_pair == 17, "50 in a stratum of three pairs"


def test_a_plan_says_the_same_whenever_one_looks_and_less_where_people_differ_more():
    pictures, asked = sources(4), specification(judgments_per_task=5)
    alike = Assumptions(annotators=20, annotator_sd=0, content_sd=0)
    differing = Assumptions(annotators=20, annotator_sd=1, content_sd=1)
    assert plan_of(asked, pictures, alike).foretold == plan_of(asked, pictures, alike).foretold
    widths = [plan_of(asked, pictures, each).foretold.at.width.value for each in (alike, differing)]
    assert widths[0] < widths[1]


@pytest.mark.parametrize(
    ("n_sources", "asked", "reason"),
    [
        (1, {}, "and there is one"),
        (2, {"budget": 2}, "fewer than two judgments of each pair"),
        (2, {"judgments_per_task": 1000, "viewing": {"crop": 16, "crops_per_image": 100}}, "page"),
    ],
)
def test_where_nothing_can_be_foretold_the_plan_says_why(n_sources, asked, reason):
    plan = plan_of(specification(**asked), sources(n_sources))
    assert plan.foretold is None
    assert reason in plan.foretold_reason
    json.dumps(plan.as_dict(), allow_nan=False)


# --- encoding -------------------------------------------------------------------------------------


def test_encodes_are_reckoned_by_those_made_here_and_by_a_default_where_there_are_none():
    made = factories.source_image()
    version = get_codec("jpeg").version()
    factories.reconstruction(made, "jpeg", bpp="0.3", codec_version=version, decoded_bytes=4000)
    for setting in (1, 2):
        Encode.objects.create(
            source=made, codec="jpeg", codec_version=version, setting=setting, settings={},
            bitstream="x", size_bytes=500, encode_ms=1500,
        )  # fmt: skip
    new = factories.source_image()
    plan = plan_of(specification(codecs=["jpeg", "webp"]), [made, new])
    jpeg, webp = plan.encoding
    # Of four JPEG reconstructions, one is there; all pictures are of 48 x 32 pixels.
    assert (jpeg.to_make, jpeg.measured) == (3, 1)
    assert jpeg.seconds == close_to(3 * (3 + STORING_SECONDS_PER_MEGAPIXEL * 48 * 32 / 1e6))
    webp_bytes = made.reconstructions.get().webp_bytes
    assert jpeg.size_bytes == pytest.approx(3 * (1000 + 4000 + webp_bytes), abs=1)
    assert (webp.to_make, webp.measured) == (4, 0)
    default = SECONDS_PER_MEGAPIXEL + STORING_SECONDS_PER_MEGAPIXEL
    assert webp.seconds == close_to(4 * default * 48 * 32 / 1e6)
    assert plan.unmeasured == ["webp"]
    assert plan.to_make == 7
    assert plan.encode_seconds == close_to(jpeg.seconds + webp.seconds)


# --- what an installation says --------------------------------------------------------------------


def test_what_would_keep_a_study_from_being_launched_is_told_at_once_and_nothing_is_written():
    study = factories.study("Sea")
    pictures = list(study.sources.all())
    asked = {"codecs": ["avif", "jpeg"], "bpp": ["0.37"]}
    assert launching.problems_here(specification(**asked), pictures) == {}, "it is the same study"
    wrong = specification(**asked, viewing={"crop": 40}, not_after=["Sky"])
    problems = launching.problems_here(wrong, pictures)
    assert set(problems) == {"viewing.crop", "not_after", "name"}
    assert "differs in not_after, viewing" in problems["name"]
    assert set(launching.problems_here(specification(name="sea"), pictures)) == {"name"}


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def study_file(tmp_path):
    """A study file beside a folder of two pictures."""
    (tmp_path / "photos").mkdir()
    for each in range(2):
        path = tmp_path / "photos" / f"{each}.png"
        path.write_bytes(write_png(factories.pixels(seed=each)))
    file = tmp_path / "study.toml"
    file.write_text(
        'name = "Sea"\nimages = "photos"\ncodecs = ["avif", "jpeg"]\nbpp = [0.3, 1.5]\n'
        "judgments_per_task = 30\n"
    )
    return file


def test_the_command_prints_the_plan_of_a_file(study_file, capsys):
    call_command("plan_study", study_file, "--json", "--pay-per-hour", "10", "--annotators", "40")
    told = json.loads(capsys.readouterr().out)
    assert (told["tasks"], told["judgments"], told["annotators"]) == (4, 120, 40)
    assert told["cost"] == "18.67"
    assert told["foretold"]["at"]["judgments_per_pair"] == 60
    call_command("plan_study", study_file)
    said = capsys.readouterr().out
    assert "120 of 120 wanted" in said
    assert "<- this plan" in said
    assert "of a score" in said
    study_file.write_text(study_file.read_text() + "target_width = 20\n")
    call_command("plan_study", study_file)
    assert "The study is expected to close by itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--annotators", "0"], "--annotators takes"),
        (["--preferred", "0.4"], "--preferred takes"),
        (["--pay-per-hour", "much"], "--pay-per-hour takes"),
        (["--content-sd", "-1"], "--content-sd takes"),
        (["--seconds", "nan"], "--seconds takes"),
    ],
)
def test_an_argument_that_means_nothing_is_refused_by_name(study_file, arguments, problem):
    with pytest.raises(CommandError, match=problem):
        call_command("plan_study", study_file, *arguments)


def test_a_file_that_is_no_study_is_refused_field_by_field(study_file):
    study_file.write_text(study_file.read_text() + 'not_after = ["Sky"]\n')
    with pytest.raises(CommandError, match="not_after: 'Sky' is no study here"):
        call_command("plan_study", study_file)
    study_file.write_text("seed = -1")
    with pytest.raises(CommandError, match=r"name: is missing.*seed: must be a whole number"):
        call_command("plan_study", study_file)
