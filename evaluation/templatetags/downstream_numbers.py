"""Numbers of downstream evaluations as their page prints them."""

from django import template

from evaluation.downstream.document import interval, signed

register = template.Library()


@register.filter
def score_interval(found: dict) -> str:
    """As '25.8 [20.1, 31.2]'."""
    return interval(found)


@register.filter
def difference_interval(found: dict) -> str:
    """As '−4.4 [−6.2, −2.9]'."""
    if found["difference"] is None:
        return "–"
    if found["difference_low"] is None:
        return signed(found["difference"])
    bounds = (signed(found[f"difference_{bound}"]) for bound in ("low", "high"))
    return f"{signed(found['difference'])} [{', '.join(bounds)}]"
