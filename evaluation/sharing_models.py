"""Links to results that need no sign-in."""

import json

from django.conf import settings
from django.db import models
from django.db.models import Q

from evaluation.metric_models import Population


class SharedLink(models.Model):
    """A link to a study's results that whoever has it may read, until it is revoked.

    document_text : the results as they were published, as JSON; empty: always the newest. Text,
        since jsonb would put strata into another order.
    """

    study = models.ForeignKey("evaluation.Study", models.CASCADE, related_name="shared_links")
    population = models.CharField(max_length=10, choices=Population)
    token = models.CharField(max_length=64, unique=True)
    document_text = models.TextField(blank=True)
    document_sha256 = models.CharField(max_length=64, blank=True, help_text="Of document_text.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(population__in=Population.values), name="shared_link_of_one_population"
            ),
            models.CheckConstraint(condition=~Q(token=""), name="shared_link_has_a_token"),
            models.CheckConstraint(
                condition=Q(document_text="", document_sha256="")
                | (~Q(document_text="") & ~Q(document_sha256="")),
                name="shared_link_knows_what_it_froze",
            ),
        ]

    def __str__(self) -> str:
        return f"link {self.id} to {self.study}"

    @property
    def is_frozen(self) -> bool:
        return bool(self.document_sha256)

    @property
    def document(self) -> dict | None:
        """The results as they were published; None: always the newest."""
        return json.loads(self.document_text) if self.is_frozen else None
