"""Webhooks of a project: addresses that are told what happens (docs/api.md)."""

from django.db import transaction
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from evaluation import webhooks
from evaluation.api.endpoint import ProjectEndpoint
from evaluation.api.etags import require_match
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api_models import Scope
from evaluation.webhook_models import Delivery, Event, Webhook
from projects.roles import Role


class WebhookSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(choices=Event.choices))
    is_active = serializers.BooleanField()
    made_at = serializers.DateTimeField()


class MadeWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="Signs what is sent; it is not shown again.")


class NewWebhookSerializer(serializers.Serializer):
    url = serializers.URLField(max_length=500, help_text="http or https, on the public network.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=Event.choices), min_length=1, max_length=len(Event)
    )


class ChangeSerializer(serializers.Serializer):
    url = serializers.URLField(max_length=500, required=False)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=Event.choices),
        min_length=1,
        max_length=len(Event),
        required=False,
    )
    is_active = serializers.BooleanField(required=False)


class DeliverySerializer(serializers.Serializer):
    id = serializers.IntegerField()
    event_id = serializers.UUIDField()
    event = serializers.CharField()
    payload = serializers.DictField()
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    next_try_at = serializers.DateTimeField()
    response_status = serializers.IntegerField(allow_null=True)
    problem = serializers.CharField(help_text="Why the last attempt counts as refused.")
    made_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)


class Webhooks(ProjectEndpoint):
    tag = "webhooks"

    @operation(Scope.READ, Role.RESEARCHER, query=PageQuery, gives=paged(WebhookSerializer))
    def get(self, request, slug: str) -> Response:
        """The webhooks of a project."""
        found = self.project.webhooks.all()
        return page(
            request, self.query(), found, lambda rows: WebhookSerializer(rows, many=True).data
        )

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewWebhookSerializer,
        gives={201: MadeWebhookSerializer},
        changes=True,
    )
    def post(self, request, slug: str) -> Response:
        """Have an address told of events.

        The answer has the secret that signs what is sent, once.
        """
        given = self.given()
        with refused():
            made = webhooks.make_webhook(self.project, given["url"], given["events"], by=self.user)
        return Response(MadeWebhookSerializer(made).data, 201)


class WebhookEndpoint(ProjectEndpoint):
    """Of the webhook that the address names."""

    tag = "webhooks"

    def find(self) -> None:
        super().find()
        self.webhook = get_object_or_404(self.project.webhooks, id=self.kwargs["id"])


class OneWebhook(WebhookEndpoint):
    @operation(Scope.READ, Role.RESEARCHER, gives=WebhookSerializer)
    def get(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """A webhook."""
        return Response(WebhookSerializer(self.webhook).data)

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=ChangeSerializer,
        gives=WebhookSerializer,
        is_conditional=True,
    )
    def patch(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Change a webhook's address or events, stop it or have it go on.

        What waits while it is stopped is sent when it goes on.
        """
        given = self.given()
        with transaction.atomic(), refused():
            found = get_object_or_404(Webhook.objects.select_for_update(), id=self.webhook.id)
            require_match(request, WebhookSerializer(found).data)
            if given:
                webhooks.change_webhook(found, given, by=self.user)
        return Response(WebhookSerializer(found).data)

    @operation(Scope.WRITE, Role.RESEARCHER, gives={204: None}, is_conditional=True)
    def delete(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Remove a webhook, with its deliveries."""
        with transaction.atomic():
            found = get_object_or_404(Webhook.objects.select_for_update(), id=self.webhook.id)
            require_match(request, WebhookSerializer(found).data)
            webhooks.remove_webhook(found, by=self.user)
        return Response(status=204)


class Test(WebhookEndpoint):
    @operation(Scope.WRITE, Role.RESEARCHER, gives={202: DeliverySerializer}, changes=True)
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Send a test."""
        return Response(DeliverySerializer(webhooks.send_test(self.webhook)).data, 202)


class Deliveries(WebhookEndpoint):
    @operation(Scope.READ, Role.RESEARCHER, query=PageQuery, gives=paged(DeliverySerializer))
    def get(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """What a webhook was sent, the newest first. What is over is kept for 30 days."""
        return page(
            request,
            self.query(),
            self.webhook.deliveries.all(),
            lambda rows: DeliverySerializer(rows, many=True).data,
            newest_first=True,
        )


class Again(WebhookEndpoint):
    def find(self) -> None:
        super().find()
        self.delivery = get_object_or_404(self.webhook.deliveries, id=self.kwargs["delivery_id"])

    @operation(Scope.WRITE, Role.RESEARCHER, gives={202: DeliverySerializer}, changes=True)
    def post(self, request, slug: str, id: int, delivery_id: int) -> Response:  # noqa: A002
        """Send a delivery once more, with the same event id."""
        webhooks.send_again(self.delivery)
        self.delivery.refresh_from_db()
        return Response(DeliverySerializer(self.delivery).data, 202)


class refused:  # noqa: N801 (read as a word: with refused())
    """Tells what a webhook is refused for as an error of the field."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, webhooks.CannotKeep):
            raise ValidationError({error.field: [str(error)]}) from None
