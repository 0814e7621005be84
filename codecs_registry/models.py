"""What is compared: source images, and what codecs make of them."""

from decimal import Decimal

from django.db import models
from django.db.models import Q


def stratum_name(target_bpp: Decimal) -> str:
    """A target bit rate as people write it: 0.23, 0.5, 1.0."""
    text = f"{target_bpp:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


class StratumField(models.DecimalField):
    """A target bit rate in bits per pixel: exact, so that equal strata compare equal."""

    def __init__(self, **options) -> None:
        super().__init__(**{"max_digits": 7, "decimal_places": 4, **options})


class Collection(models.Model):
    """A named set of source images."""

    name = models.CharField(max_length=100, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SourceImage(models.Model):
    """A pristine original, known by the SHA-256 of its decoded sRGB pixels."""

    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    name = models.CharField(max_length=200, help_text="Its file's name when it was first imported.")
    conversions = models.JSONField(default=list, help_text="What was done to reach sRGB.")
    png = models.CharField(max_length=200, help_text="Blob: its pixels as PNG.")
    png_bytes = models.PositiveIntegerField()
    imported_at = models.DateTimeField(auto_now_add=True)
    collections = models.ManyToManyField(Collection, related_name="sources")

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

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    worker = models.CharField(max_length=200, blank=True)
    lease_ends = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it could not be made.")

    settings = models.JSONField(default=dict, help_text="All that is needed to encode it again.")
    bitstream = models.CharField(max_length=200, blank=True, help_text="Blob: the coded file.")
    size_bytes = models.PositiveIntegerField(null=True)
    decoded = models.CharField(max_length=200, blank=True, help_text="Blob: its pixels as PNG.")
    decoded_bytes = models.PositiveIntegerField(null=True)
    actual_bpp = models.FloatField(null=True)
    miss = models.TextField(blank=True, help_text="Why it is not at its target; empty if it is.")
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
                fields=["id"],
                condition=Q(state__in=["waiting", "encoding"]),
                name="reconstruction_owed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} by {self.codec} at {self.stratum} bpp"

    @property
    def stratum(self) -> str:
        return stratum_name(self.target_bpp)
