"""Studies: codec comparisons, and the campaigns that judge them."""

from collections import Counter

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from annotation.counts import counts_of_campaign
from annotation.models import Campaign
from codecs_registry.models import Reconstruction, SourceImage, StratumField, stratum_name
from evaluation.api_models import ApiToken, KeptAnswer
from evaluation.downstream.models import DownstreamEvaluation
from evaluation.import_models import ImportedJudgments, ImportPreview
from evaluation.metric_models import (
    DifferenceMap,
    MetricVersion,
    ReconstructionScore,
    RetrainingRule,
    TrainingRun,
)
from evaluation.populations import PEOPLE, PILOT, SIMULATED
from evaluation.sharing_models import SharedLink
from evaluation.study_files import ACTIVE
from evaluation.watch_models import IntervalWidth, StoredAnalysis, StudyChange
from evaluation.webhook_models import Delivery, Webhook
from projects.models import Project

__all__ = [
    "PEOPLE",
    "PILOT",
    "SIMULATED",
    "ApiToken",
    "Delivery",
    "DifferenceMap",
    "DownstreamEvaluation",
    "ImportPreview",
    "ImportedJudgments",
    "IntervalWidth",
    "KeptAnswer",
    "MetricVersion",
    "ReconstructionScore",
    "RetrainingRule",
    "SharedLink",
    "StoredAnalysis",
    "Study",
    "StudyChange",
    "TrainingRun",
    "Webhook",
]


class Study(models.Model):
    """A codec comparison: images x codecs x strata, and the campaign that judges it."""

    class State(models.TextChoices):
        """Where a study is (evaluation/launching.py tells what leads where)."""

        ENCODING = "encoding", "being encoded"
        READY = "ready", "ready to be opened"
        PILOT = "pilot", "open as a pilot"
        OPEN = "open", "open"
        PAUSED = "paused", "paused"
        CLOSED = "closed", "closed"

    class WhenReady(models.TextChoices):
        """What a study does by itself once all is encoded."""

        OPEN = "open", "open"
        PILOT = "pilot", "open as a pilot"
        WAIT = "wait", "wait for me"

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=100, unique=True)
    specification = models.JSONField(help_text="What was launched: a study file, images resolved.")
    codecs = ArrayField(models.CharField(max_length=50))
    targets_bpp = ArrayField(StratumField())
    sources = models.ManyToManyField(SourceImage, related_name="studies")
    reconstructions = models.ManyToManyField(Reconstruction, related_name="studies")
    campaign = models.OneToOneField(Campaign, models.PROTECT, related_name="study")
    project = models.ForeignKey(Project, models.PROTECT, related_name="studies")
    pilot = models.OneToOneField(
        Campaign,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="piloted_study",
        help_text="A campaign of its own, so that nothing of it can count in the study.",
    )
    when_ready = models.CharField(
        max_length=10, choices=WhenReady, default=WhenReady.OPEN, db_default=WhenReady.OPEN
    )
    n_tasks = models.PositiveIntegerField(
        null=True, help_text="That measure; empty: they are not made yet."
    )
    n_gold_tasks = models.PositiveIntegerField(null=True)
    target_width = models.FloatField(
        null=True,
        blank=True,
        help_text="It closes by itself when no interval is wider, in log-odds; empty: never.",
    )
    launched_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="studies"
    )
    launched_at = models.DateTimeField(auto_now_add=True)
    sampled_until = models.BigIntegerField(
        null=True, help_text="What active sampling saw last: annotation.counts.news_and_leases."
    )
    sampled_at = models.DateTimeField(null=True)
    sampling_s = models.FloatField(null=True, help_text="Seconds that its last round took.")
    asked_next = models.JSONField(
        default=list, db_default=[], help_text="Of the last round: active_sampling.Wanted."
    )

    class Meta:
        ordering = ["-launched_at"]
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.name

    @property
    def strata(self) -> list[str]:
        return [stratum_name(target) for target in self.targets_bpp]

    @property
    def samples_actively(self) -> bool:
        """Whether active sampling says what is asked next: evaluation/active_sampling.py."""
        return self.specification.get("sampling") == ACTIVE

    @property
    def needs_gold(self) -> bool:
        """Whether tasks whose answer is known are wanted: to check attention, or to practise on."""
        practice = self.campaign.options.practice
        return bool(self.campaign.gold_share or practice.tasks or practice.quiz)

    @property
    def state(self) -> "Study.State":
        if self.campaign.state != Campaign.State.DRAFT:
            return self.State(self.campaign.state)
        if self.pilot is not None and self.pilot.state == Campaign.State.OPEN:
            return self.State.PILOT
        return self.State.ENCODING if self.n_tasks is None else self.State.READY

    @classmethod
    def in_state(cls, state: str) -> Q:
        """The studies of which `state` says this, for a query."""
        draft = Q(campaign__state=Campaign.State.DRAFT)
        pilots = Q(pilot__isnull=False, pilot__state=Campaign.State.OPEN)
        if state == cls.State.PILOT:
            return draft & pilots
        if state == cls.State.ENCODING:
            return draft & ~pilots & Q(n_tasks=None)
        if state == cls.State.READY:
            return draft & ~pilots & Q(n_tasks__isnull=False)
        return Q(campaign__state=state)

    def judgment_counts(self) -> dict[str, int]:
        """How many judgments of its tasks people gave, and how many simulated annotators; gold
        tasks, repeats and practice apart."""
        counts = counts_of_campaign(self.campaign_id)
        return {PEOPLE: counts.people, SIMULATED: counts.simulated}

    def encoding_progress(self) -> dict[str, int]:
        """How many of its reconstructions are in each state, and in all."""
        states = self.reconstructions.values_list("state").annotate(n=models.Count("id"))
        counts = Counter(dict(states.order_by()))
        return {
            **{str(state): counts[state] for state in Reconstruction.State},
            "total": sum(counts.values()),
        }
