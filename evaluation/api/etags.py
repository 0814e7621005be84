"""ETags: the same answer is not sent twice, and nobody changes what they have not seen.

A tag is of the content, so that all processes and versions agree on it.
"""

import hashlib
import re

from rest_framework.renderers import JSONRenderer

from evaluation.api.problems import Changed

TAG = re.compile(r'(?:W/)?"[^"]*"')


def etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_named(tag: str, header: str) -> bool:
    """Whether If-None-Match names a tag."""
    return header.strip() == "*" or tag in [each.removeprefix("W/") for each in TAG.findall(header)]


def require_match(request, representation: dict) -> None:
    """Raises Changed if If-Match names another state than the one that a GET would show now."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    if etag(JSONRenderer().render(representation)) not in TAG.findall(header):
        raise Changed
