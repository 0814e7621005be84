"""How results were reached, as a paragraph to paste into a paper, with the works that it cites.

Every number in it is of the document that `analyse --json` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from evaluation.citations import CITATIONS, bibtex
from evaluation.labels import stratum_title
from evaluation.populations import PILOT

MODELS = {
    "Bradley-Terry": "bradley1952",
    "Thurstone Case V": "thurstone1927",
    "Davidson": "davidson1970",
    "Rao-Kupper": "rao1967",
}
RELIABILITIES = " with annotators' reliabilities"
CLUSTERED = "robust, clustered by "


@dataclass
class Methods:
    """sentences : of the paragraph, in order.   cited : keys of evaluation.citations."""

    sentences: list[str] = field(default_factory=list)
    cited: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    @property
    def bibtex(self) -> str:
        return bibtex(self.cited) if self.cited else ""

    def cite(self, *keys: str) -> str:
        """As '(Holm 1979; Piepho 2004)', in the order of years."""
        self.cited += [key for key in keys if key not in self.cited]
        return f"({'; '.join(CITATIONS[key].short for key in keys)})"


def methods(analysis: dict[str, Any], *, is_simulated: bool = False) -> Methods:
    """The methods of what `analysis.analyse_study` or `analyse_file` returned."""
    found = Methods()
    judged = {name: each for name, each in analysis["strata"].items() if each["n_judgments"]}
    if any(each["n_judgments"] is None for each in analysis["strata"].values()):
        found.sentences.append(
            "The file holds shares of votes without their number, so there is no method to tell "
            "beyond the shares themselves."
        )
        return found
    if not judged:
        found.sentences.append("Nothing was judged yet, so there is no method to tell.")
        return found
    for part in (_asked, _scaled, _compared, _agreed, _beside, _screened, _made):
        found.sentences += part(found, analysis, judged, is_simulated)
    return found


Judged = dict[str, dict[str, Any]]


def _asked(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    codecs = _codecs(judged)
    ranked = any(each["first_choice"] for each in judged.values())
    n = None if analysis.get("annotators_reason") else len(analysis["annotators"])
    who = _counted(n, f"{'simulated ' if is_simulated else ''}annotator")
    if is_simulated:
        yield (
            "The judgments are simulated: a program gave them, and they say nothing about what "
            "people see."
        )
    if analysis["provenance"].get("population") == PILOT:
        yield "The judgments are those of a pilot, which is kept apart from the study."
    yield (
        f"{_counted(len(codecs), 'codec')} ({_listed(codecs)}) "
        f"{'was' if len(codecs) == 1 else 'were'} compared at "
        f"{_listed(stratum_title(name) for name in judged)}, each bit rate apart."
    )
    asked = (
        "ranked reconstructions from the closest to the original to the farthest"
        if ranked
        else "said in a two-alternative forced choice which of two reconstructions is closer to "
        "the original"
    )
    what = "rankings" if ranked else "judgments"
    counts = analysis["counts"]
    extra = [
        text
        for n, text in (
            (counts["gold"], "to questions whose answer is known"),
            (counts["repeats"], "repeats of a question"),
        )
        if n
        for text in [f"{n} {text}"]
    ]
    yield (
        f"{who[0].upper()}{who[1:]} {asked}: "
        f"{counts['judgments']} {'pairwise ' if ranked else ''}judgments in all"
        f"{f', of which {_listed(extra)}' if extra else ''}; "
        + "; ".join(
            f"at {stratum_title(name)} {each['n_judgments']} {what} "
            f"by {_counted(each['n_annotators'], 'annotator')} on "
            f"{_counted(each['n_contents'], 'source image')}"
            for name, each in judged.items()
        )
        + "."
    )


def _scaled(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    fits = {name: each["scale_fit"] for name, each in judged.items() if each["scale_fit"]}
    without = {name: each["scale_reason"] for name, each in judged.items() if not each["scale_fit"]}
    for model, names in _grouped(fits, "model"):
        plain = model.removesuffix(RELIABILITIES)
        keys = [MODELS[plain]]
        about = ""
        if model != plain:
            keys.append("chen2013")
            about = " in which each annotator has a reliability and a side bias"
        unit = fits[names[0]]["unit"]
        yield (
            f"Scores {_at(names, judged)}are those of the {plain} model{about} "
            f"{found.cite(*keys)}, in {unit}, with sum zero at each bit rate, so that scores of "
            "different bit rates are not comparable."
        )
    for interval, names in _grouped(fits, "interval"):
        level = f"{100 * analysis['confidence']:.10g} %"
        if interval.startswith(CLUSTERED):
            over = interval.removeprefix(CLUSTERED).replace("content", "source image")
            keys = ["liang1986", "cameron2011"] if " and " in over else ["liang1986"]
            yield (
                f"Their {level} intervals {_at(names, judged)}are robust to dependence among "
                f"judgments of one {over.replace(' and ', ' and of one ')} {found.cite(*keys)}."
            )
        else:
            yield (
                f"Their {level} intervals {_at(names, judged)}are Wald's, which take judgments as "
                "independent."
            )
    for name, reason in without.items():
        yield f"There is no scale at {stratum_title(name)}: {reason}."
    if any(each["plackett_luce"] for each in judged.values()):
        yield (
            "Beside it stand first choices, and scores of the Plackett-Luce model "
            f"{found.cite('plackett1975')}."
        )


def _compared(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    level = f"{1 - analysis['confidence']:.10g}"
    if any(each["scale_fit"] for each in judged.values()):
        yield (
            "Differences of scores were tested for all pairs of codecs of a bit rate, adjusted by "
            f"Holm {found.cite('holm1979')}, at the level {level}; codecs that share a letter "
            f"{found.cite('piepho2004')} do not differ significantly."
        )
    yield (
        "Preferences of single pairs have Wilson's intervals "
        f"{found.cite('wilson1927')} and exact binomial tests, adjusted by Holm "
        f"{found.cite('holm1979')}, both of which take judgments as independent."
    )


def _agreed(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    for name, what, key in (
        (
            "human_ceiling",
            "The human ceiling, how often two annotators agree on a pair,"
            if not is_simulated
            else "How often two simulated annotators agree on a pair",
            "zhang2018",
        ),
        ("krippendorff_alpha", "Krippendorff's alpha", "krippendorff2011"),
        ("kendall_w", "Kendall's W", "kendall1939"),
    ):
        values = [
            f"{_estimate(each['agreement'][name])} at {stratum_title(stratum)}"
            for stratum, each in judged.items()
            if each["agreement"][name]["value"] is not None
        ]
        if values:
            yield f"{what} {found.cite(key)} was {_listed(values)}."
    boots = [
        each["agreement"][name]
        for each in judged.values()
        for name in each["agreement"]
        if each["agreement"][name]["low"] is not None
    ]
    if boots:
        yield (
            "Intervals of agreement are percentiles of a bootstrap over source images "
            f"{found.cite('efron1993')}."
        )


def _beside(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    names = dict.fromkeys(
        metric["label"]
        for name in judged
        for metric in analysis.get("metrics", {}).get(name, [])
        if metric["n_pairs"]
    )
    if names:
        yield (
            f"{_listed(names)} {'was' if len(names) == 1 else 'were'} compared with annotators on "
            "the pairs that were judged, each pair taken both ways, by Pearson's, Spearman's "
            f"{found.cite('spearman1904')} and Kendall's tau-b {found.cite('kendall1945')} "
            f"correlation and by the 2AFC score {found.cite('zhang2018')}."
        )


def _screened(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    screening = analysis["screening"]
    if screening["mode"] == "none":
        yield "Annotators were not screened."
    elif screening["left_out"]:
        n = analysis["counts"]["left_out_by_screening"]
        yield (
            f"Screening ({screening['rule']}) left out {len(screening['left_out'])} of "
            f"{_counted(len(analysis['annotators']), 'annotator')}, with {n} judgments."
        )
    else:
        yield (
            f"Screening ({screening['rule']}) flagged {len(screening['flagged'])} of "
            f"{_counted(len(analysis['annotators']), 'annotator')}; no judgment was left out."
        )


def _made(found: Methods, analysis: dict, judged: Judged, is_simulated: bool) -> Iterator[str]:
    made = analysis["provenance"]
    libraries = made["libraries"]
    yield (
        f"All was computed by Closer {made['closer']}"
        f"{' (' + made['commit'][:12] + ')' if made['commit'] else ''} with NumPy "
        f"{libraries['numpy']} and SciPy {libraries['scipy']}, bootstraps of {made['resamples']} "
        f"resamples with seed {made['bootstrap_seed']}, from judgments with SHA-256 "
        f"{made['judgments_sha256'][:12]}."
    )


def _codecs(judged: Judged) -> list[str]:
    names = (each["condition"] for values in judged.values() for each in values["win_share"])
    return sorted(dict.fromkeys(names))


def _grouped(fits: dict[str, dict], key: str) -> list[tuple[str, list[str]]]:
    """The strata of each value, in order."""
    found: dict[str, list[str]] = {}
    for name, fit in fits.items():
        found.setdefault(fit[key], []).append(name)
    return list(found.items())


def _at(names: list[str], judged: Judged) -> str:
    """'' where it holds for all, or 'at 0.23 bpp '."""
    return "" if len(names) == len(judged) else f"at {_listed(stratum_title(n) for n in names)} "


def _estimate(estimate: dict) -> str:
    value = _decimal(estimate["value"])
    if estimate["low"] is None:
        return value
    return f"{value} [{_decimal(estimate['low'])}, {_decimal(estimate['high'])}]"


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _counted(n: int | None, noun: str) -> str:
    return f"{'an unknown number of' if n is None else n} {noun}{'' if n == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    *first, last = list(names)
    return f"{', '.join(first)} and {last}" if first else last
