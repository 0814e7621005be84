"""Studies: made from what a study file says, watched, closed and opened again."""

from django.conf import settings
from django.db import transaction
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from annotation.kinds import KINDS
from annotation.serving import locked
from codecs_registry.models import Reconstruction
from evaluation import launching
from evaluation.api.endpoint import Endpoint, StudyEndpoint
from evaluation.api.etags import require_match
from evaluation.api.images import only_project
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api_models import Scope
from evaluation.links import annotation_link, campaign_link, study_page
from evaluation.models import Study
from evaluation.study_files import DEFAULT_BPP, SAMPLINGS, StudySpecification
from projects.roles import Role

MOST_FAILURES = 100


class StudySerializer(serializers.Serializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    project = serializers.CharField(source="project.slug")
    state = serializers.ChoiceField(choices=Study.State.choices)
    task = serializers.CharField(source="campaign.kind")
    codecs = serializers.ListField(child=serializers.CharField())
    strata = serializers.ListField(
        child=serializers.CharField(), help_text="Target bits per pixel, exact."
    )
    specification = serializers.DictField(help_text="As launched; `images` are SHA-256s of pixels.")
    launched_at = serializers.DateTimeField()
    launched_by = serializers.CharField(
        source="launched_by.username", default=None, allow_null=True
    )
    page = serializers.SerializerMethodField(help_text="For researchers.")
    annotation_link = serializers.SerializerMethodField(
        help_text="For annotators: whoever has it can begin."
    )

    pilot_link = serializers.SerializerMethodField(
        help_text="For those who try it in its pilot; null: it has none."
    )

    def get_page(self, study: Study) -> str:
        return study_page(study)

    def get_annotation_link(self, study: Study) -> str:
        return annotation_link(study)

    def get_pilot_link(self, study: Study) -> str | None:
        return campaign_link(study.pilot) if study.pilot else None


class NewStudySerializer(serializers.Serializer):
    """What a study file says (docs/studies.md), with all of its tables; and whose it is."""

    project = serializers.CharField(
        required=False, help_text="A slug; may be left out where you have one project only."
    )
    name = serializers.CharField(max_length=100)
    images = serializers.CharField(help_text="The name of a collection.")
    codecs = serializers.ListField(child=serializers.CharField(), min_length=2)
    bpp = serializers.ListField(
        child=serializers.CharField(), required=False, default=list(DEFAULT_BPP)
    )
    task = serializers.ChoiceField(choices=list(KINDS), default="2afc")
    judgments_per_task = serializers.IntegerField(default=3, min_value=1, max_value=1000)
    sampling = serializers.ChoiceField(choices=SAMPLINGS, default=SAMPLINGS[0])
    gold_share = serializers.FloatField(default=0, min_value=0, max_value=0.5)
    repeat_share = serializers.FloatField(default=0, min_value=0, max_value=0.5)
    seed = serializers.IntegerField(default=0, min_value=0, max_value=2**63 - 1)
    instructions = serializers.CharField(default="", allow_blank=True)


class StudyQuery(PageQuery):
    project = serializers.SlugField(required=False, help_text="Of this one only.")
    state = serializers.ChoiceField(choices=Study.State.choices, required=False)


class FailureSerializer(serializers.Serializer):
    image = serializers.CharField(source="source.name")
    codec = serializers.CharField()
    stratum = serializers.CharField()
    reason = serializers.CharField(source="error")


class CountsSerializer(serializers.Serializer):
    """Judgments: what people gave and what simulated annotators gave are never added up."""

    people = serializers.IntegerField()
    simulated = serializers.IntegerField()


class EncodingSerializer(serializers.Serializer):
    waiting = serializers.IntegerField()
    encoding = serializers.IntegerField()
    ready = serializers.IntegerField()
    failed = serializers.IntegerField()
    total = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer):
    state = serializers.ChoiceField(choices=Study.State.choices)
    encoding = EncodingSerializer(help_text="Reconstructions by their state.")
    failures = FailureSerializer(many=True, help_text=f"{MOST_FAILURES} of them at most.")
    judgments = CountsSerializer(help_text="Gold tasks, repeats and practice apart.")
    tasks = serializers.IntegerField()
    wanted = serializers.IntegerField(help_text="Judgments in all.")


class MoveSerializer(serializers.Serializer):
    move = serializers.ChoiceField(choices=list(launching.MOVES))


class RetriedSerializer(serializers.Serializer):
    retried = serializers.IntegerField(help_text="How many reconstructions had failed.")


class Studies(Endpoint):
    tag = "studies"

    @operation(Scope.READ, query=StudyQuery, gives=paged(StudySerializer), errors=(404,))
    def get(self, request) -> Response:
        """The studies of your projects, the newest first."""
        query = self.query()
        projects = self.projects()
        if "project" in query:
            get_object_or_404(projects, slug=query["project"])
            projects = projects.filter(slug=query["project"])
        found = Study.objects.filter(project__in=projects)
        if "state" in query:
            found = found.filter(Study.in_state(query["state"]))
        found = found.select_related("campaign", "pilot", "project", "launched_by")
        return page(request, query, found, present_all, newest_first=True)

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewStudySerializer,
        gives={201: StudySerializer, 200: StudySerializer},
        changes=True,
    )
    def post(self, request) -> Response:
        """Make a study and have its stimuli encoded; it opens by itself when they are.

        The body is what a study file says, as JSON, checked by the same rules. The same study again
        is the one that is there (200), and what failed of it is tried again.
        """
        project = only_project(self, request.data)
        if not isinstance(request.data, dict):
            raise ValidationError({"body": ["A study is a JSON object."]})
        asked = {name: value for name, value in request.data.items() if name != "project"}
        specification = StudySpecification.from_mapping(asked)
        sources = launching.collection_sources(specification.images, project)
        study, is_new = launching.launch(specification, sources, by=self.user, project=project)
        response = Response(present(study), 201 if is_new else 200)
        response["Location"] = f"{settings.CLOSER_URL}{request.path}/{study.slug}"
        return response


class OneStudy(StudyEndpoint):
    tag = "studies"

    @operation(Scope.READ, Role.VIEWER, gives=StudySerializer)
    def get(self, request, slug: str) -> Response:
        """A study."""
        return Response(present(self.study))


class Progress(StudyEndpoint):
    tag = "studies"

    @operation(Scope.READ, Role.VIEWER, gives=ProgressSerializer)
    def get(self, request, slug: str) -> Response:
        """How far a study is: its encoding, and its judgments."""
        campaign = self.study.campaign
        failed = self.study.reconstructions.filter(state=Reconstruction.State.FAILED)
        tasks = self.study.n_tasks or 0
        found = {
            "state": self.study.state,
            "encoding": self.study.encoding_progress(),
            "failures": failed.select_related("source")[:MOST_FAILURES],
            "judgments": self.study.judgment_counts(),
            "tasks": tasks,
            "wanted": tasks * campaign.judgments_per_task,
        }
        return Response(ProgressSerializer(found).data)


class Move(StudyEndpoint):
    tag = "studies"

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=MoveSerializer,
        gives=StudySerializer,
        changes=True,
        is_conditional=True,
        errors=(409,),
    )
    def post(self, request, slug: str) -> Response:
        """Take a step: open the study, as a pilot or for good, pause it, go on, close it.

        Once it serves no new pairs, answers to those that are being looked at still count.
        """
        take = launching.MOVE_FUNCTIONS[self.given()["move"]]
        with transaction.atomic():
            study = locked(Study.objects.select_related("campaign", "pilot")).get(id=self.study.id)
            require_match(request, present(study))
            take(study, by=self.user)
        return Response(present(study))


class Retry(StudyEndpoint):
    tag = "studies"

    @operation(Scope.WRITE, Role.RESEARCHER, gives=RetriedSerializer, changes=True)
    def post(self, request, slug: str) -> Response:
        """Encode again what failed."""
        return Response({"retried": launching.retry_encoding(self.study, by=self.user)})


def present(study: Study) -> dict:
    return StudySerializer(study).data


def present_all(studies: list[Study]) -> list[dict]:
    return StudySerializer(studies, many=True).data
