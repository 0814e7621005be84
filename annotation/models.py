"""What annotators are asked, and what they answered."""

import secrets

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from codecs_registry.models import Reconstruction, SourceImage, StratumField, stratum_name


def new_token() -> str:
    """An unguessable name for a link: 192 bits."""
    return secrets.token_urlsafe(24)


class Campaign(models.Model):
    """A body of questions put to annotators: what is asked, of whom, how often.

    It has no title: annotators must not learn from one what is compared.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        CLOSED = "closed"

    token = models.CharField(max_length=40, unique=True, default=new_token)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    kind = models.CharField(max_length=20, help_text="The kind of its tasks (annotation/kinds.py).")
    instructions = models.TextField(blank=True)
    allows_ties = models.BooleanField(
        default=False, help_text='Whether "no difference" is an answer, and ranks may be shared.'
    )
    judgments_per_task = models.PositiveSmallIntegerField()
    judgments_per_annotator = models.PositiveIntegerField(
        null=True, blank=True, help_text="After so many, an annotator is thanked; empty: no limit."
    )
    source_distance = models.PositiveSmallIntegerField(
        default=0,
        help_text="An annotator sees a source image again after so many others, if there are any.",
    )
    seed = models.BigIntegerField(help_text="Of task order, sides and the dataset's split.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(judgments_per_task__gt=0), name="campaign_wants_judgments"
            ),
        ]

    def __str__(self) -> str:
        return f"campaign {self.id}"


class Task(models.Model):
    """One question: a source image and two or more reconstructions of it from one stratum."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="tasks")
    source = models.ForeignKey(SourceImage, models.PROTECT, related_name="+")
    target_bpp = StratumField()
    reconstructions = models.ManyToManyField(
        Reconstruction, through="TaskReconstruction", related_name="tasks"
    )
    places_left = models.PositiveSmallIntegerField(
        help_text="Judgments wanted, less those given and those that a live assignment may give."
    )
    simulated_places_left = models.PositiveSmallIntegerField(
        help_text="The same for simulated annotators, who must not use up people's places."
    )
    priority = models.FloatField(default=0.0, help_text="Tasks of higher priority go first.")
    order_key = models.FloatField(help_text="Random in [0, 1): where serving starts to look.")
    delivery_bytes = models.PositiveIntegerField(
        help_text="The size of every file sent of it: equal, so that size tells nothing."
    )

    class Meta:
        constraints = [
            # PositiveSmallIntegerField already refuses to go below zero: no task is overfilled.
            models.CheckConstraint(condition=Q(target_bpp__gt=0), name="task_stratum_positive"),
        ]
        indexes = [
            # "Open tasks by priority": asked whenever an annotator needs a pair.
            models.Index(
                fields=["campaign", "-priority", "-places_left", "order_key"],
                condition=Q(places_left__gt=0),
                name="task_open_by_priority",
            ),
            models.Index(
                fields=["campaign", "-priority", "-simulated_places_left", "order_key"],
                condition=Q(simulated_places_left__gt=0),
                name="task_open_to_simulations",
            ),
        ]

    def __str__(self) -> str:
        return f"task {self.id}"

    @property
    def stratum(self) -> str:
        return stratum_name(self.target_bpp)


class TaskReconstruction(models.Model):
    """A reconstruction's part in a task."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="parts")
    reconstruction = models.ForeignKey(Reconstruction, models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "reconstruction"], name="task_shows_a_reconstruction_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reconstruction_id} in task {self.task_id}"


class Annotator(models.Model):
    """Somebody, or a simulation, who judges for one campaign; known by a link alone."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="annotators")
    token = models.CharField(max_length=40, unique=True, default=new_token)
    is_simulated = models.BooleanField(default=False)
    joined_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{'simulated ' if self.is_simulated else ''}annotator {self.id}"

    @property
    def places(self) -> str:
        """The name of the tasks' field that counts the places for annotators of this kind."""
        return "simulated_places_left" if self.is_simulated else "places_left"


class Assignment(models.Model):
    """A task leased to one annotator, with the order in which it is shown."""

    token = models.CharField(max_length=40, unique=True, default=new_token)
    task = models.ForeignKey(Task, models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(Annotator, models.CASCADE, related_name="assignments")
    shown = ArrayField(
        models.BigIntegerField(), help_text="Ids of reconstructions, by position from the left."
    )
    leased_at = models.DateTimeField()
    lease_ends = models.DateTimeField(null=True, help_text="Empty once it is judged.")
    given_back_at = models.DateTimeField(
        null=True, help_text="Its images could not be shown then: it comes again after all others."
    )
    holds_place = models.BooleanField(
        default=True, help_text="It counts against its task's places: judged, or its lease runs."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "annotator"], name="assignment_once_a_task_and_annotator"
            ),
        ]
        indexes = [
            # "Leases that ended": asked before every lease. What was judged is not in the way.
            models.Index(
                fields=["lease_ends"], condition=Q(holds_place=True), name="assignment_lease_ends"
            ),
        ]

    def __str__(self) -> str:
        return f"assignment {self.id}"


class Judgment(models.Model):
    """An annotator's answer to an assignment. Append-only: the database refuses to change it."""

    assignment = models.OneToOneField(Assignment, models.PROTECT, related_name="judgment")
    ranks = ArrayField(
        models.PositiveSmallIntegerField(),
        help_text="For each position of assignment.shown its rank; 1 is closest to the original.",
    )
    response_ms = models.PositiveIntegerField(
        help_text="From the frame in which all images were painted to the answer."
    )
    viewing = models.JSONField(default=dict, help_text="Viewing conditions (docs/judgments.md).")
    judged_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ranks__contains=[1]), name="judgment_names_closest"),
        ]

    def __str__(self) -> str:
        return f"judgment {self.id}"
