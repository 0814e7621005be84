"""What the registry holds, as its pages show it: codecs, and what they make of a source image."""

import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath

from django.db.models import Count, Q
from django.urls import reverse
from PIL import Image

from codecs_registry import blobs
from codecs_registry.codec_costs import newest_costs
from codecs_registry.codecs import all_codecs
from codecs_registry.codecs.base import Codec, CodecError, Setting
from codecs_registry.models import CodecCost, Reconstruction, SourceImage, stratum_name
from perceptual.reference import SMALLEST_SIDE

State = Reconstruction.State
THUMBNAIL_SIDE = 360  # pixels; twice what a page gives it, for screens with small pixels


# --- codecs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """A setting that the knob turns, at the knob's two ends."""

    name: str
    at_smallest: Setting
    at_largest: Setting

    @property
    def is_aside(self) -> bool:
        """It ends where it began, and makes fine steps in between."""
        return self.at_smallest == self.at_largest


@dataclass(frozen=True)
class CodecEntry:
    """A codec of this machine, or one that only made reconstructions, with how many it made."""

    name: str
    label: str
    version: str
    reason: str
    """Why it cannot be used here, and how to get it; '' if it can."""
    turns: tuple[Turn, ...]
    """What the rate search changes, towards larger files."""
    kept: dict[str, Setting]
    """What it leaves alone."""
    whole: bool
    """Whether the knob has whole settings only."""
    bpp: tuple[float, float] | None
    """The least and the most that an ordinary photograph takes; None if nobody measured it."""
    cost: CodecCost | None
    """What was measured last."""
    made: int
    on_target: int
    failed: int

    @property
    def has_page(self) -> bool:
        """A file that declares none is listed by its path, which no page's address can have."""
        return "/" not in self.name

    @property
    def share_on_target(self) -> float | None:
        return self.on_target / self.made if self.made else None


def codec_entries() -> list[CodecEntry]:
    """Every codec that is installed, and every other one that made something or was measured;
    those that can be used here first, each group in the names' order. Two queries."""
    counts = {
        row["codec"]: row
        for row in Reconstruction.objects.order_by()
        .values("codec")
        .annotate(
            made=Count("id", filter=Q(state=State.READY)),
            on_target=Count("id", filter=Q(state=State.READY, miss="")),
            failed=Count("id", filter=Q(state=State.FAILED)),
        )
    }
    installed, costs = all_codecs(), newest_costs()
    entries = [
        _entry(codec, counts.get(name, {}), costs.get(name)) for name, codec in installed.items()
    ]
    entries += [
        _gone(name, counts.get(name, {}), costs.get(name))
        for name in sorted({*counts, *costs} - {*installed})
    ]
    return sorted(entries, key=lambda entry: bool(entry.reason))


def _entry(codec: Codec, counts: dict, cost: CodecCost | None) -> CodecEntry:
    reason = codec.unavailable()
    turns, kept = _settings(codec)
    curve = [bpp for _, bpp in codec.knob.curve]
    return CodecEntry(
        name=codec.name,
        label=codec.label,
        version="" if reason else codec.version(),
        reason=reason,
        turns=turns,
        kept=kept,
        whole=codec.knob.integer,
        bpp=(min(curve), max(curve)) if curve else None,
        cost=cost,
        **_counted(counts),
    )


def _gone(name: str, counts: dict, cost: CodecCost | None) -> CodecEntry:
    return CodecEntry(
        name=name,
        label=name,
        version="",
        reason="No package that is installed here brings it any more.",
        turns=(),
        kept={},
        whole=False,
        bpp=None,
        cost=cost,
        **_counted(counts),
    )


def _counted(counts: dict) -> dict[str, int]:
    return {key: counts.get(key, 0) for key in ("made", "on_target", "failed")}


def _settings(codec: Codec) -> tuple[tuple[Turn, ...], dict[str, Setting]]:
    """What differs along the knob, and what does not."""
    knob = codec.knob
    between = [knob.low + (knob.high - knob.low) * part / 7 for part in range(1, 7)]
    places = [knob.low, *(map(round, between) if knob.integer else between), knob.high]
    try:
        along = [codec.settings(place) for place in (places if knob.rises else places[::-1])]
    except CodecError:  # one that does not load has none
        return (), {}
    first, last = along[0], along[-1]
    # A setting that only some files have is turned as well.
    names = dict.fromkeys(name for settings in along for name in settings)
    turned = [name for name in names if len({settings.get(name) for settings in along}) > 1]
    turns = tuple(Turn(name, first.get(name, "–"), last.get(name, "–")) for name in turned)
    return turns, {name: value for name, value in first.items() if name not in turned}


# --- source images --------------------------------------------------------------------------------


@lru_cache(maxsize=500)
def thumbnail(png: str, side: int = THUMBNAIL_SIDE) -> bytes:
    """A WebP file of a blob's picture, at most so many pixels a side."""
    with Image.open(io.BytesIO(blobs.read(png)), formats=("PNG",)) as image:
        image.thumbnail((side, side), reducing_gap=2.0)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=80)
    return file.getvalue()


@dataclass(frozen=True)
class Cell:
    """A reconstruction in the matrix of its source image."""

    reconstruction: Reconstruction
    label: str
    """Its codec's, as people read it; with the version where there are several."""
    best_psnr: bool
    """Of those of its stratum that are at their target."""
    best_ms_ssim: bool

    @property
    def is_ready(self) -> bool:
        return self.reconstruction.state == State.READY

    @property
    def png(self) -> str:
        """Its picture's address, with a mark of the content: browsers keep it for long."""
        mark = PurePath(self.reconstruction.decoded).stem[:12]
        return f"{reverse('decoded-png', args=[self.reconstruction.id])}?{mark}"

    @property
    def off_target(self) -> str:
        """How far its rate is from its target: '+0.3 %'."""
        share = self.reconstruction.actual_bpp / float(self.reconstruction.target_bpp) - 1
        return f"{100 * share:+.1f} %".replace("-", "\N{MINUS SIGN}")

    @property
    def psnr(self) -> str:
        if self.reconstruction.psnr is not None:
            return f"{self.reconstruction.psnr:.2f} dB"
        return "lossless" if _is_lossless(self.reconstruction) else "no PSNR"

    @property
    def ms_ssim(self) -> str:
        value = self.reconstruction.ms_ssim
        return "–" if value is None else f"{value:.4f}"

    @property
    def facts(self) -> str:
        """Rate, PSNR and MS-SSIM in a line."""
        facts = f"{self.reconstruction.actual_bpp:.4f} bpp, {self.psnr}"
        return facts if self.reconstruction.ms_ssim is None else f"{facts}, {self.ms_ssim}"


@dataclass(frozen=True)
class Row:
    """What one version of a codec made, a place for each stratum."""

    codec: str
    label: str
    version: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class Matrix:
    """All reconstructions of a source image: codecs down, strata across."""

    strata: list[str]
    rows: list[Row]

    @property
    def columns(self) -> list[tuple[str, list[Cell]]]:
        """Each stratum with what is ready of it, in the order of the rows."""
        columns = zip(self.strata, *(row.cells for row in self.rows), strict=True)
        return [
            (stratum, [cell for cell in cells if cell and cell.is_ready])
            for stratum, *cells in columns
        ]

    @property
    def ready(self) -> list[Cell]:
        """All that is ready, column by column."""
        return [cell for _, cells in self.columns for cell in cells]


def matrix(source: SourceImage) -> Matrix:
    """Every reconstruction of a source image, the newest version of a codec first. One query."""
    made = list(source.reconstructions.order_by("codec", "-id"))
    for each in made:
        each.source = source
    best_psnr, best_ms_ssim = _best(made, _psnr), _best(made, lambda each: each.ms_ssim)
    versions = defaultdict(set)
    for each in made:
        versions[each.codec].add(each.codec_version)
    places: dict[tuple[str, str], dict[Decimal, Cell]] = defaultdict(dict)
    for each in made:
        label = _label(each.codec)
        places[each.codec, each.codec_version][each.target_bpp] = Cell(
            reconstruction=each,
            label=f"{label}, {each.codec_version}" if len(versions[each.codec]) > 1 else label,
            best_psnr=each.id in best_psnr,
            best_ms_ssim=each.id in best_ms_ssim,
        )
    strata = sorted({each.target_bpp for each in made})
    return Matrix(
        strata=[stratum_name(stratum) for stratum in strata],
        rows=[
            Row(codec, _label(codec), version, [cells.get(stratum) for stratum in strata])
            for (codec, version), cells in places.items()
        ],
    )


def _label(codec: str) -> str:
    installed = all_codecs()
    return installed[codec].label if codec in installed else codec


def _is_lossless(made: Reconstruction) -> bool:
    """Whether its PSNR is missing because nothing was lost, and not because nobody took it."""
    is_small = min(made.source.width, made.source.height) < SMALLEST_SIDE
    return made.psnr is None and (is_small or made.ms_ssim is not None)


def _psnr(made: Reconstruction) -> float | None:
    return math.inf if _is_lossless(made) else made.psnr


def _best(
    made: Iterable[Reconstruction], measure: Callable[[Reconstruction], float | None]
) -> set[int]:
    """Of each stratum the reconstructions that are best by a measure, among those on target."""
    strata = defaultdict(list)
    for each in made:
        if each.state == State.READY and not each.miss and measure(each) is not None:
            strata[each.target_bpp].append(each)
    return {
        each.id
        for rivals in strata.values()
        if len(rivals) > 1
        for each in rivals
        if measure(each) == max(map(measure, rivals))
    }
