"""Plots of what codecs cost, in the look of `codecs_registry.plots`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from codecs_registry.codec_costs import CostRow
from codecs_registry.costs import MEGA
from codecs_registry.plots import SERIES, svg

_WIDTH, _LINE = 300, 24  # pixels: of a panel, of a codec
_PANELS = (
    ("encode_s", "seconds to encode a megapixel"),
    ("decode_s", "seconds to decode a megapixel"),
    ("peak_mb", "MB of memory at the peak"),
)
_LABELS = "datum.value < 1 ? format(datum.value, '~g') : format(datum.value, ',.0f')"
_MARGIN, _MOST_TICKS = 1.3, 6
_FEWEST_BYTES = 0.1 * MEGA  # a logarithm needs more than nothing


def cost_plot(rows: Sequence[CostRow]) -> str | None:
    """SVG: a line a codec, in the order of the rows, with a dot and its interval for the time to
    encode, to decode, and for memory, over logarithmic axes; the page's own codec stands out.
    None: fewer than two codecs, so there is nothing to compare."""
    if len(rows) < 2:
        return None
    values = [
        {
            "codec": row.label,
            "own": row.is_own,
            "encode_s": row.cost.encode_s,
            "encode_s_low": row.cost.encode_s_low,
            "encode_s_high": row.cost.encode_s_high,
            "decode_s": row.cost.decode_s,
            "decode_s_low": row.cost.decode_s_low,
            "decode_s_high": row.cost.decode_s_high,
            "peak_mb": max(row.cost.peak_bytes, _FEWEST_BYTES) / MEGA,
            "peak_mb_low": None,
            "peak_mb_high": None,
        }
        for row in rows
    ]
    codecs = [row["codec"] for row in values]
    panels = [
        _panel(values, codecs, field, title, is_first=at == 0)
        for at, (field, title) in enumerate(_PANELS)
    ]
    return svg(alt.hconcat(*panels, spacing=24))


def _panel(
    values: list[dict], codecs: list[str], field: str, title: str, *, is_first: bool
) -> alt.LayerChart:
    ends = [
        end
        for row in values
        for end in (row[field], row[f"{field}_low"], row[f"{field}_high"])
        if end is not None
    ]
    axis = alt.Axis(labelLimit=200, grid=True) if is_first else alt.Axis(labels=False, ticks=False)
    low, high = min(ends) / _MARGIN, max(ends) * _MARGIN
    x = alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=_ticks(low, high), labelExpr=_LABELS, labelOverlap="greedy"),
    )
    y = alt.Y("codec:N", title=None, scale=alt.Scale(domain=codecs), axis=axis)
    own = alt.datum.own
    base = alt.Chart(alt.Data(values=values)).encode(
        y=y, color=alt.condition(own, alt.value(SERIES[1]), alt.value(SERIES[0]))
    )
    line = base.mark_rule(strokeWidth=2, opacity=0.7).encode(
        x=alt.X(f"{field}_low:Q"), x2=f"{field}_high:Q"
    )
    dots = base.mark_point(filled=True, opacity=1, size=70).encode(
        x=x, shape=alt.condition(own, alt.value("diamond"), alt.value("circle"))
    )
    return alt.layer(line.transform_filter(f"isValid(datum.{field}_low)"), dots).properties(
        width=_WIDTH, height=_LINE * len(codecs)
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two that are evenly spread over a logarithmic axis, and not many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{step}e{power}") for power in powers for step in steps]
        within = [tick for tick in ticks if low <= tick <= high]
        if len(within) <= _MOST_TICKS:
            break
    return within
