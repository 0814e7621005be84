"""Plots of a study while it goes on, as SVG, in the look of `codecs_registry.plots`."""

from collections.abc import Sequence

import altair as alt

from codecs_registry.plots import TEXT, codec_channels, svg
from evaluation.labels import stratum_title

WIDTH, HEIGHT = 460, 180  # pixels
MOST_POINTS = 60  # of a line


def pace_plot(facts: dict) -> str | None:
    """SVG: judgments over time, a bar each ten minutes, hour or day; None: there are none."""
    if not facts.get("per_bin"):
        return None
    seconds = facts["bin_s"]
    words = {600: "per 10 minutes", 3600: "per hour", 86400: "per day"}.get(seconds, "per week")
    rows = [{"at": at, "n": n} for at, n in facts["per_bin"]]
    unit = "%H:%M" if seconds < 3600 else "%d %b %H:%M" if seconds < 86400 else "%d %b"
    x = alt.X(
        "at:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format=unit, grid=False, labelOverlap="greedy", tickCount=5),
    )
    y = alt.Y("n:Q", title=f"judgments {words}", axis=alt.Axis(tickMinStep=1, tickCount=4))
    width = max(2, min(24, WIDTH // (2 * len(rows))))
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(size=width, color="var(--series-1, #0072b2)")
        .encode(x=x, y=y)
        .properties(width=WIDTH, height=HEIGHT)
    )
    return svg(chart)


def width_plot(widths: Sequence[dict], *, target: float | None) -> str | None:
    """SVG: the widest interval of each stratum's scale over its judgments, and the target; None:
    there was no scale yet.

    widths : rows of IntervalWidth, "stratum", "n_judgments" and "widest", in the order of counts.
    """
    by_stratum: dict[str, list[dict]] = {}
    for each in widths:
        if each["widest"] is not None:
            name = stratum_title(each["stratum"])
            row = {"codec": name, "n": each["n_judgments"], "width": each["widest"]}
            by_stratum.setdefault(name, []).append(row)
    if not by_stratum:
        return None
    names = sorted(by_stratum, key=lambda name: float(name.split()[0]) if name[0].isdigit() else 0)
    rows = [row for name in names for row in _thinned(by_stratum[name])]
    colour, shape = codec_channels(names, legend=alt.Legend(orient="right"))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("n:Q", title="judgments at the bit rate", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("width:Q", title="widest interval (log-odds)", scale=alt.Scale(zero=True)),
        color=colour,
    )
    chart: alt.LayerChart = base.mark_line(strokeWidth=2) + base.mark_point(
        filled=True, size=40, opacity=1
    ).encode(shape=shape)
    if target is not None:
        once = alt.Data(values=[{}])
        rule = alt.Chart(once).mark_rule(strokeDash=[4, 3], color=TEXT, aria=False)
        label = alt.Chart(once).mark_text(align="left", dy=-7, dx=4, color=TEXT, fontSize=12)
        chart = (
            chart
            + rule.encode(y=alt.datum(target))
            + label.encode(x=alt.value(0), y=alt.datum(target), text=alt.value("target"))
        )
    return svg(chart.properties(width=WIDTH - 80, height=HEIGHT))


def _thinned(rows: list[dict]) -> list[dict]:
    """At most so many points of a line, the newest always."""
    step = -(-len(rows) // MOST_POINTS)
    return [row for place, row in enumerate(rows) if (len(rows) - 1 - place) % step == 0]
