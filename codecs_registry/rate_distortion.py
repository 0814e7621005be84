"""What codecs make of a set of source images: curves, BD-rates, and a table to download.

Of each codec the newest version counts that has reconstructions of these sources; what older ones
made is passed over, and said (`passed_over`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import permutations
from statistics import fmean
from typing import Literal, NamedTuple

from django.db.models import Q

from codecs_registry.bd_rate import Curve, NoBdRate, bd_rate, overlap
from codecs_registry.models import Reconstruction, SourceImage, stratum_name
from perceptual.reference import SMALLEST_SIDE

Quality = Literal["psnr", "ms_ssim"]

CSV_FIELDS = (
    "source", "source_sha256", "codec", "version", "target_bpp", "actual_bpp", "psnr", "ms_ssim",
    "missed",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A codec at one target: means over the images that it has a ready reconstruction of there."""

    codec: str
    version: str
    stratum: Decimal
    n: int
    """Images."""
    bpp: float
    """Mean actual rate."""
    psnr: float | None
    """Mean, dB, over the images in which something was lost; None if there is none."""
    lossless: int
    """Images in which nothing was lost: their PSNR is infinite and enters no mean."""
    ms_ssim_db: float | None
    """Mean of -10 log10(1 - MS-SSIM), over those that have one; None if there is none."""
    misses: int
    """Images whose reconstruction is not at its target."""
    partial: bool
    """Some image that another point averages over is not among these: do not compare the two."""


@dataclass(frozen=True)
class BdCell:
    """BD-rate of `test` against `anchor`, as the mean over images."""

    anchor: str
    test: str
    percent: float | None
    """Negative: `test` needs fewer bits. None: no image has one, see `left_out`."""
    n: int
    """Images that it is the mean of."""
    overlap: float | None
    """Mean share, 0 to 1, of the quality range that both curves reach."""
    left_out: dict[str, int] = field(default_factory=dict)
    """How many images were left out, by the reason."""


@dataclass(frozen=True)
class BdTable:
    """BD-rates between all pairs of codecs."""

    quality: Quality
    codecs: list[str]
    cells: dict[tuple[str, str], BdCell]
    """By (anchor, test)."""

    @property
    def rows(self) -> list[tuple[str, list[BdCell | None]]]:
        """(anchor, a cell for each codec as test, None for itself), in the order of `codecs`."""
        return [
            (anchor, [self.cells.get((anchor, test)) for test in self.codecs])
            for anchor in self.codecs
        ]


def points(sources: Iterable[SourceImage]) -> list[Point]:
    """A point for each codec and target, in the order of codec and target. One query.

    Means are taken over the images at hand at each target; where those are not the same images
    everywhere, `Point.partial` says so.
    """
    groups: dict[tuple[str, Decimal], list[_Row]] = defaultdict(list)
    for row in _newest(_rows(sources)):
        groups[row.codec, row.target_bpp].append(row)
    everything = {row.source_id for rows in groups.values() for row in rows}
    return [_point(rows, partial=len(rows) < len(everything)) for rows in groups.values()]


def passed_over(sources: Iterable[SourceImage]) -> dict[str, list[str]]:
    """By codec: its older versions that have reconstructions of these sources, too. One query."""
    rows = _rows(sources)
    newest = _newest_versions(rows)
    older: dict[str, list[str]] = defaultdict(list)
    for codec, version in sorted({(row.codec, row.codec_version) for row in rows}):
        if version != newest[codec]:
            older[codec].append(version)
    return dict(older)


def bd_table(sources: Iterable[SourceImage], *, quality: Quality) -> BdTable:
    """BD-rate of each codec against each other: of each image over its targets, then the mean.

    quality : 'psnr', or 'ms_ssim' in dB (-10 log10(1 - MS-SSIM)), on which curves bend less.

    The arithmetic mean of percentages, as the common test conditions take it over sequences. An
    image of which one of the two codecs has no curve, or whose curves share no quality, is left
    out, and why is counted. One query.
    """
    return _bd_table(tuple(_newest(_rows(sources))), quality)


@lru_cache(maxsize=8)  # of hundreds of images it takes seconds
def _bd_table(rows: tuple[_Row, ...], quality: Quality) -> BdTable:
    images: dict[int, dict[str, list[_Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        images[row.source_id][row.codec].append(row)
    codecs = sorted({codec for image in images.values() for codec in image})
    pairs = list(permutations(codecs, 2))
    percents: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    overlaps: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    left_out: dict[tuple[str, str], Counter[str]] = {pair: Counter() for pair in pairs}
    for image in images.values():
        curves = {codec: _curve(codec, image.get(codec, []), quality) for codec in codecs}
        for pair in pairs:
            try:
                anchor, test = (_or_raise(curves[codec]) for codec in pair)
                percents[pair].append(bd_rate(anchor, test))
                overlaps[pair].append(overlap(anchor, test))
            except NoBdRate as error:
                left_out[pair][str(error)] += 1
    return BdTable(
        quality,
        codecs,
        {
            (anchor, test): BdCell(
                anchor,
                test,
                _mean(percents[anchor, test]),
                len(percents[anchor, test]),
                _mean(overlaps[anchor, test]),
                dict(left_out[anchor, test].most_common()),
            )
            for anchor, test in pairs
        },
    )


def curves_csv(sources: Iterable[SourceImage]) -> Iterator[tuple[str, ...]]:
    """Rows of text under CSV_FIELDS, one for each reconstruction that `points` counts. One query.

    `psnr` is 'inf' where nothing was lost; `ms_ssim` is empty where the picture is too small for
    it; `missed` says why the target was missed, and is empty where it was met.
    """
    for row in _newest(_rows(sources)):
        yield (
            row.name,
            row.sha256,
            row.codec,
            row.codec_version,
            stratum_name(row.target_bpp),
            f"{row.actual_bpp:.6f}",
            f"{_psnr(row):.4f}",
            "" if row.ms_ssim is None else f"{row.ms_ssim:.6f}",
            row.miss,
        )


class _Row(NamedTuple):
    """A ready reconstruction."""

    id: int
    source_id: int
    name: str
    sha256: str
    codec: str
    codec_version: str
    target_bpp: Decimal
    actual_bpp: float
    psnr: float | None
    ms_ssim: float | None
    miss: str


# Version 0.1.0 stored no distances; where nothing was lost, MS-SSIM is there if it can be.
_UNMEASURED = Q(
    psnr=None,
    ms_ssim=None,
    source__width__gte=SMALLEST_SIDE,
    source__height__gte=SMALLEST_SIDE,
)


def _rows(sources: Iterable[SourceImage]) -> list[_Row]:
    """Of all versions, in the order of codec, target and source."""
    ready = Reconstruction.objects.filter(
        ~_UNMEASURED, state=Reconstruction.State.READY, source__in=sources
    )
    fields = [{"name": "source__name", "sha256": "source__sha256"}.get(f, f) for f in _Row._fields]
    order = ("codec", "target_bpp", "source__name", "source_id")
    return [_Row(*values) for values in ready.order_by(*order).values_list(*fields)]


def _newest_versions(rows: list[_Row]) -> dict[str, str]:
    """By codec: the version that was asked for last."""
    return {row.codec: row.codec_version for row in sorted(rows, key=lambda row: row.id)}


def _newest(rows: list[_Row]) -> list[_Row]:
    newest = _newest_versions(rows)
    return [row for row in rows if row.codec_version == newest[row.codec]]


def _psnr(row: _Row) -> float:
    return math.inf if row.psnr is None else row.psnr


def _ms_ssim_db(row: _Row) -> float:
    """Of a row that has an MS-SSIM; infinite where that is 1."""
    return -10 * math.log10(1 - row.ms_ssim) if row.ms_ssim < 1 else math.inf


def _mean(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else None


def _point(rows: list[_Row], *, partial: bool) -> Point:
    return Point(
        codec=rows[0].codec,
        version=rows[0].codec_version,
        stratum=rows[0].target_bpp,
        n=len(rows),
        bpp=fmean(row.actual_bpp for row in rows),
        psnr=_mean(map(_psnr, rows)),
        lossless=sum(row.psnr is None for row in rows),
        ms_ssim_db=_mean(_ms_ssim_db(row) for row in rows if row.ms_ssim is not None),
        misses=sum(bool(row.miss) for row in rows),
        partial=partial,
    )


def _curve(codec: str, rows: list[_Row], quality: Quality) -> Curve | NoBdRate:
    if quality == "ms_ssim" and any(row.ms_ssim is None for row in rows):
        return NoBdRate("the picture is too small for MS-SSIM")
    value = _psnr if quality == "psnr" else _ms_ssim_db
    try:
        return Curve.through((row.actual_bpp, value(row)) for row in rows)
    except NoBdRate as error:
        return NoBdRate(f"{codec}: {error}")


def _or_raise(curve: Curve | NoBdRate) -> Curve:
    if isinstance(curve, NoBdRate):
        raise curve
    return curve
