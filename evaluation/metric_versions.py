"""Versions of the metric as things that measure, and which of them is in service."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.core.files.storage import storages
from django.db import connection, transaction

from codecs_registry import blobs
from codecs_registry.remaking import Way
from evaluation.metric_models import BUNDLED, MetricVersion
from evaluation.populations import SIMULATED

if TYPE_CHECKING:
    from perceptual.lpips import LpipsComp

KEPT = 4  # loaded versions; each holds a backbone


class UnknownVersion(LookupError):
    """No version of the metric has this name; the message lists those that there are."""


class VersionUnavailable(Exception):
    """A version cannot measure on this machine; the message says what it needs."""


def versions() -> list[str]:
    """The names of all versions, the newest first."""
    return list(MetricVersion.objects.values_list("name", flat=True))


def find_version(name: str) -> MetricVersion:
    """Raises UnknownVersion."""
    found = MetricVersion.objects.filter(name=name).first()
    if found is None:
        known = ", ".join(versions()) or "none yet"
        raise UnknownVersion(f"there is no version {name!r} of the metric (there are: {known})")
    return found


def load_version(name: str) -> LpipsComp:
    """The version of this name, ready to measure. Raises UnknownVersion and VersionUnavailable."""
    return metric_of(find_version(name))


def metric_of(version: MetricVersion) -> LpipsComp:
    """A version, ready to measure; the same object for all callers. Raises VersionUnavailable."""
    made_with = version.settings
    return _load(version.file, version.backbone, made_with["backbone_weights"], made_with["seed"])


@lru_cache(maxsize=KEPT)
def _load(blob: str, backbone: str, weights: str, seed: int) -> LpipsComp:
    # Imported here, as PyTorch takes a second and 200 MB that most pages do not need.
    from perceptual.backbones import BackboneUnavailable, load_backbone
    from perceptual.lpips import InvalidMetricFile, load

    try:
        # Only those that were named for its training must be named again.
        network = load_backbone(backbone, weights, seed=seed) if weights else None
        with tempfile.TemporaryDirectory() as folder:
            return load(_local_file(blob, Path(folder)), backbone=network)
    except (BackboneUnavailable, InvalidMetricFile) as error:
        raise VersionUnavailable(str(error)) from None


def _local_file(blob: str, folder: Path) -> Path:
    try:
        return Path(storages["blobs"].path(blob))
    except NotImplementedError:  # files kept elsewhere
        copy = folder / Path(blob).name
        copy.write_bytes(blobs.read(blob))
        return copy


def in_service() -> MetricVersion | None:
    """The version that scores reconstructions; None before the first."""
    return MetricVersion.objects.filter(is_in_service=True).first()


def bundled() -> MetricVersion:
    """The version that comes with Closer; it is stored when it is first asked for.

    It counts as trained on simulated judgments, which most of its are. Raises VersionUnavailable.
    """
    from perceptual.lpips import to_bytes
    from perceptual.metric import Metric, MetricUnavailable

    if found := MetricVersion.objects.filter(name=BUNDLED).first():
        return found
    try:
        metric = cast("LpipsComp", Metric.load(BUNDLED))
    except MetricUnavailable as error:
        raise VersionUnavailable(str(error)) from None
    content = to_bytes(metric)
    file = blobs.put(content, ".safetensors")
    card = metric.card
    seen = card.trained_on
    made, _ = MetricVersion.objects.get_or_create(
        name=BUNDLED,
        defaults={
            "file": file,
            "sha256": Path(file).stem,
            "size_bytes": len(content),
            "backbone": card.backbone,
            "variant": card.variant,
            "with_psnr": card.with_psnr,
            "settings": seen["settings"],
            "population": SIMULATED,
            "dataset_digest": seen["dataset"],
            "trained_on": {"script": seen["folder"]},
            "n_pairs": seen["pairs"],
            "n_judgments": seen["judgments"],
            "split": {kind: seen[f"{kind}_contents"] for kind in ("fitted", "watched", "held_out")},
            "curve": card.results["curve"],
            "provenance": seen["provenance"],
            "reason": f"It comes with Closer, trained on {seen['folder']}: {seen['judgments']} "
            f"judgments, {seen['judgments_by_people']} of them by people. docs/metrics.md says "
            "what it scores.",
        },
    )
    return made


def ways_to_remake(name: str) -> Iterator[Way]:
    """How the lost file of a version may be made again: codecs_registry/remaking.py."""
    if MetricVersion.objects.filter(name=BUNDLED, file=name).exists():
        yield Way("what comes with Closer", _bundled_file)


def _bundled_file() -> bytes:
    from perceptual.lpips import to_bytes
    from perceptual.metric import Metric

    return to_bytes(cast("LpipsComp", Metric.load(BUNDLED)))


def put_in_service(version: MetricVersion) -> None:
    """Have a version take the place of the one in service; any may, also an earlier one."""
    with transaction.atomic():
        lock()
        MetricVersion.objects.filter(is_in_service=True).exclude(id=version.id).update(
            is_in_service=False
        )
        MetricVersion.objects.filter(id=version.id).update(is_in_service=True)
    version.is_in_service = True


def lock() -> None:
    """Wait until nobody else is changing which version is in service; held to the end of the
    transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('metric in service', 0))")
