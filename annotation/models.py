"""What annotators are asked, and what they answered."""

from functools import cached_property

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from annotation.links import new_token
from annotation.options import Options
from codecs_registry.blob_fields import BlobField
from codecs_registry.models import Reconstruction, SourceImage, StratumField, stratum_name


class Campaign(models.Model):
    """A body of questions put to annotators: what is asked, of whom, how often.

    It has no title: annotators must not learn from one what is compared.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAUSED = "paused"  # nothing new is given, for a while; what is out can be answered
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
    gold_share = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="Of all that an annotator is given: tasks whose answer is known.",
    )
    repeat_share = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="Of all that an annotator is given: tasks that they judged before.",
    )
    budget = models.PositiveIntegerField(
        null=True, blank=True, help_text="The most judgments by people, in all; empty: no limit."
    )
    budget_left = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of it, less those given and those that leases may give."
    )
    closes_at = models.DateTimeField(
        null=True, blank=True, help_text="After it nothing new is given; empty: when all is judged."
    )
    closed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it was closed last; the database sets it (migration 0011).",
    )
    excludes = models.ManyToManyField(
        "self", symmetrical=False, blank=True, help_text="Who judged for these may not for this."
    )
    stored_options = models.JSONField(
        default=dict, db_default={}, help_text="annotation/options.py."
    )
    seed = models.BigIntegerField(help_text="Of task order, sides and the dataset's split.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(judgments_per_task__gt=0), name="campaign_wants_judgments"
            ),
            models.CheckConstraint(
                condition=Q(gold_share__gte=0, repeat_share__gte=0)
                & Q(gold_share__lte=0.5, repeat_share__lte=0.5),
                name="campaign_shares_leave_room",
            ),
            models.CheckConstraint(
                condition=Q(budget__isnull=True, budget_left__isnull=True)
                | Q(budget__isnull=False, budget_left__isnull=False, budget_left__lte=F("budget")),
                name="campaign_budget_counted",
            ),
        ]

    def __str__(self) -> str:
        return f"campaign {self.id}"

    @property
    def measured_tasks(self) -> models.QuerySet["Task"]:
        """The tasks that are asked for their own sake: all but gold tasks."""
        return self.tasks.filter(closest=None)

    @property
    def gold_tasks(self) -> models.QuerySet["Task"]:
        """The tasks whose answer is known."""
        return self.tasks.exclude(closest=None)

    @cached_property
    def options(self) -> Options:
        return Options.stored(self.stored_options)


class Task(models.Model):
    """One question: a source image and two or more reconstructions of it from one stratum.

    One with a `closest` is a gold task: its answer is known, since the others are coded at a much
    lower rate. It is there to be practised on and to check attention, and belongs in no result.
    """

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
    compares = models.CharField(
        max_length=101,
        blank=True,
        default="",
        db_default="",
        help_text='Of a pair, its codecs in order, as in "avif jpeg", where whoever writes '
        "priorities asks by pair; else empty.",
    )
    order_key = models.FloatField(help_text="Random in [0, 1): where serving starts to look.")

    class Format(models.TextChoices):
        PNG = "png"
        WEBP = "webp"  # lossless

    delivery_format = models.CharField(
        max_length=4, choices=Format, default=Format.PNG, db_default=Format.PNG
    )
    delivery_bytes = models.PositiveIntegerField(
        help_text="The size of every file sent of it: equal, so that size tells nothing."
    )
    crop = ArrayField(
        models.PositiveIntegerField(),
        size=4,
        null=True,
        blank=True,
        help_text="Left, top, width, height of what is shown, in image pixels; empty: all of it.",
    )
    closest = models.ForeignKey(
        Reconstruction,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Of a gold task: the one that is closest for certain.",
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
                fields=["campaign"], condition=Q(closest__isnull=False), name="task_is_gold"
            ),
            # "Which images does it have?" An image may be in the studies of years.
            models.Index(fields=["campaign", "source"], name="task_of_source"),
            # "What is asked first": the few tasks that have priority.
            models.Index(
                fields=["campaign"], condition=Q(priority__gt=0), name="task_has_priority"
            ),
            # "Open tasks of a pair, the least judged first": asked by active sampling, for each
            # pair. Of other campaigns nothing is in it.
            models.Index(
                fields=["campaign", "target_bpp", "compares", "-places_left", "order_key"],
                condition=~Q(compares="") & Q(places_left__gt=0),
                name="task_open_by_pair",
            ),
            models.Index(
                fields=[
                    "campaign",
                    "target_bpp",
                    "compares",
                    "-simulated_places_left",
                    "order_key",
                ],
                condition=~Q(compares="") & Q(simulated_places_left__gt=0),
                name="task_open_by_pair_simulated",
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


class StoredCrop(models.Model):
    """A part of a stored picture, cut once: a file that were cut when it is asked for would take
    longer the first time, and so tell whether anybody saw it before."""

    of = BlobField(help_text="The blob of the whole picture.")
    crop = ArrayField(models.PositiveIntegerField(), size=4)
    png = BlobField()
    png_bytes = models.PositiveIntegerField()
    webp = BlobField(blank=True, help_text="Lossless; empty: none.")
    webp_bytes = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["of", "crop"], name="stored_crop_once"),
        ]

    def __str__(self) -> str:
        return f"{self.crop} of {self.of}"


class StopReason(models.TextChoices):
    """Why an annotator is given nothing more."""

    RULE = "rule", "a rule of the campaign"
    QUIZ = "quiz", "did not pass the quiz"
    NOT_ELIGIBLE = (
        "not eligible",
        "took part in a study that excludes them, or lacks what is needed",
    )
    REVOKED = "revoked", "the link was revoked"


class Annotator(models.Model):
    """Somebody, or a simulation, who judges for one campaign; known by a link alone.

    What could name a person is in `external_id`, `external` and `label`, and goes when they
    withdraw, when they ask for it, and some time after the end (annotation/forgetting.py).
    """

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="annotators")
    token = models.CharField(max_length=40, unique=True, default=new_token)
    is_simulated = models.BooleanField(default=False)
    joined_at = models.DateTimeField(
        auto_now_add=True, help_text="When the link was made, if somebody was invited by it."
    )
    label = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Whom the researcher gave this invitation.",
    )
    platform = models.CharField(
        max_length=20, blank=True, db_default="", help_text="Who sent them: prolific, ..."
    )
    external_id = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Their name there."
    )
    external = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="What else the platform said: its session, its study.",
    )
    language = models.CharField(
        max_length=20, blank=True, db_default="", help_text="In which they began."
    )
    began_at = models.DateTimeField(null=True, blank=True, help_text="Empty: invited only.")
    consent_version = models.CharField(
        max_length=64,
        blank=True,
        db_default="",
        help_text="SHA-256 of the text that they agreed to.",
    )
    conditions = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="Of the screen, as measured once (docs/judgments.md).",
    )
    practice_owed = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="How many practice tasks come first, in all so far."
    )
    quiz_attempt = models.PositiveSmallIntegerField(default=1, db_default=1)
    quiz_passed_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(
        null=True, blank=True, help_text="They are given nothing more; judgments stay."
    )
    stop_reason = models.CharField(max_length=20, blank=True, db_default="", choices=StopReason)

    # The database counts them as rows come and go (migration 0009): to count a million judgments
    # takes seconds, to add up some thousand annotators a moment.
    n_given = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Assignments, of every purpose."
    )
    n_answered = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Judgments, of every purpose."
    )
    n_counted = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Judgments but practice and quiz."
    )
    n_measured = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Judgments but gold and repeats, too."
    )
    worked_ms = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="From the pictures to the answers, each at most three minutes.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "platform", "external_id"],
                condition=~Q(external_id=""),
                name="annotator_once_a_campaign_and_platform",
            ),
            models.CheckConstraint(
                condition=Q(stopped_at__isnull=True, stop_reason="")
                | Q(stopped_at__isnull=False) & ~Q(stop_reason=""),
                name="annotator_stopped_for_a_reason",
            ),
        ]
        indexes = [
            # "Did they take part elsewhere?": asked of everybody whom a platform sends.
            models.Index(
                fields=["platform", "external_id"],
                condition=~Q(external_id=""),
                name="annotator_external",
            ),
        ]

    def __str__(self) -> str:
        return f"{'simulated ' if self.is_simulated else ''}annotator {self.id}"

    @property
    def places(self) -> str:
        """The name of the tasks' field that counts the places for annotators of this kind."""
        return "simulated_places_left" if self.is_simulated else "places_left"


class Purpose(models.TextChoices):
    """Why an annotator is given a task."""

    MEASURE = "measure", "to be judged"
    GOLD = "gold", "to check attention: its answer is known"
    REPEAT = "repeat", "once more, to see whether the answer is the same"
    PRACTICE = "practice", "to practise, with feedback"
    QUIZ = "quiz", "to pass before the first that counts"


COUNTED = (Purpose.MEASURE, Purpose.GOLD, Purpose.REPEAT)
"""What annotators are asked, and paid, for. Nothing tells them apart on the page."""


class Assignment(models.Model):
    """A task leased to one annotator, with the order in which it is shown."""

    token = models.CharField(max_length=40, unique=True, default=new_token)
    task = models.ForeignKey(Task, models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(Annotator, models.CASCADE, related_name="assignments")
    purpose = models.CharField(
        max_length=10, choices=Purpose, default=Purpose.MEASURE, db_default=Purpose.MEASURE
    )
    repeats = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="repeat"
    )
    shown = ArrayField(
        models.BigIntegerField(), help_text="Ids of reconstructions, by position from the left."
    )
    leased_at = models.DateTimeField()
    lease_ends = models.DateTimeField(null=True, help_text="Empty once it is judged.")
    given_back_at = models.DateTimeField(
        null=True, help_text="Its images could not be shown then: it comes again after all others."
    )
    holds_place = models.BooleanField(
        default=True,
        help_text="Judged, or its lease runs. One that measures counts against its task's places.",
    )
    priority = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="Of its task when it was given: above 0, active sampling had asked for it.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "annotator"],
                condition=Q(purpose__in=["measure", "gold"]),
                name="assignment_once_a_task_and_annotator",
            ),
            models.CheckConstraint(
                condition=Q(purpose="repeat", repeats__isnull=False)
                | ~Q(purpose="repeat") & Q(repeats__isnull=True),
                name="assignment_repeats_another",
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
    campaign = models.ForeignKey(
        Campaign,
        models.PROTECT,
        related_name="judgments",
        null=True,
        editable=False,
        db_index=False,
        help_text="Of its task. The database notes it.",
    )
    ranks = ArrayField(
        models.PositiveSmallIntegerField(),
        help_text="For each position of assignment.shown its rank; 1 is closest to the original.",
    )
    response_ms = models.PositiveIntegerField(
        help_text="From the frame in which all images were painted to the answer."
    )
    confidence = models.PositiveSmallIntegerField(
        null=True, help_text="1 a guess, 2 fairly sure, 3 certain; empty where it was not asked."
    )
    remark = models.TextField(blank=True, db_default="")
    viewing = models.JSONField(default=dict, help_text="Viewing conditions (docs/judgments.md).")
    events = models.JSONField(
        default=list,
        db_default=[],
        help_text="What was looked at when: [milliseconds, what] (docs/judgments.md).",
    )
    judged_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ranks__contains=[1]), name="judgment_names_closest"),
        ]
        indexes = [
            # Those of one study in their order, page by page, and those since the last.
            models.Index(fields=["campaign", "id"], name="judgment_of_campaign"),
        ]

    def __str__(self) -> str:
        return f"judgment {self.id}"


class QualityEvent(models.Model):
    """A rule of the campaign that applied to an annotator, once: what was seen, what was done."""

    annotator = models.ForeignKey(Annotator, models.CASCADE, related_name="quality_events")
    check_name = models.CharField(max_length=20)
    action = models.CharField(max_length=10)
    rule = models.JSONField(help_text="As it stood then (annotation/options.py).")
    failed = models.PositiveIntegerField(help_text="Of how many it was so ...")
    of = models.PositiveIntegerField(help_text="... of how many that were looked at.")
    happened_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True, help_text="When the annotator saw it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["annotator", "rule"], name="quality_event_once_a_rule_and_annotator"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.check_name}, {self.annotator}"


class Withdrawal(models.Model):
    """That somebody withdrew, and how much went with them; not who."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="withdrawals")
    judgments = models.PositiveIntegerField()
    withdrawn_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"a withdrawal of {self.judgments} judgments from {self.campaign}"


class Export(models.Model):
    """Files made of a campaign's judgments, as of one moment: annotation/exports.py.

    It is asked for first (waiting), then made by whichever worker claims it.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        MAKING = "making"
        READY = "ready"
        FAILED = "failed"

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="exports")
    format = models.CharField(max_length=20, help_text="annotation/datasets")
    population = models.CharField(max_length=10, help_text="Whose judgments: people, ...")
    name = models.CharField(max_length=200, help_text="Of its archive and of the folder in it.")
    about = models.JSONField(
        default=dict, help_text="What its data card says that the campaign does not know."
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    requested_at = models.DateTimeField()

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    worker = models.CharField(max_length=200, blank=True)
    lease_ends = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it could not be made.")
    moment = models.JSONField(null=True, help_text="As of which it is made; empty: not begun.")
    kept = models.JSONField(default=dict, help_text="How much of its archive is whole.")
    done = models.PositiveBigIntegerField(default=0, help_text="Judgments and pairs written, ...")
    total = models.PositiveBigIntegerField(default=0, help_text="... of how many; 0: unknown yet.")

    size_bytes = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of its archive.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Who asks twice gets the same one; and a worker is left for what else is to be done.
            models.UniqueConstraint(
                fields=["campaign", "format", "population"],
                condition=Q(state__in=["waiting", "making"]),
                name="export_made_once_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="making"), name="export_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=~Q(state="ready") | (Q(size_bytes__isnull=False) & ~Q(sha256="")),
                name="export_ready_has_a_file",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.READY, self.State.FAILED)
