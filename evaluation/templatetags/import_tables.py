"""What a preview of imported judgments lists."""

from django import template

register = template.Library()

SHOWN = 8


@register.filter
def labels_found(table, names_annotators: bool) -> list[tuple[str, tuple[str, ...]]]:
    """The labels of a table of judgments or shares, each kind with its title."""
    found = [
        ("condition", table.conditions),
        ("source image", table.contents),
        ("stratum" if len(table.strata) == 1 else "strata", table.strata),
    ]
    if names_annotators:
        found.append(("annotator", table.annotators))
    return [
        (f"{title}s" if len(labels) != 1 and title != "strata" else title, labels)
        for title, labels in found
    ]


@register.filter
def first_labels(labels: tuple[str, ...]) -> str:
    """The first few, and how many more there are."""
    more = len(labels) - SHOWN
    shown = ", ".join(labels[: SHOWN if more > 1 else SHOWN + 1])
    return f"{shown} and {more} more" if more > 1 else shown


@register.filter
def filled(values: tuple[str, ...]) -> list[str]:
    return [each for each in values if each.strip()]
