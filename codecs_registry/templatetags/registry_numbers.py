"""Numbers as the registry's pages print them."""

import math

from django import template

register = template.Library()

MINUS = "\N{MINUS SIGN}"


@register.filter
def rate(bpp: float) -> str:
    return f"{bpp:.2g}"


@register.filter
def percent(share: float) -> str:
    """0.974 as 97 %; 100 % is all of them, and none less."""
    return f"{int(100 * share)} %"


@register.filter
def change(percents: float) -> str:
    """BD-rate, without its unit: −31.2."""
    return f"{round(percents, 1) or 0:+.1f}".replace("-", MINUS)


@register.filter
def setting(value: object) -> str:
    """A setting as people write it: 1, not 1.0; yes, not True."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


@register.filter
def significant(value: float | None) -> str:
    """Two digits that tell, without an exponent: 0.0051, 0.16, 3.5, 35, 351."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    places = max(0, 1 - math.floor(math.log10(abs(float(f"{value:.1e}")))))
    return f"{value:.{places}f}"


@register.filter
def times(ratio: float | None) -> str:
    """How many times as much, × 3.1, or as little, ÷ 140."""
    if not ratio:
        return "–"
    return f"× {significant(ratio)}" if ratio >= 1 else f"÷ {significant(1 / ratio)}"


@register.filter
def megabytes(size: float) -> str:
    return significant(size / 1e6)
