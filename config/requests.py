"""What is noted of every request: its id, how long it took, and how it ended."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config import metrics
from config.logs import request_id, route_of

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9-]{8,64}")  # no dots, no @: no address of anybody
STATIC = "(file)"

logger = logging.getLogger("closer.requests")


class Noted:
    """The outermost middleware: an id for each request, the one that a proxy gave if there is one,
    which is in all that is logged meanwhile, in the response, and in the tasks that are sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        known = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(known)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            self._note(request, response, time.perf_counter() - started)
        finally:
            request_id.reset(token)
        response[HEADER] = known
        return response

    def _note(self, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        match = request.resolver_match
        view = (match.view_name or match.route) if match else STATIC
        method = request.method if request.method in metrics.METHODS else "other"
        metrics.note_request(view, method, response.status_code, seconds)
        if match is None and response.status_code < 400:
            return  # style sheets and scripts, which tell nothing
        logger.info(
            "%s %s %d",
            method,
            route_of(request),
            response.status_code,
            extra={
                "fields": {
                    "method": method,
                    "view": view,
                    "status": response.status_code,
                    "ms": round(1000 * seconds, 1),
                }
            },
        )
