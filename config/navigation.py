"""The sections in the head of the researcher's pages, and which of them a page is of."""

from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse


class Section(NamedTuple):
    """A link in the head. current: what aria-current says of it; empty where it is another's."""

    title: str
    address: str
    current: str


# Title, the name of its first page, and how the addresses of all its pages begin (empty: as its
# first page's does).
SECTIONS = (
    ("Studies", "studies", "/studies/"),
    ("Images", "images", ""),
    ("Rate-distortion", "rate-distortion", ""),
    ("Codecs", "codecs", ""),
    ("Metrics", "metrics", ""),
)


def of_page(request: HttpRequest) -> dict:
    """sections: those that base.html links to."""
    here = request.path
    listed = []
    for title, name, prefix in SECTIONS:
        address = reverse(name)
        is_within = here.startswith(prefix or f"{address}/")
        current = "page" if here == address else "true" if is_within else ""
        listed.append(Section(title, address, current))
    return {"sections": listed}
