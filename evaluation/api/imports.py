"""Judgments made elsewhere: looked at, imported, analysed."""

import json

from django.conf import settings
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from codecs_registry import blobs, clock
from evaluation import import_results, importing
from evaluation.api.endpoint import Endpoint
from evaluation.api.images import only_project
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api.problems import Conflict
from evaluation.api.renderers import renderer_of
from evaluation.api.results import BeingAnalysed
from evaluation.api_models import Scope
from evaluation.models import SIMULATED, ImportedJudgments
from evaluation.populations import POPULATIONS
from evaluation.statistics.file_formats import FORMATS
from projects.roles import Role

MOST_FAILING = 1000
ROOM = 10_000  # for what comes beside a file


class FileSerializer(serializers.Serializer):
    """A file of judgments, and how it is read (docs/importing-judgments.md)."""

    file = serializers.FileField(allow_empty_file=True, help_text="CSV in UTF-8.")
    project = serializers.CharField(
        required=False, help_text="A slug; may be left out where you have one project only."
    )
    study = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="A slug: whose codecs, images and bit rates the rows are held to.",
    )
    format = serializers.ChoiceField(choices=["auto", *FORMATS], default="auto")
    columns = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=5000,
        help_text="JSON: what the file calls columns otherwise than the format, by the format’s "
        'name, as {"content": "image"}.',
    )
    population = serializers.ChoiceField(
        choices=POPULATIONS,
        required=False,
        help_text="Whose judgments to take of a file that holds both kinds.",
    )

    def validate_columns(self, text: str) -> dict[str, str]:
        try:
            found = json.loads(text or "{}")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise ValidationError("This is no JSON object of texts.")
        return found

    def validate(self, given: dict) -> dict:
        of_format = FORMATS.get(given["format"])
        known = {*of_format.required, *of_format.optional} if of_format else None
        for column in given.get("columns") or {}:
            if known is None or column not in known:
                told = f"of {given['format']}" if known else "where the format is not said"
                raise ValidationError({"columns": [f"There is no column {column!r} {told}."]})
        return given


class NewImportSerializer(FileSerializer):
    name = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="Else the file’s."
    )
    digest = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=64,
        help_text="Of a dry run: another file, or one that is read in another way, is refused.",
    )


class ColumnSerializer(serializers.Serializer):
    name = serializers.CharField()
    taken_for = serializers.CharField(allow_null=True, help_text="null: for nothing.")
    meaning = serializers.CharField()


class FailingSerializer(serializers.Serializer):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class FoundSerializer(serializers.Serializer):
    """What a file that can be used holds."""

    rows = serializers.IntegerField()
    used = serializers.IntegerField()
    failing = serializers.IntegerField()
    malformed = FailingSerializer(many=True, help_text=f"The first {MOST_FAILING}, by line.")
    set_aside = serializers.DictField(
        child=serializers.IntegerField(), help_text="Rows left out, by cause."
    )
    simulated = serializers.BooleanField()
    conditions = serializers.ListField(child=serializers.CharField())
    contents = serializers.ListField(child=serializers.CharField())
    strata = serializers.ListField(child=serializers.CharField())
    annotators = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="null: the file does not say."
    )
    read_aloud = serializers.ListField(
        child=serializers.CharField(), help_text="The first rows as sentences."
    )
    cannot_be_had = serializers.ListField(
        child=serializers.CharField(), help_text="What results will lack, and why."
    )


class DryRunSerializer(serializers.Serializer):
    """What an import would be: as `manage.py import_comparisons --dry-run --json` says it."""

    digest = serializers.CharField(help_text="Of the file and of how it is read.")
    format = serializers.ChoiceField(choices=list(FORMATS))
    orientation = serializers.CharField(help_text="Which side an answer names.")
    columns = ColumnSerializer(many=True)
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Columns that the format needs and the file lacks."
    )
    refusal = serializers.CharField(help_text="Why nothing of it can be used; empty if it can.")
    found = FoundSerializer(allow_null=True, help_text="null: it is refused.")
    imported = serializers.IntegerField(
        allow_null=True, help_text="The import that has the same judgments already."
    )


class ImportSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    project = serializers.CharField(source="project.slug")
    study = serializers.CharField(
        source="study.slug", default=None, allow_null=True, help_text="null: it stands alone."
    )
    file_name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the file.")
    size_bytes = serializers.IntegerField()
    format = serializers.CharField()
    columns = serializers.DictField(child=serializers.CharField())
    population = serializers.ChoiceField(choices=POPULATIONS)
    rows = serializers.IntegerField(source="n_rows")
    used = serializers.IntegerField(source="n_used")
    failing = serializers.IntegerField(source="n_malformed")
    set_aside = serializers.DictField(child=serializers.IntegerField())
    imported_by = serializers.CharField(
        source="imported_by.username", default=None, allow_null=True
    )
    imported_at = serializers.DateTimeField()
    page = serializers.SerializerMethodField(help_text="For researchers.")

    def get_page(self, imported: ImportedJudgments) -> str:
        return settings.CLOSER_URL + imported.get_absolute_url()


class ImportQuery(PageQuery):
    project = serializers.SlugField(required=False, help_text="Of this one only.")
    study = serializers.SlugField(required=False, help_text="Of this one only.")


class ImportResultsSerializer(serializers.Serializer):
    """What `analyse --comparisons FILE --json` prints (docs/analysis.md)."""

    strata = serializers.DictField()
    annotators = serializers.ListField(child=serializers.DictField())
    provenance = serializers.DictField()


class Upload(Endpoint):
    """Of a file that is sent."""

    tag = "imports"
    parser_classes = [MultiPartParser]
    most_bytes = importing.MOST_BYTES + ROOM

    def asked(self) -> tuple[dict, bytes, importing.Reading]:
        """What is sent, the file, and how it is to be read. Raises ValidationError."""
        project = only_project(self, dict(self.request.data.items()))
        given = self.given()
        study = None
        if slug := given.get("study"):
            study = project.studies.filter(slug=slug).first()
            if study is None:
                raise ValidationError({"study": ["The project has no study of this name."]})
        population = given.get("population")
        reading = importing.Reading(
            format=given["format"],
            columns=given.get("columns") or {},
            simulated=None if population is None else population == SIMULATED,
            study=study,
            project=project,
        )
        return given, given["file"].read(), reading


class DryRun(Upload):
    @operation(Scope.READ, Role.RESEARCHER, takes=FileSerializer, gives=DryRunSerializer)
    def post(self, request) -> Response:
        """Look at a file of judgments as an import would. Nothing is stored."""
        from evaluation.import_words import as_told

        _, content, reading = self.asked()
        found = importing.dry_run(content, reading)
        same = importing.same_file(reading, found.judgments)
        told = {
            "digest": reading.digest(content),
            "format": found.format,
            "orientation": found.orientation,
            "columns": [
                {
                    "name": each.name,
                    "taken_for": each.taken_for or None,
                    "meaning": each.meaning,
                }
                for each in found.columns
            ],
            "missing": [name for name, _ in found.missing],
            "refusal": found.refusal,
            "found": None,
            "imported": same and same.id,
        }
        if found.judgments is not None:
            failing = found.judgments.malformed
            told["found"] = as_told(found) | {"failing": len(failing)}
            told["found"]["malformed"] = told["found"]["malformed"][:MOST_FAILING]
        return Response(DryRunSerializer(told).data)


class Imports(Upload):
    @operation(Scope.READ, query=ImportQuery, gives=paged(ImportSerializer), errors=(404,))
    def get(self, request) -> Response:
        """The imports of your projects, the newest first."""
        query = self.query()
        projects = self.projects()
        if "project" in query:
            get_object_or_404(projects, slug=query["project"])
            projects = projects.filter(slug=query["project"])
        of_study = Q(study__slug=query["study"]) if "study" in query else Q()
        found = ImportedJudgments.objects.filter(of_study, project__in=projects)
        return page(
            request,
            query,
            found.select_related("project", "study", "imported_by"),
            lambda rows: ImportSerializer(rows, many=True).data,
            newest_first=True,
        )

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewImportSerializer,
        gives={201: ImportSerializer, 200: ImportSerializer},
        errors=(409,),
        changes=True,
    )
    def post(self, request) -> Response:
        """Import a file of judgments, whole or not at all.

        The same judgments again are the import that is there (200). 409 if the digest of a dry run
        is given and it is not what was looked at.
        """
        given, content, reading = self.asked()
        if given.get("digest", "") not in ("", reading.digest(content)):
            raise Conflict("This is another file than was looked at, or is read in another way.")
        status = 201
        try:
            made = importing.import_judgments(
                content,
                file_name=given["file"].name,
                reading=reading,
                name=given.get("name", ""),
                by=self.user,
            )
        except importing.InvalidComparisons as error:
            raise ValidationError({"file": [str(error)]}) from None
        except importing.AlreadyImported as already:
            made, status = already.imported, 200
        response = Response(ImportSerializer(made).data, status)
        response["Location"] = settings.CLOSER_URL + reverse("api-import", args=[made.id])
        return response


class ImportEndpoint(Endpoint):
    """Of the import that the address names."""

    tag = "imports"

    def find(self) -> None:
        found = ImportedJudgments.objects.select_related("project", "study", "imported_by")
        self.imported = get_object_or_404(found, id=self.kwargs["id"])
        self.require_project(self.imported.project, self.operation.role)


class OneImport(ImportEndpoint):
    @operation(Scope.READ, Role.VIEWER, gives=ImportSerializer)
    def get(self, request, id: int) -> Response:  # noqa: A002
        """An import."""
        return Response(ImportSerializer(self.imported).data)

    @operation(Scope.WRITE, Role.RESEARCHER, gives={204: None})
    def delete(self, request, id: int) -> Response:  # noqa: A002
        """Forget an import."""
        importing.remove(self.imported, by=self.user)
        return Response(status=204)


class ImportResults(ImportEndpoint):
    @operation(Scope.READ, Role.VIEWER, gives=ImportResultsSerializer, errors=(409, 503))
    def get(self, request, id: int) -> Response:  # noqa: A002
        """The analysis of an import: what `analyse --comparisons FILE --json` prints.

        409 if its study has changed so that no row fits any more.
        """
        try:
            found = import_results.results(self.imported, now=clock.now())
        except importing.InvalidComparisons as error:
            raise Conflict(str(error)) from None
        if found is None:
            raise BeingAnalysed
        return Response(found["analysis"])


class ImportFile(ImportEndpoint):
    renderer_classes = [renderer_of("text/csv")]

    @operation(Scope.JUDGMENTS, Role.VIEWER, gives=OpenApiTypes.BINARY, media_type="text/csv")
    def get(self, request, id: int) -> HttpResponse:  # noqa: A002
        """The file as it came."""
        return HttpResponse(blobs.read(self.imported.file), content_type="text/csv")
