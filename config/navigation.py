"""The sections in the head of the researcher's pages, and which of them a page is of."""

from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse

from evaluation.access import may_metric
from projects.roles import Role


class Section(NamedTuple):
    """A link in the head. current: what aria-current says of it; empty where it is another's."""

    title: str
    address: str
    current: str


# Title, the name of its first page, and how the addresses of its other pages begin.
SECTIONS = (
    ("Studies", "studies", ("/studies/", "/imports/")),
    ("Images", "images", ("/images/",)),
    ("Rate-distortion", "rate-distortion", ()),
    ("Codecs", "codecs", ("/codecs/",)),
    ("Metrics", "metrics", ("/metrics/",)),
)


def of_page(request: HttpRequest) -> dict:
    """sections: those that base.html links to."""
    here = request.path
    user = getattr(request, "user", AnonymousUser())
    listed = []
    for title, name, beginnings in SECTIONS:
        if name == "metrics" and not may_metric(user, Role.VIEWER):
            continue
        address = reverse(name)
        current = "page" if here == address else "true" if here.startswith(beginnings) else ""
        listed.append(Section(title, address, current))
    return {"sections": listed}
