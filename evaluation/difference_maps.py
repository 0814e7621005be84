"""Pictures of where a reconstruction differs from its source image, made when asked for.

The map is drawn over the source image in grey: the more two places differ, the brighter and
yellower they are. Each map has a scale of its own, whose top is told beside it.
"""

from __future__ import annotations

import numpy as np
from django.db.models import QuerySet

from codecs_registry import blobs
from codecs_registry.models import Reconstruction
from codecs_registry.pictures import Pixels, read_png, write_png
from evaluation.metric_models import DifferenceMap, MetricVersion
from evaluation.metric_versions import VersionUnavailable, metric_of
from evaluation.reconstruction_scores import as_tensor, distance

# From nothing to the most, (5, 3) sRGB: black, blue, red, yellow, white as of hot iron; lightness
# rises throughout, so that it reads without colour, too.
RAMP = np.array([(0, 0, 0), (40, 10, 110), (185, 40, 75), (250, 150, 10), (255, 255, 190)])
GREY_SHARE = 0.25  # of the picture's own lightness that shines through
TOP_PERCENTILE = 99.5  # what is drawn brightest: a single place must not darken all others


def ask(version: MetricVersion, reconstruction: Reconstruction) -> DifferenceMap:
    """The map, which may be made already; else it is owed from now on."""
    found, _ = DifferenceMap.objects.get_or_create(version=version, reconstruction=reconstruction)
    return found


def owed() -> QuerySet[DifferenceMap]:
    return DifferenceMap.objects.filter(picture="", reason="")


def ask_again(picture: str) -> int:
    """Have a worker make anew the maps whose stored picture is lost; returns how many."""
    return DifferenceMap.objects.filter(picture=picture).update(picture="")


def make_next() -> bool:
    """Make the map that was asked for first; whether there was one. Two that make the same one at
    once make the same picture."""
    first = owed().select_related("version", "reconstruction__source").order_by("id").first()
    if first is None:
        return False
    made = DifferenceMap.objects.filter(id=first.id)
    try:
        made.update(**_made(first))
    except (VersionUnavailable, ValueError) as error:
        made.update(reason=str(error))
    return True


def _made(asked: DifferenceMap) -> dict:
    import torch

    metric = metric_of(asked.version)
    original = read_png(blobs.read(asked.reconstruction.source.png))
    x, y = as_tensor(original), as_tensor(read_png(blobs.read(asked.reconstruction.decoded)))
    with torch.inference_mode():
        found = metric.distance_map(x, y)[0].numpy()
    picture, largest = draw(found, original)
    return {
        "picture": blobs.put(write_png(picture), ".png"),
        "largest": largest,
        "distance": distance(metric, x, y),
    }


def draw(differences: np.ndarray, original: Pixels) -> tuple[Pixels, float]:
    """A picture (H, W, 3) of differences (H, W), each >= 0, over the original (H, W, 3); and the
    difference that its brightest colour stands for."""
    largest = float(np.percentile(differences, TOP_PERCENTILE))
    share = np.clip(differences / largest, 0, 1) if largest > 0 else np.zeros(differences.shape)
    stops = np.linspace(0, 1, len(RAMP))
    coloured = np.stack([np.interp(share, stops, channel) for channel in RAMP.T], axis=-1)
    grey = original.astype(np.float64) @ (0.299, 0.587, 0.114)
    mixed = coloured * (1 - GREY_SHARE) + GREY_SHARE * grey[..., None]
    return np.rint(mixed).clip(0, 255).astype(np.uint8), largest
