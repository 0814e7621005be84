"""From judgments to results: the numbers are those that one computes by hand."""

import io
import json
import math

import pytest
from django.core.management import CommandError, call_command

from annotation.datasets import judgments_csv
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE, SIMULATED, Study
from evaluation.statistics import Comparisons
from evaluation.statistics.options import Options
from evaluation.statistics.summary import AGREEMENT, summarise
from tests import factories
from tests.factories import preferring

pytestmark = pytest.mark.django_db

AVIF_FIRST, JPEG_FIRST = preferring("avif", "jpeg"), preferring("jpeg", "avif")


def judged_study(name="Sea", *, simulated=(), people=(AVIF_FIRST, AVIF_FIRST, JPEG_FIRST), **asked):
    """A study of two photographs and two codecs, judged whole by each of the annotators."""
    study = factories.study(name, judgments_per_task=len(people) + len(simulated) + 1, **asked)
    for choices, is_simulated in ((people, False), (simulated, True)):
        for choose in choices:
            annotator = factories.annotator(study.campaign, is_simulated=is_simulated)
            factories.judge_all(annotator, choose=choose)
    return study


def people(study, **options) -> dict:
    return analyse_study(study, population=PEOPLE, options=Options(**options))


def run(*arguments) -> str:
    out = io.StringIO()
    call_command("analyse", *map(str, arguments), stdout=out)
    return out.getvalue()


def strict(text: str) -> dict:
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_results_are_those_that_one_computes_by_hand():
    # Two tasks, three judgments each: AVIF wins 4 of 6.
    stratum = people(judged_study())["strata"]["0.37"]
    assert (stratum["n_judgments"], stratum["n_annotators"]) == (6, 3)

    avif, jpeg = stratum["win_share"]
    assert (avif["condition"], jpeg["condition"]) == ("avif", "jpeg")
    assert avif["share"] == pytest.approx(4 / 6)
    # Wilson: ((4 + z^2/2) -+ z sqrt(4 * 2 / 6 + z^2/4)) / (6 + z^2), z = 1.959964.
    z = 1.959964
    half = z * math.sqrt(4 * 2 / 6 + z**2 / 4)
    assert avif["low"] == pytest.approx((4 + z**2 / 2 - half) / (6 + z**2), abs=1e-6)
    assert avif["high"] == pytest.approx((4 + z**2 / 2 + half) / (6 + z**2), abs=1e-6)
    assert jpeg["share"] == pytest.approx(2 / 6)

    # Of two conditions, the distance is log(4 / 2), half on each side.
    scores = {each["condition"]: each for each in stratum["scale"]}
    assert scores["avif"]["score"] == pytest.approx(math.log(2) / 2)
    assert scores["jpeg"]["score"] == pytest.approx(-math.log(2) / 2)
    # With judgments taken as independent, its variance is 1/4 + 1/2.
    plain = people(Study.objects.get(), clusters="neither", model="bradley-terry")
    [independent, _] = plain["strata"]["0.37"]["scale"]
    width = z * math.sqrt(3 / 4) / 2
    assert independent["low"] == pytest.approx(math.log(2) / 2 - width, abs=1e-6)
    assert independent["high"] == pytest.approx(math.log(2) / 2 + width, abs=1e-6)

    # Twice the chance of 2 or fewer heads in 6: 2 (1 + 6 + 15) / 64.
    [pair] = stratum["pairs"]
    assert (pair["a"], pair["b"], pair["n"], pair["ties"]) == ("avif", "jpeg", 6, 0)
    assert pair["a_preferred"] == pytest.approx(4 / 6)
    assert pair["p"] == pytest.approx(44 / 64)
    assert pair["p_adjusted"] == pytest.approx(44 / 64)

    # Of the three pairs of annotators of a task, the two that agree are one.
    ceiling = stratum["agreement"]["human_ceiling"]
    assert ceiling["value"] == pytest.approx(1 / 3)
    assert ceiling["n"] == 2


def test_side_bias_is_how_much_more_often_than_half_an_annotator_chose_the_left():
    study = factories.study(sources=4)
    for side in ("left", "right"):
        who = factories.annotator(study.campaign)
        factories.judge_all(who, choose=lambda assignment, side=side: side)
    lefty, righty = people(study)["annotators"]
    assert (lefty["side_bias"], righty["side_bias"]) == (0.5, -0.5)
    assert (lefty["n"], righty["n"]) == (4, 4)


def test_what_people_and_what_simulations_said_is_never_mixed():
    alone = judged_study("Alone")
    mixed = judged_study("Mixed", simulated=[JPEG_FIRST] * 4)
    assert mixed.judgment_counts() == {PEOPLE: 6, SIMULATED: 8}
    of_people, of_simulated = people(mixed), analyse_study(mixed, population=SIMULATED)
    found, expected = (each["strata"]["0.37"] for each in (of_people, people(alone)))
    for name in ("n_judgments", "n_annotators", "win_share", "pairs", "agreement"):
        assert found[name] == expected[name]
    scores = [[each["score"] for each in values["scale"]] for values in (found, expected)]
    assert scores[0] == pytest.approx(scores[1])  # sides are shuffled, so roundings differ
    stratum = of_simulated["strata"]["0.37"]
    assert (stratum["n_judgments"], stratum["n_annotators"]) == (8, 4)
    assert stratum["win_share"][0]["share"] == 0.0
    assert of_people["provenance"]["population"] == "people"
    assert of_simulated["provenance"]["population"] == "simulated"
    names = [
        {each["annotator"] for each in each["annotators"]} for each in (of_people, of_simulated)
    ]
    assert all(name.startswith("annotator-") for name in names[0])
    assert all(name.startswith("simulated-") for name in names[1])


def test_strata_are_kept_apart():
    study = factories.study(bpp=("0.37", "1.0"), sources=3)
    low = factories.annotator(study.campaign)

    def by_rate(assignment):
        choose = AVIF_FIRST if assignment.task.stratum == "0.37" else JPEG_FIRST
        return choose(assignment)

    factories.judge_all(low, choose=by_rate)
    strata = people(study)["strata"]
    assert {name: each["win_share"][0]["share"] for name, each in strata.items()} == {
        "0.37": 1.0,
        "1.0": 0.0,
    }


def test_a_stratum_without_judgments_is_told_with_the_reason_for_each_value():
    study = factories.study(bpp=("0.37", "1.0"))
    strata = people(study)["strata"]
    assert list(strata) == ["0.37", "1.0"]
    for stratum in strata.values():
        assert stratum["n_judgments"] == 0
        assert (stratum["scale"], stratum["scale_reason"]) == (None, "there are no judgments")
        for value in stratum["agreement"].values():
            assert (value["value"], value["reason"]) == (None, "there are no judgments")


def test_a_stratum_without_judgments_has_the_same_keys_as_one_with():
    empty = people(factories.study("Empty"))["strata"]["0.37"]
    full = people(judged_study("Full"))["strata"]["0.37"]
    assert empty.keys() == full.keys()
    assert empty["agreement"].keys() == full["agreement"].keys()
    ceilings = [each["agreement"]["human_ceiling"].keys() for each in (empty, full)]
    assert ceilings[0] == ceilings[1]


def test_where_one_codec_never_lost_there_is_no_scale_and_the_reason_names_it():
    stratum = people(judged_study(people=[AVIF_FIRST] * 2))["strata"]["0.37"]
    assert stratum["scale"] is None
    assert stratum["scale_reason"] == "avif never lost to jpeg: the distance is infinite"


def test_where_nobody_judged_twice_there_is_no_ceiling_and_a_reason():
    stratum = people(judged_study(people=[AVIF_FIRST]))["strata"]["0.37"]
    ceiling = stratum["agreement"]["human_ceiling"]
    assert ceiling["value"] is None
    assert ceiling["reason"] == "no task has votes of two annotators"


def test_a_higher_confidence_gives_wider_intervals():
    study = judged_study()
    width = {}
    for confidence in (0.8, 0.95, 0.99):
        result = people(study, confidence=confidence)
        share = result["strata"]["0.37"]["win_share"][0]
        score = result["strata"]["0.37"]["scale"][0]
        width[confidence] = share["high"] - share["low"], score["high"] - score["low"]
        assert result["confidence"] == confidence
    assert width[0.8] < width[0.95] < width[0.99]


# --- what `analyse --json` promises ---------------------------------------------------------------


@pytest.mark.parametrize("choices", [[], [AVIF_FIRST], [AVIF_FIRST, AVIF_FIRST, JPEG_FIRST]])
def test_json_has_the_keys_that_design_names_whatever_was_judged(choices):
    judged_study(people=choices, bpp=("0.37", "1.0"))
    result = strict(run("sea", "--json"))
    assert result.keys() >= {"strata", "annotators", "provenance"}
    assert list(result["strata"]) == ["0.37", "1.0"]
    for stratum in result["strata"].values():
        assert stratum.keys() >= {"n_judgments", "scale", "first_choice", "pairs", "agreement"}
        for name in ("scale", "first_choice"):
            assert stratum[name] is not None or stratum[f"{name}_reason"]
        for each in stratum["scale"] or []:
            assert each.keys() == {"condition", "score", "low", "high", "group", "best"}
        for pair in stratum["pairs"]:
            assert pair.keys() >= {
                *("a", "b", "n", "a_preferred", "low", "high", "p", "p_adjusted")
            }  # fmt: skip
        assert tuple(stratum["agreement"]) == AGREEMENT
        assert {"human_ceiling", "krippendorff_alpha", "fleiss_kappa", "kendall_w"} < {*AGREEMENT}
        for value in stratum["agreement"].values():
            assert value["value"] is not None or value["reason"]
    assert len(result["annotators"]) == len(choices)
    for annotator in result["annotators"]:
        assert annotator.keys() >= {
            *("annotator", "n", "agreement_with_others", "gold_correct", "side_bias", "flags")
        }  # fmt: skip


def test_a_result_can_be_traced_to_code_libraries_seed_and_judgments():
    study = judged_study()
    traced = people(study)["provenance"]
    assert traced.keys() >= {
        *("closer", "commit", "python", "libraries", "bootstrap_seed", "study", "population"),
        "judgments_sha256",
    }
    assert people(study)["provenance"] == traced
    factories.judge_all(factories.annotator(study.campaign))
    assert people(study)["provenance"]["judgments_sha256"] != traced["judgments_sha256"]


def test_the_same_judgments_give_the_same_result_in_any_order():
    rows = [
        (f"a{k}", f"photo-{k % 3}", "0.5", *pair, "left" if (k + len(pair[0])) % 3 else "right")
        for k in range(9)
        for pair in (("avif", "jpeg"), ("jpeg", "webp"), ("webp", "avif"))
    ]
    forth, back = (summarise(Comparisons.from_rows(each)) for each in (rows, rows[::-1]))
    assert forth == back


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_tables_and_reasons():
    judged_study(bpp=("0.37", "1.0"), people=[AVIF_FIRST])
    printed = run("Sea")
    assert "0.37 bpp: 2 judgments" in printed
    assert "avif wins 100.0%" in printed
    assert "no scale: avif never lost to jpeg" in printed
    assert "Human ceiling: cannot be had (no task has votes of two annotators)" in printed


def test_the_command_takes_a_study_by_name_or_by_slug():
    judged_study("Sea and sky")
    assert run("Sea and sky", "--json") == run("sea-and-sky", "--json")


def test_the_command_shows_simulated_judgments_only_when_asked():
    judged_study(simulated=[AVIF_FIRST], people=[])
    assert strict(run("sea", "--json"))["strata"]["0.37"]["n_judgments"] == 0
    assert strict(run("sea", "--json", "--simulated"))["strata"]["0.37"]["n_judgments"] == 2


def test_a_comparison_file_gives_the_results_of_the_study_that_it_came_from(tmp_path):
    study = judged_study()
    path = tmp_path / "judgments.csv"
    path.write_text("".join(judgments_csv(study.campaign)))
    from_file, from_study = strict(run("--comparisons", path, "--json")), people(study)
    for values in from_study["strata"].values():
        assert values.pop("missed") == []  # a comparison file does not know of it
    assert from_file["strata"] == from_study["strata"]
    assert from_file["annotators"] == from_study["annotators"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Name a study, or a file"),
        (["sea", "--comparisons", "x.csv"], "Name a study, or a file"),
        (["lake"], r"There is no study 'lake' \(there are: sea\)"),
        (["sea", "--confidence", "95"], "--confidence takes a share"),
        (["sea", "--confidence", "nan"], "--confidence takes a share"),
        (["--comparisons", "/no/such/file.csv"], "No such file"),
        (["--comparisons", "/"], "directory"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, problem):
    factories.study()
    with pytest.raises(CommandError, match=problem) as failure:
        run(*arguments)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected"),
        (b"annotator,content\n", "expected"),
        (b"annotator,content,stratum,left,right,chosen\na,b,1,x,x,left\n", "line 2"),
        (b"annotator,content,stratum,left,right,chosen\na,b,1,x,y,up\n", "line 2"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_bad_comparison_file_ends_in_one_line(tmp_path, content, problem):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=problem) as failure:
        run("--comparisons", path)
    assert "\n" not in str(failure.value)
