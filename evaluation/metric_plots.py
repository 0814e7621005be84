"""The plot of metrics' scores as SVG, in the look of `codecs_registry.plots`."""

from collections.abc import Iterator, Mapping

import altair as alt

from codecs_registry.plots import SERIES, TEXT, svg
from evaluation.labels import agreement_label, stratum_title

OVERALL = "all pairs"


def metric_score_plot(table: Mapping, *, title: str = "") -> str | None:
    """SVG of a `score_table`: each metric's 2AFC score as a dot with its interval, the human
    ceiling as a band and chance as a broken line; a panel for all pairs, and one a stratum. None
    where no metric has a score.
    """
    panels = _panels(table)
    rows = [row for panel, values in panels.items() for row in _rows(panel, values)]
    scores = {row["metric"]: row["score"] for row in rows if row["panel"] == OVERALL}
    if not rows:
        return None
    bounds = [row[bound] for row in rows for bound in ("low", "high", "score")]
    bounds += [row["ceiling_high"] for row in rows if row["ceiling_high"] is not None]
    x = alt.X(
        "score:Q",
        title="2AFC score (%)",
        scale=alt.Scale(domain=[min(48, *bounds), max(bounds) + 1], nice=False, zero=False),
    )
    y = alt.Y(
        "metric:N",
        title=None,
        sort=sorted(scores, key=lambda name: -scores[name]),
        axis=alt.Axis(domain=False, ticks=False),
    )
    base = alt.Chart()
    once = base.transform_filter("datum.is_first")  # in a panel, however many metrics it has
    chance = once.mark_rule(strokeDash=[3, 3], opacity=0.5, color=TEXT, aria=False).encode(
        x=alt.datum(50)
    )
    band = once.mark_rect(opacity=0.15, color=TEXT).encode(x="ceiling_low:Q", x2="ceiling_high:Q")
    ceiling = once.mark_rule(opacity=0.6, color=TEXT).encode(x="ceiling:Q")
    interval = base.mark_rule(strokeWidth=2, color=SERIES[0]).encode(x="low:Q", x2="high:Q", y=y)
    dots = base.mark_point(filled=True, size=90, opacity=1, color=SERIES[0]).encode(x=x, y=y)
    data = alt.Data(values=rows)
    width = max(190, 420 // len(panels))
    chart = (
        (band + ceiling + chance + interval + dots)
        .properties(width=width, height=alt.Step(26), data=data)
        .facet(column=alt.Column("panel:N", sort=list(panels), title=None))
    )
    return svg(chart, title or _title(table))


def _panels(table: Mapping) -> dict[str, Mapping]:
    strata = table["strata"] if len(table["strata"]) > 1 else {}
    return {OVERALL: table, **{stratum_title(name): values for name, values in strata.items()}}


def _rows(panel: str, values: Mapping) -> Iterator[dict]:
    ceiling = values["human_ceiling"] or {"score": None, "low": None, "high": None}
    scored = [each for each in values["metrics"] if each["score"] is not None]
    for each in scored:
        has_interval = each["low"] is not None
        yield {
            "panel": panel,
            "is_first": each is scored[0],
            "metric": each["label"],
            "score": each["score"],
            "low": each["low"] if has_interval else each["score"],
            "high": each["high"] if has_interval else each["score"],
            "ceiling": ceiling["score"],
            "ceiling_low": ceiling["low"],
            "ceiling_high": ceiling["high"],
        }


def _title(table: Mapping) -> str:
    kind = "simulated annotators" if table["simulated"] else "people"
    if table["human_ceiling"] is None:
        return f"Metrics against {kind}"
    label = agreement_label("human_ceiling", is_simulated=table["simulated"])
    return f"Metrics against {kind}; the band: {label.lower()}"
