"""What codecs cost here: what `manage.py measure_codecs` found, and what studies' encodes took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.db.models import Aggregate, Count, F, FloatField

from codecs_registry import blobs
from codecs_registry.codecs import all_codecs
from codecs_registry.costs import MEGA, Cost, Photographs, photographs
from codecs_registry.importing import find_pictures
from codecs_registry.machine import machine_name, software
from codecs_registry.models import CodecCost, Encode, Reconstruction, SourceImage
from codecs_registry.pictures import SUFFIXES, UnreadablePicture

# --- to measure -----------------------------------------------------------------------------------


class NoPhotographs(Exception):
    """There is nothing to measure on; the message says how to get some."""


def photographs_of_folder(folder: Path, *, most: int) -> Photographs:
    """At most so many of a folder, spread evenly over their names.

    Raises NotADirectoryError, NoPhotographs, or UnreadablePicture, which names the file.
    """
    paths = [path for path in find_pictures(folder) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise NoPhotographs(
            f"{folder} has no picture in it (files that end in {', '.join(sorted(SUFFIXES))})"
        )
    chosen = _spread(paths, most)
    try:
        return photographs(path.read_bytes() for path in chosen)
    except UnreadablePicture:
        for path in chosen:  # which one it was
            try:
                photographs([path.read_bytes()])
            except UnreadablePicture as error:
                raise UnreadablePicture(f"{path}: {error}") from None
        raise


def photographs_of_installation(*, most: int) -> Photographs:
    """At most so many of the source images, spread evenly over their names. Raises
    NoPhotographs."""
    names = list(SourceImage.objects.order_by("name", "id").values_list("png", flat=True))
    if not names:
        raise NoPhotographs(
            "there is no source image yet: name a folder (--images FOLDER), or import one "
            "(manage.py import_images FOLDER)"
        )
    return photographs(map(blobs.read, _spread(names, most)))


def _spread(values: Sequence, most: int) -> list:
    n = min(most, len(values))
    return [values[(2 * at + 1) * len(values) // (2 * n)] for at in range(n)]


def keep(cost: Cost, *, on: Photographs, bpp: float, repeat: int, now: datetime) -> CodecCost:
    """Store what was measured here, in place of what was before on such a machine."""
    kept, _ = CodecCost.objects.update_or_create(
        codec=cost.codec,
        codec_version=cost.version,
        machine=machine_name(),
        defaults={
            "software": software(),
            "busy_elsewhere": cost.busy_elsewhere,
            "target_bpp": bpp,
            "setting": cost.setting,
            "actual_bpp": cost.actual_bpp,
            "pictures": len(on.files),
            "pictures_sha256": on.sha256,
            "repeats": repeat,
            "encode_s": cost.encode.median,
            "encode_s_low": cost.encode.low,
            "encode_s_high": cost.encode.high,
            "decode_s": cost.decode.median,
            "decode_s_low": cost.decode.low,
            "decode_s_high": cost.decode.high,
            "encode_core_s": cost.encode_core_s,
            "decode_core_s": cost.decode_core_s,
            "peak_bytes": cost.peak_bytes,
            "peak_bytes_per_pixel": cost.peak_bytes_per_pixel,
            "measured_at": now,
        },
    )
    return kept


def newest_costs() -> dict[str, CodecCost]:
    """By codec, what was measured last. One query."""
    rows = CodecCost.objects.order_by("codec", "-measured_at", "-id").distinct("codec")
    return {row.codec: row for row in rows}


# --- side by side ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRow:
    """A codec's cost beside that of the codec whose page it is.

    encode_ratio, ... : how many times as much as that codec takes; None if that was not measured.
    """

    cost: CodecCost
    label: str
    is_own: bool
    encode_ratio: float | None
    decode_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True)
class Costs:
    """Costs that compare: of one kind of machine, one rate and the same photographs.

    rows : from the least time to encode.   others : labels of codecs that were measured otherwise.
    """

    rows: list[CostRow]
    others: list[str]

    @property
    def first(self) -> CodecCost:
        return self.rows[0].cost

    @property
    def own(self) -> CostRow | None:
        return next((row for row in self.rows if row.is_own), None)

    @property
    def busiest(self) -> float:
        """Cores that others kept busy, at most."""
        return max(row.cost.busy_elsewhere for row in self.rows)

    @property
    def measured_from(self) -> datetime:
        return min(row.cost.measured_at for row in self.rows)

    @property
    def measured_to(self) -> datetime:
        return max(row.cost.measured_at for row in self.rows)


def costs_beside(codec: str) -> Costs | None:
    """What all codecs took under the conditions under which this one was measured last, or, if it
    never was, any was; None if none was. One query."""
    kept = list(CodecCost.objects.order_by("-measured_at", "-id"))
    if not kept:
        return None
    own = next((each for each in kept if each.codec == codec), None)
    wanted = _conditions(own or kept[0])
    alike: dict[str, CodecCost] = {}
    for each in kept:
        if _conditions(each) == wanted:
            alike.setdefault(each.codec, each)
    rows = [_beside(each, own) for each in sorted(alike.values(), key=lambda row: row.encode_s)]
    others = sorted({_label(each.codec) for each in kept if each.codec not in alike})
    return Costs(rows=rows, others=others)


def _conditions(cost: CodecCost) -> tuple:
    return cost.machine, cost.target_bpp, cost.pictures_sha256


def _beside(cost: CodecCost, own: CodecCost | None) -> CostRow:
    def ratio(field: str) -> float | None:
        against = getattr(own, field, None)
        return getattr(cost, field) / against if against else None

    return CostRow(
        cost=cost,
        label=_label(cost.codec),
        is_own=cost == own,
        encode_ratio=ratio("encode_s"),
        decode_ratio=ratio("decode_s"),
        memory_ratio=ratio("peak_bytes"),
    )


def _label(codec: str) -> str:
    installed = all_codecs()
    return installed[codec].label if codec in installed else codec


# --- in studies -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeHere:
    """Medians of seconds a megapixel that a version of a codec took for studies, while whatever
    else went on; None where it made nothing.   encodes, decodes : how many."""

    encode_s: float | None
    encodes: int
    decode_s: float | None
    decodes: int


class _Median(Aggregate):
    template = "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


def time_here(codec: str, version: str) -> TimeHere:
    """What a version of a codec took for the reconstructions of this installation."""
    return _time_here(codec, version, _newest(Encode), _newest(Reconstruction))


@lru_cache(maxsize=64)  # of all rows there are, which may be many
def _time_here(codec: str, version: str, newest_encode: int, newest_made: int) -> TimeHere:
    encodes = Encode.objects.filter(
        codec=codec, codec_version=version, id__lte=newest_encode
    ).aggregate(n=Count("id"), s=_Median(_seconds_per_megapixel("encode_ms")))
    decodes = Reconstruction.objects.filter(
        codec=codec, codec_version=version, decode_ms__isnull=False, id__lte=newest_made
    ).aggregate(n=Count("id"), s=_Median(_seconds_per_megapixel("decode_ms")))
    return TimeHere(encodes["s"], encodes["n"], decodes["s"], decodes["n"])


def _seconds_per_megapixel(milliseconds: str):
    return F(milliseconds) / 1000.0 * MEGA / (F("source__width") * F("source__height"))


def _newest(model) -> int:
    return model.objects.order_by("-id").values_list("id", flat=True).first() or 0
