"""Plots of a study's results as SVG, in the look of `codecs_registry.plots`."""

import altair as alt

from codecs_registry.plots import TEXT, codec_channels, svg
from evaluation.labels import stratum_title


def win_share_plot(analysis: dict, *, title: str = "") -> str | None:
    """SVG: each codec's share of wins with its interval, a panel a stratum; None: no data.

    What must not be lost when the picture is cut out, such as who judged, goes into its title.
    """
    rows = [
        {"stratum": _panel(stratum, values), "codec": each["condition"], **each}
        for stratum, values in analysis["strata"].items()
        for each in values["win_share"]
        if each["share"] is not None
    ]
    if not rows:
        return None
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    x = alt.X("share:Q", title="share of wins", scale=alt.Scale(domain=[0, 1]), axis=axis)
    even = alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.5, color=TEXT, aria=False)
    return _panels(even.encode(x=alt.datum(0.5)) + _intervals(analysis, x, "share"), rows, title)


def scale_plot(analysis: dict, *, title: str = "") -> str | None:
    """SVG: each codec's score with its interval and group, a panel a stratum; None: no scale."""
    rows = [
        {"stratum": _panel(stratum, values), "codec": each["condition"], **each}
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
    return _panels(_intervals(analysis, x, "score") + letters, rows, title)


def _panel(stratum: str, values: dict) -> str:
    return f"{stratum_title(stratum)}{' (missed)' if values.get('missed') else ''}"


def _intervals(analysis: dict, x: alt.X, value: str) -> alt.LayerChart:
    colour, shape = codec_channels(_codecs(analysis), legend=None)  # the axis names them
    base = alt.Chart().encode(y=_codec_axis(analysis), color=colour)
    low = x.copy()
    low.shorthand = "low:Q"
    return base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q") + base.mark_point(
        filled=True, size=90, opacity=1
    ).encode(x=f"{value}:Q", shape=shape)


def _codec_axis(analysis: dict) -> alt.Y:
    """The best on top, by the mean of what scores there are."""
    scores: dict[str, list[float]] = {name: [] for name in _codecs(analysis)}
    for values in analysis["strata"].values():
        for each in values["scale"] or []:
            scores[each["condition"]].append(each["score"])
        if not values["scale"]:
            for each in values["win_share"]:
                if each["share"] is not None:
                    scores[each["condition"]].append(each["share"] - 0.5)
    order = sorted(scores, key=lambda name: -sum(scores[name]) / max(len(scores[name]), 1))
    return alt.Y("codec:N", title=None, sort=order, axis=alt.Axis(domain=False, ticks=False))


def _panels(chart: alt.LayerChart, rows: list[dict], title: str) -> str:
    order = list(dict.fromkeys(row["stratum"] for row in rows))
    width = max(190, 420 // len(order))
    return svg(
        chart.properties(width=width, height=alt.Step(26), data=alt.Data(values=rows)).facet(
            column=alt.Column("stratum:N", sort=order, title=None)
        ),
        title,
    )


def _codecs(analysis: dict) -> list[str]:
    strata = analysis["strata"].values()
    return sorted({each["condition"] for values in strata for each in values["win_share"]})
