"""What is compared: source images, and what codecs make of them."""

from decimal import Decimal

from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from codecs_registry.blob_fields import BlobField
from projects.access import projects_of
from projects.models import Project


def stratum_name(target_bpp: Decimal) -> str:
    """A target bit rate as people write it: 0.23, 0.5, 1.0."""
    text = f"{target_bpp:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


class StratumField(models.DecimalField):
    """A target bit rate in bits per pixel: exact, so that equal strata compare equal."""

    def __init__(self, **options) -> None:
        super().__init__(**{"max_digits": 7, "decimal_places": 4, **options})


class CollectionQuerySet(models.QuerySet["Collection"]):
    def seen_by(self, user) -> "CollectionQuerySet":
        """The collections of somebody's projects, and those that are everybody's."""
        return self.filter(Q(project=None) | Q(project__in=projects_of(user)))

    def known_to(self, project: Project | None) -> "CollectionQuerySet":
        """A project's collections and everybody's; of two of one name its own, by name."""
        known = self.filter(Q(project=None) | Q(project=project))
        return known.order_by("name", F("project").asc(nulls_last=True)).distinct("name")


class Collection(models.Model):
    """A named set of source images."""

    name = models.CharField(max_length=100)
    project = models.ForeignKey(
        Project,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="collections",
        help_text="Whose it is; empty: everybody's who has an account.",
    )

    objects = CollectionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                nulls_distinct=False,
                name="collection_named_once_a_project",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SourceImageQuerySet(models.QuerySet["SourceImage"]):
    def seen_by(self, user) -> "SourceImageQuerySet":
        """Those in collections that somebody sees, and those in none; an administrator's: all."""
        if user.is_active and user.is_superuser:
            return self
        within = Collection.sources.through.objects.filter(sourceimage=OuterRef("id"))
        seen = within.filter(collection__in=Collection.objects.seen_by(user))
        return self.filter(Exists(seen) | ~Exists(within))


class SourceImage(models.Model):
    """A pristine original, known by the SHA-256 of its decoded sRGB pixels."""

    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    name = models.CharField(max_length=200, help_text="Its file's name when it was first imported.")
    conversions = models.JSONField(default=list, help_text="What was done to reach sRGB.")
    png = BlobField(help_text="Blob: its pixels as PNG.")
    png_bytes = models.PositiveIntegerField()
    webp = BlobField(
        blank=True,
        db_default="",
        help_text="Blob: the same, as lossless WebP.",
    )
    webp_bytes = models.PositiveIntegerField(null=True)
    imported_at = models.DateTimeField(auto_now_add=True)
    collections = models.ManyToManyField(Collection, related_name="sources")

    objects = SourceImageQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            # Two plain pictures of different shape can hold the same bytes.
            models.UniqueConstraint(
                fields=["sha256", "width", "height"], name="source_image_known_by_its_pixels"
            ),
            models.CheckConstraint(
                condition=Q(width__gt=0, height__gt=0), name="source_image_has_pixels"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def pixel_count(self) -> int:
        return self.width * self.height


class Reconstruction(models.Model):
    """What one codec makes of one source image at one target bit rate.

    It is asked for first (waiting), then made once, by whichever worker claims it.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        ENCODING = "encoding"
        READY = "ready"
        FAILED = "failed"

    source = models.ForeignKey(SourceImage, models.PROTECT, related_name="reconstructions")
    codec = models.CharField(max_length=50)
    codec_version = models.CharField(max_length=200)
    target_bpp = StratumField()

    turn = models.PositiveIntegerField(
        default=0,
        help_text="Its place among those asked for with it, counted by picture and codec: of two "
        "requests, the one of which less is made comes first.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    worker = models.CharField(max_length=200, blank=True)
    lease_ends = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it could not be made.")

    settings = models.JSONField(default=dict, help_text="All that is needed to encode it again.")
    bitstream = BlobField(blank=True, help_text="Blob: the coded file.")
    size_bytes = models.PositiveIntegerField(null=True)
    decoded = BlobField(blank=True, help_text="Blob: its pixels as PNG.")
    decoded_bytes = models.PositiveIntegerField(null=True)
    webp = BlobField(
        blank=True,
        db_default="",
        help_text="Blob: the same, as lossless WebP.",
    )
    webp_bytes = models.PositiveIntegerField(null=True)
    actual_bpp = models.FloatField(null=True)
    miss = models.TextField(blank=True, help_text="Why it is not at its target; empty if it is.")
    psnr = models.FloatField(null=True, help_text="Decibels; null where nothing was lost.")
    ms_ssim = models.FloatField(null=True, help_text="0 to 1; null for pictures too small for it.")
    encode_ms = models.FloatField(null=True)
    decode_ms = models.FloatField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "codec", "codec_version", "target_bpp"],
                name="reconstruction_made_once",
            ),
            models.CheckConstraint(
                condition=Q(target_bpp__gt=0), name="reconstruction_target_positive"
            ),
            models.CheckConstraint(
                condition=~Q(state="ready")
                | (
                    ~Q(bitstream="")
                    & ~Q(decoded="")
                    & Q(size_bytes__gt=0, decoded_bytes__gt=0, actual_bpp__gt=0)
                    # NULL > 0 is unknown, and what is unknown passes a check.
                    & Q(size_bytes__isnull=False)
                    & Q(decoded_bytes__isnull=False)
                    & Q(actual_bpp__isnull=False)
                ),
                name="reconstruction_ready_has_files",
            ),
        ]
        indexes = [
            # "What is owed longest": asked by every worker that looks for work.
            models.Index(
                fields=["turn", "id"],
                condition=Q(state__in=["waiting", "encoding"]),
                name="reconstruction_next",
            ),
            # "What could not be made?": asked by what watches the installation, and to try again.
            models.Index(
                fields=["codec"], condition=Q(state="failed"), name="reconstruction_failed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} by {self.codec} at {self.stratum} bpp"

    @property
    def stratum(self) -> str:
        return stratum_name(self.target_bpp)


class Encode(models.Model):
    """One file that a codec made of one source image while a search looked for its targets.

    Kept so that nothing is encoded twice: the next search of this source and codec starts from
    what is known, whatever its targets, and one that a crash cut short goes on.
    """

    source = models.ForeignKey(SourceImage, models.PROTECT, related_name="encodes")
    codec = models.CharField(max_length=50)
    codec_version = models.CharField(max_length=200)
    setting = models.FloatField(help_text="Of the codec's knob.")
    settings = models.JSONField(help_text="All that is needed to encode it again.")
    bitstream = BlobField(help_text="Blob: the coded file.")
    size_bytes = models.PositiveIntegerField()
    encode_ms = models.FloatField()
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "codec", "codec_version", "setting"], name="encode_made_once"
            ),
            models.CheckConstraint(condition=Q(size_bytes__gt=0), name="encode_has_bytes"),
        ]

    def __str__(self) -> str:
        return f"{self.source} by {self.codec} at {self.setting:g}"


class CodecCost(models.Model):
    """What a codec took for some photographs on one core, as `manage.py measure_codecs` found it
    in a process of its own. The last that was measured on a kind of machine is kept."""

    codec = models.CharField(max_length=50)
    codec_version = models.CharField(max_length=200)
    machine = models.CharField(max_length=200, help_text="Its processor, and how many cores.")
    software = models.JSONField(help_text="Versions, by library.")
    busy_elsewhere = models.FloatField(help_text="Cores that others kept busy meanwhile.")

    target_bpp = models.FloatField(help_text="The rate of an ordinary photograph at this setting.")
    setting = models.FloatField(help_text="Of the codec's knob.")
    actual_bpp = models.FloatField(help_text="Of all files by all pixels.")
    pictures = models.PositiveIntegerField(help_text="How many photographs.")
    pictures_sha256 = models.CharField(max_length=64, help_text="Of their files.")
    repeats = models.PositiveIntegerField(help_text="How often each was coded.")

    encode_s = models.FloatField(help_text="Seconds a megapixel; the median over photographs.")
    encode_s_low = models.FloatField(null=True, help_text="Of the median's 95 % interval.")
    encode_s_high = models.FloatField(null=True)
    decode_s = models.FloatField()
    decode_s_low = models.FloatField(null=True)
    decode_s_high = models.FloatField(null=True)
    encode_core_s = models.FloatField(help_text="Likewise, of a core's work for the codec alone.")
    decode_core_s = models.FloatField()
    peak_bytes = models.BigIntegerField(
        help_text="Of memory, beyond what the process had once the codec's library was loaded."
    )
    peak_bytes_per_pixel = models.FloatField(help_text="The same by the largest photograph.")
    measured_at = models.DateTimeField()

    class Meta:
        ordering = ["-measured_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["codec", "codec_version", "machine"], name="codec_cost_kept_once"
            ),
            models.CheckConstraint(
                condition=Q(encode_s__gt=0, decode_s__gt=0, peak_bytes__gte=0, pictures__gt=0),
                name="codec_cost_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.codec} on {self.machine}"
