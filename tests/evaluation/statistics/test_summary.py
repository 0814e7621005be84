import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import Comparisons, bradley_terry, win_shares
from evaluation.statistics.annotator_model import fit_annotators
from evaluation.statistics.choice_models import DAVIDSON
from evaluation.statistics.clusters import robust
from evaluation.statistics.contents import content_scale
from evaluation.statistics.options import CLUSTERS, GROUPINGS, MODELS, SCREENS, Options
from evaluation.statistics.plackett_luce import plackett_luce
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.scale_summary import FEWEST_ANNOTATORS, FEWEST_EACH
from evaluation.statistics.scaling import fit_scale
from evaluation.statistics.simulated import simulate_study
from evaluation.statistics.summary import AGREEMENT, empty_stratum, summarise

steady = settings(deadline=None, max_examples=25)  # a busy machine is no failure
FEW = Options(n_boot=50)  # no test looks at the third digit of a bootstrap interval
PLAIN = replace(FEW, model="bradley-terry")
BY_MEANING = {"degrees_of_freedom", "best"}
"""Null where the normal distribution is taken, and where nothing was resampled: `interval` says
which. Their reasons, where there are any, are those of the interval."""


def study(n=3, *, annotators=6, contents=4, seed=1) -> Comparisons:
    return simulate_study(
        np.linspace(0.6, -0.6, n),
        n_annotators=annotators,
        n_contents=contents,
        judgments_per_task=annotators,
        rng=np.random.default_rng(seed),
    )


def table(*rows: str, **columns: Any) -> Comparisons:
    """From rows such as "ann photo 0.5 avif jpeg left"."""
    labels = zip(*(row.split() for row in rows), strict=True) if rows else [[]] * 6
    return Comparisons.from_columns(*map(list, labels), **columns)


def together(*tables: Comparisons) -> Comparisons:
    chosen = {1.0: "left", 0.0: "right", 0.5: "tie"}
    columns: list[list[str]] = [[] for _ in range(6)]
    expected, times = [], []
    for c in tables:
        for column, codes, labels in (
            (columns[0], c.annotator, c.annotators),
            (columns[1], c.content, c.contents),
            (columns[2], c.stratum, c.strata),
            (columns[3], c.a, c.conditions),
            (columns[4], c.b, c.conditions),
        ):
            column += [labels[code] for code in codes]
        columns[5] += [chosen[each] for each in c.outcome.tolist()]
        expected += [chosen.get(each, "") for each in c.expected.tolist()]
        times += c.response_ms.tolist()
    return Comparisons.from_columns(*columns, expected=expected, response_ms=times)


def clicker(c: Comparisons, *, name: str = "clicker") -> Comparisons:
    """The table, and one who answered everything that annotator 0 was asked, always left."""
    own = c.where(c.annotator == 0)
    lefts = replace(
        own,
        annotators=(name,),
        outcome=np.ones_like(own.outcome),
        response_ms=np.full(len(own.outcome), 80.0),
    )
    slow = replace(c, response_ms=np.full(len(c.outcome), 2000.0))
    return together(slow, lefts)


def only(document: dict) -> dict:
    [stratum] = document["strata"].values()
    return stratum


def scores(scale: list[dict]) -> dict[str, float]:
    return {each["condition"]: each["score"] for each in scale}


def unexplained(document: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Where a null has no reason beside it."""
    if isinstance(document, list | tuple):
        for each in document:
            yield from unexplained(each, path)
    elif isinstance(document, dict):
        for name, value in document.items():
            reasons = (
                document.get("reason"),
                document.get(f"{name}_reason"),
                document.get("reasons", {}).get(name),
                name == "scale_fit" and document["scale_reason"],
                name.endswith("reason"),
                name in BY_MEANING,
            )
            if value is None and not any(reasons):
                yield ".".join((*path, name))
            yield from unexplained(value, (*path, name))


TABLES = {
    "nothing": table(),
    "one judgment": table("ann photo 0.5 avif jpeg left"),
    "one tie": table("ann photo 0.5 avif jpeg tie"),
    "unanimous": table(*(f"{who} photo 0.5 avif jpeg left" for who in ("ann", "bob", "cyd"))),
    "never compared": table("ann photo 0.5 avif jpeg left", "ann photo 0.5 webp bpg right"),
    "a circle": table(
        *(f"ann photo 0.5 {pair} left" for pair in ("avif jpeg", "jpeg webp", "webp avif"))
    ),
    "a circle over images": table(
        "ann photo-0 0.5 avif jpeg left",
        "ann photo-0 0.5 jpeg webp left",
        "ann photo-1 0.5 webp avif left",
    ),
    "an image against three": table(
        *(f"ann photo-{k} 0.5 avif jpeg {'left' if k else 'right'}" for k in range(4))
    ),
    "gold alone": table("ann photo 0.5 avif jpeg left", expected=["left"]),
    "a stratum with a scale, and one without": together(
        study(), table("ann photo 0.5 avif jpeg left")
    ),
    "a crowd": study(4, annotators=8),
}


# --- the document ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_whatever_cannot_be_had_is_null_with_its_reason_and_there_is_no_nan(name):
    choices = zip(MODELS, cycle(SCREENS), cycle(GROUPINGS), cycle(CLUSTERS), strict=False)
    for model, screen, by, clusters in choices:
        options = replace(FEW, model=model, screen=screen, by=by, clusters=clusters)
        document = summarise(TABLES[name], options=options)
        json.dumps(document, allow_nan=False)
        assert {*unexplained(document)} == set()


JUDGED = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cyd"]),
        st.just("photo"),
        st.sampled_from(["0.5", "1.0"]),
        st.permutations(["avif", "jpeg", "webp", "bpg"]),
        st.sampled_from(["left", "right", "tie"]),
        st.sampled_from(["", "", "left", "tie"]),
        st.sampled_from([math.nan, 80.0, 2000.0]),
    ),
    max_size=25,
)


@steady
@given(JUDGED, st.sampled_from([*MODELS]), st.sampled_from(SCREENS), st.sampled_from(GROUPINGS))
def test_any_judgments_give_a_document_of_plain_values(rows, model, screen, by):
    annotator, content, stratum, pair, chosen, expected, ms = (
        zip(*rows, strict=True) if rows else [[]] * 7
    )
    comparisons = Comparisons.from_columns(
        annotator, content, stratum, [each[0] for each in pair], [each[1] for each in pair],
        chosen, expected=expected, response_ms=ms,
    )  # fmt: skip
    document = summarise(comparisons, options=Options(model=model, screen=screen, by=by, n_boot=20))
    assert json.loads(json.dumps(document, allow_nan=False)).keys() == document.keys()
    asked = comparisons.without_gold()
    assert tuple(document["strata"]) == asked.strata
    assert document["counts"]["gold"] == len(rows) - len(asked.outcome)
    left_out = document["counts"]["left_out_by_screening"]
    used = sum(each["n_judgments"] for each in document["strata"].values())
    assert used + left_out == len(asked.outcome)
    for values in document["strata"].values():
        assert values.keys() >= empty_stratum().keys()
        assert (values["scale"] is None) == (values["scale_reason"] is not None)
        assert tuple(values["agreement"]) == AGREEMENT


def test_a_document_holds_what_the_estimators_give():
    c = study()
    found = only(summarise(c, options=PLAIN))
    expected = robust(c, fit_scale(c))
    low, high = expected.interval()
    for i, row in enumerate(found["scale"]):
        assert row["condition"] == c.conditions[i]
        assert [row["score"], row["low"], row["high"]] == pytest.approx(
            [expected.scores[i], low[i], high[i]]
        )
    assert found["scale_fit"]["log_likelihood"] == pytest.approx(expected.log_likelihood)
    assert found["scale_fit"]["degrees_of_freedom"] == 3
    differences = found["scale_fit"]["differences"]
    assert [(each["a"], each["b"]) for each in differences] == [
        (c.conditions[i], c.conditions[j]) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert differences[1]["difference"] == pytest.approx(expected.scores[0] - expected.scores[2])
    variation = content_scale(c).variation
    assert found["scale_fit"]["image_variation"]["value"] == pytest.approx(variation.value)
    assert sum(each["best"] for each in found["scale"]) == pytest.approx(1)


def test_the_effect_of_being_on_the_left_is_told_beside_the_scale():
    # The left one won 3 of 4 either way round: log-odds of log 3, and the codecs are equal.
    rows = [f"ann photo 0.5 {pair} left" for pair in ("avif jpeg", "jpeg avif")] * 3
    rows += [f"ann photo 0.5 {pair} right" for pair in ("avif jpeg", "jpeg avif")]
    fit = only(summarise(table(*rows), options=replace(PLAIN, clusters="neither")))["scale_fit"]
    assert fit["side_effect"]["value"] == pytest.approx(math.log(3))
    # The information of 8 answers with probability 3/4 is 8 * 3/16.
    half = 1.959964 / math.sqrt(8 * 3 / 16)
    assert fit["side_effect"]["high"] == pytest.approx(math.log(3) + half, abs=1e-5)
    assert fit["ties"]["value"] is None
    assert "tie" in fit["ties"]["reason"]


def test_how_often_two_codecs_tie_is_told_beside_the_scale():
    rows = [f"ann photo 0.5 avif jpeg {chosen}" for chosen in ("left", "left", "right", "tie")]
    c = table(*rows)
    fit = only(summarise(c, options=replace(PLAIN, clusters="neither")))["scale_fit"]
    assert fit["ties"]["value"] == pytest.approx(fit_scale(c, model=DAVIDSON).tie.value)
    assert fit["ties"]["method"] == "Davidson"


def test_a_stratum_has_the_results_that_it_has_alone():
    low = study(seed=1)
    both = together(low, replace(study(seed=2), strata=("1.0",)))
    found = summarise(both, options=FEW)["strata"]
    assert list(found) == ["1.0", "simulated"]
    assert found["simulated"] == only(summarise(low, options=FEW))


def test_renaming_codecs_renames_results_and_changes_nothing_else():
    c = study()
    new = ("zebra", "yak", "xerus")
    renamed = Comparisons.from_columns(
        [c.annotators[i] for i in c.annotator], [c.contents[i] for i in c.content], None,
        [new[i] for i in c.a], [new[i] for i in c.b],
        ["left" if each else "right" for each in c.outcome],
    )  # fmt: skip
    before, after = (only(summarise(each, options=PLAIN)) for each in (c, renamed))
    old = dict(zip(new, c.conditions, strict=True))
    assert {old[name]: score for name, score in scores(after["scale"]).items()} == pytest.approx(
        scores(before["scale"])
    )
    for name in AGREEMENT:  # which codec is named first is spelling
        assert after["agreement"][name]["value"] == pytest.approx(
            before["agreement"][name]["value"], nan_ok=True
        )


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "unit"),
    [
        ("annotators", "Bradley-Terry with annotators' reliabilities", "log-odds"),
        ("bradley-terry", "Bradley-Terry", "log-odds"),
        ("thurstone", "Thurstone Case V", "JND"),
        ("davidson", "Davidson", "log-odds"),
        ("rao-kupper", "Rao-Kupper", "log-odds"),
    ],
)
def test_the_model_is_the_one_that_is_asked_for_and_is_named_with_its_unit(model, name, unit):
    c = study(4, annotators=8)
    tied = replace(c, outcome=np.where(np.arange(len(c.outcome)) % 9, c.outcome, 0.5))
    found = only(summarise(tied, options=replace(FEW, model=model)))
    expected = (
        fit_annotators(tied) if model == "annotators" else fit_scale(tied, model=MODELS[model])
    )
    assert list(scores(found["scale"]).values()) == pytest.approx(expected.scores.tolist())
    fit = found["scale_fit"]
    assert (fit["model"], fit["unit"], fit["model_reason"]) == (name, unit, None)


@pytest.mark.parametrize(
    ("clusters", "interval"),
    [
        ("both", "robust, clustered by annotator and content"),
        ("annotator", "robust, clustered by annotator"),
        ("content", "robust, clustered by content"),
        ("neither", "Wald"),
    ],
)
def test_intervals_allow_for_the_clusters_that_are_asked_for(clusters, interval):
    c = study()
    found = only(summarise(c, options=replace(PLAIN, clusters=clusters)))
    scale = fit_scale(c)
    low, high = (
        robust(c, scale, over=CLUSTERS[clusters]) if CLUSTERS[clusters] else scale
    ).interval()
    assert [each["low"] for each in found["scale"]] == pytest.approx(low.tolist())
    assert [each["high"] for each in found["scale"]] == pytest.approx(high.tolist())
    fit = found["scale_fit"]
    assert (fit["interval"], fit["interval_reason"]) == (interval, None)


def test_another_confidence_changes_intervals_and_no_value():
    c = study(annotators=5, contents=9)
    narrow, wide = (
        only(summarise(c, options=replace(PLAIN, confidence=each))) for each in (0.8, 0.99)
    )
    assert scores(narrow["scale"]) == scores(wide["scale"])
    pairs = [
        pair
        for name in ("scale", "win_share", "pairs")
        for pair in zip(narrow[name], wide[name], strict=True)
    ]
    pairs += [
        (narrow["agreement"][name], wide["agreement"][name])
        for name in ("human_ceiling", "leave_one_out", "krippendorff_alpha", "gwet_ac1")
    ]
    pairs += [
        (narrow["scale_fit"][name], wide["scale_fit"][name])
        for name in ("side_effect", "image_variation")
    ]
    for a, b in pairs:
        assert b["low"] <= a["low"] < a["high"] < b["high"]


def test_the_seed_alone_decides_what_is_drawn():
    c = study(annotators=6, contents=8)
    first, again, other = (
        only(summarise(c, options=replace(PLAIN, seed=seed))) for seed in (1, 1, 2)
    )
    assert first == again
    ceilings = [each["agreement"]["human_ceiling"] for each in (first, other)]
    assert ceilings[0]["value"] == ceilings[1]["value"]
    assert ceilings[0]["low"] != ceilings[1]["low"]
    assert scores(first["scale"]) == scores(other["scale"])


@pytest.mark.parametrize(("by", "kind"), [("content", "contents"), ("annotator", "annotators")])
def test_the_results_of_each_image_or_annotator_are_those_of_its_judgments_alone(by, kind):
    c = study()
    found = only(summarise(c, options=replace(PLAIN, by=by)))[f"by_{by}"]
    assert tuple(group[by] for group in found) == getattr(c, kind)
    for code, group in enumerate(found):
        part = c.where(getattr(c, by) == code)
        assert group["n_judgments"] == len(part.outcome)
        assert group["win_share"] == [asdict(each) for each in win_shares(part)]
        if group["scale"]:
            expected = dict(zip(part.conditions, fit_scale(part).scores, strict=True))
            assert scores(group["scale"]) == pytest.approx(expected)
        else:
            assert "the distance is infinite" in group["scale_reason"]
    assert any(group["scale"] for group in found)


@pytest.mark.parametrize(
    "wrong", [{"model": "elo"}, {"clusters": "all"}, {"screen": "delete"}, {"by": "codec"},
              {"confidence": 95}]
)  # fmt: skip
def test_an_option_that_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Options(**wrong)


# --- what is fallen back on, and why --------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparisons", "reason"),
    [
        (study(annotators=4, contents=8), "and there are 4"),
        (study(2, annotators=6), "and there are 0"),
    ],
)
def test_too_few_annotators_for_reliabilities_give_plain_bradley_terry_and_the_reason(
    comparisons, reason
):
    found = only(summarise(comparisons, options=FEW))
    assert found["scale_fit"]["model"] == "Bradley-Terry"
    assert found["scale_fit"]["model_reason"] == (
        f"reliabilities need {FEWEST_ANNOTATORS} annotators of {FEWEST_EACH} judgments each, "
        f"{reason}"
    )
    expected = bradley_terry(comparisons.win_matrix()).scores
    assert list(scores(found["scale"]).values()) == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("annotators", "contents", "interval", "told"),
    [
        (1, 12, "robust, clustered by content", "annotator"),
        (6, 1, "robust, clustered by annotator", "source image"),
        (1, 1, "Wald", "annotator"),
    ],
)
def test_one_annotator_or_one_image_leaves_the_intervals_that_can_be_had(
    annotators, contents, interval, told
):
    circle = [("avif", "jpeg"), ("jpeg", "webp"), ("webp", "avif")]
    rows = [
        f"annotator-{k} photo-{c} 0.5 {a} {b} {'right' if (k + c + i) % 4 == 0 else 'left'}"
        for k in range(annotators)
        for c in range(contents)
        for i, (a, b) in enumerate(circle)
    ]
    if annotators == contents == 1:
        rows = [f"annotator-0 photo-0 0.5 {a} {b} left" for a, b in circle]
    found = only(summarise(table(*rows), options=PLAIN))
    assert found["scale_fit"]["interval"] == interval
    assert told in found["scale_fit"]["interval_reason"]
    assert all(each["low"] < each["score"] < each["high"] for each in found["scale"])
    if interval == "Wald":
        assert found["scale_fit"]["degrees_of_freedom"] is None
        assert sum(each["best"] for each in found["scale"]) == pytest.approx(1)


# --- gold questions -------------------------------------------------------------------------------


def test_gold_questions_are_no_part_of_results_and_tell_who_pays_attention():
    ordinary = study()
    gold = replace(
        ordinary.where(np.arange(len(ordinary.outcome)) < 20),
        outcome=np.zeros(20),
        expected=np.ones(20),
    )
    both, alone = (summarise(each, options=FEW) for each in (together(ordinary, gold), ordinary))
    assert both["strata"] == alone["strata"]
    assert both["counts"] == {
        "judgments": len(ordinary.outcome) + 20,
        "gold": 20,
        "repeats": 0,
        "left_out_by_screening": 0,
    }
    asked = {each["annotator"]: each for each in both["annotators"]}
    for k, name in enumerate(gold.annotators):
        n = int(np.sum(gold.annotator == k))
        assert asked[name]["gold_correct"] == 0.0
        assert "gold_correct" in [flag["rule"] for flag in asked[name]["flags"]] or n < 3
    for each in alone["annotators"]:
        assert (each["gold_correct"], each["reasons"]["gold_correct"]) == (
            None,
            "no gold questions",
        )


def test_a_stratum_of_gold_questions_alone_is_no_stratum_of_results():
    document = summarise(TABLES["gold alone"], options=FEW)
    assert document["strata"] == {}
    assert [each["gold_correct"] for each in document["annotators"]] == [1.0]


# --- screening ------------------------------------------------------------------------------------


def screened(comparisons: Comparisons, mode: str, rankings: Rankings | None = None) -> dict:
    return summarise(comparisons, rankings, replace(PLAIN, screen=mode))


def test_flags_are_told_with_their_number_threshold_and_source_and_nobody_is_left_out():
    everybody = clicker(study())
    flag, none = (screened(everybody, mode) for mode in ("flag", "none"))
    assert flag["strata"] == none["strata"]
    found = {each["annotator"]: each for each in flag["annotators"]}
    rules = {each["rule"]: each for each in found["clicker"]["flags"]}
    assert rules.keys() >= {"side_bias", "too_fast"}
    assert rules["side_bias"]["value"] == 0.5
    for each in rules.values():
        assert each.keys() == {"rule", "value", "threshold", "n", "why", "source"}
        assert each["why"]
        assert each["source"]
    assert not any(each["flags"] for name, each in found.items() if name != "clicker")
    assert flag["screening"]["flagged"] == ["clicker"]
    assert flag["screening"]["left_out"] == []
    assert flag["counts"]["left_out_by_screening"] == 0


def test_without_screening_nobody_has_flags_and_nothing_is_compared():
    found = screened(clicker(study()), "none")
    assert not any(each["flags"] for each in found["annotators"])
    assert found["screening"] == {
        "mode": "none",
        "rule": "gold questions failed, or two flags",
        "flagged": [],
        "left_out": [],
        "side_by_side": {},
    }


def test_whom_screening_excludes_is_out_of_results_and_still_counted_and_reported():
    crowd = study()
    everybody = clicker(crowd)
    found = screened(everybody, "exclude")
    assert found["strata"] == screened(crowd, "flag")["strata"]
    assert found["screening"]["left_out"] == ["clicker"]
    extra = len(everybody.outcome) - len(crowd.outcome)
    assert found["counts"] == {
        "judgments": len(everybody.outcome),
        "gold": 0,
        "repeats": 0,
        "left_out_by_screening": extra,
    }
    assert "clicker" in [each["annotator"] for each in found["annotators"]]
    assert found["annotators"] == screened(everybody, "flag")["annotators"]


@pytest.mark.parametrize("mode", ["flag", "exclude"])
def test_results_with_and_without_the_flagged_stand_side_by_side(mode):
    crowd = study()
    everybody = clicker(crowd)
    [sides] = screened(everybody, mode)["screening"]["side_by_side"].values()
    for name, part in (("everybody", everybody), ("without_flagged", crowd)):
        expected = only(screened(part, "none"))
        assert sides[name]["n_judgments"] == len(part.outcome)
        assert scores(sides[name]["scale"]) == pytest.approx(scores(expected["scale"]))


def test_a_stratum_that_only_the_excluded_judged_is_empty_with_the_reason():
    everybody = together(clicker(study()), table("clicker photo 1.0 avif jpeg left"))
    found = screened(everybody, "exclude")["strata"]["1.0"]
    assert found == empty_stratum()
    assert found["scale_reason"] == "there are no judgments"


# --- rankings -------------------------------------------------------------------------------------

RANKED = [
    *(("ann", f"photo-{c}", "0.5", "avif > webp > jpeg") for c in range(4)),
    *(("bob", f"photo-{c}", "0.5", "webp > avif > jpeg") for c in range(4)),
    *(("cyd", f"photo-{c}", "0.5", "avif = jpeg > webp") for c in range(4)),
]


def of_rankings(rows, **options) -> dict:
    rankings = Rankings.from_rows(rows)
    return summarise(rankings.comparisons(), rankings, replace(FEW, **options))


def test_rankings_have_first_choices_plackett_luce_scores_and_kendalls_w():
    found = only(of_rankings(RANKED))
    first = {each["condition"]: each["share"] for each in found["first_choice"]}
    # A shared first place counts half.
    assert first == pytest.approx({"avif": 6 / 12, "webp": 4 / 12, "jpeg": 2 / 12})
    expected = plackett_luce(Rankings.from_rows(RANKED))
    low, high = expected.interval()
    names = ("avif", "jpeg", "webp")
    expected_rows = zip(names, expected.scores, low, high, strict=True)
    for row, (name, *values) in zip(found["plackett_luce"], expected_rows, strict=True):
        assert row["condition"] == name
        assert [row["score"], row["low"], row["high"]] == pytest.approx(values)
    assert tuple(each["condition"] for each in found["scale"]) == names
    w = found["agreement"]["kendall_w"]
    assert 0 < w["value"] < 1
    assert (found["first_choice_reason"], found["plackett_luce_reason"]) == (None, None)


def test_of_two_codecs_plackett_luce_is_the_log_of_the_odds():
    rows = [(who, "photo", "0.5", "avif > jpeg") for who in ("ann", "bob", "cyd")]
    rows.append(("dan", "photo", "0.5", "jpeg > avif"))
    [avif, jpeg] = only(of_rankings(rows, model="bradley-terry"))["plackett_luce"]
    assert avif["score"] - jpeg["score"] == pytest.approx(math.log(3))


def test_annotators_who_rank_alike_have_a_w_of_one_and_no_scale_for_a_reason():
    rows = [(who, "photo", "0.5", "avif > webp > jpeg") for who in ("ann", "bob", "cyd")]
    found = only(of_rankings(rows))
    assert found["agreement"]["kendall_w"]["value"] == pytest.approx(1)
    assert (found["scale"], found["plackett_luce"]) == (None, None)
    for name in ("scale_reason", "plackett_luce_reason"):
        assert "avif never lost" in found[name] or "jpeg never won" in found[name]
    assert list(unexplained(found)) == []


def test_pairs_say_why_they_have_no_results_of_rankings():
    found = only(summarise(study(), options=FEW))
    for name in ("first_choice", "plackett_luce"):
        assert found[name] is None
        assert "result of rankings" in found[f"{name}_reason"]
    assert "result of rankings" in found["agreement"]["kendall_w"]["reason"]


def test_whom_screening_excludes_is_out_of_first_choices_too():
    codecs = ("avif", "webp", "jpeg", "bpg")
    turned = [" > ".join(codecs[k:] + codecs[:k]) for k in range(4)]
    careful = [
        (f"annotator-{k}", f"photo-{c}", "0.5", turned[0] if (k + c) % 5 else turned[1])
        for k in range(8)
        for c in range(12)
    ]
    contrary = [("contrary", f"photo-{c}", "0.5", " > ".join(codecs[::-1])) for c in range(12)]
    found = of_rankings(careful + contrary, screen="exclude", model="bradley-terry")
    assert found["screening"]["left_out"] == ["contrary"]
    expected = only(of_rankings(careful, model="bradley-terry"))
    for name in ("first_choice", "plackett_luce", "scale"):
        assert only(found)[name] == expected[name]


def test_repeats_count_in_the_agreement_with_oneself_and_are_no_second_votes():
    crowd = study()
    again = crowd.where(np.arange(0, len(crowd.outcome), 7))
    alone, found = summarise(crowd, options=FEW), summarise(crowd, options=FEW, repeats=again)
    assert found["counts"]["repeats"] == len(again.outcome)
    for stratum, expected in alone["strata"].items():
        got = found["strata"][stratum]
        assert got["agreement"]["repeat_agreement"]["value"] == 1.0
        del got["agreement"]["repeat_agreement"], expected["agreement"]["repeat_agreement"]
        assert got == expected
