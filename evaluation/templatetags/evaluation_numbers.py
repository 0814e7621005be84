"""Numbers as a results page prints them."""

from django import template

register = template.Library()


@register.filter
def get(mapping: dict, key: str):
    return mapping[key]


@register.filter
def percent(share: float) -> str:
    return f"{share:.1%}"


@register.filter
def signed(score: float) -> str:
    return f"{round(score, 2) or 0:+.2f}".replace("-", "\N{MINUS SIGN}")


@register.filter
def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@register.filter
def codec_rows(stratum: dict) -> list[dict]:
    """Win share and scale of each codec side by side, the best first."""
    scores = {each["condition"]: each for each in stratum["scale"] or []}
    rows = []
    for share in stratum["win_share"]:
        score = scores.get(share["condition"], {})
        rows.append(
            {
                **share,
                "wins": f"{round((share['share'] or 0) * share['n'], 1):.10g}",
                "score": score.get("score"),
                "score_low": score.get("low"),
                "score_high": score.get("high"),
            }
        )
    return sorted(rows, key=lambda row: 1 if row["share"] is None else -row["share"])
