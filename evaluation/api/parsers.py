"""Reading what is sent."""

import re

from rest_framework import parsers
from rest_framework.exceptions import ParseError

UNSTORED = re.compile("[\0\ud800-\udfff]")


class JSONParser(parsers.JSONParser):
    """JSON of which all text can be stored: PostgreSQL keeps neither NULs nor half characters."""

    def parse(self, stream, media_type=None, parser_context=None) -> object:
        try:
            found = super().parse(stream, media_type, parser_context)
            _check(found)
        except RecursionError:
            raise ParseError("This is nested too deeply.") from None
        return found


def _check(value: object) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(name)
            _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, str) and UNSTORED.search(value):
        raise ParseError("Text must not hold NUL or half of a surrogate pair.")
