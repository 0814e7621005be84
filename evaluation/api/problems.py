"""Errors as RFC 9457 writes them, application/problem+json: the same for all that can go wrong."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.http.multipartparser import MultiPartParserError, TooManyFilesSent
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError

from evaluation.changes import NotAllowed
from evaluation.study_files import InvalidStudy

MEDIA_TYPE = "application/problem+json"
DOCS = "/api/v1/docs"
RETRY_S = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its anchor in the docs, its title, and what helps."""

    name: str
    title: str
    help: str


KINDS = {
    400: Kind(
        "invalid",
        "The request is not valid",
        "`errors` tells what is wrong, field by field.",
    ),
    401: Kind(
        "no-token",
        "A token is needed",
        "Send `Authorization: Bearer TOKEN`; make one under your account.",
    ),
    403: Kind(
        "forbidden",
        "This is not allowed",
        "The token’s scope or your role in the project does not allow it; `detail` says what does.",
    ),
    404: Kind(
        "not-found",
        "There is nothing here",
        "There is no such thing, or you may not know of it.",
    ),
    405: Kind("method", "The method is not allowed here", "`Allow` lists those that are."),
    406: Kind("not-acceptable", "There is no such format", "The document names the one there is."),
    409: Kind("conflict", "It is not in a state for this", "`detail` says what is in the way."),
    412: Kind(
        "changed",
        "It has changed meanwhile",
        "What `If-Match` names is not what is there: get it again.",
    ),
    413: Kind("too-large", "The request is too large", "`detail` says how large it may be."),
    415: Kind("media-type", "The request is in no format that is read here", ""),
    416: Kind("range", "There is no such range", "`Content-Range` says how large the file is."),
    422: Kind(
        "key-used",
        "The Idempotency-Key was used for something else",
        "Send each new request with a new key.",
    ),
    429: Kind("too-often", "Too many requests", "Wait for as many seconds as `Retry-After` says."),
    500: Kind("error", "Closer made a mistake", "It is in the log of who runs it."),
    503: Kind("unavailable", "This cannot be done at the moment", "`detail` says why."),
}


class Problem(serializers.Serializer):
    """What went wrong (RFC 9457)."""

    type = serializers.CharField(help_text="Where the kind of problem is described.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened this time.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="By field, inner ones as `practice.tasks`.",
    )


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = KINDS[409].title


class Changed(APIException):
    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "It is not any more what If-Match names."


class TooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class KeyUsed(APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = "This key came with another request within the last 24 hours."


def handle(error: Exception, context: dict) -> HttpResponse:
    """The answer to any exception of an endpoint; one that nobody expected is logged, and told to
    Django as it would be told of any other view's."""
    if isinstance(error, InvalidStudy):
        error = ValidationError({name: [f"This {text}."] for name, text in error.problems.items()})
    if isinstance(error, ValidationError):
        errors = {}
        for name, text in _flat(error.get_full_details()):
            errors.setdefault(name, []).append(text)
        return problem(400, " ".join(next(iter(errors.values()))), errors=errors)
    if isinstance(error, NotAllowed):
        return problem(409, f"{error}.")
    if isinstance(error, Http404):
        return problem(404)
    if isinstance(error, PermissionDenied):
        return problem(403, str(error))
    if isinstance(error, RequestDataTooBig | TooManyFilesSent):
        return problem(413)
    if isinstance(error, MultiPartParserError):
        return problem(400, str(error))
    if isinstance(error, APIException):
        response = problem(error.status_code, str(error.detail))
        if header := getattr(error, "auth_header", None):
            response["WWW-Authenticate"] = header
        if error.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            response["Retry-After"] = str(max(1, round(error.wait or RETRY_S)))
        return response
    if isinstance(error, OperationalError):  # two changes that waited for each other, say
        logger.warning("%s", error)
        return problem(503, "Somebody changed the same at the same moment: try again.")
    request = context["request"]._request
    got_request_exception.send(sender=handle, request=request)
    told = {"request": request}  # in whose place the log names the page by its pattern
    logger.error("%s %s", request.method, request.path, exc_info=error, extra=told)
    return problem(500)


def problem(status: int, detail: str = "", *, errors: dict | None = None) -> HttpResponse:
    kind = KINDS[status]
    body = {
        "type": f"{DOCS}#{kind.name}",
        "title": kind.title,
        "status": int(status),
        "detail": detail or kind.title + ".",
        **({"errors": errors} if errors is not None else {}),
    }
    return HttpResponse(json.dumps(body), content_type=MEDIA_TYPE, status=int(status))


def _flat(details: object, within: str = "") -> Iterator[tuple[str, str]]:
    """(field, message) of each error that a serializer nests; of the whole body, the field is
    "body"."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield within or "body", str(details["message"])
    elif isinstance(details, dict):
        for name, inner in details.items():
            here = within if name == "non_field_errors" else f"{within}.{name}".lstrip(".")
            yield from _flat(inner, here)
    elif isinstance(details, list):
        for inner in details:
            yield from _flat(inner, within)
