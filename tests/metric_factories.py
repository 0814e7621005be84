"""Studies that a metric can be trained on: pictures large enough, codecs that differ, judgments."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from annotation.models import Assignment, Judgment
from codecs_registry import blobs, lossless
from codecs_registry.codecs import get_codec
from codecs_registry.models import SourceImage
from codecs_registry.pictures import Pixels, identify
from evaluation import launching
from evaluation.metric_models import MetricVersion
from evaluation.models import Study
from evaluation.provenance import provenance
from evaluation.study_files import StudySpecification
from evaluation.training_data import is_held_out
from perceptual.backbones import load_backbone
from perceptual.lpips import LpipsComp, to_bytes, untrained
from perceptual.training import Settings
from tests import factories
from tests.factories import preferring

torch.set_num_threads(1)  # tests run beside each other

SIDE = 64
Distort = Callable[[Pixels], Pixels]
QUICK = {"backbone": "efficientnet-lite0", "epochs": 12, "patience": 12}
AVIF_FIRST, JPEG_FIRST = preferring("avif", "jpeg"), preferring("jpeg", "avif")
_seeds = count(10_000)


def quick(**asked) -> Settings:
    return Settings(**{**QUICK, **asked})


def picture(*, held_out: bool) -> Pixels:
    """A new picture that is, or is not, among those that no metric is trained on."""
    while True:
        found = factories.pixels(SIDE, SIDE, seed=next(_seeds))
        if is_held_out(identify(found)) == held_out:
            return found


def pictures(*, trained: int, held_out: int) -> list[Pixels]:
    return [picture(held_out=number < held_out) for number in range(trained + held_out)]


def noisy(pixels: Pixels, levels: float, *, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, levels, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def brighter(pixels: Pixels, levels: int) -> Pixels:
    return np.clip(pixels.astype(int) + levels, 0, 255).astype(np.uint8)


# Whoever looks finds the first closer.
LESS_AND_MORE_NOISE: dict[str, Distort] = {
    "avif": lambda pixels: noisy(pixels, 6, seed=1),
    "jpeg": lambda pixels: noisy(pixels, 20, seed=2),
}
# By pixel error the second is closer, by features of a network the first.
BRIGHTER_AND_NOISY: dict[str, Distort] = {
    "avif": lambda pixels: brighter(pixels, 20),
    "jpeg": lambda pixels: noisy(pixels, 12),
}


def study(
    name: str = "Sea",
    *,
    trained: int = 4,
    held_out: int = 2,
    sources: list[SourceImage] | None = None,
    distortions: dict[str, Distort] = LESS_AND_MORE_NOISE,
) -> Study:
    """An open study of two codecs at one bit rate, on pictures of which so many are held out."""
    if sources is None:
        sources = [factories.source_image(p) for p in pictures(trained=trained, held_out=held_out)]
    for source in sources:
        for codec, distort in distortions.items():
            _reconstruction(source, codec, distort)
    specification = StudySpecification.from_mapping(
        {"name": name, "images": "-", "codecs": list(distortions), "bpp": ["0.37"]}
    )
    made, _ = launching.launch(specification, sources)
    launching.advance(made.id)
    made.refresh_from_db()
    return made


def _reconstruction(source: SourceImage, codec: str, distort: Distort) -> None:
    version = get_codec(codec).version()
    if source.reconstructions.filter(codec=codec, codec_version=version).exists():
        return
    original = Image.open(blobs_path(source.png))
    files = lossless.store(distort(np.asarray(original)))
    factories.reconstruction(
        source,
        codec,
        codec_version=version,
        decoded=files.png,
        decoded_bytes=files.png_bytes,
        webp=files.webp,
        webp_bytes=files.webp_bytes,
    )


def blobs_path(blob: str) -> Path:
    from django.core.files.storage import storages

    assert blobs.exists(blob)
    return Path(storages["blobs"].path(blob))


def judge(study: Study, *choices, is_simulated: bool = False) -> None:
    """Have an annotator for each choice judge all of a study."""
    tasks = study.campaign.measured_tasks.select_related("source").prefetch_related("parts")
    for choose in choices:
        annotator = factories.annotator(study.campaign, is_simulated=is_simulated)
        given = Assignment.objects.bulk_create(
            Assignment(
                task=task,
                annotator=annotator,
                shown=[part.reconstruction_id for part in task.parts.all()],
                leased_at=factories.NOW,
            )
            for task in tasks
        )
        Judgment.objects.bulk_create(
            Judgment(
                assignment=each,
                ranks=[1, 2] if choose(each) == "left" else [2, 1],
                response_ms=1000,
                judged_at=factories.NOW,
            )
            for each in given
        )


def judged_study(name: str = "Sea", *choices, is_simulated: bool = False, **asked) -> Study:
    """One that two annotators have judged, both as the noise has it, unless told otherwise."""
    made = study(name, **asked)
    judge(made, *(choices or (AVIF_FIRST, AVIF_FIRST)), is_simulated=is_simulated)
    return made


def metric(name: str = "by-hand", *, pixel_error_only: bool = False) -> LpipsComp:
    """One that nobody trained: all features alike, or pixel error alone."""
    made = untrained(load_backbone("efficientnet-lite0"), name=name, with_psnr=True)
    if pixel_error_only:
        made.weight[:-1] = 0
    else:
        made.weight[-1] = 0
    return made


def stored_version(name: str = "by-hand", *, metric: LpipsComp, **fields) -> MetricVersion:
    """A version whose file is this metric."""
    content = to_bytes(metric)
    file = blobs.put(content, ".safetensors")
    return MetricVersion.objects.create(
        **{
            "name": name,
            "file": file,
            "sha256": Path(file).stem,
            "size_bytes": len(content),
            "backbone": metric.card.backbone,
            "variant": "linear",
            "with_psnr": metric.card.with_psnr,
            "settings": asdict(quick()),
            "population": "people",
            "dataset_digest": "0" * 64,
            "trained_on": {"folder": "by hand"},
            "n_pairs": 0,
            "split": {"fitted": [], "watched": [], "held_out": []},
            "curve": [],
            "provenance": provenance(),
            "reason": "Made by hand.",
            **fields,
        }
    )
