"""What judgments come to, and the judgments themselves.

Whose is always said: people's and simulated annotators' are never mixed.
"""

from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from annotation.kinds import KINDS, Ranking
from annotation.models import Campaign
from annotation.records import JudgmentRecord, counted, judgment_records
from codecs_registry import clock
from evaluation.api.endpoint import StudyEndpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, cursor_of, paged, respond
from evaluation.api_models import Scope
from evaluation.populations import PILOT, POPULATIONS
from projects.roles import Role


class BeingAnalysed(APIException):
    status_code = 503
    default_detail = "Its judgments are being analysed for the first time: ask again in a minute."


class PopulationQuery(serializers.Serializer):
    population = serializers.ChoiceField(
        choices=[*POPULATIONS, PILOT],
        help_text="Whose judgments; pilot: of the people whom the study’s pilot asked.",
    )


class JudgmentQuery(PageQuery, PopulationQuery):
    pass


class ResultsSerializer(serializers.Serializer):
    """What `analyse --json` prints (docs/analysis.md)."""

    strata = serializers.DictField(
        help_text="By target bits per pixel: scale, win shares, pairs, agreement, each with 95 % "
        "intervals."
    )
    annotators = serializers.ListField(child=serializers.DictField())
    provenance = serializers.DictField()


class JudgmentSerializer(serializers.Serializer):
    id = serializers.IntegerField(help_text="Rises in the order in which they were given.")
    annotator = serializers.CharField(help_text="A pseudonym, stable within the study.")
    content = serializers.CharField(help_text="The source image.")
    stratum = serializers.CharField()
    shown = serializers.ListField(
        child=serializers.CharField(), help_text="The codecs, from the left."
    )
    ranks = serializers.ListField(
        child=serializers.IntegerField(), help_text="Of each; 1 is closest, equal ranks are ties."
    )
    answer = serializers.CharField(
        help_text="left, right or tie; of a ranking `avif > jpeg = webp`."
    )
    closest = serializers.IntegerField(
        allow_null=True, help_text="Of a gold task: the position of the right answer."
    )
    is_repeat = serializers.BooleanField(help_text="They had judged it before.")
    response_ms = serializers.IntegerField()
    submitted_at = serializers.DateTimeField()


class ResultEndpoint(StudyEndpoint):
    tag = "results"

    def asked(self) -> tuple[dict, Campaign]:
        """The query, and where its population judges. Raises Http404 of a pilot that there is
        not."""
        from evaluation.stored_analyses import campaign_of  # with all of statistics

        query = self.query()
        campaign = campaign_of(self.study, query["population"])
        if campaign is None:
            raise Http404
        return query, campaign


class Results(ResultEndpoint):
    @operation(
        Scope.READ, Role.VIEWER, query=PopulationQuery, gives=ResultsSerializer, errors=(503,)
    )
    def get(self, request, slug: str) -> Response:
        """The analysis of a study, as it was made last: what `analyse --json` prints."""
        from evaluation.stored_analyses import newest  # with all of statistics

        query, _ = self.asked()
        document = newest(self.study, query["population"], now=clock.now())
        if document is None:
            raise BeingAnalysed
        return Response(document)


class Judgments(ResultEndpoint):
    @operation(Scope.JUDGMENTS, Role.VIEWER, query=JudgmentQuery, gives=paged(JudgmentSerializer))
    def get(self, request, slug: str) -> Response:
        """The judgments of a study in the order in which they were given; practice is left out."""
        query, campaign = self.asked()
        found = (
            counted(campaign, population=query["population"])
            .filter(id__gt=cursor_of(query) or 0)
            .order_by("id")
            .values_list("id", flat=True)
        )
        ids = list(found[: query["limit"] + 1])
        here = ids[: query["limit"]]
        records = judgment_records(campaign, only=here) if here else ()
        rows = [present(*each, campaign.kind) for each in zip(here, records, strict=True)]
        items = JudgmentSerializer(rows, many=True).data
        return respond(request, items, here[-1] if len(ids) > len(here) else None)


def present(judgment_id: int, record: JudgmentRecord, kind: str) -> dict:
    return {
        "id": judgment_id,
        "annotator": record.annotator,
        "content": record.content,
        "stratum": record.stratum,
        "shown": record.codecs,
        "ranks": record.ranks,
        "answer": record.ranking if kind == Ranking.name else KINDS[kind].answer(record.ranks),
        "closest": record.closest,
        "is_repeat": record.repeats,
        "response_ms": record.response_ms,
        "submitted_at": record.submitted_at,
    }
