"""How often a link may ask: far more than any person does, far less than it takes to be a nuisance.

Counts are each web process' own and are lost with it: they must not depend on anything that can
fail while people judge.
"""

from django.http import HttpRequest
from rest_framework.throttling import SimpleRateThrottle


class PerAnnotator(SimpleRateThrottle):
    """Requests of one annotator's page."""

    rate = "240/min"
    scope = "annotator"

    def get_cache_key(self, request, view) -> str:
        return self.cache_format % {"scope": self.scope, "ident": view.kwargs["token"]}


class Joins(SimpleRateThrottle):
    """New annotators from one address: a class of students may well share one."""

    rate = "300/min"
    scope = "joins"

    def get_cache_key(self, request, view) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


def joins_too_often(request: HttpRequest) -> bool:
    return not Joins().allow_request(request, None)
