"""A 2AFC dataset of real reconstructions, judged by simulated observers whose model is stated here.

    python -m benchmarks.simulated_study --images FOLDER --out FOLDER [--fine]

Photographs are encoded by JPEG, WebP, JPEG 2000, AVIF and HEIC at 0.23, 0.37, 0.67 and 1.0 bpp; of
each photograph and bit rate all ten pairs of codecs are judged. --fine is of what people keep
photographs in: JPEG by three encoders, WebP and AVIF at 1.0, 1.4, 2.0 and 2.8 bpp; of each
photograph 20 pairs are judged, drawn from those of any codecs and rates of which observers find
the same side closer in less than 97 of 100 cases.

The observers see by ColorVideoVDP (Mantiuk et al. 2024), which knows contrast sensitivity, masking
and a display, and no network; each reconstruction has a JOD. Of two, an observer finds the second
closer with the probability

    P = lapse / 2 + (1 - lapse) Phi(sensitivity (log(10.02 - JOD_0) - log(10.02 - JOD_1)))

(Thurstone 1927, Case V, on the logarithm of the visible difference, so that people tell fine
differences between good versions as well as coarse ones between bad). The human ceiling that they
give, the mean of P^2 + (1 - P)^2, is printed and stored with the dataset.

Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

SENSITIVITY, LAPSE, LEAST = 5.3, 0.02, 0.02
CERTAIN = 0.97


@dataclass(frozen=True)
class Design:
    """What is compared with what.

    drawn : of each picture so many pairs, of any rates, that are not CERTAIN. None: all pairs of
    each picture and rate.
    """

    name: str
    codecs: Sequence[str]
    bpp: Sequence[float]
    drawn: int | None = None


COARSE = Design("simulated", ("jpeg", "webp", "jpeg2000", "avif", "heic"), (0.23, 0.37, 0.67, 1.0))
FINE = Design(
    "simulated-fine", ("jpeg", "mozjpeg", "jpegli", "webp", "avif"), (1.0, 1.4, 2.0, 2.8), drawn=20
)


def probabilities(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): that an observer finds the second closer, given 10 - JOD of both, (n, 2)."""
    seen = np.log(distances + LEAST)
    return LAPSE / 2 + (1 - LAPSE) * norm.cdf(SENSITIVITY * (seen[:, 0] - seen[:, 1]))


def make(
    images: Sequence[Path],
    out: Path,
    design: Design = COARSE,
    *,
    votes: int = 2,
    seed: int = 0,
) -> float:
    """Write the dataset into out/dataset, its encodes and distances beside it; returns the expected
    human ceiling."""
    from annotation.datasets import new_folder, split_by_source
    from codecs_registry.codecs import get_codec
    from codecs_registry.folder_encoding import encode_into_folder
    from evaluation.distances import DistanceStore, distances
    from evaluation.judged_pairs import write_pairs
    from evaluation.provenance import provenance
    from perceptual.metric import Metric

    rows = encode_into_folder(
        images,
        codecs=[get_codec(name) for name in design.codecs],
        targets_bpp=design.bpp,
        folder=out / "encodes",
        jobs=os.cpu_count() or 1,
        progress=_say,
    )
    split = split_by_source({(row["sha256"], row["sha256"]) for row in rows}, seed=seed)
    rng = np.random.default_rng(seed)
    named = {path.name: path for path in images}
    unjudged = _pairs(rows, out / "encodes", named, split, design, rng)
    seen = distances(
        [_as_read(each) for each in unjudged],
        Metric.load("cvvdp"),
        DistanceStore(out / "distances.sqlite3"),
        progress=lambda done, total: _say(f"ColorVideoVDP: {done} of {total} distances"),
    )
    p = probabilities(seen)
    if design.drawn:
        chosen = _uncertain(unjudged, p, design.drawn, rng)
        unjudged, p = [unjudged[i] for i in chosen], p[chosen]
    judged = [
        replace(pair, votes=votes, votes_p1=int(count))
        for pair, count in zip(unjudged, rng.binomial(votes, p), strict=True)
    ]
    ceiling = float((p**2 + (1 - p) ** 2).mean())
    card = {
        "simulated_by": "benchmarks/simulated_study.py, observers that see by ColorVideoVDP",
        "design": asdict(design),
        "sensitivity": SENSITIVITY,
        "lapse": LAPSE,
        "expected_human_ceiling": ceiling,
        "seed": seed,
        "provenance": provenance(),
    }
    with new_folder(out / "dataset") as folder:
        write_pairs(judged, folder, card)
    return ceiling


def _pairs(
    rows: Sequence[Mapping],
    encodes: Path,
    images: Mapping[str, Path],
    split: Mapping[str, str],
    design: Design,
    rng: np.random.Generator,
) -> list:
    """All pairs of each picture, and of each bit rate unless pairs are drawn from all; either side
    first, without votes."""
    from codecs_registry.models import stratum_name
    from evaluation.judged_pairs import JudgedPair, Version

    groups: dict[tuple[str, str], list[Mapping]] = {}
    for row in rows:
        stratum = "" if design.drawn else stratum_name(Decimal(str(row["target_bpp"])))
        groups.setdefault((row["sha256"], stratum), []).append(row)
    found = []
    for (sha256, stratum), group in sorted(groups.items()):
        subset = f"{design.name}-bpp-{stratum}" if stratum else design.name
        for both in combinations(group, 2):
            versions = [
                Version(
                    *(encodes / row["decoded"], row["codec"], row["version"], row["actual_bpp"])
                )
                for row in both
            ]
            if rng.integers(2):
                versions.reverse()
            name = group[0]["source"]
            found.append(
                JudgedPair(
                    *(name, sha256, images[name], *versions),
                    *(1, 0, split[sha256], subset, stratum),
                    is_simulated=True,
                )
            )
    return found


def _uncertain(
    pairs: Sequence, p: NDArray[np.float64], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which pairs, in their order: of each picture so many of those that are not CERTAIN."""
    contents = np.array([pair.sha256 for pair in pairs])
    open_ = np.maximum(p, 1 - p) < CERTAIN
    chosen = [
        rng.permutation(np.flatnonzero((contents == content) & open_))[:most]
        for content in np.unique(contents)
    ]
    return np.sort(np.concatenate(chosen))


def _as_read(pair):
    from perceptual.pairs import Pair

    codecs = pair.p0.codec, pair.p1.codec
    return Pair(
        *(pair.reference, pair.p0.file, pair.p1.file, 0.5, None, pair.content, pair.stratum),
        *(pair.split, pair.subset, codecs, True),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_study", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--fine", action="store_true", help="what people keep photographs in")
    parser.add_argument("--every", type=int, default=1, help="of the pictures, each n-th")
    parser.add_argument("--first", type=int, default=0, help="the first of them, from 0")
    parser.add_argument("--votes", type=int, default=2, help="a pair")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    images = sorted(path for path in options.images.iterdir() if path.suffix == ".png")
    ceiling = make(
        images[options.first :: options.every],
        options.out,
        FINE if options.fine else COARSE,
        votes=options.votes,
        seed=options.seed,
    )
    print(f"{options.out / 'dataset'}: expected human ceiling {ceiling:.1%}")


if __name__ == "__main__":
    main()
