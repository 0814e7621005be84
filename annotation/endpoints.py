"""The endpoints that the judging page talks to.

None needs a session: an annotator is whoever holds the link.
"""

import re
from dataclasses import asdict

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import serving
from annotation.kinds import KINDS, InvalidAnswer
from annotation.models import Annotator, Assignment, Campaign, StopReason
from annotation.people import counted_judgments, ending
from annotation.screens import lacks_measuring
from annotation.stimuli import ORIGINAL, shown_size
from annotation.throttles import PerAnnotator
from annotation.training import JUDGING, feedback, stage_of
from codecs_registry import clock

DAY_MS = 24 * 3600 * 1000
VIEWING_NAME = re.compile("[a-z][a-z0-9_]{0,39}")
EVENT = re.compile("[a-z][a-z0-9-]{0,19}")
MOST_EVENTS = 1000


class AnnotatorEndpoint(APIView):
    """The link's secret is the permission; there is no session that could be forged."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [PerAnnotator]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        _ = request.body  # reads it up to Django's limit on size; JSONParser knows none

    def handle_exception(self, exc: Exception) -> Response:
        # The annotator withdrew while this request waited: there is nothing of theirs any more.
        return super().handle_exception(Http404() if isinstance(exc, ObjectDoesNotExist) else exc)

    def annotator(self) -> Annotator:
        return get_object_or_404(
            Annotator.objects.select_related("campaign"), token=self.kwargs["token"]
        )

    def annotator_who_may_answer(self) -> Annotator:
        annotator = self.annotator()
        if annotator.stop_reason == StopReason.REVOKED:
            raise PermissionDenied("This link is no longer valid.")
        return annotator

    def assignment(self, annotator: Annotator, token: str) -> Assignment:
        return get_object_or_404(annotator.assignments, token=token)

    def next_up(self, annotator: Annotator, **more: object) -> dict:
        """What the page needs to go on: pairs to show, and where the annotator is."""
        held = [each.id for each in serving.lease(annotator, now=clock.now())]
        assignments = Assignment.objects.select_related("task__source", "task__campaign")
        annotator = self.annotator()  # as leasing left them
        stage = stage_of(annotator)
        untold = annotator.quality_events.filter(told_at=None).order_by("id")
        return {
            **more,
            "judged": counted_judgments(annotator).count(),
            "ending": None if held else asdict(ending(annotator)),
            "stage": None
            if stage == JUDGING
            else {"name": stage.name, "done": stage.done, "of": stage.of},
            "warnings": list(untold.values_list("check_name", flat=True)),
            "is_open": annotator.campaign.state == Campaign.State.OPEN,
            "assignments": [
                present(each) for each in assignments.filter(id__in=held).order_by("id")
            ],
        }


def present(assignment: Assignment) -> dict:
    """An assignment as the page sees it: sizes and opaque addresses, nothing else."""
    width, height = shown_size(assignment.task)
    return {
        "token": assignment.token,
        "width": width,
        "height": height,
        "images": {
            position: reverse("stimulus", args=[assignment.token, position])
            for position in (ORIGINAL, *positions_of(assignment))
        },
    }


def positions_of(assignment: Assignment) -> tuple[str, ...]:
    return KINDS[assignment.task.campaign.kind].positions(len(assignment.shown))


class NextAssignments(AnnotatorEndpoint):
    """POST: lease what is to be judged next."""

    def post(self, request: Request, token: str) -> Response:
        annotator = self.annotator()
        if annotator.began_at is None or lacks_measuring(annotator):
            raise PermissionDenied("Please begin on the page that the link leads to.")
        return Response(self.next_up(annotator))


class Number(serializers.Field):
    """A JSON number from 0 to LARGEST. FloatField takes "nan", true and text as well."""

    LARGEST = DAY_MS
    default_error_messages = {"invalid": f"A number from 0 to {LARGEST} is required."}

    def to_internal_value(self, data: object) -> float:
        is_number = isinstance(data, int | float) and not isinstance(data, bool)
        if not is_number or not 0 <= data <= self.LARGEST:
            self.fail("invalid")
        return float(data)


def _is_event(what: object) -> bool:
    return isinstance(what, str) and EVENT.fullmatch(what) is not None


class Judge(AnnotatorEndpoint):
    """POST: an answer. 201 if it is new, 200 if it was known, 409 if its place is gone."""

    class Input(serializers.Serializer):
        assignment = serializers.CharField(max_length=40)
        answer = serializers.JSONField()
        response_ms = serializers.IntegerField(min_value=0, max_value=DAY_MS)
        viewing = serializers.DictField(child=Number(), required=False, default=dict)
        events = serializers.ListField(
            child=serializers.ListField(min_length=2, max_length=2),
            required=False,
            default=list,
            max_length=MOST_EVENTS,
        )
        confidence = serializers.IntegerField(
            min_value=1, max_value=3, required=False, allow_null=True, default=None
        )
        remark = serializers.CharField(
            max_length=1000, required=False, allow_blank=True, default=""
        )

        def validate_events(self, events: list) -> list:
            at = -1
            for when, what in events:
                is_time = isinstance(when, int) and not isinstance(when, bool)
                if not is_time or not at <= when <= DAY_MS or not _is_event(what):
                    raise serializers.ValidationError(
                        "Each is [milliseconds, what], in the order in which they happened."
                    )
                at = when
            return events

        def validate_viewing(self, viewing: dict) -> dict:
            if len(viewing) > 20 or not all(VIEWING_NAME.fullmatch(name) for name in viewing):
                raise serializers.ValidationError(
                    "At most 20 numbers are taken, under names of lower-case letters, digits and _."
                )
            return viewing

    def post(self, request: Request, token: str) -> Response:
        annotator = self.annotator_who_may_answer()
        answer = self.Input(data=request.data)
        answer.is_valid(raise_exception=True)
        assignment = self.assignment(annotator, answer.validated_data.pop("assignment"))
        try:
            _, is_new = serving.judge(assignment, **answer.validated_data, now=clock.now())
        except serving.PlaceTaken:
            return Response(self.next_up(annotator, recorded=False), status.HTTP_409_CONFLICT)
        except InvalidAnswer as error:
            raise serializers.ValidationError({"answer": [str(error)]}) from None
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        todo = self.next_up(annotator, recorded=True, feedback=self.feedback(assignment))
        return Response(todo, code)

    def feedback(self, assignment: Assignment) -> dict | None:
        told = feedback(assignment)
        if told is None:
            return None
        return told | {"closest": positions_of(assignment)[told["closest"]]}


class GiveBack(AnnotatorEndpoint):
    """POST: an assignment whose images could not be shown."""

    class Input(serializers.Serializer):
        assignment = serializers.CharField(max_length=40)

    def post(self, request: Request, token: str) -> Response:
        answer = self.Input(data=request.data)
        answer.is_valid(raise_exception=True)
        assignment = self.assignment(self.annotator(), answer.validated_data["assignment"])
        serving.give_back(assignment, now=clock.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
