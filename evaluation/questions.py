"""A study's tasks: every question that its stimuli allow, and the gold tasks among them."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from annotation.kinds import KINDS
from annotation.models import Task, TaskReconstruction
from annotation.options import Viewing
from annotation.stimuli import PNG, WEBP, delivered_bytes, stored_crops
from codecs_registry import blobs
from codecs_registry.models import Reconstruction, SourceImage
from codecs_registry.pictures import read_png
from evaluation.models import Study
from evaluation.study_files import InvalidStudy
from perceptual.reference import psnr

CERTAIN_RATIO = 2.0  # of the actual rates of what a gold task shows
CERTAIN_DB = 3.0  # between their PSNR
VISIBLE_DB = 38.0  # PSNR above which a loss may not be seen at all

Crop = list[int] | None
_NOWHERE = object()


@dataclass(frozen=True)
class Question:
    """A task to be. closest : of a gold task."""

    source: SourceImage
    crop: Crop
    shown: tuple[Reconstruction, ...]
    closest: Reconstruction | None = None


def make_tasks(study: Study) -> None:
    """Make the tasks of a study whose stimuli are all ready."""
    chance = random.Random(study.campaign.seed)  # noqa: S311
    questions = list(_questions(study))
    deliveries = _deliveries(study)
    wanted = study.campaign.judgments_per_task
    tasks = [
        Task(
            campaign=study.campaign,
            source=each.source,
            target_bpp=min(shown.target_bpp for shown in each.shown),
            # Gold tasks are given beside those that measure, and have no places.
            places_left=0 if each.closest else wanted,
            simulated_places_left=0 if each.closest else wanted,
            order_key=chance.random(),
            crop=each.crop,
            closest=each.closest,
            # Only who asks by pair pays for an index by pair.
            compares=_pair(each) if study.samples_actively and not each.closest else "",
            delivery_format=deliveries[each.source.id][0],
            delivery_bytes=deliveries[each.source.id][1],
        )
        for each in questions
    ]
    Task.objects.bulk_create(tasks, batch_size=2000)
    TaskReconstruction.objects.bulk_create(
        (
            TaskReconstruction(task=task, reconstruction=reconstruction)
            for task, question in zip(tasks, questions, strict=True)
            for reconstruction in question.shown
        ),
        batch_size=5000,
    )


def _pair(question: Question) -> str:
    return " ".join(sorted(each.codec for each in question.shown))


def _questions(study: Study) -> Iterator[Question]:
    kind = KINDS[study.campaign.kind]
    made = defaultdict(lambda: defaultdict(list))
    rows = study.reconstructions.select_related("source")
    for each in rows.order_by("source_id", "target_bpp", "codec"):
        made[each.source][each.target_bpp].append(each)
    for source, strata in made.items():
        crops = crops_of(study, source)
        for crop in crops:
            for reconstructions in strata.values():
                for shown in kind.questions(reconstructions):
                    yield Question(source, crop, shown)
        if study.needs_gold:
            low, high = strata[min(strata)], strata[max(strata)]
            for shown, closest in kind.gold(low, high):
                crop = _certain_crop(shown, closest, crops)
                if crop is not _NOWHERE:
                    yield Question(source, crop, shown, closest)


def _certain_crop(
    shown: tuple[Reconstruction, ...], closest: Reconstruction, crops: list[Crop]
) -> Crop | object:
    """The first crop in which nobody who looks can take another of what is shown for the closest;
    _NOWHERE if there is none."""
    others = [each for each in shown if each.id != closest.id]
    if any(closest.actual_bpp < CERTAIN_RATIO * other.actual_bpp for other in others):
        return _NOWHERE
    for crop in crops:
        best = _psnr(closest, crop)
        if all(_psnr(each, crop) <= min(VISIBLE_DB, best - CERTAIN_DB) for each in others):
            return crop
    return _NOWHERE


def _psnr(reconstruction: Reconstruction, crop: Crop) -> float:
    """Of what is shown, in decibels; infinite where nothing is lost."""
    if crop is None and reconstruction.psnr is not None:
        return reconstruction.psnr
    original, copy = (
        read_png(blobs.read(blob)) for blob in (reconstruction.source.png, reconstruction.decoded)
    )
    if crop is not None:
        left, top, width, height = crop
        original, copy = (
            each[top : top + height, left : left + width] for each in (original, copy)
        )
    return psnr(original, copy)


def crops_of(study: Study, source: SourceImage) -> list[Crop]:
    """The parts of a source image that are asked about, [left, top, width, height] each, drawn by
    the study's seed and the image alone; [None] where it is shown whole."""
    viewing = study.campaign.options.viewing
    if viewing.crop is None:
        return [None]
    width, height = viewing.crop
    drawn = random.Random(f"{study.campaign.seed}/{source.sha256}/crops")  # noqa: S311
    columns, rows = source.width - width + 1, source.height - height + 1
    places = drawn.sample(range(columns * rows), viewing.crops_per_image)  # no part twice
    return [[place % columns, place // columns, width, height] for place in places]


def require_room(viewing: Viewing, sources: list[SourceImage]) -> None:
    """Raise InvalidStudy if a picture is smaller than the part of it that is to be shown, or has
    not so many different ones."""
    if viewing.crop is None:
        return
    width, height = viewing.crop
    small = [each for each in sources if each.width < width or each.height < height]
    if small:
        first = small[0]
        raise InvalidStudy(
            {
                "viewing.crop": f"is {width} x {height}, and {len(small)} of {len(sources)} "
                f"pictures are smaller, as {first.name} is ({first.width} x {first.height})"
            }
        )
    fewest = min((each.width - width + 1) * (each.height - height + 1) for each in sources)
    if fewest < viewing.crops_per_image:
        raise InvalidStudy(
            {"viewing.crops_per_image": f"is more than the {fewest} places that a part can have"}
        )


def _deliveries(study: Study) -> dict[int, tuple[str, int]]:
    """By source image, one format and one size in bytes for all that is ever sent of it: they tell
    no codec and no rate. Lossless WebP where all of it is there and the largest is smaller."""
    png, webp = defaultdict(list), defaultdict(list)
    for source_id, png_bytes, webp_bytes in _sizes(study):
        png[source_id].append(png_bytes)
        webp[source_id].append(webp_bytes)
    found = {}
    for source_id, sizes in png.items():
        found[source_id] = (PNG, delivered_bytes(sizes, PNG))
        if None not in webp[source_id]:
            size = delivered_bytes(webp[source_id], WEBP)
            if size < found[source_id][1]:
                found[source_id] = (WEBP, size)
    return found


def _sizes(study: Study) -> Iterator[tuple[int, int, int | None]]:
    """The source image of each file that is sent, and its bytes as PNG and as WebP. Cuts what is
    shown in part."""
    made = study.reconstructions
    if study.campaign.options.viewing.crop is None:
        yield from study.sources.values_list("id", "png_bytes", "webp_bytes")
        yield from made.values_list("source", "decoded_bytes", "webp_bytes")
        return
    for source in study.sources.all():
        crops = crops_of(study, source)
        copies = made.filter(source=source).values_list("decoded", flat=True)
        for blob in (source.png, *copies):
            for part in stored_crops(blob, crops):
                yield source.id, part.png_bytes, part.webp_bytes
