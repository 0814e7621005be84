"""What the log tells of a change, in words."""

from django import template

register = template.Library()


@register.filter
def in_words(value: object) -> str:
    """A detail of an entry: lists as their items."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
