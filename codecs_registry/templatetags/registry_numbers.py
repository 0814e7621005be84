"""Numbers as the registry's pages print them."""

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
