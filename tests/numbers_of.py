"""The numbers of a document, as pages, reports and paragraphs may tell them."""

from collections.abc import Iterator
from typing import Any

from evaluation.templatetags import evaluation_numbers as numbers

MINUS = "\N{MINUS SIGN}"


def as_told(document: dict) -> set[str]:
    """Each number of a document in each way that numbers are told, and numbers in its texts."""
    told: set[str] = set()
    for value in _values(document):
        if isinstance(value, str):
            told.update(_words(value))
        elif isinstance(value, bool) or value is None:
            continue
        else:
            told.update(_ways(value))
    level = 1 - document["confidence"]
    return told | {f"{level:.10g}", f"{100 * document['confidence']:.10g}"}


def _ways(value: float) -> Iterator[str]:
    yield str(value)
    yield f"{value:.10g}"
    for text in (f"{value:.2f}", f"{value:.3f}", numbers.signed(value), numbers.percent(value)):
        yield text.replace("-", MINUS)
        yield text.replace("-", MINUS).rstrip("%")
    if abs(value) < 1:
        yield numbers.p_value(value).removeprefix("< ")
    yield f"{value / 1000:.1f}"  # milliseconds as seconds


def _words(text: str) -> Iterator[str]:
    for word in text.replace(",", " ").replace(":", " ").replace(";", " ").split():
        yield word
        yield word.strip(".()[]")


def _values(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        yield from part  # strata are keys
        for each in part.values():
            yield from _values(each)
    elif isinstance(part, list):
        for each in part:
            yield from _values(each)
    else:
        yield part
