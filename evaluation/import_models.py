"""Judgments that came from a file, and the file that somebody looks at before they import it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from codecs_registry.blob_fields import BlobField
from evaluation.metric_models import Population
from evaluation.populations import POPULATIONS, SIMULATED


class ImportedJudgments(models.Model):
    """Judgments made elsewhere: a file, kept as it came, and how its columns are read.

    The rows are not stored: they are parsed from the file whenever results are asked for, so that
    these can be had again, and never stand among the judgments that our own annotators gave.
    """

    name = models.CharField(max_length=100)
    project = models.ForeignKey(
        "projects.Project", models.PROTECT, related_name="imported_judgments"
    )
    study = models.ForeignKey(
        "evaluation.Study",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="imported_judgments",
        help_text="Whose codecs, images and bit rates were judged; empty: it stands alone.",
    )
    file_name = models.CharField(max_length=200)
    file = BlobField(help_text="Blob: the file as it came.")
    sha256 = models.CharField(max_length=64, help_text="Of the file.")
    size_bytes = models.PositiveBigIntegerField()
    format = models.CharField(max_length=50, help_text="A key of file_formats.FORMATS.")
    columns = models.JSONField(
        default=dict, help_text="What the file calls columns otherwise than the format, by its."
    )
    population = models.CharField(max_length=10, choices=Population)
    n_rows = models.PositiveIntegerField(help_text="After the header.")
    n_used = models.PositiveIntegerField()
    n_malformed = models.PositiveIntegerField()
    set_aside = models.JSONField(default=dict, help_text="Rows left out, by cause.")
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-imported_at", "-id"]
        verbose_name_plural = "imported judgments"
        constraints = [
            models.UniqueConstraint(
                fields=["sha256", "project", "study", "population"],
                nulls_distinct=False,
                name="imported_judgments_once_a_study",
            ),
            models.CheckConstraint(
                condition=Q(population__in=POPULATIONS), name="imported_judgments_of_one_population"
            ),
            models.CheckConstraint(
                condition=Q(n_used__gt=0, n_rows__gte=F("n_used") + F("n_malformed")),
                name="imported_judgments_count_their_rows",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("import", args=[self.id])

    @property
    def is_simulated(self) -> bool:
        return self.population == SIMULATED

    @property
    def n_set_aside(self) -> int:
        return sum(self.set_aside.values())


class ImportPreview(models.Model):
    """The file that somebody is looking at and has not imported; the next one replaces it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="import_preview"
    )
    file_name = models.CharField(max_length=200)
    content = models.BinaryField()
    study = models.ForeignKey(
        "evaluation.Study", models.CASCADE, null=True, blank=True, related_name="+"
    )
    uploaded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.file_name
