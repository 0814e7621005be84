"""Versions of the perceptual metric, and the distance of two pictures by one."""

from django.http import Http404
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from evaluation import metric_api
from evaluation.access import require_metric
from evaluation.api.authentication import token_of
from evaluation.api.endpoint import Endpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api_models import Scope
from evaluation.measuring import MAX_BYTES
from evaluation.metric_models import MetricVersion
from evaluation.populations import POPULATIONS
from projects.roles import Role


class MetricSerializer(serializers.Serializer):
    name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of its file.")
    backbone = serializers.CharField()
    variant = serializers.CharField()
    population = serializers.ChoiceField(
        choices=POPULATIONS, help_text="Whose judgments it was trained on."
    )
    n_pairs = serializers.IntegerField()
    n_judgments = serializers.IntegerField(allow_null=True)
    held_out_score = serializers.FloatField(allow_null=True, help_text="2AFC, in percent.")
    held_out_low = serializers.FloatField(allow_null=True)
    held_out_high = serializers.FloatField(allow_null=True)
    human_ceiling = serializers.FloatField(allow_null=True)
    is_in_service = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why it was promoted, or kept aside.")
    created_at = serializers.DateTimeField()


class PicturesSerializer(serializers.Serializer):
    reference = serializers.FileField()
    distorted = serializers.FileField()
    metric = serializers.CharField(
        max_length=100, required=False, help_text="A version’s name; else the one in service."
    )


class DistanceSerializer(serializers.Serializer):
    distance = serializers.FloatField()
    metric = serializers.CharField()
    sha256 = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class MetricEndpoint(Endpoint):
    """For members of projects whose judgments train the metric."""

    tag = "metric"

    def find(self) -> None:
        require_metric(self.user, self.operation.role)
        token = token_of(self.request)
        if token and token.project and not token.project.trains_metric:
            raise Http404


class Metrics(MetricEndpoint):
    @operation(Scope.READ, Role.VIEWER, query=PageQuery, gives=paged(MetricSerializer))
    def get(self, request) -> Response:
        """The versions of the metric, the newest first."""
        versions = MetricVersion.objects.all()
        return page(
            request,
            self.query(),
            versions,
            lambda found: MetricSerializer(found, many=True).data,
            newest_first=True,
        )


class OneMetric(MetricEndpoint):
    def find(self) -> None:
        super().find()
        name = self.kwargs["name"]
        self.version = MetricVersion.objects.filter(name=name).first()
        if self.version is None:
            raise Http404

    @operation(Scope.READ, Role.VIEWER, gives=MetricSerializer)
    def get(self, request, name: str) -> Response:
        """A version of the metric."""
        return Response(MetricSerializer(self.version).data)


class Distance(Endpoint):
    tag = "metric"
    parser_classes = [MultiPartParser]
    most_bytes = 2 * MAX_BYTES + metric_api.ROOM

    @operation(
        Scope.READ, takes=PicturesSerializer, gives=DistanceSerializer, errors=(404, 409, 503)
    )
    def post(self, request) -> Response:
        """How far apart two pictures are, as a version of the metric sees them.

        PNG, JPEG, WebP, TIFF or AVIF, of equal size, at most 2.2 megapixels and 20 MB each. It
        changes nothing. /api/distance is the same with a name and a password in place of a token.
        """
        return Response(metric_api.answer(request.data, self.user))
