"""The plot of a plan as SVG, in the look of `codecs_registry.plots`."""

from functools import lru_cache

import altair as alt

from codecs_registry.plots import SERIES, TEXT, svg
from evaluation.plan import Foretold


@lru_cache(maxsize=64)  # drawing takes longer than foretelling
def width_plot(foretold: Foretold) -> str | None:
    """SVG: how wide the interval of a difference is, over judgments of each pair, with the plan's
    own point and the Monte-Carlo error; None: no size that was simulated has a width."""
    rows = [
        {
            "judgments": row.judgments_per_pair,
            "width": row.width.value,
            "low": row.width.value if row.width.low is None else row.width.low,
            "high": row.width.value if row.width.high is None else row.width.high,
        }
        for row in foretold.rows
        if row.width is not None
    ]
    if not rows:
        return None
    x = alt.X(
        "judgments:Q",
        title="judgments of each pair",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(values=[row["judgments"] for row in rows], format="d", labelOverlap="greedy"),
    )
    y = alt.Y("width:Q", title="width (log-odds)", scale=alt.Scale(domainMin=0))
    all_sizes = alt.Chart(alt.Data(values=rows)).encode(x=x, color=alt.value(SERIES[0]))
    chart = all_sizes.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q") + all_sizes.mark_line(
        strokeWidth=2
    ).encode(y=y)
    own = [row for row in rows if row["judgments"] == foretold.at.judgments_per_pair]
    if own:
        point = alt.Chart(alt.Data(values=own)).encode(x=x, y=y)
        colour = alt.value(SERIES[1])
        chart += point.mark_point(filled=True, size=110, opacity=1).encode(color=colour)
        name = point.mark_text(dy=-14, fontSize=13, color=TEXT)
        chart += name.encode(text=alt.value("this plan"))
    return svg(chart.properties(width=230, height=130))
