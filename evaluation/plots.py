"""Plots of results as SVG, drawn by Vega-Lite on the server: no script and no outside host needed.

Text takes the colour of the page around it; codecs are told apart by shape as well as by colour.
"""

from functools import lru_cache
from json import dumps

import altair as alt
import vl_convert

# Okabe and Ito (2008), "Color Universal Design": told apart by the colour-blind, too; without the
# yellow and the black, which vanish on a light or a dark page.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
# On a page, its theme decides (closer.css); alone, the colours above.
SERIES = [f"var(--series-{i}, {colour})" for i, colour in enumerate(COLOURS, start=1)]
TEXT = "currentColor"


def win_share_plot(analysis: dict) -> str | None:
    """SVG: each codec's share of wins with its interval, a panel a stratum; None: no data."""
    rows = [
        {"stratum": f"{stratum} bpp", "codec": each["condition"], **each}
        for stratum, values in analysis["strata"].items()
        for each in values["win_share"]
        if each["share"] is not None
    ]
    if not rows:
        return None
    order = list(dict.fromkeys(row["stratum"] for row in rows))
    colour, shape = _codec_channels(analysis, legend=None)  # the axis names them
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    low = alt.X("low:Q", title="share of wins", scale=alt.Scale(domain=[0, 1]), axis=axis)
    base = alt.Chart().encode(
        y=alt.Y("codec:N", title=None, axis=alt.Axis(domain=False, ticks=False)), color=colour
    )
    even = alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.5, color=TEXT)
    chart = (
        even.encode(x=alt.datum(0.5))
        + base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q")
        + base.mark_point(filled=True, size=90, opacity=1).encode(x="share:Q", shape=shape)
    )
    return _svg(
        chart.properties(width=170, height=alt.Step(26), data=alt.Data(values=rows)).facet(
            column=alt.Column("stratum:N", sort=order, title=None)
        )
    )


def scale_plot(analysis: dict) -> str | None:
    """SVG: each codec's Bradley-Terry score with its interval against bpp; None: no scale."""
    rows = [
        {"bpp": float(stratum), "codec": each["condition"], **each}
        for stratum, values in analysis["strata"].items()
        for each in values["scale"] or []
    ]
    if not rows:
        return None
    ticks = sorted({row["bpp"] for row in rows})
    # Intervals of codecs at one bit rate would lie on each other: each codec is moved a little.
    codecs = _codecs(analysis)
    for row in rows:
        row["at"] = row["bpp"] * (1 + 0.025 * (codecs.index(row["codec"]) - (len(codecs) - 1) / 2))
    x = alt.X(
        "at:Q",
        title="target bit rate (bits per pixel)",
        scale=alt.Scale(type="log", nice=False, padding=24),
        axis=alt.Axis(values=ticks, format="~g", grid=False),
    )
    y = alt.Y("score:Q", title="closer to the original → (log-odds)")
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    plain, _ = _codec_channels(analysis, legend=None)
    colour, shape = _codec_channels(analysis, legend=alt.Legend(labelLimit=0))
    chart = (
        base.mark_line(strokeWidth=1, opacity=0.6).encode(y=y, color=plain)
        + base.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q", color=plain)
        + base.mark_point(filled=True, size=90, opacity=1).encode(y=y, color=colour, shape=shape)
    )
    chart = chart.resolve_legend(color="independent", shape="independent")
    return _svg(chart.properties(width=640, height=300))


def _codecs(analysis: dict) -> list[str]:
    strata = analysis["strata"].values()
    return sorted({each["condition"] for values in strata for each in values["win_share"]})


def _codec_channels(analysis: dict, *, legend: alt.Legend | None):
    """A codec has one colour and one shape in all plots of an analysis. (Equal domains, spelled
    out, are also what makes the two legends one.)"""
    codecs = _codecs(analysis)

    def scale(values: list[str]) -> alt.Scale:
        return alt.Scale(domain=codecs, range=[values[i % len(values)] for i in range(len(codecs))])

    return (
        alt.Color("codec:N", scale=scale(SERIES), title=None, legend=legend),
        alt.Shape("codec:N", scale=scale(SHAPES), title=None, legend=legend),
    )


def _svg(chart: alt.TopLevelMixin) -> str:
    text = {"labelColor": TEXT, "titleColor": TEXT, "labelFontSize": 13, "titleFontSize": 13}
    chart = (
        chart.configure(
            font="system-ui, sans-serif",
            background="transparent",
            # Text is measured here in another font than the page's: leave it room.
            padding={"left": 24, "right": 40, "top": 4, "bottom": 4},
        )
        .configure_axis(
            **text,
            titleFontWeight="normal",
            gridOpacity=0.15,
            gridColor=TEXT,
            domainColor=TEXT,
            tickColor=TEXT,
        )
        .configure_header(labelColor=TEXT, labelFontSize=14, labelFontWeight="bold")
        .configure_legend(**text, symbolStrokeWidth=0)
        .configure_view(stroke=None)
    )
    return _render(dumps(chart.to_dict(), sort_keys=True))


@lru_cache(maxsize=64)
def _render(specification: str) -> str:
    return vl_convert.vegalite_to_svg(specification)
