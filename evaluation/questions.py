"""A study's tasks: every question that its stimuli allow, and the gold tasks among them."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from annotation.kinds import KINDS
from annotation.models import Task, TaskReconstruction
from annotation.stimuli import PNG, WEBP, cropped_bytes, delivered_bytes
from codecs_registry.models import Reconstruction, SourceImage
from evaluation.models import Study
from evaluation.study_files import InvalidStudy

CERTAIN_RATIO = 2.0  # of the actual rates of what a gold task shows
CERTAIN_DB = 3.0  # and of their PSNR, in decibels, where it is known

Crop = list[int] | None


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
            pairs = zip(strata[min(strata)], strata[max(strata)], strict=True)
            certain = [pair for pair in pairs if _is_certain(*pair)]
            low, high = ([pair[i] for pair in certain] for i in (0, 1))
            if len(low) >= kind.fewest or study.campaign.kind == "2afc":
                for shown, closest in kind.gold(low, high):
                    yield Question(source, crops[0], shown, closest)


def _is_certain(low: Reconstruction, high: Reconstruction) -> bool:
    """Whether nobody who looks can take the low rate for the closer one."""
    if high.actual_bpp < CERTAIN_RATIO * low.actual_bpp:
        return False
    is_known = low.psnr is not None and high.psnr is not None
    return not is_known or high.psnr >= low.psnr + CERTAIN_DB


def crops_of(study: Study, source: SourceImage) -> list[Crop]:
    """The parts of a source image that are asked about, [left, top, width, height] each, drawn by
    the study's seed and the image alone; [None] where it is shown whole."""
    viewing = study.campaign.options.viewing
    if viewing.crop is None:
        return [None]
    width, height = viewing.crop
    drawn = random.Random(f"{study.campaign.seed}/{source.sha256}/crops")  # noqa: S311
    return [
        [
            drawn.randint(0, source.width - width),
            drawn.randint(0, source.height - height),
            width,
            height,
        ]
        for _ in range(viewing.crops_per_image)
    ]


def require_room(crop: list[int] | None, sources: list[SourceImage]) -> None:
    """Raise InvalidStudy if a picture is smaller than the part of it that is to be shown."""
    if crop is None:
        return
    width, height = crop
    small = [each for each in sources if each.width < width or each.height < height]
    if small:
        first = small[0]
        raise InvalidStudy(
            {
                "viewing.crop": f"is {width} x {height}, and {len(small)} of {len(sources)} "
                f"pictures are smaller, as {first.name} is ({first.width} x {first.height})"
            }
        )


def _deliveries(study: Study) -> dict[int, tuple[str, int]]:
    """By source image, one format and one size in bytes for all that is ever sent of it: they tell
    no codec and no rate. Lossless WebP where all of it is there and the largest is smaller."""
    viewing = study.campaign.options.viewing
    if viewing.crop:
        size = cropped_bytes(*viewing.crop)
        return dict.fromkeys(study.sources.values_list("id", flat=True), (PNG, size))
    png, webp = defaultdict(list), defaultdict(list)
    sources = study.sources.values_list("id", "png_bytes", "webp_bytes")
    made = study.reconstructions.values_list("source", "decoded_bytes", "webp_bytes")
    for source_id, png_bytes, webp_bytes in [*sources, *made]:
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
