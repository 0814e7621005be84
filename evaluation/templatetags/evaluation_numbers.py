"""Numbers as a results page prints them."""

from base64 import b64encode

from django import template

from codecs_registry import catalogue
from evaluation import labels
from evaluation.statistics.metric_agreement import MEASURES

register = template.Library()
register.filter(labels.stratum_title)


@register.filter
def get(mapping: dict, key: str):
    return mapping[key]


@register.filter
def percent(share: float) -> str:
    return f"{share:.1%}"


@register.filter
def percent_plain(share: float) -> str:
    """As a confidence is written: 95 %, 99.5 %."""
    return f"{100 * share:.10g} %"


@register.filter
def percent_or_dash(share: float | None) -> str:
    return "–" if share is None else percent(share).replace("-", "\N{MINUS SIGN}")


@register.filter
def seconds_or_dash(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


@register.filter
def signed(score: float) -> str:
    return f"{round(score, 2) or 0:+.2f}".replace("-", "\N{MINUS SIGN}")


@register.filter
def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@register.filter
def codec_rows(stratum: dict) -> list[dict]:
    """Scale and win share of each codec side by side, the best first."""
    rows = [
        {
            **share,
            "wins": f"{round((share['share'] or 0) * share['n'], 1):.10g}",
            **_score_of(stratum["scale"], share["condition"]),
        }
        for share in stratum["win_share"]
    ]
    return sorted(rows, key=lambda row: (_last_if_none(row["score"]), _last_if_none(row["share"])))


@register.filter
def ranking_rows(stratum: dict) -> list[dict]:
    """First choices and Plackett-Luce score of each codec, the best first."""
    rows = [
        {**share, **_score_of(stratum["plackett_luce"], share["condition"])}
        for share in stratum["first_choice"]
    ]
    return sorted(rows, key=lambda row: (_last_if_none(row["score"]), _last_if_none(row["share"])))


@register.filter
def agreement_rows(agreement: dict, is_simulated: bool) -> list[dict]:
    """The measures that say something of these judgments, the human ceiling always."""
    return [
        {
            **estimate,
            "label": labels.agreement_label(name, is_simulated=is_simulated),
            "shown": _agreement_number(name, estimate["value"]),
            "interval": "[{}, {}]".format(
                *(_agreement_number(name, estimate[bound]) for bound in ("low", "high"))
            ),
        }
        for name, estimate in agreement.items()
        if estimate["value"] is not None or name == "human_ceiling"
    ]


@register.filter
def with_interval(estimate: dict) -> str:
    """As '0.52 [0.31, 0.70]'."""
    return _with_interval(estimate, signed)


@register.filter
def share_with_interval(estimate: dict) -> str:
    return _with_interval(estimate, percent)


def _with_interval(estimate: dict, shown) -> str:
    if estimate["low"] is None:
        return shown(estimate["value"])
    bounds = (shown(estimate[bound]) for bound in ("low", "high"))
    return f"{shown(estimate['value'])} [{', '.join(bounds)}]"


@register.filter
def metric_reasons(metrics: dict) -> list[str]:
    """Why correlations have no interval, each reason once."""
    estimates = (
        metric[name] for found in metrics.values() for metric in found for name in MEASURES
    )
    return _reasons_without_interval(estimates, "value")


@register.filter
def category_reasons(categories: list[dict]) -> list[str]:
    """Why shares have no interval, each reason once."""
    shares = (row for each in categories for row in each["win_share"])
    return _reasons_without_interval(shares, "share")


def _reasons_without_interval(estimates, value: str) -> list[str]:
    bare = (each for each in estimates if each[value] is not None and each["low"] is None)
    return list(dict.fromkeys(each["reason"] for each in bare))


@register.filter
def data_address(picture) -> str:
    """A source image or reconstruction as a small picture inside a file."""
    webp = catalogue.thumbnail(getattr(picture, "png", None) or picture.decoded, side=200)
    return f"data:image/webp;base64,{b64encode(webp).decode()}"


@register.filter
def interval_reasons(agreement: dict) -> list[str]:
    """Why values of agreement have no interval, each reason once."""
    return _reasons_without_interval(agreement.values(), "value")


@register.filter
def scale_about(analysis: dict) -> str:
    """What the scores are, and what their intervals hold."""
    fits = [each["scale_fit"] for each in analysis["strata"].values() if each["scale_fit"]]
    if not fits:
        return ""
    what = {
        "log-odds": "log-odds: of two codecs a distance d apart the higher is preferred with "
        "probability 1 / (1 + exp(\N{MINUS SIGN}d))",
        "JND": "just noticeable differences: of two codecs 1 apart the higher is preferred by 75 %",
    }[fits[0]["unit"]]
    robust = all(fit["interval"].startswith("robust") for fit in fits)
    how = (
        "which allow for annotators and source images that differ"
        if robust
        else "of which some take judgments as independent, as told below"
    )
    models = " or ".join(dict.fromkeys(fit["model"] for fit in fits))
    return (
        f"{models} scores in {what}. Bars are {percent_plain(analysis['confidence'])} "
        f"intervals, {how}."
    )


@register.filter
def ceiling_label(is_simulated: bool) -> str:
    return labels.agreement_label("human_ceiling", is_simulated=is_simulated)


@register.filter
def points(difference: float) -> str:
    """Percentage points with their sign."""
    return f"{round(difference, 1) or 0:+.1f}".replace("-", "\N{MINUS SIGN}")


@register.filter
def metric_rows(table: dict) -> list[dict]:
    """Each metric's score and its difference from the baseline's, the best first."""
    differences = {each["name"]: each for each in table["differences"]}
    rows = [{**each, "difference": differences.get(each["name"])} for each in table["metrics"]]
    return sorted(rows, key=lambda row: _last_if_none(row["score"]))


@register.filter
def settings_line(settings: dict) -> str:
    """Settings in a line, as 'backbone vgg16, seed 0'; those that are empty left out."""
    told = {name: value for name, value in settings.items() if value != ""}
    return ", ".join(f"{name} {value}" for name, value in sorted(told.items()))


@register.filter
def training_counts(counts: dict) -> str:
    """What a study gave to a training: 'votes on so many pairs, ...'."""
    told = []
    for kind, what in (("train", "trained on"), ("held_out", "held out")):
        if counts.get(f"{kind}_pairs"):
            votes, pairs = counts[f"{kind}_votes"], counts[f"{kind}_pairs"]
            told.append(f"{votes} votes on {pairs} pairs {what}")
    return ", ".join(told)


@register.filter
def distance_of(scores, stratum: str) -> dict:
    """Of a StudyScores: the mean distance of each codec at a bit rate."""
    return {codec: mean for codec, (mean, _) in scores.mean.get(stratum, {}).items()}


@register.filter
def distance_by(distances: dict, key) -> str:
    distance = distances.get(key)
    return "–" if distance is None else f"{distance:.3f}"


@register.filter
def groups(stratum: dict) -> list[dict]:
    """The results of each source image or annotator, where they were asked for."""
    return [
        {"kind": kind, "name": group[by], **group}
        for by, kind in (("content", "source image"), ("annotator", "annotator"))
        for group in stratum.get(f"by_{by}", [])
    ]


@register.filter
def flagged(annotators: list[dict]) -> list[dict]:
    return [each for each in annotators if each["flags"]]


@register.filter
def side_by_side(sides: dict) -> list[dict]:
    """Each codec's score with everybody's judgments, and without the flagged."""
    scales = [
        {each["condition"]: each for each in sides[name]["scale"] or []}
        for name in ("everybody", "without_flagged")
    ]
    names = dict.fromkeys(name for scale in scales for name in scale)
    return [{"condition": name, "scores": [scale.get(name) for scale in scales]} for name in names]


def _score_of(scale: list[dict] | None, condition: str) -> dict:
    found = next((each for each in scale or [] if each["condition"] == condition), {})
    return {
        "score": found.get("score"),
        "score_low": found.get("low"),
        "score_high": found.get("high"),
        "group": found.get("group"),
        "best": found.get("best"),
    }


def _agreement_number(name: str, value: float | None) -> str:
    """Shares in percent, coefficients as they are."""
    if value is None:
        return ""
    if name in ("human_ceiling", "leave_one_out", "repeat_agreement"):
        return percent(value)
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _last_if_none(value: float | None) -> float:
    return float("inf") if value is None else -value
