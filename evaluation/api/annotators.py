"""Those who judge for a study: invited, paid, stopped. Whoever has their links judges as them."""

from decimal import Decimal

from django.db import transaction
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.response import Response

from annotation import people
from annotation.joining import invite
from annotation.models import Annotator
from annotation.records import annotator_name
from codecs_registry import clock
from evaluation.api.endpoint import StudyEndpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, cursor_of, paged, respond
from evaluation.api.studies import StudySerializer
from evaluation.api_models import Scope
from evaluation.links import own_link
from projects import audit
from projects.roles import Role

MOST = 1000


class InvitedSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    annotator = serializers.SerializerMethodField(help_text="As judgments name them.")
    label = serializers.CharField(help_text="Whom they were invited as.")
    link = serializers.SerializerMethodField(help_text="Their own.")
    is_stopped = serializers.SerializerMethodField()

    def get_annotator(self, annotator: Annotator) -> str:
        return annotator_name(annotator.id, is_simulated=annotator.is_simulated)

    def get_link(self, annotator: Annotator) -> str:
        return own_link(annotator)

    def get_is_stopped(self, annotator: Annotator) -> bool:
        return annotator.stopped_at is not None


class AnnotatorSerializer(serializers.Serializer):
    """What somebody has done, and what they are owed."""

    id = serializers.IntegerField(source="annotator.id")
    annotator = serializers.SerializerMethodField()
    label = serializers.CharField(source="annotator.label")
    platform = serializers.CharField(source="annotator.platform")
    external_id = serializers.CharField(
        source="annotator.external_id", help_text="Their name on the platform."
    )
    link = serializers.SerializerMethodField()
    status = serializers.CharField()
    judgments = serializers.IntegerField(source="judged")
    practice = serializers.IntegerField(source="trained")
    minutes = serializers.FloatField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)
    gold_right = serializers.SerializerMethodField()
    gold = serializers.SerializerMethodField()
    rules = serializers.ListField(
        source="events", child=serializers.CharField(), help_text="Those that applied."
    )
    pay = serializers.CharField(allow_null=True, help_text="null: the study says nothing of it.")
    bonus = serializers.CharField(allow_null=True)

    def get_annotator(self, work: people.Work) -> str:
        return annotator_name(work.annotator.id, is_simulated=False)

    def get_link(self, work: people.Work) -> str:
        return own_link(work.annotator)

    def get_gold_right(self, work: people.Work) -> int:
        return work.gold[0]

    def get_gold(self, work: people.Work) -> int:
        return work.gold[1]


class PaymentsSerializer(serializers.Serializer):
    """What all are owed together; who, is in the list of annotators."""

    currency = serializers.CharField()
    people = serializers.IntegerField()
    judgments = serializers.IntegerField()
    hours = serializers.FloatField()
    pay = serializers.CharField(allow_null=True, help_text="null: the study says nothing of it.")
    bonus = serializers.CharField(allow_null=True)


class InvitationsSerializer(serializers.Serializer):
    labels = serializers.ListField(
        child=serializers.CharField(max_length=200, allow_blank=True),
        min_length=1,
        max_length=MOST,
        help_text="Whom you invite: a link of their own for each.",
    )


class MadeSerializer(serializers.Serializer):
    items = InvitedSerializer(many=True)


class WithdrawnSerializer(serializers.Serializer):
    judgments = serializers.IntegerField(help_text="How many went with them.")


class Annotators(StudyEndpoint):
    tag = "annotators"

    @operation(Scope.ANNOTATORS, Role.RESEARCHER, query=PageQuery, gives=paged(AnnotatorSerializer))
    def get(self, request, slug: str) -> Response:
        """The people who judge for a study: what each has done, and what each is owed.

        Simulated annotators are not listed.
        """
        query = self.query()
        after = cursor_of(query) or 0
        work = [each for each in people.work_of(self.study.campaign) if each.annotator.id > after]
        here = work[: query["limit"]]
        items = AnnotatorSerializer(here, many=True).data
        return respond(request, items, here[-1].annotator.id if len(work) > len(here) else None)

    @operation(
        Scope.ANNOTATORS,
        Role.RESEARCHER,
        takes=InvitationsSerializer,
        gives={201: MadeSerializer},
        changes=True,
    )
    def post(self, request, slug: str) -> Response:
        """Invite people by links of their own."""
        labels = self.given()["labels"]
        with transaction.atomic():
            made = invite(self.study.campaign, labels)
            record(self, "invited annotators", links=len(made))
        return Response({"items": InvitedSerializer(made, many=True).data}, 201)


class Payments(StudyEndpoint):
    tag = "annotators"

    @operation(Scope.ANNOTATORS, Role.RESEARCHER, gives=PaymentsSerializer)
    def get(self, request, slug: str) -> Response:
        """What a study's annotators are owed in all."""
        work = people.work_of(self.study.campaign)
        found = {
            "currency": self.study.campaign.options.crowd.currency,
            "people": len(work),
            "judgments": sum(each.judged for each in work),
            "hours": sum(each.worked_s for each in work) / 3600,
            "pay": _total([each.pay for each in work]),
            "bonus": _total([each.bonus for each in work]),
        }
        return Response(PaymentsSerializer(found).data)


class AnnotatorEndpoint(StudyEndpoint):
    """Of the annotator that the address names."""

    tag = "annotators"

    def find(self) -> None:
        super().find()
        self.annotator = get_object_or_404(self.study.campaign.annotators, id=self.kwargs["id"])

    def answer(self) -> Response:
        self.annotator.refresh_from_db()
        return Response(InvitedSerializer(self.annotator).data)


class OneAnnotator(AnnotatorEndpoint):
    @operation(Scope.ANNOTATORS, Role.RESEARCHER, gives=WithdrawnSerializer)
    def delete(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Delete an annotator with all that they judged: they asked for it."""
        with transaction.atomic():
            withdrawal = people.withdraw(self.annotator, now=clock.now())
            record(self, "deleted an annotator's data", judgments=withdrawal.judgments)
        return Response({"judgments": withdrawal.judgments})


class Revoke(AnnotatorEndpoint):
    @operation(Scope.ANNOTATORS, Role.RESEARCHER, gives=InvitedSerializer, changes=True)
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Have an annotator's link lead nowhere. What they judged stays."""
        with transaction.atomic():
            people.revoke(self.annotator, now=clock.now())
            record(self, "revoked an annotator's link", annotator=id)
        return self.answer()


class Restore(AnnotatorEndpoint):
    @operation(Scope.ANNOTATORS, Role.RESEARCHER, gives=InvitedSerializer, changes=True)
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Let an annotator go on who was stopped, by you or by a rule."""
        with transaction.atomic():
            people.restore(self.annotator)
            record(self, "restored an annotator's link", annotator=id)
        return self.answer()


class NewLink(StudyEndpoint):
    tag = "annotators"

    @operation(Scope.ANNOTATORS, Role.RESEARCHER, gives=StudySerializer, changes=True)
    def post(self, request, slug: str) -> Response:
        """Give a study another link for annotators; the old one leads nowhere."""
        with transaction.atomic():
            people.renew_link(self.study.campaign)
            record(self, "renewed the annotators' link")
        self.study.campaign.refresh_from_db()
        return Response(StudySerializer(self.study).data)


def record(endpoint: StudyEndpoint, action: str, **details: object) -> None:
    study = endpoint.study
    audit.record(action, study, by=endpoint.user, project=study.project, **details)


def _total(amounts: list[Decimal | None]) -> Decimal | None:
    known = [each for each in amounts if each is not None]
    return sum(known) if known else None
