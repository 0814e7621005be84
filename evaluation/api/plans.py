"""What a study would take, and what it may be expected to show, before it is launched."""

import math

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from evaluation import launching
from evaluation.api.endpoint import Endpoint
from evaluation.api.images import only_project
from evaluation.api.operations import operation
from evaluation.api.studies import NewStudySerializer
from evaluation.api_models import Scope
from evaluation.study_files import InvalidStudy, StudySpecification
from projects.roles import Role


class NumberField(serializers.FloatField):
    """One that is finite: "nan" is neither too small nor too large."""

    def to_internal_value(self, data: object) -> float:
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class AssumptionsSerializer(serializers.Serializer):
    """What no study file says; each may be left out (docs/planning.md)."""

    annotators = serializers.IntegerField(min_value=1, max_value=100_000, required=False)
    seconds_per_judgment = NumberField(min_value=0.5, max_value=3600, required=False)
    pay_per_hour = serializers.DecimalField(
        min_value=0, max_value=10_000, max_digits=7, decimal_places=2, required=False
    )
    currency = serializers.CharField(max_length=10, allow_blank=True, required=False)
    preferred = NumberField(
        min_value=0.51,
        max_value=0.99,
        required=False,
        help_text="The share who prefer the better of two codecs: the difference to find.",
    )
    annotator_sd = NumberField(min_value=0, max_value=3, required=False)
    content_sd = NumberField(min_value=0, max_value=3, required=False)


class PlannedSerializer(NewStudySerializer):
    assumptions = AssumptionsSerializer(required=False)


class TargetSerializer(serializers.Serializer):
    """When the study is expected to close by itself."""

    width = serializers.FloatField(help_text="Of the widest interval of a codec’s score.")
    per_pair = serializers.IntegerField(
        allow_null=True, help_text="Judgments of each pair; null: no size that was simulated does."
    )
    judgments = serializers.IntegerField(allow_null=True, help_text="In all strata.")
    is_within = serializers.BooleanField(help_text="Whether the plan has as many.")


class PlanSerializer(serializers.Serializer):
    """What `plan_study --json` prints."""

    sources = serializers.IntegerField()
    megapixels = serializers.FloatField()
    codecs = serializers.IntegerField()
    strata = serializers.IntegerField()
    reconstructions = serializers.IntegerField()
    to_make = serializers.IntegerField(help_text="Reconstructions that are not there yet.")
    pairs = serializers.IntegerField(help_text="Of codecs, in a stratum.")
    tasks = serializers.IntegerField()
    most_gold_tasks = serializers.IntegerField()
    judgments_wanted = serializers.IntegerField()
    judgments = serializers.IntegerField(help_text="What comes of them within the limits.")
    judgments_per_pair = serializers.FloatField()
    asked = serializers.IntegerField(help_text="Answers in all, gold tasks and repeats among them.")
    practice = serializers.IntegerField()
    limits = serializers.ListField(child=serializers.CharField())
    annotators = serializers.IntegerField()
    annotators_from = serializers.CharField()
    hours = serializers.FloatField()
    hours_each = serializers.FloatField()
    cost = serializers.CharField(allow_null=True)
    cost_from = serializers.CharField()
    bonus = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    encoding = serializers.ListField(child=serializers.DictField())
    encode_seconds = serializers.FloatField()
    stored_bytes = serializers.IntegerField()
    foretold = serializers.DictField(
        allow_null=True, help_text="Interval widths and power, by simulation."
    )
    foretold_reason = serializers.CharField(allow_null=True, help_text="Why there are none.")
    target = TargetSerializer(allow_null=True, help_text="null: it has no target width.")


class Plan(Endpoint):
    tag = "studies"

    @operation(Scope.READ, Role.RESEARCHER, takes=PlannedSerializer, gives=PlanSerializer)
    def post(self, request) -> Response:
        """What a study would take, and what it may be expected to show. Nothing is made.

        The body is what POST studies takes, and `assumptions`. Large studies take some seconds.
        """
        from evaluation.plan import Assumptions, plan_of  # with all of statistics

        project = only_project(self, request.data)
        if not isinstance(request.data, dict):
            raise ValidationError({"body": ["A study is a JSON object."]})
        told = AssumptionsSerializer(data=request.data.get("assumptions", {}))
        if not told.is_valid():
            raise ValidationError({"assumptions": told.errors})
        asked = {k: v for k, v in request.data.items() if k not in ("project", "assumptions")}
        specification = StudySpecification.from_mapping(asked)
        sources = launching.collection_sources(specification.images, project)
        if problems := launching.problems_here(specification, sources, project=project):
            raise InvalidStudy(problems)
        assumptions = Assumptions(**told.validated_data)
        return Response(plan_of(specification, sources, assumptions, patiently=True).as_dict())
