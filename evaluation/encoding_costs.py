"""What the encodes of a study will take: told from those made here, where there are some."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from codecs_registry.codecs import all_codecs
from codecs_registry.models import Encode, Reconstruction, SourceImage

# Where a codec made nothing here yet. Measured on one 1-megapixel photograph and one core: common
# codecs take 0.1 to 0.7 s for a file, VVC 2.6 s, and a search makes about three files.
SECONDS_PER_MEGAPIXEL = 2.0
FILES_PER_SEARCH = 3
# To decode, measure (PSNR, MS-SSIM) and write as PNG and WebP, likewise; no codec's own.
STORING_SECONDS_PER_MEGAPIXEL = 0.3
MEGA = 1_000_000


@dataclass(frozen=True)
class EncodingCost:
    """What a codec takes for the reconstructions of a study that are not there yet.

    measured : how many reconstructions that were made here the figures are told from; 0: none, and
        they are the same for every codec.
    """

    codec: str
    to_make: int
    seconds: float
    size_bytes: int
    measured: int


def encoding_costs(
    sources: Sequence[SourceImage], codecs: Iterable[str], bpp: Iterable[str]
) -> list[EncodingCost]:
    """For each codec, the work of one process and the bytes that will be stored: the files that a
    rate search makes, all of which are kept, and what they decode to, as PNG and as WebP."""
    targets = [Decimal(each) for each in bpp]
    pixels = sum(source.pixel_count for source in sources)
    # A copy is at most about as hard to pack without loss as its original is.
    packed = sum(source.png_bytes + (source.webp_bytes or 0) for source in sources)
    measured = _measured(_newest(Encode), _newest(Reconstruction))
    ready = _ready(sources, codecs, targets)
    found = []
    for codec in codecs:
        n_ready, pixels_ready = ready.get(codec, (0, 0))
        megapixels = (pixels * len(targets) - pixels_ready) / MEGA
        if codec in measured:
            n, seconds, size = measured[codec]
        else:
            n, seconds = 0, SECONDS_PER_MEGAPIXEL
            mean_rate = float(sum(targets)) / len(targets) if targets else 0.0
            size = MEGA * (FILES_PER_SEARCH * mean_rate / 8 + packed / max(pixels, 1))
        found.append(
            EncodingCost(
                codec=codec,
                to_make=len(sources) * len(targets) - n_ready,
                seconds=megapixels * (seconds + STORING_SECONDS_PER_MEGAPIXEL),
                size_bytes=round(megapixels * size),
                measured=n,
            )
        )
    return found


def _newest(model) -> int:
    return model.objects.order_by("-id").values_list("id", flat=True).first() or 0


@lru_cache(maxsize=4)  # a page that is edited asks every second, and little is made meanwhile
def _measured(newest_encode: int, newest_made: int) -> dict[str, tuple[int, float, float]]:
    """By codec: reconstructions that are ready, seconds that their files took to make, all that a
    search tried included, and bytes that are stored, both for a megapixel of one reconstruction."""
    area = Sum(F("source__width") * F("source__height"))
    made = (
        Reconstruction.objects.filter(state=Reconstruction.State.READY, id__lte=newest_made)
        .order_by()
        .values("codec")
        .annotate(
            n=Count("id"),
            area=area,
            stored=Sum(F("decoded_bytes") + Coalesce(F("webp_bytes"), 0)),
        )
    )
    tried = {
        row["codec"]: row
        for row in Encode.objects.filter(id__lte=newest_encode)
        .order_by()
        .values("codec")
        .annotate(ms=Sum("encode_ms"), size=Sum("size_bytes"))
    }
    return {
        row["codec"]: (
            row["n"],
            tried[row["codec"]]["ms"] / 1000 / row["area"] * MEGA,
            (tried[row["codec"]]["size"] + row["stored"]) / row["area"] * MEGA,
        )
        for row in made
        if row["codec"] in tried
    }


def _ready(
    sources: Sequence[SourceImage], codecs: Iterable[str], targets: Sequence[Decimal]
) -> dict[str, tuple[int, int]]:
    """By codec: how many of these reconstructions are there already, and their pixels."""
    installed = all_codecs()
    of_codecs = Q(pk__in=[])
    for name in codecs:
        if name in installed and not installed[name].unavailable():
            of_codecs |= Q(codec=name, codec_version=installed[name].version())
    rows = (
        Reconstruction.objects.filter(
            of_codecs,
            source__in=sources,
            target_bpp__in=targets,
            state=Reconstruction.State.READY,
        )
        .order_by()
        .values("codec")
        .annotate(n=Count("id"), area=Sum(F("source__width") * F("source__height")))
    )
    return {row["codec"]: (row["n"], row["area"]) for row in rows}
