"""What maps of saliency change in the learned codec's files: where it errs, and where its bits go.

    python -m benchmarks.codec_saliency --images FOLDER --annotations INSTANCES.json
        [--model FILE] [--against FILE]

Salient is here what people outlined as objects in photographs with COCO's labels, so that the
network that makes the codec's maps does not say itself what is right. Each photograph is coded at
the lambdas of PRICES with its map and, by the same model or that of --against, without one. Errors
are of decoded files, squared and as METRIC tells them of each place, and are compared at the rate
of the files with maps, between the lambdas along log rate; shares of bits are of the latents'
likelihood. Printed are means over photographs and lambdas, with 95 % intervals by 2,000 bootstraps
of the photographs (seed 0).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from torch.nn import functional

from codecs_registry.pictures import read_picture
from perceptual.codec.card import BUNDLED_FILE
from perceptual.codec.exact import rate_of, shares_of
from perceptual.codec.model import LearnedCodec, Pixels
from perceptual.codec.network import HYPER_STRIDE, LATENT_STRIDE
from perceptual.lpips import LpipsComp
from perceptual.metric import Metric
from perceptual.saliency import Saliency

PRICES = (0.002, 0.005, 0.0125, 0.03, 0.075)
METRIC = "closer-lpips-comp"
TOLD = {
    "squared error inside, dB": 10,
    "squared error outside, dB": 10,
    f"{METRIC} inside, dB": 10,
    f"{METRIC} outside, dB": 10,
    "share of bits inside, points": 100,
}
"""What is told of files, and by what it is multiplied for its unit."""
LEAST_SHARE, MOST_SHARE = 0.03, 0.7
"""Of a photograph's pixels that are objects: else there is no inside, or no outside."""
BOOTSTRAPS = 2000


def photographs(images: Path, annotations: Path) -> list[tuple[Pixels, NDArray[np.bool_]]]:
    """Those with objects and with something else: pixels, and where objects are."""
    coco = COCO(annotations)
    found = []
    for about in coco.loadImgs(coco.getImgIds()):
        pixels = read_picture(images / about["file_name"]).pixels
        inside = np.zeros(pixels.shape[:2], bool)
        for outline in coco.loadAnns(coco.getAnnIds(about["id"])):
            inside |= coco.annToMask(outline).astype(bool)
        if LEAST_SHARE <= inside.mean() <= MOST_SHARE:
            found.append((pixels, inside))
    return found


def coded(
    codec: LearnedCodec,
    metric: LpipsComp,
    pixels: Pixels,
    inside: NDArray[np.bool_],
    saliency: Saliency | None,
) -> NDArray[np.float64]:
    """(len(PRICES), 1 + len(TOLD)): of files, log2 of bits per pixel, log10 of each error, and the
    share of bits inside."""
    told = None if saliency is None else saliency.map(pixels)
    rows = []
    for price in PRICES:
        data = codec.encode(pixels, price, told)
        shown = codec.decode(data)
        squared = np.square(shown / 255 - pixels / 255).mean(2)
        with torch.no_grad():
            seen = metric.distance_map(_batch(pixels), _batch(shown))[0].numpy()
        rows.append(
            (
                math.log2(8 * len(data) / inside.size),
                *(
                    math.log10(error[place].mean())
                    for error in (squared, seen)
                    for place in (inside, ~inside)
                ),
                share_inside(codec, pixels, inside, price, told),
            )
        )
    return np.array(rows)


def _batch(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def share_inside(
    codec: LearnedCodec,
    pixels: Pixels,
    inside: NDArray[np.bool_],
    price: float,
    told: NDArray[np.float32] | None,
) -> float:
    """Of the bits of the latents by their likelihood."""
    height, width = inside.shape
    whole = [0, -width % HYPER_STRIDE, 0, -height % HYPER_STRIDE]
    picture = functional.pad(_batch(pixels), whole, mode="replicate")
    importance = None if told is None else codec.importance(told, inside.shape)
    rate = shares_of(rate_of(price))
    found = codec.network(picture, rate, importance, is_rounded=True)
    bits = codec.network.join(found.latent_bits).sum(1)
    objects = functional.pad(torch.from_numpy(inside)[None, None].float(), whole)
    share = functional.avg_pool2d(objects, LATENT_STRIDE)[:, 0]
    return float((bits * share).sum() / bits.sum())


def changes(plain: NDArray[np.float64], guided: NDArray[np.float64]) -> NDArray[np.float64]:
    """(len(TOLD),) for a photograph, each with maps less without; nan where the rates do not
    meet."""
    rate = guided[:, 0]
    meets = (rate >= plain[0, 0]) & (rate <= plain[-1, 0])
    before = np.stack([np.interp(rate, plain[:, 0], each) for each in plain[:, 1:].T], 1)
    difference = (guided[:, 1:] - before) * [*TOLD.values()]
    return difference[meets].mean(0) if meets.any() else np.full(len(TOLD), np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=BUNDLED_FILE)
    parser.add_argument("--against", type=Path, help="a model that was trained without maps")
    options = parser.parse_args()
    codec = LearnedCodec.load(options.model)
    other = codec if options.against is None else LearnedCodec.load(options.against)
    saliency = Saliency()
    metric = Metric.load(METRIC)
    assert isinstance(metric, LpipsComp)
    rows = []
    chosen = photographs(options.images, options.annotations)
    for number, (pixels, inside) in enumerate(chosen, 1):
        plain = coded(other, metric, pixels, inside, None)
        rows.append(changes(plain, coded(codec, metric, pixels, inside, saliency)))
        print(f"{number} of {len(chosen)}", file=sys.stderr, flush=True)
    found = np.array(rows)
    found = found[~np.isnan(found).any(1)]
    chance = np.random.default_rng(0)
    drawn = chance.integers(len(found), size=(BOOTSTRAPS, len(found)))
    low, high = np.percentile(found[drawn].mean(1), (2.5, 97.5), axis=0)
    result = {
        name: {"mean": round(float(mean), 3), "interval": [round(float(a), 3), round(float(b), 3)]}
        for name, mean, a, b in zip(TOLD, found.mean(0), low, high, strict=True)
    }
    print(json.dumps({"photographs": len(found), "model": codec.digest[:12], **result}, indent=2))


if __name__ == "__main__":
    main()
