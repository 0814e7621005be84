"""Numbers as a plan prints them."""

from decimal import Decimal

from django import template

register = template.Library()


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.filter
def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


@register.filter
def hours(number: float) -> str:
    """'40 min', '9.3 h', '1,240 h'."""
    if number < 1:
        return f"{60 * number:.0f} min"
    return f"{number:,.1f} h" if number < 100 else f"{number:,.0f} h"


@register.filter
def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.1 h'."""
    return f"{seconds:.0f} s" if seconds < 90 else hours(seconds / 3600)


@register.filter
def whole_percent(share: float) -> str:
    return f"{100 * share:.0f} %"


@register.filter
def points_wide(width: float) -> str:
    return f"{100 * width:.0f}"
