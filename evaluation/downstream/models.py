"""Downstream evaluations that are shown on pages."""

from django.conf import settings
from django.db import models
from django.urls import reverse


class DownstreamEvaluation(models.Model):
    """What `evaluate_downstream --json` printed: measured by the command, shown by the pages."""

    name = models.CharField(max_length=100)
    project = models.ForeignKey(
        "projects.Project", models.PROTECT, related_name="downstream_evaluations"
    )
    document = models.JSONField(help_text="evaluation/downstream/document.")
    sha256 = models.CharField(max_length=64, help_text="Of the document, its keys in order.")
    kept_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    kept_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-kept_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "sha256"], name="downstream_evaluation_kept_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("downstream-evaluation", args=[self.id])

    @property
    def codecs(self) -> list[str]:
        """In alphabetical order."""
        strata = self.document["strata"].values()
        return sorted({row["codec"] for of in strata for row in of["codecs"]})
