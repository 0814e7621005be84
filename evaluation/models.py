"""Studies: codec comparisons, and the campaigns that judge them."""

from collections import Counter

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from annotation.models import Campaign, Judgment, Purpose
from codecs_registry.models import Reconstruction, SourceImage, StratumField, stratum_name
from evaluation.api_models import ApiToken, KeptAnswer
from evaluation.metric_models import (
    DifferenceMap,
    MetricVersion,
    ReconstructionScore,
    RetrainingRule,
    TrainingRun,
)
from evaluation.populations import PEOPLE, SIMULATED
from evaluation.study_files import ACTIVE
from evaluation.webhook_models import Delivery, Webhook
from projects.models import Project

__all__ = [
    "PEOPLE",
    "SIMULATED",
    "ApiToken",
    "Delivery",
    "DifferenceMap",
    "KeptAnswer",
    "MetricVersion",
    "ReconstructionScore",
    "RetrainingRule",
    "Study",
    "TrainingRun",
    "Webhook",
]


class Study(models.Model):
    """A codec comparison: images x codecs x strata, and the campaign that judges it."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=100, unique=True)
    specification = models.JSONField(help_text="What was launched: a study file, images resolved.")
    codecs = ArrayField(models.CharField(max_length=50))
    targets_bpp = ArrayField(StratumField())
    sources = models.ManyToManyField(SourceImage, related_name="studies")
    reconstructions = models.ManyToManyField(Reconstruction, related_name="studies")
    campaign = models.OneToOneField(Campaign, models.PROTECT, related_name="study")
    project = models.ForeignKey(Project, models.PROTECT, related_name="studies")
    launched_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="studies"
    )
    launched_at = models.DateTimeField(auto_now_add=True)
    sampled_until = models.BigIntegerField(
        null=True, help_text="The ids of the last lease and judgment it has seen, added."
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

    def judgment_counts(self) -> dict[str, int]:
        """How many judgments of its tasks people gave, and how many simulated annotators; gold
        tasks, repeats and practice apart."""
        judgments = Judgment.objects.filter(
            assignment__task__campaign=self.campaign_id, assignment__purpose=Purpose.MEASURE
        )
        simulated = judgments.filter(assignment__annotator__is_simulated=True).count()
        return {PEOPLE: judgments.count() - simulated, SIMULATED: simulated}

    def encoding_progress(self) -> dict[str, int]:
        """How many of its reconstructions are in each state, and in all."""
        states = self.reconstructions.values_list("state").annotate(n=models.Count("id"))
        counts = Counter(dict(states.order_by()))
        return {
            **{str(state): counts[state] for state in Reconstruction.State},
            "total": sum(counts.values()),
        }
