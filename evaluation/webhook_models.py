"""Addresses that are told what happens in a project, and what they were told."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from projects.models import Project


class Event(models.TextChoices):
    """What a webhook can be told of."""

    OPENED = "study.opened", "A study opened, or opened again"
    CLOSED = "study.closed", "A study was closed"
    ENCODING_FAILED = "study.encoding_failed", "Some reconstructions could not be made"
    JUDGMENTS = "study.judgments", "New judgments, counted; at most once a minute"
    ANALYSED = "analysis.ready", "An analysis is ready"


TEST = "test"
"""The event that somebody sends to try an address; every webhook takes it."""


class Webhook(models.Model):
    """An address that Closer calls when something happens in a project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    secret = models.CharField(max_length=60, help_text="Signs what is sent.")
    events = ArrayField(models.CharField(max_length=30, choices=Event))
    is_active = models.BooleanField(default=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "url"], name="webhook_once_an_address"),
            models.CheckConstraint(
                condition=Q(events__contained_by=Event.values, events__len__gt=0),
                name="webhook_has_events",
            ),
        ]

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """That a webhook is to be told of an event: waiting until it answered, or gave no answer too
    often.

    waiting --deliver--> delivered
       ^ |  \\--refused MOST_ATTEMPTS times--> failed
       '-'   (again after a while)    failed, delivered --send again--> waiting
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event_id = models.UUIDField(
        default=uuid.uuid4, help_text="The same however often it is sent: receivers drop doubles."
    )
    event = models.CharField(max_length=30)
    study = models.ForeignKey(
        "evaluation.Study", models.CASCADE, null=True, blank=True, related_name="+"
    )
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    response_status = models.PositiveSmallIntegerField(null=True)
    problem = models.TextField(blank=True, help_text="Why the last attempt counts as refused.")
    made_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "event_id"], name="delivery_once_an_event_and_webhook"
            ),
        ]
        indexes = [
            # "What is due?": asked every few seconds.
            models.Index(fields=["next_try_at"], condition=Q(state="waiting"), name="delivery_due"),
            # "How many judgments was it told of last?"
            models.Index(fields=["webhook", "study", "event", "-id"], name="delivery_of_a_study"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"
