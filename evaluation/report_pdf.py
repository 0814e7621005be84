"""The report as PDF, set by Typst.

Everything goes to templates/evaluation/report.typ as data: what people named is a string there,
so that no name can be markup or code. Nothing is loaded from elsewhere; fonts are Typst's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import typst
from django.conf import settings

from evaluation import labels
from evaluation.citations import CITATIONS
from evaluation.labels import stratum_title
from evaluation.methods import methods
from evaluation.reports import SIMULATED_TITLE, result_plots
from evaluation.statistics.metric_agreement import MEASURES
from evaluation.templatetags import evaluation_numbers as shown

TEMPLATE = settings.BASE_DIR / "templates" / "evaluation" / "report.typ"
SIMULATED_ABOUT = (
    "Simulated judgments. Everything below was answered by simulated annotators, a program, and "
    "says nothing about what people see."
)
LONGEST_NAME = 60  # letters; longer ones would push numbers off the page
PLOT_WIDTH = 640  # of drawings, in their pixels, that is as wide as a page
ABOUT = {
    "rates": "Scores have sum zero at each bit rate: they compare codecs at one bit rate only.",
    "preferences": "How often the codec of a row was found closer than that of a column, and of "
    "how many judgments. * The pair differs significantly (exact binomial test, adjusted by Holm).",
    "win-share": "Bars are Wilson intervals, which take judgments as independent. Dashed: no "
    "preference.",
}
Part = dict[str, Any]


def report_pdf(analysis: dict, *, title: str, is_simulated: bool = False) -> bytes:
    """The report of what `analysis.analyse_study` or `analyse_file` returned."""
    return _compiled(_data(analysis, title=title, is_simulated=is_simulated), "pdf")


def report_pages(analysis: dict, *, title: str, is_simulated: bool = False) -> list[bytes]:
    """The pages of the same as PNG."""
    made = _compiled(_data(analysis, title=title, is_simulated=is_simulated), "png")
    return made if isinstance(made, list) else [made]


def _compiled(data: dict[str, Any], kind: str) -> Any:
    return typst.compile(
        TEMPLATE.read_bytes(),
        format=kind,
        ignore_system_fonts=True,
        font_paths=[],
        sys_inputs={"report": json.dumps(data, allow_nan=False)},
    )


def _data(analysis: dict, *, title: str, is_simulated: bool) -> dict[str, Any]:
    made = analysis["provenance"]
    return {
        "title": title,
        "mark": SIMULATED_TITLE.upper() if is_simulated else None,
        "mark_about": SIMULATED_ABOUT,
        "source": f"Closer {made['closer']}, judgments SHA-256 {made['judgments_sha256'][:12]}",
        "sections": list(_sections(analysis, is_simulated)),
    }


def _sections(analysis: dict, is_simulated: bool) -> Iterable[dict[str, Any]]:
    found = methods(analysis, is_simulated=is_simulated)
    yield _section("Methods", [_text(found.text)])
    for plot in result_plots(analysis, is_simulated=is_simulated):
        about = [_quiet(ABOUT[plot.name])] if plot.name in ABOUT else []
        yield _section(plot.title, [_plot(plot), *about])
    yield _section("Tables", [])
    for stratum, values in analysis["strata"].items():
        parts = list(_of_stratum(analysis, stratum, values, is_simulated))
        yield _section(stratum_title(stratum), parts, level=2)
    yield _section("Screening", list(_screening(analysis)))
    if found.cited:
        lines = sorted(CITATIONS[key].line for key in found.cited)
        yield _section("References", [_text(line) for line in lines])
    yield _section("Provenance", [_text(_provenance(analysis))])


def _of_stratum(analysis: dict, stratum: str, values: dict, is_simulated: bool) -> Iterable[Part]:
    if not values["n_judgments"]:
        yield _text("No judgments here yet.")
        return
    kind = "simulated " if is_simulated else ""
    who = values["n_annotators"]
    yield _text(
        f"{values['n_judgments']} {kind}judgments by "
        f"{'an unknown number of' if who is None else who} {kind}annotators on "
        f"{values['n_contents']} source images."
    )
    for each in values.get("missed") or []:
        yield _text(
            f"{each['condition']} missed {stratum} bpp in {each['n']} of {each['of']}: "
            f"{each['lowest_bpp']:.3f} to {each['highest_bpp']:.3f} bpp."
        )
    yield _codecs(values, analysis["confidence"])
    if values["scale_reason"]:
        yield _quiet(f"No scale: {values['scale_reason']}.")
    if values["first_choice"]:
        yield _table(
            "First choices",
            ["Codec", "First", "Interval", "n"],
            (
                [each["condition"], *_share_cells(each, "share"), str(each["n"])]
                for each in values["first_choice"]
            ),
        )
    yield _table(
        "Agreement",
        ["Measure", "Value", "Interval", "n"],
        (
            [
                row["label"],
                row["shown"] or "–",
                "–" if row["low"] is None else row["interval"],
                str(row["n"]),
            ]
            for row in shown.agreement_rows(values["agreement"], is_simulated)
        ),
    )
    for name, each in values["agreement"].items():
        if each["value"] is None and name == "human_ceiling":
            label = labels.agreement_label(name, is_simulated=is_simulated)
            yield _quiet(f"{label}: {each['reason']}.")
    for reason in shown.interval_reasons(values["agreement"]):
        yield _quiet(f"No interval: {reason}.")
    yield _table(
        "Pairs: how often the first was preferred; p of the exact binomial test, adjusted by Holm",
        ["Pair", "n", "Preferred", "Interval", "p"],
        (
            [
                f"{_short(pair['a'])} over {_short(pair['b'])}",
                str(pair["n"]),
                *_share_cells(pair, "a_preferred"),
                shown.p_value(pair["p_adjusted"]) if pair["n"] else pair["reason"],
            ]
            for pair in values["pairs"]
        ),
    )
    if metrics := analysis.get("metrics", {}).get(stratum, []):
        yield _table(
            "Metrics on the pairs that were judged",
            ["Metric", "Pairs", "Pearson", "Spearman", "Kendall", "2AFC score"],
            (
                [
                    each["label"],
                    str(each["n_pairs"]),
                    *(
                        "–"
                        if each[name]["value"] is None
                        else shown.share_with_interval(each[name])
                        if name == "two_afc"
                        else shown.with_interval(each[name])
                        for name in MEASURES
                    ),
                ]
                for each in metrics
            ),
        )
        reasons = (
            each[name]["reason"] for each in metrics for name in MEASURES if each[name]["reason"]
        )
        for reason in dict.fromkeys(reasons):
            yield _quiet(f"No value or interval: {reason}.")


def _codecs(values: dict, confidence: float) -> Part:
    rows = []
    for row in shown.codec_rows(values):
        score = ["–", "–", "–"]
        if row["score"] is not None:
            bounds = f"[{shown.signed(row['score_low'])}, {shown.signed(row['score_high'])}]"
            score = [shown.signed(row["score"]), bounds, row["group"]]
        rows.append([row["condition"], *score, *_share_cells(row, "share"), str(row["n"])])
    return _table(
        f"Codecs, with {shown.percent_plain(confidence)} intervals",
        ["Codec", "Score", "Interval", "Group", "Wins", "Interval", "n"],
        rows,
    )


def _screening(analysis: dict) -> Iterable[Part]:
    screening, n = analysis["screening"], len(analysis["annotators"])
    if screening["mode"] == "none":
        yield _text("Screening was not asked for.")
        return
    if not n:
        yield _text("Nobody has judged yet.")
        return
    flagged = screening["left_out"] or screening["flagged"]
    done = "left out of everything above" if screening["left_out"] else "flagged, none left out"
    yield _text(f"{len(flagged)} of {n} annotators {done} ({screening['rule']}).")
    for stratum, sides in screening["side_by_side"].items():
        yield _table(
            f"{stratum_title(stratum)}: scores of everybody, and without the flagged",
            ["Codec", "Everybody", "Interval", "Without", "Interval"],
            (
                [row["condition"]]
                + [
                    cell
                    for score in row["scores"]
                    for cell in (
                        [
                            shown.signed(score["score"]),
                            f"[{shown.signed(score['low'])}, {shown.signed(score['high'])}]",
                        ]
                        if score
                        else ["–", "–"]
                    )
                ]
                for row in shown.side_by_side(sides)
            ),
        )


def _provenance(analysis: dict) -> str:
    made = analysis["provenance"]
    commit = f" ({made['commit']})" if made["commit"] else ""
    return (
        f"Made by Closer {made['closer']}{commit}, Python {made['python']}, NumPy "
        f"{made['libraries']['numpy']}, SciPy {made['libraries']['scipy']}, from "
        f"{analysis['counts']['judgments']} judgments with SHA-256 {made['judgments_sha256']}; "
        f"bootstraps of {made['resamples']} resamples with seed {made['bootstrap_seed']}."
    )


def _section(title: str, parts: list[Part], *, level: int = 1) -> dict[str, Any]:
    return {"title": title, "level": level, "parts": parts}


def _text(text: str) -> Part:
    return {"kind": "text", "text": text}


def _quiet(text: str) -> Part:
    return {"kind": "quiet", "text": text}


def _plot(plot) -> Part:
    svg = plot.svg_file()
    wide = float(svg.split('width="', 1)[1].split('"', 1)[0])
    return {
        "kind": "plot",
        "title": plot.title,
        "svg": svg,
        "width": min(100, round(100 * wide / PLOT_WIDTH)),
    }


def _table(title: str, head: list[str], rows: Iterable[list[str]]) -> Part:
    cells = [[_short(cell) for cell in row] for row in rows]
    return {"kind": "table", "title": title, "head": head, "rows": cells}


def _share_cells(row: dict, value: str) -> list[str]:
    if row[value] is None:
        return ["–", "–"]
    if row["low"] is None:
        return [shown.percent(row[value]), "–"]
    bounds = f"[{shown.percent(row['low'])}, {shown.percent(row['high'])}]"
    return [shown.percent(row[value]), bounds]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
