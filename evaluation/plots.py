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


def win_share_plot(analysis: dict, *, title: str = "") -> str | None:
    """SVG: each codec's share of wins with its interval, a panel a stratum; None: no data.

    What must not be lost when the picture is cut out, such as who judged, goes into its title.
    """
    rows = [
        {
            "stratum": f"{stratum} bpp{' (missed)' if values.get('missed') else ''}",
            "codec": each["condition"],
            **each,
        }
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
        ),
        title,
    )


def scale_plot(analysis: dict, *, title: str = "") -> str | None:
    """SVG: each codec's Bradley-Terry score with its interval at each bit rate; None: no scale."""
    rows = [
        {"stratum": stratum, "codec": each["condition"], **each}
        for stratum, values in analysis["strata"].items()
        for each in values["scale"] or []
    ]
    if not rows:
        return None
    strata = list(dict.fromkeys(row["stratum"] for row in rows))
    # Not a bit rate's axis, and no lines: scores of different bit rates do not compare.
    x = alt.X(
        "stratum:O",
        sort=strata,
        title="target bit rate (bits per pixel)",
        axis=alt.Axis(labelAngle=0, domain=True, ticks=False),
    )
    closer = "closer to the original → (log-odds)"
    plain, _ = _codec_channels(analysis, legend=None)
    colour, shape = _codec_channels(analysis, legend=alt.Legend(labelLimit=0))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x, xOffset=alt.XOffset("codec:N", scale=alt.Scale(domain=_codecs(analysis), padding=1))
    )
    chart = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=closer), y2="high:Q", color=plain
    ) + base.mark_point(filled=True, size=90, opacity=1).encode(
        y="score:Q", color=colour, shape=shape
    )
    chart = chart.resolve_legend(color="independent", shape="independent")
    return _svg(chart.properties(width=160 * len(strata), height=300), title)


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


def _svg(chart: alt.TopLevelMixin, title: str) -> str:
    if title:
        chart = chart.properties(title=alt.Title(title, color=TEXT, fontSize=13))
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
