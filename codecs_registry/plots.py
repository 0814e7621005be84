"""Plots as SVG, drawn by Vega-Lite on the server: no script and no outside host needed.

Text takes the colour of the page around it; codecs are told apart by shape as well as by colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from json import dumps
from typing import Any

import altair as alt
import numpy as np
import scipy
import vl_convert

from codecs_registry.rate_distortion import Point, Quality

# Okabe and Ito (2008), "Color Universal Design": told apart by the colour-blind, too; without the
# yellow and the black, which vanish on a light or a dark page.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
# On a page, its theme decides (closer.css); alone, the colours above.
SERIES = [f"var(--series-{i}, {colour})" for i, colour in enumerate(COLOURS, start=1)]
TEXT = "currentColor"

QUALITY_TITLES = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB: −10 log10(1 − MS-SSIM))"}
_TEXTS = {"labelColor": TEXT, "titleColor": TEXT, "labelFontSize": 13, "titleFontSize": 13}
_LOOK = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    # Text is measured here in another font than the page's: leave it room.
    "padding": {"left": 24, "right": 40, "top": 4, "bottom": 4},
    "axis": {
        **_TEXTS,
        "titleFontWeight": "normal",
        "gridOpacity": 0.15,
        "gridColor": TEXT,
        "domainColor": TEXT,
        "tickColor": TEXT,
    },
    "header": {"labelColor": TEXT, "labelFontSize": 14, "labelFontWeight": "bold"},
    "legend": {**_TEXTS, "symbolStrokeWidth": 0},
    "view": {"continuousWidth": 300, "continuousHeight": 300, "stroke": None},
}
_WIDTH, _HEIGHT, _LINE = 560, 400, 19  # pixels; the last, of a line of text


def rate_distortion_plot(
    points: Sequence[Point], *, quality: Quality, title: str = ""
) -> str | None:
    """SVG: quality over rate, a line a codec, named at its end; None: no point has this quality.

    The rate's axis is logarithmic, as BD-rate is: equal steps are equal ratios of bits, and lines
    are nearly straight. A hollow mark is a partial point (`Point.partial`).
    """
    rows = [
        {"codec": point.codec, "bpp": point.bpp, "quality": value, "partial": point.partial}
        for point in sorted(points, key=lambda point: point.bpp)
        if (value := point.psnr if quality == "psnr" else point.ms_ssim_db) is not None
    ]
    if not rows:
        return None
    codecs = sorted({row["codec"] for row in rows})
    height = max(_HEIGHT, _LINE * len(codecs))
    low, high = _with_margins([row["quality"] for row in rows])
    rates = [row["bpp"] for row in rows]
    x = alt.X(
        "bpp:Q",
        title="bit rate (bits per pixel)",
        scale=alt.Scale(type="log", domain=[min(rates) / 1.1, max(rates) * 1.05], nice=False),
        axis=alt.Axis(
            values=sorted({float(point.stratum) for point in points}),
            labelExpr="datum.value % 1 ? format(datum.value, '~g') : format(datum.value, '.1f')",
            labelOverlap="greedy",
        ),
    )
    y = alt.Y(
        "quality:Q",
        title=QUALITY_TITLES[quality],
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
    )
    colour, shape = codec_channels(codecs, legend=None)
    lines = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=colour)
    marks = lines.encode(shape=shape)
    names = alt.Chart(
        alt.Data(values=_names(rows, line=_LINE * (high - low) / height, low=low, high=high))
    ).encode(y=alt.Y("place:Q"))
    chart = (
        lines.mark_line(strokeWidth=2, opacity=0.8)
        + marks.mark_point(filled=True, size=60, opacity=1).transform_filter("!datum.partial")
        + marks.mark_point(filled=False, size=60, opacity=1).transform_filter("datum.partial")
        + names.mark_rule(strokeWidth=1, opacity=0.4).encode(
            x=x, x2=alt.value(_WIDTH + 14), y=y, y2="place:Q", color=colour
        )
        + names.mark_point(filled=True, size=60, opacity=1).encode(
            x=alt.value(_WIDTH + 22), color=colour, shape=shape
        )
        + names.mark_text(align="left", baseline="middle", fontSize=13, color=TEXT).encode(
            x=alt.value(_WIDTH + 32), text="codec:N"
        )
    )
    return svg(chart.properties(width=_WIDTH, height=height), title)


def _with_margins(values: list[float]) -> tuple[float, float]:
    margin = 0.04 * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def _names(rows: list[dict], *, line: float, low: float, high: float) -> list[dict]:
    """Where each codec's line ends, with the `place` of its name: as near as possible to that
    height, in the order of heights, and `line` or more apart."""
    last = {row["codec"]: row for row in rows}
    ends = sorted(last.values(), key=lambda row: (row["quality"], row["codec"]))
    steps = line * np.arange(len(ends))
    places = scipy.optimize.isotonic_regression([end["quality"] for end in ends] - steps).x + steps
    # Within the plot: there is room, for that is how its height was chosen.
    lowest = low + line / 2 + steps
    highest = high - line / 2 - steps[::-1]
    places = np.minimum(np.maximum(places, lowest), highest)
    return [{**end, "place": float(place)} for end, place in zip(ends, places, strict=True)]


def codec_channels(
    codecs: Sequence[str], *, legend: alt.Legend | None
) -> tuple[alt.Color, alt.Shape]:
    """For each codec a colour and a shape that, together, no other of up to 36 has.

    (Equal domains, spelled out, are also what makes the two legends one.)
    """
    places = range(len(codecs))
    # After a round of colours, the shapes are moved on by one.
    colours = [SERIES[i % len(SERIES)] for i in places]
    shapes = [SHAPES[(i + i // len(SERIES)) % len(SHAPES)] for i in places]
    return (
        alt.Color(
            "codec:N", scale=alt.Scale(domain=codecs, range=colours), title=None, legend=legend
        ),
        alt.Shape(
            "codec:N", scale=alt.Scale(domain=codecs, range=shapes), title=None, legend=legend
        ),
    )


def svg(chart: alt.TopLevelMixin, title: str = "") -> str:
    """The chart in the look that all plots share."""
    return drawn(specified(chart, title))


def specified(
    chart: alt.TopLevelMixin, title: str = "", *, datasets: dict[str, list[dict]] | None = None
) -> dict[str, Any]:
    """The chart in the look that all plots share, as a Vega-Lite specification.

    datasets : the rows that the chart names instead of holding them, since Altair copies what a
        chart holds many times over.
    """
    # Set on the specification: Altair copies and checks a whole chart for each thing that is set.
    specification = chart.to_dict(validate=False)
    if title:
        specification["title"] = {"text": title, "color": TEXT, "fontSize": 13}
    specification["config"] = _LOOK
    return specification if datasets is None else {**specification, "datasets": datasets}


def drawn(specification: dict[str, Any]) -> str:
    """SVG of a Vega-Lite specification."""
    return _render(dumps(specification, sort_keys=True))


@lru_cache(maxsize=64)
def _render(specification: str) -> str:
    return vl_convert.vegalite_to_svg(specification)
