"""`manage.py analyse`: what it reads, what it takes, and what it says of what it left out."""

import hashlib
import io
import json
import math
import random
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from evaluation.management.commands.analyse import MOST_SHOWN
from evaluation.statistics.options import CLUSTERS, MODELS
from evaluation.statistics.summary import AGREEMENT
from tests import factories
from tests.factories import preferring
from tests.real_data import real_data

AIC3 = "jpeg_ai_ptc/JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv"
TMO = "tmo/ex3_tmo_cmp_data.csv"
HEADER = "annotator,content,stratum,left,right,chosen,response_ms,gold"
SCORES = {"avif": 0.6, "webp": 0.0, "jpeg": -0.6}
PAIRS = (("avif", "jpeg"), ("jpeg", "webp"), ("webp", "avif"))


def run(*arguments) -> tuple[str, str]:
    """What the command prints on stdout, and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command("analyse", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def strict(text: str) -> dict:
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def analysed(path: Path, *options) -> dict:
    return strict(run("--comparisons", path, "--json", *options)[0])


def only(document: dict) -> dict:
    [stratum] = document["strata"].values()
    return stratum


def crowd(annotators: int = 6, photos: int = 4) -> list[str]:
    """Rows of careful annotators, who answer by Bradley and Terry's model."""
    chance = random.Random(1)
    rows = []
    for who in range(annotators):
        for photo in range(photos):
            for left, right in PAIRS:
                odds = math.exp(SCORES[left] - SCORES[right])
                chosen = "left" if chance.random() < odds / (1 + odds) else "right"
                rows.append(f"ann-{who},photo-{photo},0.5,{left},{right},{chosen},2000,")
    return rows


def clicker(photos: int = 4) -> list[str]:
    """Rows of one who chooses the left of all, at once."""
    return [f"clicker,photo-{p},0.5,{a},{b},left,80," for p in range(photos) for a, b in PAIRS]


def written(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows, ""]))
    return path


@pytest.fixture
def judgments(tmp_path) -> Path:
    return written(tmp_path / "judgments.csv", *crowd())


def comparisons_file(path: Path) -> Path:
    return written(path, *crowd())


def rankings_file(path: Path) -> Path:
    rows = [
        f"{who},photo-{photo},0.5,{ranking}"
        for who, ranking in (("ann", "avif > webp > jpeg"), ("bob", "jpeg > avif = webp"))
        for photo in range(3)
    ]
    return written(path, *rows, header="annotator,content,stratum,ranking")


def aic3_file(path: Path) -> Path:
    def row(who, left, right, response, trap=0):
        pictures = (f"PTC_00001_{each}.png" for each in (left, "0ref_00", right))
        return ",".join([who, "PTC", "1", *pictures, str(trap), response, "900"])

    rows = [
        row("ann", "JPEG_03", "AVIF_03", "left"),
        row("bob", "JPEG_03", "AVIF_03", "right"),
        row("bob", "AVIF_03", "JPEG_03", "notsure"),
        row("cyd", "AVIF_03", "JPEG_03", "skip"),
        row("cyd", "AVIF_03", "AVIF_03", "notsure"),
        row("cyd", "0ref_00", "JPEG_09", "right", trap=1),
    ]
    header = "worker,method,img_num,img_left,img_pivot,img_right,is_trap,response,response_time"
    return written(path, *rows, header=header)


def pwcmp_file(path: Path) -> Path:
    rows = [f"{who},1,scene,a,b,{won}" for who, won in (("ann", 1), ("bob", 1), ("cyd", 0))]
    header = "observer,session_id,scene,condition_A,condition_B,is_A_selected"
    return written(path, *rows, header=header)


# --- what it reads --------------------------------------------------------------------------------


def assert_has_the_promised_keys(result: dict) -> None:
    """The keys of `analyse --json` that others rely on; for each null a reason."""
    assert result.keys() >= {"strata", "annotators", "screening", "counts", "provenance"}
    for stratum in result["strata"].values():
        assert stratum.keys() >= {"n_judgments", "scale", "first_choice", "pairs", "agreement"}
        for name in ("scale", "first_choice", "plackett_luce"):
            assert (stratum[name] is None) == bool(stratum[f"{name}_reason"])
        for each in stratum["scale"] or []:
            assert each.keys() >= {"condition", "score", "low", "high"}
        for each in stratum["first_choice"] or []:
            assert each.keys() >= {"condition", "share", "low", "high"}
        for pair in stratum["pairs"]:
            promised = {"a", "b", "n", "a_preferred", "low", "high", "p", "p_adjusted"}
            assert pair.keys() >= promised
            assert pair["a_preferred"] is not None or pair["reason"]
        assert tuple(stratum["agreement"]) == AGREEMENT
        for value in stratum["agreement"].values():
            assert None not in (value["value"], value["low"]) or value["reason"]
    promised = {"annotator", "n", "agreement_with_others", "gold_correct", "side_bias", "flags"}
    for annotator in result["annotators"]:
        assert annotator.keys() >= promised
        for name in promised:
            assert annotator[name] is not None or annotator["reasons"][name]


@pytest.mark.parametrize(
    ("make", "name", "n_judgments"),
    [
        (comparisons_file, "comparisons", 72),
        (rankings_file, "rankings", 6),
        (aic3_file, "aic3", 3),
        (pwcmp_file, "pwcmp", 3),
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_every_format_gives_the_keys_that_are_promised(tmp_path, make, name, n_judgments, asked):
    path = make(tmp_path / "judgments.csv")
    result = analysed(path, *(("--format", name) if asked else ()))
    assert_has_the_promised_keys(result)
    assert result["provenance"]["format"] == name
    assert only(result)["n_judgments"] == n_judgments


def test_a_file_of_rankings_has_first_choices_plackett_luce_scores_and_kendalls_w(tmp_path):
    found = only(analysed(rankings_file(tmp_path / "rankings.csv")))
    first = {each["condition"]: each["share"] for each in found["first_choice"]}
    assert first == {"avif": 0.5, "jpeg": 0.5, "webp": 0.0}
    assert [each["condition"] for each in found["plackett_luce"]] == ["avif", "jpeg", "webp"]
    assert found["agreement"]["kendall_w"]["value"] is not None


def test_aic3_names_the_more_distorted_side_and_what_is_set_aside_is_told(tmp_path):
    path = aic3_file(tmp_path / "responses.csv")
    out, err = run("--comparisons", path, "--json")
    result = strict(out)
    [pair] = only(result)["pairs"]
    # Of three answers AVIF was chosen in one, JPEG in one, and one is a tie.
    assert (pair["a"], pair["b"], pair["ties"]) == ("AVIF 03", "JPEG 03", 1)
    assert pair["a_preferred"] == pytest.approx(0.5)
    assert result["counts"]["set_aside"] == {"bias questions": 1, "skipped": 1}
    assert "1 rows are set aside: skipped" in err
    gold = {each["annotator"]: each["gold_correct"] for each in result["annotators"]}
    assert gold == {"ann": None, "bob": None, "cyd": 1.0}
    assert (result["counts"]["judgments"], result["counts"]["gold"]) == (4, 1)


@pytest.mark.parametrize(
    ("name", "model", "counts", "conditions"),
    [
        (AIC3, "bradley-terry", {"rows": 10_290, "judgments": 9_716, "gold": 975}, 19),
        (TMO, "annotators", {"rows": 1_213, "judgments": 1_213, "gold": 0}, 7),
    ],
)
def test_a_real_crowd_is_analysed_whole(name, model, counts, conditions):
    path = real_data(f"judgments/{name}")
    result = analysed(path, "--model", model)
    assert_has_the_promised_keys(result)
    assert {each: result["counts"][each] for each in counts} == counts
    assert result["malformed"] == []
    found = only(result)
    assert len(found["scale"]) == conditions
    assert ("reliabilities" in found["scale_fit"]["model"]) == (model == "annotators")
    assert found["scale_fit"]["interval"].startswith("robust, clustered by")
    if name == AIC3:
        # Whom traps show to be careless are among the flagged, and a higher level is a worse one.
        failed = {
            each["annotator"]
            for each in result["annotators"]
            if any(flag["rule"] == "gold_correct" for flag in each["flags"])
        }
        assert failed
        assert failed <= {*result["screening"]["flagged"]}
        scores = {each["condition"]: each["score"] for each in found["scale"]}
        assert max(scores, key=scores.__getitem__) == "original"


@pytest.mark.django_db
def test_a_study_takes_the_same_options_as_a_file():
    study = factories.study(sources=3, codecs=("avif", "jpeg"), judgments_per_task=6)
    for k in range(6):
        choose = preferring("avif", "jpeg") if k % 3 else preferring("jpeg", "avif")
        factories.judge_all(factories.annotator(study.campaign), choose=choose)
    options = "--by content --screen none --confidence 0.9 --clusters content"
    result = strict(run("sea", "--json", *options.split())[0])
    assert_has_the_promised_keys(result)
    found = only(result)
    assert len(found["by_content"]) == 3
    assert (result["confidence"], result["screening"]["mode"]) == (0.9, "none")
    assert result["provenance"]["options"] == {
        "confidence": 0.9,
        "model": "annotators",
        "clusters": "content",
        "screen": "none",
        "by": "content",
        "n_boot": 2000,
        "seed": 2018,
    }


@pytest.mark.django_db
def test_a_study_that_only_simulations_judged_says_how_to_see_them():
    study = factories.study()
    who = factories.annotator(study.campaign, is_simulated=True)
    factories.judge_all(who, choose=preferring("avif", "jpeg"))
    assert "There are 2 simulated judgments: --simulated shows them" in run("sea")[1]
    out, err = run("sea", "--simulated")
    assert "2 simulated judgments" in out
    assert err == ""


def test_a_file_of_people_and_simulations_is_refused_until_one_kind_is_asked_for(tmp_path):
    rows = [f"{row},{'true' if 'ann-0' in row else 'false'}" for row in crowd()]
    path = written(tmp_path / "mixed.csv", *rows, header=f"{HEADER},simulated")
    with pytest.raises(CommandError, match="expected one kind of judgments"):
        run("--comparisons", path)
    assert only(analysed(path, "--people"))["n_annotators"] == 5
    simulated = analysed(path, "--simulated")
    assert only(simulated)["n_annotators"] == 1
    assert simulated["counts"]["set_aside"] == {"people's judgments": 60}


# --- malformed rows -------------------------------------------------------------------------------


def test_malformed_rows_are_counted_and_told_by_line_and_the_rest_is_analysed(tmp_path, judgments):
    good = crowd()
    bad = [*good[:3], "ann-0,photo-0", *good[3:], "ann-0,photo-0,0.5,avif,avif,left,,"]
    path = written(tmp_path / "bad.csv", *bad)
    out, err = run("--comparisons", path, "--json")
    result = strict(out)
    assert result["strata"] == analysed(judgments)["strata"]
    assert (result["counts"]["rows"], result["counts"]["malformed"]) == (74, 2)
    assert [each["line"] for each in result["malformed"]] == [5, 75]
    assert err.splitlines()[:3] == [
        "2 of 74 rows are malformed and left out:",
        "  line 5: expected 8 values as in the header, found 2",
        "  line 75, column right: expected another condition than left's 'avif'",
    ]


def test_of_many_malformed_rows_some_are_told_and_json_has_all(tmp_path):
    path = written(tmp_path / "bad.csv", *crowd(), *["broken"] * (MOST_SHOWN + 5))
    out, err = run("--comparisons", path, "--json")
    assert len(strict(out)["malformed"]) == MOST_SHOWN + 5
    told = err.splitlines()
    assert sum(line.startswith("  line ") for line in told) == MOST_SHOWN
    assert "  ... --json lists them all" in told


# --- options --------------------------------------------------------------------------------------


def test_screening_flags_excludes_or_does_not_look(tmp_path, judgments):
    path = written(tmp_path / "all.csv", *crowd(), *clicker())
    results = {mode: analysed(path, "--screen", mode) for mode in ("none", "flag", "exclude")}
    flagged = {
        mode: [each["annotator"] for each in result["annotators"] if each["flags"]]
        for mode, result in results.items()
    }
    assert flagged == {"none": [], "flag": ["clicker"], "exclude": ["clicker"]}
    assert results["none"]["strata"] == results["flag"]["strata"]
    assert results["exclude"]["strata"] == analysed(judgments)["strata"]
    assert {mode: result["counts"]["judgments"] for mode, result in results.items()} == {
        "none": 84,
        "flag": 84,
        "exclude": 84,
    }
    assert results["exclude"]["counts"]["left_out_by_screening"] == 12
    assert results["none"]["screening"]["side_by_side"] == {}
    for mode in ("flag", "exclude"):
        sides = results[mode]["screening"]["side_by_side"]["0.5"]
        assert sides["everybody"]["n_judgments"] == 84
        assert sides["without_flagged"]["n_judgments"] == 72


def test_the_terminal_tells_flags_and_who_is_left_out(tmp_path):
    path = written(tmp_path / "all.csv", *crowd(), *clicker())
    flag, exclude, none = (
        run("--comparisons", path, "--screen", mode)[0] for mode in ("flag", "exclude", "none")
    )
    assert "1 of 7 annotators have flags:" in flag
    assert "  clicker: 100% of 12 answers took less than 500 ms; 50% is allowed" in flag
    assert "--screen exclude would leave out clicker" in flag
    assert "Left out of these results: clicker" in exclude
    assert "clicker" not in none


@pytest.mark.parametrize("by", ["content", "annotator"])
def test_results_of_each_image_or_annotator_are_added_when_asked_for(judgments, by):
    plain, with_each = only(analysed(judgments)), only(analysed(judgments, "--by", by))
    groups = with_each.pop(f"by_{by}")
    assert with_each == plain
    assert sum(group["n_judgments"] for group in groups) == plain["n_judgments"]
    for group in groups:
        assert (group["scale"] is None) == bool(group["scale_reason"])
    printed = run("--comparisons", judgments, "--by", by)[0]
    for group in groups:
        assert f"  {group[by]}: {group['n_judgments']} judgments" in printed


@pytest.mark.parametrize("model", MODELS)
def test_the_model_is_an_option(tmp_path, model):
    rows = crowd()
    rows[::7] = [re.sub(",(left|right),2000", ",tie,2000", row) for row in rows[::7]]
    path = written(tmp_path / "ties.csv", *rows)
    result = analysed(path, "--model", model, "--clusters", "neither")
    assert result["provenance"]["options"]["model"] == model
    fit = only(result)["scale_fit"]
    assert fit["model"].startswith(MODELS[model].name)
    assert fit["unit"] == MODELS[model].unit
    assert fit["ties"]["value"] is not None


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_what_intervals_allow_for_is_an_option(judgments, clusters):
    fit = only(analysed(judgments, "--clusters", clusters))["scale_fit"]
    over = " and ".join(CLUSTERS[clusters])
    assert fit["interval"] == (f"robust, clustered by {over}" if over else "Wald")


def test_a_confidence_is_of_every_interval(judgments):
    narrow, wide = (only(analysed(judgments, "--confidence", each)) for each in (0.5, 0.99))
    for name in ("scale", "win_share", "pairs"):
        for a, b in zip(narrow[name], wide[name], strict=True):
            assert b["low"] < a["low"] < a["high"] < b["high"]


def test_the_same_seed_gives_the_same_json_to_the_letter(tmp_path):
    path = written(tmp_path / "judgments.csv", *crowd(photos=20))
    first, again, other = (
        run("--comparisons", path, "--json", "--seed", seed)[0] for seed in (7, 7, 8)
    )
    assert first == again
    alphas = [only(strict(each))["agreement"]["krippendorff_alpha"] for each in (first, other)]
    assert alphas[0]["value"] == alphas[1]["value"]
    assert alphas[0]["low"] != alphas[1]["low"]
    assert strict(first)["provenance"]["bootstrap_seed"] == 7


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--model", "elo"], "invalid choice: 'elo'"),
        (["--clusters", "all"], "invalid choice: 'all'"),
        (["--by", "codec"], "invalid choice: 'codec'"),
        (["--screen", "delete"], "invalid choice: 'delete'"),
        (["--format", "xlsx"], "invalid choice: 'xlsx'"),
        (["--confidence", "0"], "--confidence takes a share between 0 and 1"),
        (["--confidence", "1"], "--confidence takes a share between 0 and 1"),
        (["--seed", "-1"], "--seed takes a whole number from 0 on"),
        (["--seed", "x"], "invalid int value"),
        (["--people", "--simulated"], "not allowed with argument"),
        (["--format", "pwcmp"], "line 1, column observer"),
        (["--simulated"], "expected simulated judgments, found none"),
    ],
)
def test_an_option_that_cannot_be_met_ends_in_one_line(judgments, options, problem):
    with pytest.raises(CommandError, match=problem) as failure:
        run("--comparisons", judgments, *options)
    assert "\n" not in str(failure.value)


# --- what is fallen back on -----------------------------------------------------------------------


def test_too_few_annotators_for_reliabilities_give_plain_scores_and_the_reason(tmp_path):
    path = written(tmp_path / "few.csv", *crowd(annotators=4))
    fit = only(analysed(path))["scale_fit"]
    assert fit["model"] == "Bradley-Terry"
    assert "reliabilities need 5 annotators" in fit["model_reason"]


@pytest.mark.parametrize(
    ("annotators", "photos", "interval"),
    [
        (1, 12, "robust, clustered by content"),
        (8, 1, "robust, clustered by annotator"),
        (1, 1, "Wald"),
    ],
)
def test_intervals_that_cannot_allow_for_annotators_and_images_say_so(
    tmp_path, annotators, photos, interval
):
    rows = crowd(annotators, photos)
    if photos == 12:  # one annotator, asked again and again
        rows = [re.sub("ann-.", "ann-0", row) for row in crowd(4, photos)]
    if annotators == photos == 1:
        rows = [row.replace("right", "left") for row in rows]  # a circle: all are equal
    path = written(tmp_path / "one.csv", *rows)
    fit = only(analysed(path))["scale_fit"]
    assert fit["interval"] == interval
    assert fit["interval_reason"]
    printed = run("--comparisons", path)[0]
    assert f"  intervals of scores: {interval}, since {fit['interval_reason']}" in printed


# --- where a result comes from, and where it goes -------------------------------------------------


def test_a_result_names_the_file_its_digest_and_how_it_was_computed(judgments):
    provenance = analysed(judgments, "--seed", "5")["provenance"]
    assert provenance["file"] == "judgments.csv"
    digest = hashlib.sha256(judgments.read_bytes()).hexdigest()
    assert provenance["judgments_sha256"] == digest
    assert provenance["options"]["seed"] == provenance["bootstrap_seed"] == 5
    assert provenance["resamples"] == 2000
    assert provenance.keys() >= {"closer", "commit", "python", "libraries"}


def test_the_report_goes_to_its_file_and_json_alone_to_stdout(tmp_path, judgments):
    report = tmp_path / "report.html"
    out, err = run("--comparisons", judgments, "--json", "--html", report)
    assert strict(out) == analysed(judgments)
    assert err == f"Report: {report}\n"
    assert report.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["no/such/folder/report.html", "."])
def test_a_report_that_cannot_be_written_is_told_in_one_line(tmp_path, judgments, path):
    with pytest.raises(CommandError, match="The report cannot be written: ") as failure:
        run("--comparisons", judgments, "--html", tmp_path / path)
    assert "\n" not in str(failure.value)


def test_the_terminal_says_where_scores_are_not_those_of_the_model_that_was_asked_for(tmp_path):
    path = written(tmp_path / "judgments.csv", *crowd(annotators=4))
    assert "reliabilities need 5 annotators" in run("--comparisons", path)[0]


def test_the_terminal_shows_first_choices_and_scores_of_rankings(tmp_path):
    orders = {"ann": "avif > webp > jpeg", "bob": "jpeg > avif = webp"}
    rows = [f"{who},photo-{p},0.5,{order}" for who, order in orders.items() for p in range(3)]
    path = written(tmp_path / "r.csv", *rows, header="annotator,content,stratum,ranking")
    shown = run("--comparisons", path)[0]
    assert "avif: first in 50.0%" in shown
    assert "Plackett-Luce" in shown


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    path = written(tmp_path / "judgments.csv", *crowd())
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "report.html").mkdir()
    with pytest.raises(CommandError, match="The report cannot be written"):
        run("--comparisons", path, "--html", folder / "report.html")
    assert [each.name for each in folder.iterdir()] == ["report.html"]


# --- shares of votes ------------------------------------------------------------------------------


def test_shares_without_a_number_of_votes_are_told_and_nothing_is_made_up(tmp_path):
    rows = ["x,jpeg,avif,0.75", "y,avif,jpeg,0.5"]
    path = written(tmp_path / "manifest.csv", *rows, header="content,p0_codec,p1_codec,judge")
    out, _ = run("--comparisons", path)
    assert "2 shares of votes" in out
    assert "avif is preferred in  62.5% (no interval)" in out
    assert "no scale: the file tells shares of votes, and not of how many" in out
    stratum = only(analysed(path))
    assert (stratum["n_judgments"], stratum["scale"]) == (None, None)
    assert stratum["pairs"][0]["reason"].startswith("the file tells shares")
    assert all(each["value"] is None for each in stratum["agreement"].values())
    with pytest.raises(CommandError, match="There is no report"):
        run("--comparisons", path, "--html", tmp_path / "report.html")


def test_shares_of_so_many_votes_are_as_many_judgments_by_nobody_in_particular(tmp_path):
    rows = ["x,jpeg,avif,0.8,5", "y,avif,jpeg,0.5,3"]
    path = written(tmp_path / "manifest.csv", *rows, header="content,p0_codec,p1_codec,judge,votes")
    result = analysed(path)
    stratum = only(result)
    assert stratum["n_judgments"] == 8
    [pair] = stratum["pairs"]
    # Four of five, and of three one each and a tie: five and a half of eight.
    assert (pair["n"], pair["ties"], pair["a_preferred"]) == (8, 1, 5.5 / 8)
    assert pair["low"] is not None
    assert result["annotators"] == []
    assert stratum["n_annotators"] is None
    assert {each["reason"] for each in stratum["agreement"].values()} == {
        "the file does not say who judged"
    }
