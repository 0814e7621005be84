"""Versions of the perceptual metric, the trainings that make them, and what they measured."""

from django.conf import settings as configured
from django.db import models
from django.db.models import Q

from codecs_registry.blob_fields import BlobField, JSONWithBlobs
from codecs_registry.models import Reconstruction
from evaluation.populations import PEOPLE, POPULATIONS, SIMULATED

BUNDLED = "closer-lpips-comp"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
"""Of versions: names stand in addresses and on command lines."""


class Population(models.TextChoices):
    PEOPLE = PEOPLE
    SIMULATED = SIMULATED


class MetricVersion(models.Model):
    """One trained state of the perceptual metric: its file, what it was trained on, and its 2AFC
    score, in percent, on source images that were held out of its training."""

    name = models.CharField(max_length=100, unique=True)
    file = BlobField(help_text="Blob: safetensors, its card inside.")
    sha256 = models.CharField(max_length=64, help_text="Of the file.")
    size_bytes = models.PositiveIntegerField()
    backbone = models.CharField(max_length=50)
    variant = models.CharField(max_length=20)
    with_psnr = models.BooleanField()
    settings = models.JSONField(help_text="All of perceptual.training.Settings.")
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The version whose weights its training began from; empty: it began anew.",
    )

    population = models.CharField(max_length=10, choices=Population)
    dataset_digest = models.CharField(
        max_length=64, help_text="SHA-256 over all pairs, held out or not, and their votes."
    )
    manifest = BlobField(
        blank=True, help_text="Blob: the pairs and their votes as CSV, if there is."
    )
    trained_on = models.JSONField(help_text="Which studies, or which folder, with their counts.")
    n_pairs = models.PositiveIntegerField(help_text="That it was fitted to, or watched.")
    n_judgments = models.PositiveIntegerField(
        null=True, help_text="The votes on them; empty: the folder did not say."
    )
    split = models.JSONField(help_text="Source images: fitted, watched, held_out.")

    curve = models.JSONField(help_text="perceptual.training.Epoch of each epoch.")
    held_out_score = models.FloatField(null=True)
    held_out_low = models.FloatField(null=True)
    held_out_high = models.FloatField(null=True)
    human_ceiling = models.FloatField(null=True, help_text="Of the same pairs.")
    ceiling_low = models.FloatField(null=True)
    ceiling_high = models.FloatField(null=True)
    scores = models.JSONField(
        null=True, help_text="Of several metrics on its held-out pairs (evaluation/metric_scores)."
    )
    comparison = models.JSONField(
        null=True, help_text="With the version that was in service then, on the same pairs."
    )
    hardest = JSONWithBlobs(
        default=list, help_text="Held-out pairs on which it disagrees most with who judged."
    )
    provenance = models.JSONField()
    is_in_service = models.BooleanField(default=False)
    reason = models.TextField(help_text="Why it was promoted when it was made, or kept aside.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_in_service"],
                condition=Q(is_in_service=True),
                name="metric_version_one_in_service",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=NAME_PATTERN), name="metric_version_name_in_addresses"
            ),
            models.CheckConstraint(
                condition=Q(population__in=POPULATIONS), name="metric_version_of_one_population"
            ),
            models.CheckConstraint(
                condition=Q(held_out_score__isnull=True)
                | Q(held_out_score__gte=0, held_out_score__lte=100),
                name="metric_version_score_in_percent",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="metric_version_has_a_reason"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_simulated(self) -> bool:
        return self.population == Population.SIMULATED

    @property
    def is_bundled(self) -> bool:
        """Whether it came with Closer (metric_versions.bundled)."""
        return self.name == BUNDLED


class RetrainingRule(models.Model):
    """When a new version is trained by itself, on all judgments of one population."""

    population = models.CharField(max_length=10, choices=Population, unique=True)
    is_on = models.BooleanField(default=False)
    every_judgments = models.PositiveIntegerField(
        null=True, blank=True, help_text="After so many new judgments; empty: not by their number."
    )
    is_nightly = models.BooleanField(
        default=False, help_text="Every night, if there are new judgments."
    )
    settings = models.JSONField(
        default=dict, help_text="Of perceptual.training.Settings, where not as by default."
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["population"]
        constraints = [
            models.CheckConstraint(
                condition=Q(population__in=POPULATIONS), name="retraining_rule_of_one_population"
            ),
            models.CheckConstraint(
                condition=Q(every_judgments__isnull=True) | Q(every_judgments__gt=0),
                name="retraining_rule_counts_from_one",
            ),
            models.CheckConstraint(
                condition=Q(is_on=False) | Q(every_judgments__isnull=False) | Q(is_nightly=True),
                name="retraining_rule_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"retraining on {self.population}'s judgments"


class TrainingRun(models.Model):
    """A training that is asked for, and then done by whoever claims it: one at a time.

    queued --claim--> running --finish--> finished, with a version
      ^                  | |
      '--- lease ends ---' '--- refuse --> failed --retry--> queued
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    name = models.CharField(max_length=100, unique=True, help_text="Of the version that it makes.")
    population = models.CharField(max_length=10, choices=Population)
    study = models.ForeignKey(
        "evaluation.Study",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="training_runs",
        help_text="Whose judgments; empty: all studies', or a folder's.",
    )
    dataset = models.TextField(blank=True, help_text="A folder that was named; empty: judgments.")
    settings = models.JSONField(help_text="All of perceptual.training.Settings.")
    start = models.ForeignKey(
        MetricVersion, models.PROTECT, null=True, blank=True, related_name="continued_by"
    )
    rule = models.ForeignKey(
        RetrainingRule, models.SET_NULL, null=True, blank=True, related_name="runs"
    )
    asked_by = models.ForeignKey(
        configured.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_foreground = models.BooleanField(
        default=False, help_text="A command trains it; workers leave it alone."
    )
    last_judgment = models.BigIntegerField(
        default=0, help_text="The newest judgment's id when it was asked for: later ones are new."
    )

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    worker = models.CharField(max_length=200, blank=True)
    lease_ends = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    stage = models.CharField(max_length=20, blank=True, help_text="What it is at.")
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    seconds_left = models.FloatField(null=True)
    curve = models.JSONField(default=list, help_text="perceptual.training.Epoch, so far.")

    version = models.OneToOneField(
        MetricVersion, models.PROTECT, null=True, blank=True, related_name="run"
    )
    asked_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running"), name="training_run_one_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["rule"],
                condition=Q(state__in=["queued", "running"]),
                name="training_run_once_a_rule",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=NAME_PATTERN), name="training_run_name_in_addresses"
            ),
            models.CheckConstraint(
                condition=Q(population__in=POPULATIONS), name="training_run_of_one_population"
            ),
            models.CheckConstraint(
                condition=Q(study__isnull=True) | Q(dataset=""), name="training_run_on_one_thing"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "finished", "failed"]),
                name="training_run_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | (~Q(worker="") & Q(lease_ends__isnull=False)),
                name="training_run_running_has_a_worker",
            ),
            models.CheckConstraint(
                condition=Q(state="finished", version__isnull=False)
                | ~Q(state="finished") & Q(version__isnull=True),
                name="training_run_finished_has_a_version",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(error=""), name="training_run_failed_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"training of {self.name}"

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.FINISHED, self.State.FAILED)

    @property
    def newest_epoch(self) -> dict | None:
        return self.curve[-1] if self.curve else None


class ReconstructionScore(models.Model):
    """How far a reconstruction is from its source image, as a version of the metric sees it."""

    version = models.ForeignKey(MetricVersion, models.CASCADE, related_name="reconstruction_scores")
    reconstruction = models.ForeignKey(Reconstruction, models.CASCADE, related_name="metric_scores")
    distance = models.FloatField(null=True)
    reason = models.TextField(blank=True, help_text="Why it has no distance.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "reconstruction"], name="reconstruction_score_once_a_version"
            ),
            models.CheckConstraint(
                condition=Q(distance__gte=0, distance__isnull=False, reason="")
                | Q(distance__isnull=True) & ~Q(reason=""),
                name="reconstruction_score_or_a_reason",
            ),
        ]
        indexes = [
            # "What has no distance?": asked by the page of operations.
            models.Index(
                fields=["version"], condition=Q(distance=None), name="reconstruction_score_missing"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reconstruction_id} by {self.version_id}"


class DifferenceMap(models.Model):
    """Where a reconstruction differs from its source image, as a version of the metric sees it.

    It is asked for first, then made by a worker.
    """

    version = models.ForeignKey(MetricVersion, models.CASCADE, related_name="difference_maps")
    reconstruction = models.ForeignKey(
        Reconstruction, models.CASCADE, related_name="difference_maps"
    )
    picture = BlobField(blank=True, help_text="Blob: PNG; empty: not yet.")
    largest = models.FloatField(null=True, help_text="The difference that its brightest shows.")
    distance = models.FloatField(null=True)
    reason = models.TextField(blank=True, help_text="Why it cannot be made.")
    asked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "reconstruction"], name="difference_map_once_a_version"
            ),
            models.CheckConstraint(
                condition=Q(picture="") | Q(largest__isnull=False, distance__isnull=False),
                name="difference_map_has_its_scale",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(picture="", reason=""), name="difference_map_owed"
            ),
        ]

    def __str__(self) -> str:
        return f"differences of {self.reconstruction_id} by {self.version_id}"
