"""Who calls the API, and what it answered to requests that must not be carried out twice."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from codecs_registry import clock
from projects.models import Project


class Scope(models.TextChoices):
    """What a token may be used for; what its holder's role forbids it never allows."""

    READ = "read", "See projects, images, codecs, studies, results and versions of the metric"
    JUDGMENTS = "judgments:read", "Read single judgments"
    ANNOTATORS = "annotators", "See and invite annotators: whoever has their links judges as them"
    MEMBERS = "members", "Make projects, and say who takes part in them"
    WRITE = "write", "Upload photographs; make and run studies; import, export and share"


class ApiToken(models.Model):
    """A secret by which a program acts as somebody. Only its SHA-256 is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    project = models.ForeignKey(
        Project,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        help_text="The only one that it opens; empty: all of its holder's.",
    )
    name = models.CharField(max_length=100, help_text="What it is for.")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret.")
    prefix = models.CharField(max_length=20, help_text="How the secret begins, to tell it by.")
    made_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True, help_text="Last, to the minute.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values, scopes__len__gt=0),
                name="api_token_has_scopes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_live(self) -> bool:
        is_over = self.expires_at is not None and self.expires_at <= clock.now()
        return self.revoked_at is None and not is_over


class KeptAnswer(models.Model):
    """What a request with an Idempotency-Key was answered, for when it comes again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of what was asked.")
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True, help_text="JSON, as it was sent.")
    headers = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Of two requests with one key the second waits here until the first is done.
            models.UniqueConstraint(fields=["user", "key"], name="kept_answer_once_a_key"),
        ]
        indexes = [models.Index(fields=["at"], name="kept_answer_age")]

    def __str__(self) -> str:
        return f"{self.status} to {self.key}"
