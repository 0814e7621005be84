"""The document itself: as JSON for programs, as a page for people."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from rest_framework import serializers
from rest_framework.response import Response

from evaluation.api.endpoint import Endpoint
from evaluation.api.operations import operation
from evaluation.api.problems import KINDS, problem
from evaluation.api.reading import chapters
from evaluation.api.schema import document
from evaluation.api_models import Scope
from evaluation.webhook_models import Event


class DocumentSerializer(serializers.Serializer):
    """An OpenAPI 3 document."""

    openapi = serializers.CharField()
    info = serializers.DictField()
    paths = serializers.DictField()
    components = serializers.DictField()


class Document(Endpoint):
    tag = "document"

    @operation(None, gives=DocumentSerializer)
    def get(self, request) -> Response:
        """This document, OpenAPI 3."""
        return Response(document())


@login_required
@never_cache
@require_GET
def docs(request: HttpRequest) -> HttpResponse:
    """The document for people, without any script or outside host."""
    context = {
        "chapters": chapters(document(), address=settings.CLOSER_URL),
        "kinds": sorted(KINDS.items()),
        "scopes": Scope.choices,
        "events": Event.choices,
        "address": settings.CLOSER_URL,
    }
    return render(request, "evaluation/api_docs.html", context)


@csrf_exempt  # nothing is done, whoever asks
def unknown(request: HttpRequest, path: str) -> HttpResponse:
    """Whatever else is asked for under /api/v1/."""
    return problem(404, "There is no such address; /api/v1/docs lists those that there are.")
