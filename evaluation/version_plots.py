"""Plots of metric versions as SVG, in the look of `codecs_registry.plots`."""

from collections.abc import Iterable, Sequence

import altair as alt

from codecs_registry.plots import SERIES, TEXT, svg
from evaluation.labels import AGREEMENT, AMONG_SIMULATED
from evaluation.metric_models import MetricVersion

WIDTH = 560
MOST_NAMED = 24  # versions whose names fit under the axis


def history_plot(versions: Iterable[MetricVersion], *, is_simulated: bool) -> str | None:
    """SVG: the held-out score of each version in the order in which they were made, with its
    interval, beside the human ceiling of the same pairs; None: none has a score.

    versions : of one population; scores on what people and what simulations judged do not compare.
    """
    made = sorted(versions, key=lambda each: each.id)
    rows = [_row(each) for each in made if each.held_out_score is not None]
    if not rows:
        return None
    ceiling = AMONG_SIMULATED if is_simulated else AGREEMENT["human_ceiling"]
    x = alt.X(
        "version:N",
        sort=[row["version"] for row in rows],
        title=None,
        axis=alt.Axis(labelAngle=-30, labels=len(rows) <= MOST_NAMED, labelLimit=240),
        scale=alt.Scale(paddingInner=0.2),
    )
    seen = [row[bound] for row in rows for bound in ("low", "high", "ceiling") if row[bound]]
    y = alt.Y(
        "score:Q",
        title="2AFC score, held out (%)",
        scale=alt.Scale(domain=[min(48, *seen), max(seen) + 2], nice=False, zero=False),
    )
    colour = _legend({"version": SERIES[0], "version in service": SERIES[1], ceiling: TEXT})
    base = alt.Chart(alt.Data(values=rows))
    limits = base.transform_filter("isValid(datum.ceiling)").transform_calculate(
        what=f"'{ceiling}'"
    )
    chart = (
        alt.Chart()
        .mark_rule(strokeDash=[3, 3], opacity=0.5, color=TEXT, aria=False)
        .encode(y=alt.datum(50))
        + limits.mark_tick(thickness=3, size=30).encode(x=x, y="ceiling:Q", color=colour)
        + base.mark_rule(strokeWidth=2).encode(x=x, y="low:Q", y2="high:Q", color=colour)
        + base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=colour)
    )
    width = max(WIDTH, 28 * len(rows)) if len(rows) > 4 else 110 * (len(rows) + 1)
    return svg(chart.properties(width=width, height=260))


def _row(version: MetricVersion) -> dict:
    score = version.held_out_score
    return {
        "version": version.name,
        "score": score,
        "low": score if version.held_out_low is None else version.held_out_low,
        "high": score if version.held_out_high is None else version.held_out_high,
        "ceiling": version.human_ceiling,
        "what": "version in service" if version.is_in_service else "version",
    }


def curve_plot(curve: Sequence[dict]) -> str | None:
    """SVG of a learning curve: cross-entropy of what is fitted and of what is watched, and the 2AFC
    score of what is watched, over epochs; None: no epoch yet."""
    if not curve:
        return None
    x = alt.X("number:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
    losses = [
        {"number": each["number"], "value": each[name], "what": what}
        for each in curve
        for name, what in (("loss", "fitted"), ("watched_loss", "watched"))
    ]
    scores = [
        {"number": each["number"], "value": 100 * each["watched_score"], "what": "watched"}
        for each in curve
    ]
    colour = _legend({"fitted": SERIES[0], "watched": SERIES[1]})
    panels = [
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=len(curve) < 30, strokeWidth=2)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=colour,
        )
        .properties(width=WIDTH // 2, height=200)
        for rows, title in ((losses, "cross-entropy (nats)"), (scores, "2AFC score (%)"))
    ]
    return svg(alt.hconcat(*panels))


def _legend(colours: dict[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    legend = alt.Legend(
        orient="bottom", symbolType="stroke", symbolStrokeWidth=3, labelLimit=400, columnPadding=24
    )
    return alt.Color("what:N", title=None, scale=scale, legend=legend)
