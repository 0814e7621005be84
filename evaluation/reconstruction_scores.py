"""How far reconstructions are from their source images, as the version in service sees them.

What is owed follows from the database: every ready reconstruction of a study for which the version
in service has no score. So a new version's scores appear by themselves, and a worker that dies
leaves nothing half-done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import Avg, Count, QuerySet

from codecs_registry import blobs
from codecs_registry.models import Reconstruction, SourceImage, stratum_name
from codecs_registry.pictures import read_png
from evaluation.metric_models import MetricVersion, ReconstructionScore
from evaluation.metric_versions import VersionUnavailable, in_service, metric_of
from evaluation.models import Study

if TYPE_CHECKING:
    from torch import Tensor

    from perceptual.lpips import LpipsComp


@dataclass(frozen=True)
class StudyScores:
    """What a version says of a study.

    mean : by stratum and codec, the mean distance over source images, and of how many.
    """

    version: MetricVersion
    done: int
    total: int
    mean: dict[str, dict[str, tuple[float, int]]]
    reasons: list[str]
    """Why some have no distance, each reason once."""

    @property
    def is_complete(self) -> bool:
        return self.done >= self.total


def owed(version: MetricVersion) -> QuerySet[Reconstruction]:
    """Ready reconstructions of studies that a version has not scored."""
    scored = ReconstructionScore.objects.filter(version=version).values("reconstruction")
    return (
        Reconstruction.objects.filter(state=Reconstruction.State.READY, studies__isnull=False)
        .exclude(id__in=scored)
        .distinct()
    )


def is_owed() -> bool:
    version = in_service()
    return version is not None and owed(version).exists()


def score_next() -> int:
    """Score what is owed of one source image; returns how much that was.

    0: nothing is owed, or another worker is at it.
    """
    version = in_service()
    with transaction.atomic():
        if version is None or not _is_alone():
            return 0
        first = owed(version).order_by("id").select_related("source").first()
        if first is None:
            return 0
        todo = list(owed(version).filter(source=first.source))
        made = [
            ReconstructionScore(version=version, reconstruction=each, **found)
            for each, found in zip(todo, _scores(version, first.source, todo), strict=True)
        ]
        ReconstructionScore.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def _is_alone() -> bool:
    """Whether no other worker is scoring; held to the end of the transaction. To score twice would
    do no harm and cost time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('metric scores', 0))")
        return cursor.fetchone()[0]


def _scores(version: MetricVersion, source: SourceImage, todo: list[Reconstruction]) -> list[dict]:
    try:
        metric = metric_of(version)
        original = tensor(source.png)
        return [{"distance": distance(metric, original, tensor(e.decoded))} for e in todo]
    except (VersionUnavailable, ValueError) as error:  # it cannot be loaded, or they are too small
        return [{"distance": None, "reason": str(error)}] * len(todo)


def tensor(blob: str) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1] of a stored PNG."""
    return as_tensor(read_png(blobs.read(blob)))


def as_tensor(pixels) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1] of pixels (H, W, 3), uint8."""
    import torch  # takes a second, which pages that only show scores do not need

    return torch.tensor(pixels).permute(2, 0, 1)[None].to(torch.float32) / 255


def distance(metric: LpipsComp, original: Tensor, distorted: Tensor) -> float:
    """Raises ValueError for pictures that the metric does not take."""
    import torch

    with torch.inference_mode():
        return float(metric.distance(original, distorted)[0])


def of_study(study: Study) -> StudyScores | None:
    """What the version in service says of a study; None if there is none in service."""
    version = in_service()
    if version is None:
        return None
    ready = study.reconstructions.filter(state=Reconstruction.State.READY)
    found = ReconstructionScore.objects.filter(version=version, reconstruction__studies=study)
    mean: dict[str, dict[str, tuple[float, int]]] = {}
    for row in (
        found.filter(distance__isnull=False)
        .order_by()
        .values("reconstruction__target_bpp", "reconstruction__codec")
        .annotate(mean=Avg("distance"), n=Count("id"))
    ):
        stratum = stratum_name(row["reconstruction__target_bpp"])
        of_stratum = mean.setdefault(stratum, {})
        of_stratum[row["reconstruction__codec"]] = row["mean"], row["n"]
    return StudyScores(
        version=version,
        done=found.count(),
        total=ready.count(),
        mean=mean,
        reasons=sorted({each for each in found.values_list("reason", flat=True) if each}),
    )


def of_reconstructions(ids: Iterable[int]) -> dict[int, float]:
    """Distances by the version in service, by the reconstruction's id."""
    found = ReconstructionScore.objects.filter(
        version__is_in_service=True, reconstruction__in=list(ids), distance__isnull=False
    )
    return dict(found.values_list("reconstruction_id", "distance"))
