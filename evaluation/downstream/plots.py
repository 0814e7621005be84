"""The plot of what machines see, as SVG, in the look of `codecs_registry.plots`."""

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt

from codecs_registry.plots import TEXT, codec_channels, svg
from evaluation.downstream.document import FIRST, SHORT, by_rate


def downstream_plot(document: Mapping[str, Any], *, title: str = "") -> str | None:
    """SVG of a document: a panel a measure; a line a codec over its mean bit rate, and a broken one
    for the uncompressed photographs. None where nothing has a value."""
    panels = [name for name in FIRST if name in document["measures"]]
    rows = [row for name in panels for row in _rows(document, name)]
    if not rows:
        return None
    codecs = sorted({row["codec"] for row in rows})
    rates = [row["bpp"] for row in rows]
    x = alt.X(
        "bpp:Q",
        title="bit rate (bits per pixel)",
        scale=alt.Scale(type="log", domain=[min(rates) / 1.1, max(rates) * 1.1], nice=False),
        axis=alt.Axis(
            values=[float(stratum) for stratum in document["strata"]],
            labelExpr="datum.value % 1 ? format(datum.value, '~g') : format(datum.value, '.1f')",
            labelOverlap="greedy",
        ),
    )
    y = alt.Y("value:Q", title="percent", scale=alt.Scale(zero=False))
    colour, shape = codec_channels(codecs, legend=alt.Legend(symbolLimit=len(codecs)))
    base = alt.Chart()
    lines = base.encode(x=x, y=y, color=colour)
    whole = base.transform_filter("datum.is_first").mark_rule(
        strokeDash=[4, 4], opacity=0.6, color=TEXT
    )
    chart = (
        (
            whole.encode(y="uncompressed:Q")
            + lines.mark_line(strokeWidth=2, opacity=0.8)
            + lines.encode(shape=shape).mark_point(filled=True, size=60, opacity=1)
        )
        .properties(width=260, height=300, data=alt.Data(values=rows))
        .facet(column=alt.Column("panel:N", sort=[SHORT[name] for name in panels], title=None))
        .resolve_scale(y="independent")
    )
    return svg(chart, title or "What machines see; broken: in the uncompressed photographs")


def _rows(document: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    uncompressed = document["uncompressed"][name]["value"]
    is_first = True
    for _, rows in by_rate(document):
        for row in rows:
            value = row["measures"][name]["value"]
            if value is None:
                continue
            yield {
                "panel": SHORT[name],
                "codec": row["codec"],
                "bpp": row["actual_bpp"],
                "value": value,
                "uncompressed": uncompressed,
                "is_first": is_first,
            }
            is_first = False
