"""Plots of a study's results, in the look of `codecs_registry.plots`. Every number that they show
is of the document that `analyse --json` prints."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict, dataclass
from json import dumps, loads
from typing import Any

import altair as alt
import vl_convert

from codecs_registry.plots import TEXT, codec_channels, drawn, specified
from evaluation.labels import stratum_title

MOST_IMAGES = 40
CHOSEN = "codec_chosen"
ROWS = "rows"
NAMES = ("rates", "scale", "preferences", "win-share", "first-choice", "images", "metrics")
_PAPER, _INK = "#ffffff", "#1c1d1f"
_CELL, _PANELS_WIDE = 54, 900  # pixels
_DODGE = 1.035
"""Codecs of one bit rate are set side by side, each so many times further along than the last."""
_SHARES = alt.Axis(format="%", values=[0, 0.5, 1])


@dataclass(frozen=True)
class Plot:
    """name : in addresses and file names.   rows : what is plotted, a dict of plain values each.
    svg : for a page, in the page's colours."""

    name: str
    title: str
    specification: dict[str, Any]
    rows: list[dict[str, Any]]
    kept_svg: str = ""

    @property
    def svg(self) -> str:
        return self.kept_svg or drawn(self.specification)

    def kept(self) -> dict[str, Any]:
        """Plain values that make the same plot, drawn already: Plot(**kept)."""
        return {**asdict(self), "kept_svg": self.svg}

    @property
    def alone(self) -> dict[str, Any]:
        """The specification with colours of its own, dark on white, for files that stand alone."""
        text = dumps(self.specification)
        text = re.sub(r"var\(--series-\d, (#[0-9a-f]{6})\)", r"\1", text)
        return loads(text.replace(f'"{TEXT}"', f'"{_INK}"').replace('"transparent"', f'"{_PAPER}"'))

    def svg_file(self) -> str:
        return drawn(self.alone)

    def png_file(self) -> bytes:
        return vl_convert.svg_to_png(self.svg_file(), scale=2)

    def csv_file(self) -> str:
        """The plotted data."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in self.rows for key in row)))
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def all_plots(analysis: dict, *, title: str = "") -> list[Plot]:
    """Those that there is something to draw in.

    What must not be lost when a picture is cut out, such as who judged, goes into its title.
    """
    return [plot for name in NAMES if (plot := plot_named(name, analysis, title=title))]


def plot_named(name: str, analysis: dict, *, title: str = "") -> Plot | None:
    """One of NAMES; None: there is nothing to draw in it. Raises KeyError for another name."""
    drawings = {
        "rates": rates_plot,
        "scale": scale_plot,
        "preferences": preference_plot,
        "win-share": win_share_plot,
        "first-choice": first_choice_plot,
        "images": images_plot,
        "metrics": metrics_plot,
    }
    return drawings[name](analysis, title=title)


def rates_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Each codec's score over the bit rate; None: fewer than two bit rates have a scale."""
    codecs = _codecs(analysis)
    rates = {
        (stratum, each["condition"]): each["mean"]
        for stratum, found in analysis.get("rates", {}).items()
        for each in found
    }
    rows = [
        {
            "codec": each["condition"],
            "rate": stratum_title(stratum),
            "target_bpp": _number(stratum),
            "mean_bpp": rates.get((stratum, each["condition"])),
            **{name: each[name] for name in ("score", "low", "high", "group")},
            "n_judgments": values["n_judgments"],
            "unit": values["scale_fit"]["unit"],
        }
        for stratum, values in analysis["strata"].items()
        if _number(stratum) is not None
        for each in values["scale"] or []
    ]
    targets = sorted({row["target_bpp"] for row in rows})
    if len(targets) < 2:
        return None
    middle = (len(codecs) - 1) / 2
    placed = [
        row
        | _told(row)
        | {"place": row["target_bpp"] * _DODGE ** (codecs.index(row["codec"]) - middle)}
        for row in rows
    ]
    margin = 1.1 * _DODGE**middle
    x = alt.X(
        "place:Q",
        title="bit rate (bits per pixel)",
        scale=alt.Scale(type="log", domain=[targets[0] / margin, targets[-1] * margin], nice=False),
        axis=alt.Axis(
            values=targets,
            labelExpr="datum.value % 1 ? format(datum.value, '~g') : format(datum.value, '.1f')",
        ),
    )
    y = alt.Y("score:Q", title=f"closer to the original → ({rows[0]['unit']})")
    legend = alt.Legend(symbolSize=90)
    colour, shape = codec_channels(codecs, legend=legend)
    base = alt.Chart(alt.NamedData(ROWS)).encode(x=x, color=colour, opacity=_highlit())
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(**_DASHED).encode(y=alt.datum(0))
    chart = (
        zero
        + base.mark_line(strokeWidth=2).encode(y=y)
        + base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q")
        + base.mark_point(filled=True, size=90).encode(
            y=y,
            shape=shape,
            tooltip=_tooltip("codec", "score", "interval", "rate", "mean of actual", "group"),
        )
    )
    chart = chart.properties(width=800, height=360)
    return _plot("rates", "Codecs across bit rates", chart, rows, {ROWS: placed}, title)


def scale_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Each codec's score with its interval and group, a panel a stratum; None: no scale."""
    rows = [
        {"stratum": stratum, "codec": each["condition"], **_without(each, "condition")}
        for stratum, values in analysis["strata"].items()
        for each in values["scale"] or []
    ]
    if not rows:
        return None
    fits = [each["scale_fit"] for each in analysis["strata"].values() if each["scale_fit"]]
    # Panels side by side have no room for more.
    what = "closer to the original →" if len(fits) == 1 else "closer →"
    x = alt.X("score:Q", title=f"{what} ({fits[0]['unit']})")
    letters = (
        alt.Chart()
        .mark_text(dx=6, align="left", fontSize=11, color=TEXT)
        .encode(x="high:Q", y=_codec_axis(analysis), text="group:N")
    )
    layers = _intervals(analysis, x, "score", "score", "interval", "group") + letters
    return _by_stratum("scale", "Scale", layers, analysis, rows, rows, title)


def win_share_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Each codec's share of wins with its interval, a panel a stratum; None: no data."""
    return _share_plot(analysis, "win_share", "share of wins", "Share of wins", title)


def first_choice_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Of rankings, how often each codec was put first, a panel a stratum; None: no rankings."""
    return _share_plot(analysis, "first_choice", "share of first places", "First choices", title)


def preference_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """How often the codec of a row was preferred to that of a column, a panel a stratum, with the
    number of judgments, and a star where the pair differs significantly; None: no judgments."""
    level = 1 - analysis["confidence"]
    rows = [
        row
        for stratum, values in analysis["strata"].items()
        for pair in values["pairs"]
        if pair["n"]
        for row in _both_ways(stratum, pair, level)
    ]
    if not rows:
        return None
    cells = [row | {"cell": _cell_text(row)} for row in rows]
    order = _order(analysis)
    axis = {"domain": False, "ticks": False}
    base = alt.Chart().encode(
        x=alt.X(
            "over:N",
            title="… than this one",
            sort=order,
            axis=alt.Axis(orient="top", labelAngle=-40, **axis),
        ),
        y=alt.Y(
            "codec:N",
            title="this one is closer …",
            sort=order,
            # Names are wider in some fonts than in the one that is measured.
            axis=alt.Axis(titlePadding=24, **axis),
        ),
    )
    strong = abs(alt.datum.share - 0.5) > 0.3
    chart = base.mark_rect(stroke=_PAPER, strokeWidth=1).encode(
        color=alt.Color(
            "share:Q", scale=alt.Scale(scheme="purpleorange", domain=[1, 0]), legend=None
        ),
        tooltip=_tooltip("codec", "over", "preferred", "interval", "judgments", "p, adjusted"),
    ) + base.mark_text(fontSize=12, dy=-7, lineBreak="\n").encode(
        text="cell:N", color=alt.condition(strong, alt.value(_PAPER), alt.value(_INK))
    )
    side = _CELL * len(order)
    chart = chart.properties(width=side, height=0.75 * side)
    return _by_stratum(
        "preferences", "Preferences", chart, analysis, rows, cells, title, each_wide=side + 110
    )


def images_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Each codec's share of wins on each source image, a panel a stratum; None: no judgments.

    Of more than MOST_IMAGES, those are drawn on which shares are furthest from those over all.
    """
    rows = [
        {"stratum": stratum, "image": each["image"], "codec": share["condition"]}
        | _without(share, "condition", "reason")
        for stratum, values in analysis["strata"].items()
        for each in values["images"]
        for share in each["win_share"]
        if share["n"]
    ]
    if not rows:
        return None
    images = sorted({row["image"] for row in rows})
    if len(images) > MOST_IMAGES:
        images = _most_unusual(analysis, rows)
    chosen = set(images)
    shown = [row for row in rows if row["image"] in chosen]
    base = alt.Chart().encode(
        x=alt.X(
            "codec:N",
            title=None,
            sort=_order(analysis),
            axis=alt.Axis(orient="top", labelAngle=-40, domain=False, ticks=False),
        ),
        y=alt.Y(
            "image:N",
            title=None,
            sort=images,
            axis=alt.Axis(domain=False, ticks=False, labelLimit=180),
        ),
    )
    chart = base.mark_rect(stroke=_PAPER, strokeWidth=1).encode(
        color=alt.Color(
            "share:Q",
            title="share of wins",
            scale=alt.Scale(scheme="purpleorange", domain=[1, 0]),
            legend=None,
        ),
        tooltip=_tooltip("image", "codec", "share of wins", "interval", "judgments"),
    ) + base.mark_text(fontSize=11).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition(abs(alt.datum.share - 0.5) > 0.3, alt.value(_PAPER), alt.value(_INK)),
    )
    width = 44 * len(_order(analysis))
    chart = chart.properties(width=width, height=alt.Step(20))
    about = "Shares of wins on each source image"
    return _by_stratum("images", about, chart, analysis, rows, shown, title, each_wide=width + 60)


def metrics_plot(analysis: dict, *, title: str = "") -> Plot | None:
    """Each codec's score beside the mean of each metric, a row a metric and a panel a stratum;
    None: nothing to draw."""
    labels = {
        each["name"]: each["label"]
        for found in analysis.get("metrics", {}).values()
        for each in found
    }
    rows = [
        {
            "metric": labels[metric["name"]],
            "stratum": stratum,
            "codec": each["condition"],
            "metric_mean": value["mean"],
            "n_images": value["n"],
            **{name: each[name] for name in ("score", "low", "high")},
        }
        for stratum, found in analysis.get("metrics", {}).items()
        for metric in found
        for value in metric["by_codec"]
        for each in analysis["strata"][stratum]["scale"] or []
        if each["condition"] == value["condition"] and value["mean"] is not None
    ]
    if not rows:
        return None
    colour, shape = codec_channels(_codecs(analysis), legend=alt.Legend(symbolSize=90))
    strata = list(dict.fromkeys(row["stratum"] for row in rows))
    panels = []
    datasets = {}
    for label in dict.fromkeys(row["metric"] for row in rows):
        shown = [
            row | _told(row) | {"panel": stratum_title(row["stratum"])}
            for row in rows
            if row["metric"] == label
        ]
        datasets[name := f"{ROWS}-{len(datasets)}"] = shown
        x = alt.X(
            "metric_mean:Q",
            title=label,
            scale=alt.Scale(zero=False),
            axis=alt.Axis(tickCount=3, labelOverlap="greedy", labelSeparation=8),
        )
        y = alt.Y("score:Q", title="score")
        base = alt.Chart().encode(x=x, color=colour, opacity=_highlit())
        points = base.mark_rule(strokeWidth=1.5).encode(
            y=alt.Y("low:Q"), y2="high:Q"
        ) + base.mark_point(filled=True, size=90).encode(
            y=y,
            shape=shape,
            tooltip=_tooltip("codec", "at", "score", "interval", "mean of the metric"),
        )
        panels.append(
            points.properties(
                width=max(150, 640 // len(strata)), height=150, data=alt.NamedData(name)
            )
            .facet(
                column=alt.Column(
                    "panel:N", title=None, sort=[stratum_title(stratum) for stratum in strata]
                )
            )
            .resolve_scale(x="independent")
        )
    return _plot("metrics", "Metrics beside people", alt.vconcat(*panels), rows, datasets, title)


_DASHED: dict[str, Any] = {"strokeDash": [3, 3], "opacity": 0.5, "color": TEXT, "aria": False}


def _plot(
    name: str,
    about: str,
    chart: alt.TopLevelMixin,
    rows: list[dict],
    datasets: dict[str, list[dict]],
    title: str,
) -> Plot:
    specification = specified(chart, title, datasets=datasets)
    # What is pointed at, or chosen, on a page with a script: static/evaluation/results.js.
    specification["params"] = [{"name": CHOSEN, "value": None}]
    return Plot(name, about, specification, rows)


def _share_plot(analysis: dict, key: str, axis: str, about: str, title: str) -> Plot | None:
    rows = [
        {"stratum": stratum, "codec": each["condition"], **_without(each, "condition", "reason")}
        for stratum, values in analysis["strata"].items()
        for each in values[key] or []
        if each["share"] is not None
    ]
    if not rows:
        return None
    x = alt.X("share:Q", title=axis, scale=alt.Scale(domain=[0, 1]), axis=_SHARES)
    even = alt.Chart().mark_rule(**_DASHED).encode(x=alt.datum(0.5))
    layers = _intervals(analysis, x, "share", "share", "interval", "judgments")
    chart = layers if key == "first_choice" else even + layers
    return _by_stratum(key.replace("_", "-"), about, chart, analysis, rows, rows, title)


def _intervals(analysis: dict, x: alt.X, value: str, *told: str) -> alt.LayerChart:
    colour, shape = codec_channels(_codecs(analysis), legend=None)  # the axis names them
    base = alt.Chart().encode(y=_codec_axis(analysis), color=colour, opacity=_highlit())
    low = x.copy()
    low.shorthand = "low:Q"
    return base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q") + base.mark_point(
        filled=True, size=90
    ).encode(x=f"{value}:Q", shape=shape, tooltip=_tooltip("codec", *told))


def _highlit() -> alt.OpacityValue:
    """Faint, where another codec is pointed at."""
    chosen = f"{CHOSEN} == null || datum.codec == {CHOSEN}"
    return alt.condition(chosen, alt.value(1), alt.value(0.15))


def _by_stratum(
    name: str,
    about: str,
    chart: alt.TopLevelMixin,
    analysis: dict,
    rows: list[dict],
    shown: list[dict],
    title: str,
    *,
    each_wide: int | None = None,
) -> Plot:
    """A plot with a panel a stratum, in the order of the analysis.

    rows : what is plotted.   shown : those of them that are drawn, as they are drawn.
    each_wide : of panels, in pixels; None gives the panels one row of a common width.
    """
    panels = {
        stratum: f"{stratum_title(stratum)}{' (missed)' if values.get('missed') else ''}"
        for stratum, values in analysis["strata"].items()
    }
    there = {row["stratum"] for row in shown}
    order = [panel for stratum, panel in panels.items() if stratum in there]
    data = [row | _told(row) | {"panel": panels[row["stratum"]]} for row in shown]
    if each_wide is None:
        width = max(190, 420 // len(order))
        chart = chart.properties(width=width, height=alt.Step(26))
        columns = len(order)
    else:
        rows_of_panels = -(-len(order) * each_wide // _PANELS_WIDE)
        columns = -(-len(order) // rows_of_panels)
    chart = chart.properties(data=alt.NamedData(ROWS))
    header = alt.Header(labelOrient="top")
    if columns >= len(order):  # panels that share an axis
        facets = chart.facet(column=alt.Column("panel:N", sort=order, title=None, header=header))
    else:
        facet = alt.Facet("panel:N", sort=order, title=None, header=header)
        facets = chart.facet(facet=facet, columns=columns)
    return _plot(name, about, facets, rows, {ROWS: data}, title)


def _told(row: dict) -> dict[str, str]:
    """What a pointed-at mark says, as people read it."""
    told = {}
    if "score" in row:
        told["score_told"] = _signed(row["score"])
        told["interval_told"] = f"{_signed(row['low'])} to {_signed(row['high'])}"
    if "share" in row:
        told["share_told"] = f"{row['share']:.1%}"
        told["interval_told"] = (
            "none" if row["low"] is None else f"{row['low']:.1%} to {row['high']:.1%}"
        )
    if row.get("mean_bpp") is not None:
        told["mean_bpp_told"] = f"{row['mean_bpp']:.3f}"
    if "p_adjusted" in row:
        told["p_told"] = "< 0.001" if row["p_adjusted"] < 0.001 else f"{row['p_adjusted']:.3f}"
    return told


_FIELDS = {
    "codec": "codec:N",
    "over": "over:N",
    "image": "image:N",
    "score": "score_told:N",
    "share": "share_told:N",
    "share of wins": "share_told:N",
    "preferred": "share_told:N",
    "interval": "interval_told:N",
    "group": "group:N",
    "judgments": "n:Q",
    "rate": "rate:N",
    "mean of actual": "mean_bpp_told:N",
    "mean of the metric": "metric_mean:Q",
    "at": "panel:N",
    "p, adjusted": "p_told:N",
}


def _tooltip(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(_FIELDS[name], title=name) for name in names]


def _both_ways(stratum: str, pair: dict, level: float) -> list[dict]:
    """A pair as two cells: a over b, and b over a."""
    about = {
        "n": pair["n"],
        "p_adjusted": pair["p_adjusted"],
        "significant": pair["p_adjusted"] < level,
    }
    share, low, high = (pair[name] for name in ("a_preferred", "low", "high"))
    return [
        {"stratum": stratum, "codec": pair["a"], "over": pair["b"]}
        | {"share": share, "low": low, "high": high, **about},
        {"stratum": stratum, "codec": pair["b"], "over": pair["a"]}
        | {"share": 1 - share, "low": 1 - high, "high": 1 - low, **about},
    ]


def _cell_text(row: dict) -> str:
    return f"{row['share']:.0%}{' *' if row['significant'] else ''}\nn {row['n']}"


def _most_unusual(analysis: dict, rows: list[dict]) -> list[str]:
    overall = {
        (stratum, each["condition"]): each["share"]
        for stratum, values in analysis["strata"].items()
        for each in values["win_share"]
    }
    apart: dict[str, float] = {}
    for row in rows:
        gap = (row["share"] - overall[row["stratum"], row["codec"]]) ** 2 * row["n"]
        apart[row["image"]] = apart.get(row["image"], 0.0) + gap
    return sorted(sorted(apart, key=lambda image: (-apart[image], image))[:MOST_IMAGES])


def _codec_axis(analysis: dict) -> alt.Y:
    axis = alt.Axis(domain=False, ticks=False)
    return alt.Y("codec:N", title=None, sort=_order(analysis), axis=axis)


def _order(analysis: dict) -> list[str]:
    """The best on top, by the mean of what scores there are."""
    scores: dict[str, list[float]] = {name: [] for name in _codecs(analysis)}
    for values in analysis["strata"].values():
        for each in values["scale"] or []:
            scores[each["condition"]].append(each["score"])
        if not values["scale"]:
            for each in values["win_share"]:
                if each["share"] is not None:
                    scores[each["condition"]].append(each["share"] - 0.5)
    return sorted(scores, key=lambda name: -sum(scores[name]) / max(len(scores[name]), 1))


def _codecs(analysis: dict) -> list[str]:
    strata = analysis["strata"].values()
    return sorted({each["condition"] for values in strata for each in values["win_share"]})


def _number(stratum: str) -> float | None:
    """The bit rate that a stratum is, if it is one."""
    try:
        value = float(stratum)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _signed(score: float) -> str:
    return f"{round(score, 2) or 0:+.2f}".replace("-", "\N{MINUS SIGN}")


def _without(row: dict, *names: str) -> dict:
    return {key: value for key, value in row.items() if key not in names}
