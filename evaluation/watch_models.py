"""What is kept of a study while it goes on: its analyses, how they narrowed, what was changed."""

import json

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from evaluation.populations import PEOPLE, PILOT, SIMULATED


class Population(models.TextChoices):
    PEOPLE = PEOPLE
    SIMULATED = SIMULATED
    PILOT = PILOT


class StudyChange(models.Model):
    """Something about a study that was changed after its launch, or the step that it took.

    `key` is a key of study files, or "state"; `version` counts a study's changes from 1.
    """

    study = models.ForeignKey("Study", models.CASCADE, related_name="changes")
    version = models.PositiveIntegerField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: the study did it by itself, or a command did.",
    )
    at = models.DateTimeField(auto_now_add=True)
    key = models.CharField(max_length=100)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["study", "version"]
        constraints = [
            models.UniqueConstraint(fields=["study", "version"], name="study_change_numbered_once"),
        ]

    def __str__(self) -> str:
        return f"{self.study}, version {self.version}: {self.key}"


class StoredAnalysis(models.Model):
    """The newest analysis of a population of a study, by one choice of options, or of an import;
    and the claim of whoever makes the next."""

    study = models.ForeignKey("Study", models.CASCADE, null=True, related_name="analyses")
    imported = models.OneToOneField(
        "ImportedJudgments", models.CASCADE, null=True, related_name="analysis"
    )
    population = models.CharField(max_length=10, choices=Population)
    options_sha256 = models.CharField(max_length=64, blank=True, help_text="Of a study's.")
    options = models.JSONField(default=dict)
    news = models.BigIntegerField(
        null=True, help_text="What annotation.counts said when it began; empty: none was made yet."
    )
    basis = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="What else it hangs on: the code, the metric in service, how much it has scored.",
    )
    # Text: a JSON column would put the keys in an order of its own, strata too.
    text = models.TextField(blank=True, help_text="What `analyse --json` prints, and more.")
    n_judgments = models.PositiveIntegerField(default=0)
    facts = models.JSONField(default=dict, help_text="What else watching.py shows, as of then.")
    drawn = models.TextField(
        blank=True, help_text="Its plots, which take longer to draw than a page may: JSON."
    )
    made_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="That making it took.")
    asked_at = models.DateTimeField(
        null=True, help_text="When workers were first asked for the next one."
    )
    told_at = models.DateTimeField(null=True, help_text="When they were last told of it.")
    worker = models.CharField(max_length=200, blank=True)
    lease_ends = models.DateTimeField(null=True, help_text="Of the worker that makes the next.")

    class Meta:
        verbose_name_plural = "stored analyses"
        constraints = [
            models.UniqueConstraint(
                fields=["study", "population", "options_sha256"], name="analysis_stored_once"
            ),
            models.CheckConstraint(
                condition=Q(study=None, imported__isnull=False)
                | Q(study__isnull=False, imported=None),
                name="analysis_of_a_study_or_an_import",
            ),
        ]

    def __str__(self) -> str:
        return f"analysis of {self.study or self.imported}, {self.population}"

    @cached_property
    def document(self) -> dict:
        """What `text` holds; to be read, not changed."""
        return json.loads(self.text)


class IntervalWidth(models.Model):
    """How wide the widest interval of a scale was after so many judgments."""

    study = models.ForeignKey("Study", models.CASCADE, related_name="widths")
    population = models.CharField(max_length=10, choices=Population)
    stratum = models.CharField(max_length=20)
    n_judgments = models.PositiveIntegerField(help_text="At this stratum.")
    widest = models.FloatField(null=True, help_text="In log-odds; empty: there was no scale yet.")
    codec = models.CharField(max_length=50, blank=True, help_text="Whose interval it was.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["n_judgments", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "population", "stratum", "n_judgments"], name="width_once_a_count"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.widest} at {self.stratum} after {self.n_judgments}"
