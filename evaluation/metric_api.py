"""The endpoint that measures two pictures by a version of the metric (docs/retraining.md)."""

import contextlib

from django.http import Http404
from rest_framework import serializers, status
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, NotFound
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from evaluation.access import require_metric
from evaluation.measuring import MAX_BYTES, CannotMeasure, measure
from evaluation.metric_models import MetricVersion
from evaluation.metric_versions import (
    UnknownVersion,
    VersionUnavailable,
    find_version,
    in_service,
)

ROOM = 10_000  # bytes of a request that are no picture's


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"Each picture may have {MAX_BYTES / 1e6:g} MB."


class NoneInService(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "No version of the metric is in service yet."


class CannotRunHere(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE


class PerUser(UserRateThrottle):
    """Distances that one account asks for."""

    rate = "60/min"
    scope = "distances"


class Attempts(SimpleRateThrottle):
    """Requests from one address, of whoever has the right password and of whoever has not."""

    rate = "120/min"
    scope = "distance-attempts"

    def get_cache_key(self, request, view) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class Pictures(serializers.Serializer):
    """Two picture files, and optionally the name of a version."""

    reference = serializers.FileField()
    distorted = serializers.FileField()
    metric = serializers.CharField(max_length=100, required=False, default="")

    def validate(self, given: dict) -> dict:
        if max(given[name].size for name in ("reference", "distorted")) > MAX_BYTES:
            raise TooLarge
        return given


def answer(data, user) -> dict:
    """The distance of two pictures that were sent, and what measured it.

    Raises DRF's ValidationError and NotFound, TooLarge, NoneInService and CannotRunHere.
    """
    given = Pictures(data=data)
    given.is_valid(raise_exception=True)
    pictures = given.validated_data
    version = _version(pictures["metric"], user)
    try:
        found = measure(pictures["reference"].file, pictures["distorted"].file, version)
    except CannotMeasure as error:
        raise serializers.ValidationError({error.field: [f"It {error.problem}."]}) from None
    except VersionUnavailable as error:
        raise CannotRunHere(str(error)) from None
    return {
        "distance": found.distance,
        "metric": version.name,
        "sha256": version.sha256,
        "width": found.width,
        "height": found.height,
    }


def _version(name: str, user) -> MetricVersion:
    """The version in service is everybody's; the others are for who may know of them."""
    if not name:
        if present := in_service():
            return present
        raise NoneInService
    try:
        require_metric(user)
    except Http404:
        raise NotFound("There is no such version.") from None
    try:
        return find_version(name)
    except UnknownVersion as error:
        raise NotFound(str(error)) from None


class Distance(APIView):
    """POST reference and distorted, two picture files, and optionally the version's name as metric:
    how far apart they are."""

    authentication_classes = [SessionAuthentication, BasicAuthentication]
    throttle_classes = [PerUser]
    parser_classes = [MultiPartParser]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        with contextlib.suppress(ValueError):
            if int(request.META.get("CONTENT_LENGTH") or 0) > 2 * MAX_BYTES + ROOM:
                raise TooLarge  # before anything of it is read
        super().initial(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        attempts = Attempts()
        if not attempts.allow_request(request, self):
            self.throttled(request, attempts.wait())
        super().perform_authentication(request)

    def post(self, request: Request) -> Response:
        return Response(answer(request.data, request.user))
