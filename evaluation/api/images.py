"""Codecs, collections of photographs, and what codecs made of them."""

from django.db import transaction
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from codecs_registry import catalogue
from codecs_registry.importing import import_files
from codecs_registry.models import Collection, Reconstruction, SourceImage
from evaluation.api.authentication import token_of
from evaluation.api.endpoint import Endpoint
from evaluation.api.etags import require_match
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api.problems import Conflict
from evaluation.api_models import Scope
from projects import audit
from projects.models import Project
from projects.roles import Role

MOST_BYTES = 500_000_000  # of one upload
MOST_FILES = 200


class CostSerializer(serializers.Serializer):
    """What `manage.py measure_codecs` found last, on one core. Compare those of one machine, target
    rate and `pictures_sha256`."""

    version = serializers.CharField(source="codec_version")
    encode_s = serializers.FloatField(help_text="Seconds a megapixel; the median over photographs.")
    encode_s_low = serializers.FloatField(
        allow_null=True, help_text="Of the median’s 95 % interval; null of fewer than six."
    )
    encode_s_high = serializers.FloatField(allow_null=True)
    decode_s = serializers.FloatField()
    decode_s_low = serializers.FloatField(allow_null=True)
    decode_s_high = serializers.FloatField(allow_null=True)
    encode_core_s = serializers.FloatField(
        help_text="Likewise, only while a core worked for the codec: on a busy machine, less."
    )
    decode_core_s = serializers.FloatField()
    peak_bytes = serializers.IntegerField(
        help_text="Of memory, beyond what the process had once the codec’s library was loaded."
    )
    peak_bytes_per_pixel = serializers.FloatField(help_text="The same by the largest photograph.")
    target_bpp = serializers.FloatField(
        help_text="What an ordinary photograph takes at this setting."
    )
    actual_bpp = serializers.FloatField(help_text="Of all files by all pixels.")
    pictures = serializers.IntegerField(help_text="How many photographs.")
    pictures_sha256 = serializers.CharField(help_text="Of their pixels.")
    repeats = serializers.IntegerField(help_text="How often each was coded.")
    machine = serializers.CharField(help_text="Its processor, and how many cores.")
    software = serializers.DictField(child=serializers.CharField(), help_text="Versions.")
    busy_elsewhere = serializers.FloatField(help_text="Cores that others kept busy meanwhile.")
    measured_at = serializers.DateTimeField()


class CodecSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="As studies name it.")
    label = serializers.CharField()
    version = serializers.CharField()
    is_available = serializers.SerializerMethodField()
    reason = serializers.CharField(help_text="Why it cannot be used here; empty if it can.")
    cost = CostSerializer(allow_null=True, help_text="null: it was not measured here.")

    def get_is_available(self, entry: catalogue.CodecEntry) -> bool:
        return not entry.reason


class Codecs(serializers.Serializer):
    items = CodecSerializer(many=True)


class CollectionSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="As studies name it, under `images`.")
    project = serializers.CharField(
        source="project.slug", default=None, allow_null=True, help_text="null: everybody’s."
    )
    images = serializers.SerializerMethodField(help_text="How many are in it.")

    def get_images(self, collection: Collection) -> int:
        return collection.sources.count()


class NewCollectionSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=100)
    project = serializers.SlugField(
        max_length=100, required=False, help_text="May be left out where you have one only."
    )


class ImageSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of its decoded sRGB pixels.")
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    conversions = serializers.ListField(
        child=serializers.CharField(), help_text="What was done to reach sRGB."
    )
    imported_at = serializers.DateTimeField()


class ReconstructionSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    codec = serializers.CharField()
    version = serializers.CharField(source="codec_version")
    stratum = serializers.CharField(help_text="The target, in bits per pixel of the image.")
    state = serializers.ChoiceField(choices=Reconstruction.State.choices)
    reason = serializers.CharField(source="error", help_text="Why it could not be made.")
    actual_bpp = serializers.FloatField(allow_null=True)
    miss = serializers.CharField(help_text="Why it is not at its target; empty if it is.")
    psnr = serializers.FloatField(allow_null=True, help_text="Decibels.")
    ms_ssim = serializers.FloatField(allow_null=True)


class ImageQuery(PageQuery):
    collection = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="The id of one."
    )


class UploadSerializer(serializers.Serializer):
    photographs = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        min_length=1,
        max_length=MOST_FILES,
        help_text="PNG, JPEG, WebP, TIFF or AVIF, as parts of one name.",
    )


class SkippedSerializer(serializers.Serializer):
    name = serializers.CharField()
    reason = serializers.CharField()


class UploadedSerializer(serializers.Serializer):
    """What an upload came to: each file is in one of the lists."""

    added = ImageSerializer(many=True)
    known = ImageSerializer(many=True, help_text="Their pixels were here already.")
    skipped = SkippedSerializer(many=True)


class AllCodecs(Endpoint):
    tag = "images"

    @operation(Scope.READ, gives=Codecs)
    def get(self, request) -> Response:
        """The codecs, whether each can be used here, and what it costs."""
        return Response({"items": CodecSerializer(catalogue.codec_entries(), many=True).data})


class Collections(Endpoint):
    tag = "images"

    @operation(Scope.READ, query=PageQuery, gives=paged(CollectionSerializer))
    def get(self, request) -> Response:
        """The collections of your projects, and those that are everybody’s."""
        found = seen_collections(self).select_related("project")
        return page(
            request, self.query(), found, lambda rows: CollectionSerializer(rows, many=True).data
        )

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewCollectionSerializer,
        gives={201: CollectionSerializer},
        errors=(409,),
        changes=True,
    )
    def post(self, request) -> Response:
        """Make an empty collection.

        409 if the project has one of this name.
        """
        project = only_project(self, request.data)
        given = self.given()
        with transaction.atomic():
            made, is_new = Collection.objects.get_or_create(name=given["name"], project=project)
            if not is_new:
                raise Conflict("The project has a collection of this name.")
            audit.record("made a collection", made, by=self.user, project=project)
        return Response(CollectionSerializer(made).data, 201)


class CollectionEndpoint(Endpoint):
    """Of the collection that the address names."""

    tag = "images"

    def find(self) -> None:
        self.collection = get_object_or_404(seen_collections(self), id=self.kwargs["id"])
        if self.operation.role == Role.RESEARCHER:
            if self.collection.project is None:
                raise PermissionDenied("This collection is everybody’s: it is changed by commands.")
            self.require_project(self.collection.project, Role.RESEARCHER)


class OneCollection(CollectionEndpoint):
    @operation(Scope.READ, Role.VIEWER, gives=CollectionSerializer)
    def get(self, request, id: int) -> Response:  # noqa: A002 (as the address says)
        """A collection."""
        return Response(CollectionSerializer(self.collection).data)


class Upload(CollectionEndpoint):
    parser_classes = [MultiPartParser]
    most_bytes = MOST_BYTES

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=UploadSerializer,
        gives={201: UploadedSerializer},
        changes=True,
        is_conditional=True,
    )
    def post(self, request, id: int) -> Response:  # noqa: A002
        """Put photographs into a collection.

        Each that cannot be used is named in `skipped`; pixels that were here already are no new
        image.
        """
        given = self.given()
        with transaction.atomic():
            require_match(request, CollectionSerializer(self.collection).data)
            result = import_files(
                ((each.name, each.file) for each in given["photographs"]),
                collection=self.collection.name,
                project=self.collection.project,
            )
            audit.record(
                "uploaded photographs",
                self.collection,
                by=self.user,
                project=self.collection.project,
                photographs=len(result.sources),
            )
        body = {
            "added": ImageSerializer(result.added, many=True).data,
            "known": ImageSerializer(result.known, many=True).data,
            "skipped": [{"name": name, "reason": reason} for name, reason in result.skipped],
        }
        return Response(body, 201)


class Images(Endpoint):
    tag = "images"

    @operation(Scope.READ, query=ImageQuery, gives=paged(ImageSerializer), errors=(404,))
    def get(self, request) -> Response:
        """The source images that you see, all or a collection’s."""
        query = self.query()
        found = seen_images(self)
        if "collection" in query:
            within = get_object_or_404(seen_collections(self), id=query["collection"])
            found = found.filter(collections=within)
        return page(request, query, found, lambda rows: ImageSerializer(rows, many=True).data)


class ImageEndpoint(Endpoint):
    """Of the source image that the address names."""

    tag = "images"

    def find(self) -> None:
        self.image = get_object_or_404(seen_images(self), id=self.kwargs["id"])


class OneImage(ImageEndpoint):
    @operation(Scope.READ, Role.VIEWER, gives=ImageSerializer)
    def get(self, request, id: int) -> Response:  # noqa: A002
        """A source image."""
        return Response(ImageSerializer(self.image).data)


class Reconstructions(ImageEndpoint):
    @operation(Scope.READ, Role.VIEWER, query=PageQuery, gives=paged(ReconstructionSerializer))
    def get(self, request, id: int) -> Response:  # noqa: A002
        """What codecs made of a source image."""
        return page(
            request,
            self.query(),
            self.image.reconstructions.all(),
            lambda rows: ReconstructionSerializer(rows, many=True).data,
        )


def seen_collections(endpoint: Endpoint) -> QuerySet[Collection]:
    """Those that who calls sees, and that the token opens; and everybody's."""
    return Collection.objects.filter(Q(project=None) | Q(project__in=endpoint.projects()))


def seen_images(endpoint: Endpoint) -> QuerySet[SourceImage]:
    found = SourceImage.objects.seen_by(endpoint.user)
    token = token_of(endpoint.request)
    if token and token.project_id:
        found = found.filter(id__in=seen_collections(endpoint).values("sources"))
    return found


def only_project(endpoint: Endpoint, data: object) -> Project:
    """The project that a body names, or the only one in which who calls may make something.

    Raises PermissionDenied if there is none, ValidationError if it is not said which.
    """
    theirs = endpoint.projects(Role.RESEARCHER)
    if not theirs.exists():
        raise PermissionDenied("This takes the role researcher in a project.")
    named = data.get("project") if isinstance(data, dict) else None
    if named is not None:
        slug = named.replace("\0", "") if isinstance(named, str) else ""
        found = theirs.filter(slug=slug).first()
        if found is None:
            raise ValidationError({"project": ["You are a researcher in no project of this name."]})
        return found
    if theirs.count() > 1:
        names = ", ".join(theirs.values_list("slug", flat=True))
        raise ValidationError({"project": [f"Say which: {names}."]})
    return theirs.get()
