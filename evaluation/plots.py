"""Plots of a study's results as SVG, in the look of `codecs_registry.plots`."""

import altair as alt

from codecs_registry.plots import TEXT, codec_channels, svg


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
    colour, shape = codec_channels(_codecs(analysis), legend=None)  # the axis names them
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
    return svg(
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
    plain, _ = codec_channels(_codecs(analysis), legend=None)
    colour, shape = codec_channels(_codecs(analysis), legend=alt.Legend(labelLimit=0))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x, xOffset=alt.XOffset("codec:N", scale=alt.Scale(domain=_codecs(analysis), padding=1))
    )
    chart = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=closer), y2="high:Q", color=plain
    ) + base.mark_point(filled=True, size=90, opacity=1).encode(
        y="score:Q", color=colour, shape=shape
    )
    chart = chart.resolve_legend(color="independent", shape="independent")
    return svg(chart.properties(width=160 * len(strata), height=300), title)


def _codecs(analysis: dict) -> list[str]:
    strata = analysis["strata"].values()
    return sorted({each["condition"] for values in strata for each in values["win_share"]})
