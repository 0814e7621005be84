"""Plots of a codec's training as SVG, in the look of `codecs_registry.plots`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import altair as alt

from codecs_registry.plots import SERIES, codec_channels, svg
from evaluation.codec_trainings.reading import Point, covered

WIDTH, HEIGHT = 440, 240  # pixels
MOST_POINTS = 300  # of a line
MOST_CURVES = 4

_STEPS = alt.Axis(format=",d", tickCount=4, tickMinStep=1, grid=False)


def loss_plot(log: Sequence[Point]) -> str | None:
    """SVG: the loss along the steps; None: fewer than two lines of the log have one.

    Where there are many lines, means of as many neighbours each. A line that tells of few steps, as
    the last one before a stop, is left out: it is noise.
    """
    told = covered(log)
    usual = statistics.median(steps for _, steps in told) if told else 0
    finite = [point for point, n in told if math.isfinite(point.loss) and n >= usual / 4]
    if len(finite) < 2:
        return None
    size = -(-len(finite) // MOST_POINTS)
    # From the end, so that the newest is there, and the mean of as many as the others.
    parts = [finite[max(0, end - size) : end] for end in range(len(finite), 0, -size)][::-1]
    rows = [
        {"step": part[-1].step, "loss": sum(each.loss for each in part) / len(part)}
        for part in parts
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.5, color=SERIES[0])
        .encode(
            x=alt.X("step:Q", title="step", axis=_STEPS),
            y=alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False)),
        )
    )
    return svg(chart.properties(width=WIDTH, height=HEIGHT))


def held_out_plot(watchings: Sequence[Point]) -> str | None:
    """SVG: PSNR over bits per pixel of what is held out, a line a watching: the last, the first,
    and some in between; None: nothing was watched yet."""
    if not watchings:
        return None
    chosen = _chosen(watchings)
    rows = [
        {"codec": _title(point), "bpp": each.bpp, "psnr": each.psnr}
        for point in chosen
        for each in point.watched
    ]
    bpps = [row["bpp"] for row in rows]
    legend = alt.Legend(orient="bottom", symbolSize=80, columns=2)
    colour, shape = codec_channels([_title(each) for each in chosen], legend=legend)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "bpp:Q",
            title="bit rate (bits per pixel)",
            scale=alt.Scale(type="log", domain=[min(bpps) / 1.1, max(bpps) * 1.1], nice=False),
            axis=alt.Axis(values=_RATES, format="~g", labelOverlap="greedy"),
        ),
        y=alt.Y("psnr:Q", title="PSNR (dB)", scale=alt.Scale(zero=False)),
        color=colour,
    )
    chart = base.mark_line(strokeWidth=2, opacity=0.8) + base.mark_point(
        filled=True, size=50, opacity=1
    ).encode(shape=shape)
    return svg(chart.properties(width=WIDTH, height=HEIGHT))


def along_plot(watchings: Sequence[Point]) -> str | None:
    """SVG: bits per pixel and PSNR of what is held out along the steps, a line a lambda; None:
    fewer than two watchings."""
    if len(watchings) < 2:
        return None
    step = -(-len(watchings) // MOST_POINTS)
    kept = watchings[::-1][::step][::-1]
    prices = sorted({each.price for point in kept for each in point.watched})
    rows = [
        {"step": point.step, "codec": price_title(each.price), "bpp": each.bpp, "psnr": each.psnr}
        for point in kept
        for each in point.watched
    ]
    legend = alt.Legend(orient="bottom", symbolSize=80, columns=len(prices))
    colour, shape = codec_channels([price_title(each) for each in prices], legend=legend)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="step", axis=_STEPS), color=colour
    )
    panels = []
    for name, title in (("bpp", "bit rate (bits per pixel)"), ("psnr", "PSNR (dB)")):
        lines = base.encode(y=alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False)))
        panel: alt.LayerChart | alt.Chart = lines.mark_line(strokeWidth=2)
        if len(kept) <= 30:
            panel = panel + lines.mark_point(filled=True, size=50, opacity=1).encode(shape=shape)
        panels.append(panel.properties(width=WIDTH, height=HEIGHT))
    return svg(alt.hconcat(*panels, spacing=48))


_RATES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0]


def price_title(price: float) -> str:
    return f"λ {price:g}"


def _chosen(watchings: Sequence[Point]) -> list[Point]:
    """The last first, then the first and some in between, from the newest on."""
    count = min(MOST_CURVES, len(watchings))
    last = len(watchings) - 1
    places = {round(last * each / max(count - 1, 1)) for each in range(count)} | {last}
    return [watchings[place] for place in sorted(places, reverse=True)]


def _title(point: Point) -> str:
    return f"step {point.step:,}"
