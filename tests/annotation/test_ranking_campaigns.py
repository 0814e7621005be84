"""A campaign of rankings, from serving to what is exported."""

import io
from collections import Counter

import pytest
from django.urls import reverse

from annotation import serving
from annotation.datasets import judgments_csv, pairs
from annotation.models import Judgment
from annotation.records import judgment_records
from codecs_registry.models import Reconstruction
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE
from evaluation.statistics import read_judgments
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

CODECS = ("avif", "jpeg", "webp")


def ranking_study(**asked):
    return factories.study(codecs=CODECS, task="ranking", **{"sources": 4, **asked})


def by_liking(*codecs):
    """Ranks by position of who finds earlier codecs of the list closer than later ones."""

    def choose(assignment) -> list[int]:
        shown = Reconstruction.objects.in_bulk(assignment.shown)
        return [codecs.index(shown[each].codec) + 1 for each in assignment.shown]

    return choose


def test_a_study_asks_one_ranking_of_each_image_and_bit_rate():
    study = ranking_study(bpp=("0.37", "1.0"))
    assert study.campaign.tasks.count() == 4 * 2
    assert {task.parts.count() for task in study.campaign.tasks.all()} == {3}


def test_each_codec_comes_to_each_place_about_equally_often_in_every_task():
    study = ranking_study(sources=10, judgments_per_task=6)
    for _ in range(6):
        factories.judge_all(factories.annotator(study.campaign), choose=by_liking(*CODECS))
    uneven = []
    for task in study.campaign.measured_tasks:
        orders = task.assignments.values_list("shown", flat=True)
        times = Counter(each for order in orders for each in enumerate(order))
        uneven += [
            times[place, part.reconstruction_id] - 6 / len(CODECS)
            for part in task.parts.all()
            for place in range(len(CODECS))
        ]
    # By chance alone the mean square is 6 p (1 - p). With ours it is a third of that, give or take
    # a twelfth, by the numbers that the database gives to annotators.
    by_chance = 6 / len(CODECS) * (1 - 1 / len(CODECS))
    assert sum(each**2 for each in uneven) / len(uneven) < 0.6 * by_chance


def test_each_codec_comes_to_each_place_equally_often_for_every_annotator():
    study = ranking_study(sources=6, judgments_per_task=5)
    for _ in range(3):
        who = factories.annotator(study.campaign)
        factories.judge_all(who, choose=by_liking(*CODECS))
        places = Counter()
        codec_of = dict(Reconstruction.objects.values_list("id", "codec"))
        for assignment in who.assignments.all():
            places.update((codec_of[each], place) for place, each in enumerate(assignment.shown))
        assert set(places.values()) == {2}  # six rankings, three places


def test_the_order_in_which_copies_are_shown_changes_between_annotators():
    study = ranking_study(sources=3, judgments_per_task=20)
    orders = set()
    for _ in range(12):
        who = factories.annotator(study.campaign)
        orders.add(tuple(serving.lease(who, now=NOW, ahead=1)[0].shown))
    assert len(orders) > 3


def test_an_order_is_stored_by_position_and_read_by_codec(client):
    study = ranking_study(sources=1)
    who = factories.annotator(study.campaign)
    post = {"content_type": "application/json"}
    todo = client.post(reverse("next-assignments", args=[who.token]), {}, **post).json()
    [assignment] = todo["assignments"]
    assert list(assignment["images"]) == ["original", "1", "2", "3"]
    for address in assignment["images"].values():
        assert client.get(address).status_code == 200
    answer = {"assignment": assignment["token"], "answer": [2, 3, 1], "response_ms": 9000}
    address = reverse("judgments", args=[who.token])
    assert client.post(address, answer, **post).status_code == 201
    assert Judgment.objects.get().ranks == [2, 3, 1]
    [record] = judgment_records(study.campaign)
    third, first, second = (record.codecs[place] for place in (2, 0, 1))
    assert record.ranking == f"{third} > {first} > {second}"


@pytest.mark.parametrize("wrong", [[1, 2], [1, 1, 2], "left", None, [0, 1, 2]])
def test_what_is_no_order_is_refused_and_nothing_is_stored(client, wrong):
    who = factories.annotator(ranking_study(sources=1).campaign)
    post = {"content_type": "application/json"}
    todo = client.post(reverse("next-assignments", args=[who.token]), {}, **post).json()
    answer = {"assignment": todo["assignments"][0]["token"], "answer": wrong, "response_ms": 9000}
    assert client.post(reverse("judgments", args=[who.token]), answer, **post).status_code == 400
    assert not Judgment.objects.exists()


def test_results_of_rankings_are_those_of_their_file_and_have_first_choices():
    study = ranking_study(judgments_per_task=3)
    for order in (("avif", "webp", "jpeg"), ("avif", "jpeg", "webp"), ("webp", "avif", "jpeg")):
        factories.judge_all(factories.annotator(study.campaign), choose=by_liking(*order))
    result = analyse_study(study, population=PEOPLE)["strata"]["0.37"]
    assert result["n_judgments"] == 12
    shares = {each["condition"]: each["share"] for each in result["first_choice"]}
    assert shares == {"avif": 8 / 12, "jpeg": 0.0, "webp": 4 / 12}
    assert result["agreement"]["kendall_w"]["value"] is not None

    text = "".join(judgments_csv(study.campaign))
    assert text.splitlines()[0].startswith("annotator,content,stratum,ranking,")
    found = read_judgments(io.StringIO(text))
    assert found.format == "rankings"
    assert found.n_rows == 12


def test_a_ranking_votes_in_each_of_its_pairs_and_a_tie_half_each_way():
    study = ranking_study(sources=2, allow_ties=True, judgments_per_task=1)
    who = factories.annotator(study.campaign)

    def tied(assignment):
        return [1 if rank == 1 else 2 for rank in by_liking("avif", "jpeg", "webp")(assignment)]

    factories.judge_all(who, choose=tied)
    for pair in pairs(study.campaign):
        share = {pair.p1.codec: pair.judge[0], pair.p0.codec: 1 - pair.judge[0]}
        assert pair.votes == 1
        if "avif" in share:
            assert share["avif"] == 1.0
        else:
            assert share == {"jpeg": 0.5, "webp": 0.5}
    assert len(pairs(study.campaign)) == 2 * 3


def test_no_difference_between_two_is_a_tie_in_records_and_results():
    study = factories.study(allow_ties=True, judgments_per_task=2)
    factories.judge_all(factories.annotator(study.campaign), choose=lambda assignment: "tie")
    assert {record.chosen for record in judgment_records(study.campaign)} == {"tie"}
    [pair] = analyse_study(study, population=PEOPLE)["strata"]["0.37"]["pairs"]
    assert (pair["n"], pair["ties"], pair["a_preferred"]) == (2, 2, 0.5)
