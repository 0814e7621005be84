"""A pilot: the study's questions, tried by people whose judgments are in nothing of the study."""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotation import datasets, serving
from annotation.models import Judgment
from evaluation import launching, training_data
from evaluation.analysis import analyse_study
from evaluation.changes import NotAllowed, change
from evaluation.models import PEOPLE, PILOT, Study
from evaluation.statistics.options import Options
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

QUICK = Options(n_boot=20)
CODECS = ("avif", "jpeg")


def piloted(**asked) -> Study:
    """A study whose pilot one person has judged completely."""
    study = factories.study(when_ready="pilot", **asked)
    factories.judge_all(factories.annotator(study.pilot), choose=factories.preferring(*CODECS))
    return study


def test_a_pilot_asks_what_the_study_asks_gold_tasks_too():
    study = factories.study(
        when_ready="pilot",
        bpp=("0.23", "1.0"),
        gold_share=0.2,
        judgments_per_task=2,
        budget=10,
        instructions="Look at the leaves.",
    )

    def asked(campaign):
        return sorted(
            (
                each.source_id,
                each.target_bpp,
                each.closest_id or 0,
                each.places_left,
                each.delivery_bytes,
                sorted(each.reconstructions.values_list("id", flat=True)),
            )
            for each in campaign.tasks.all()
        )

    assert asked(study.pilot) == asked(study.campaign)
    assert study.n_gold_tasks
    assert study.pilot.instructions == "Look at the leaves."
    assert study.pilot.budget is None
    assert study.pilot.token != study.campaign.token


def test_a_pilot_s_judgments_are_in_nothing_of_the_study(researcher):
    study = piloted()
    before = list(study.campaign.tasks.order_by("id").values())
    launching.open_study(study, by=researcher)
    assert Judgment.objects.count() == 2
    assert list(study.campaign.tasks.order_by("id").values()) == before
    assert {each["places_left"] for each in before} == {3}
    assert study.judgment_counts() == {"people": 0, "simulated": 0}
    assert datasets.pairs(study.campaign) == []
    assert list(datasets.judgments_csv(study.campaign))[1:] == []
    assert training_data.judgments(PEOPLE).count() == 0
    of_study = analyse_study(study, population=PEOPLE, options=QUICK)
    assert of_study["counts"]["judgments"] == 0
    assert of_study["annotators"] == []
    assert study.pilot.state == "closed"
    assert serving.lease(factories.annotator(study.pilot), now=NOW) == []


def test_a_pilot_is_analysed_as_a_population_of_its_own(capsys):
    study = piloted()
    launching.open_study(study)
    factories.judge_all(
        factories.annotator(study.campaign), choose=factories.preferring("jpeg", "avif")
    )
    of_pilot, of_study = (
        analyse_study(study, population=each, options=QUICK) for each in (PILOT, PEOPLE)
    )
    [pair] = of_pilot["strata"]["0.37"]["pairs"]
    assert (pair["n"], pair["a_preferred"]) == (2, 1.0)
    [pair] = of_study["strata"]["0.37"]["pairs"]
    assert (pair["n"], pair["a_preferred"]) == (2, 0.0)
    assert of_pilot["provenance"]["population"] == "pilot"
    call_command("analyse", "sea", "--pilot", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["strata"]["0.37"]["pairs"][0]["a_preferred"] == 1.0


def test_pages_say_that_a_pilot_is_kept_apart(as_researcher):
    study = piloted()
    page = as_researcher.get(reverse("study", args=["sea"])).content.decode()
    assert "none of it counts in the study" in page
    assert "Judgments of the pilot" in page
    assert str(study.pilot.token) in page
    assert str(study.campaign.token) not in page
    of_pilot = as_researcher.get(reverse("annotators", args=["sea"]), {"of": "pilot"})
    assert f"annotator-{study.pilot.annotators.get().id}" in of_pilot.content.decode()
    assert "Nobody yet" in as_researcher.get(reverse("annotators", args=["sea"])).content.decode()
    launching.open_study(study)
    page = as_researcher.get(reverse("study", args=["sea"])).content.decode()
    assert "No judgments yet" in page
    assert "Show the pilot (2)" in page


def test_a_pilot_goes_on_where_it_was_unless_it_would_mix_instructions():
    study = piloted()
    launching.end_pilot(study)
    pilot = study.pilot
    launching.open_pilot(study)
    assert study.pilot == pilot
    launching.end_pilot(study)
    change(study, {"instructions": "Look at the sky."})
    with pytest.raises(NotAllowed, match="was judged with other instructions"):
        launching.open_pilot(study)
    assert study.state == Study.State.READY
    launching.open_study(study)
    assert study.campaign.instructions == "Look at the sky."
