"""A study's data as files: exports are asked for, watched, and fetched once they are there."""

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.response import Response

from annotation import exports
from annotation.datasets import FORMATS
from annotation.datasets.contents import FILE_NAMES
from annotation.models import Export
from annotation.populations import PEOPLE
from codecs_registry.ranges import ranged_file
from evaluation import exporting
from evaluation.api.endpoint import StudyEndpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api.problems import Conflict, problem
from evaluation.api.renderers import renderer_of
from evaluation.api_models import Scope
from evaluation.models import Study
from projects.roles import Role

TAR = "application/x-tar"


class ExportSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="Of its archive, and of the folder in it.")
    format = serializers.ChoiceField(choices=list(FORMATS))
    population = serializers.ChoiceField(choices=list(FILE_NAMES), help_text="Whose judgments.")
    state = serializers.ChoiceField(choices=Export.State.choices)
    done = serializers.IntegerField(help_text="Judgments and pairs that are written, …")
    total = serializers.IntegerField(help_text="… of so many; 0: it has not begun.")
    reason = serializers.CharField(source="error", help_text="Why it failed.")
    requested_by = serializers.CharField(
        source="requested_by.username", default=None, allow_null=True
    )
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    size_bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(help_text="Of its archive; empty until it is ready.")
    is_outdated = serializers.BooleanField(
        help_text="Somebody withdrew their judgments since: make it anew."
    )
    file = serializers.SerializerMethodField(help_text="Its archive; null until it is ready.")

    def get_file(self, export: Export) -> str | None:
        if export.state != Export.State.READY:
            return None
        study = self.context["study"]
        return settings.CLOSER_URL + reverse("api-export-file", args=[study.slug, export.id])


class NewExportSerializer(serializers.Serializer):
    format = serializers.ChoiceField(choices=list(FORMATS))
    population = serializers.ChoiceField(
        choices=list(FILE_NAMES), default=PEOPLE, help_text="Whose judgments; both are marked."
    )


class Exports(StudyEndpoint):
    tag = "exports"

    @operation(Scope.READ, Role.VIEWER, query=PageQuery, gives=paged(ExportSerializer))
    def get(self, request, slug: str) -> Response:
        """The exports of a study, the newest first: how far each is."""
        found = exporting.exports_of(self.study)
        return page(request, self.query(), found, self.present, newest_first=True)

    def present(self, found: list[Export]) -> list[dict]:
        return ExportSerializer(found, many=True, context={"study": self.study}).data

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewExportSerializer,
        gives={202: ExportSerializer},
        errors=(409,),
        changes=True,
    )
    def post(self, request, slug: str) -> Response:
        """Ask for an export: a worker makes it.

        One that is being made already is not asked for again. 409 if there are no judgments.
        """
        given = self.given()
        try:
            asked = exporting.request(
                self.study, given["format"], given["population"], by=self.user
            )
        except exporting.NothingToExport as error:
            raise Conflict(f"{error}.") from None
        return present(self.study, asked.id, status=202)


class ExportEndpoint(StudyEndpoint):
    """Of the export that the address names."""

    tag = "exports"

    def find(self) -> None:
        super().find()
        self.export = get_object_or_404(self.study.campaign.exports, id=self.kwargs["id"])


class OneExport(ExportEndpoint):
    @operation(Scope.READ, Role.VIEWER, gives=ExportSerializer)
    def get(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """How far an export is."""
        return present(self.study, id)

    @operation(Scope.WRITE, Role.RESEARCHER, gives={204: None})
    def delete(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Delete an export, with its archive. It can be made again."""
        exporting.delete(self.study, self.export, by=self.user)
        return Response(status=204)


class RetryExport(ExportEndpoint):
    @operation(
        Scope.WRITE, Role.RESEARCHER, gives={202: ExportSerializer}, errors=(409,), changes=True
    )
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Make again an export that failed."""
        if not exporting.retry(self.export):
            raise Conflict("It did not fail, or the same is being made already.")
        return present(self.study, id, status=202)


class ExportFile(ExportEndpoint):
    renderer_classes = [renderer_of(TAR)]

    @operation(
        Scope.JUDGMENTS,
        Role.VIEWER,
        gives={200: OpenApiTypes.BINARY, 206: OpenApiTypes.BINARY},
        errors=(409, 416),
        media_type=TAR,
        is_ranged=True,
    )
    def get(self, request, slug: str, id: int) -> HttpResponseBase:  # noqa: A002
        """The archive of an export, or the range of it that is asked for.

        A download that broke off goes on by `Range`, with the ETag in `If-Range`.
        """
        path = exports.archive_of(self.export)
        if self.export.state != Export.State.READY:
            raise Conflict(f"It is {self.export.get_state_display().lower()}.")
        if not path.exists():
            raise Conflict("Its archive is not on this server any more: make it again.")
        response = ranged_file(
            request, path, TAR, name=f"{self.export.name}.tar", etag=self.export.sha256
        )
        return beyond(response) if response.status_code == 416 else response


def beyond(response: HttpResponseBase) -> HttpResponse:
    """A range that the file does not have, as a problem."""
    told = problem(416)
    told["Content-Range"] = response["Content-Range"]
    return told


def present(study: Study, export_id: int, *, status: int = 200) -> Response:
    found = exporting.exports_of(study).get(id=export_id)
    return Response(ExportSerializer(found, context={"study": study}).data, status)
