"""Krippendorff's ordinal alpha of 1,000 annotators and up to 10,000 items, beside `krippendorff`.

Ours comes with its interval, of 2,000 bootstrap samples; the peer gives the value alone. Both
start from the same data: a dense matrix with NaN for what is missing; the same as bytes with -1,
which the peer can only read as floats; or one row a rating, from which the peer's matrix has to be
filled. Memory is the peak above that data. Below 100,000 ratings the interval takes all the time.
"""

import time
import tracemalloc
from collections.abc import Callable

import krippendorff
import numpy as np

from evaluation.statistics.agreement import krippendorff_alpha
from evaluation.statistics.ratings import matrix_counts, rating_counts

ANNOTATORS = 1_000
VALUES = 5
SIZES = ((10_000, 1.0), (10_000, 0.95), (10_000, 0.05), (1_000, 1.0), (100, 1.0), (10, 1.0))
ROUNDS = 5


def run() -> list[dict]:
    return [row for items, share in SIZES for row in _measure(items, share)]


def _measure(items: int, share: float) -> list[dict]:
    rng = np.random.default_rng(2011)
    liked = rng.integers(VALUES, size=items)
    noise = rng.integers(-1, 2, size=(ANNOTATORS, items))
    matrix = np.clip(liked + noise, 0, VALUES - 1).astype(np.float64)
    matrix[rng.random(matrix.shape) >= share] = np.nan
    as_bytes = np.where(np.isnan(matrix), -1, matrix).astype(np.int8)
    annotator, item = np.nonzero(as_bytes >= 0)
    value = as_bytes[annotator, item].astype(np.int64)

    def ours(counts: np.ndarray) -> float:
        rng = np.random.default_rng(1)
        return krippendorff_alpha(counts, level="ordinal", rng=rng).value

    def peer(ratings: np.ndarray) -> float:
        return krippendorff.alpha(ratings, level_of_measurement="ordinal")

    def filled() -> np.ndarray:
        ratings = np.full((ANNOTATORS, items), np.nan)
        ratings[annotator, item] = value
        return ratings

    ways = {
        "matrix": (lambda: ours(matrix_counts(matrix, VALUES)), lambda: peer(matrix)),
        "bytes": (
            lambda: ours(matrix_counts(as_bytes, VALUES)),
            lambda: peer(np.where(as_bytes >= 0, as_bytes, np.nan)),
        ),
        "rows": (lambda: ours(rating_counts(annotator, item, value)), lambda: peer(filled())),
    }
    return [
        _row(name, len(value), items, *each)
        for name, each in ways.items()
        if items == SIZES[0][0] or name != "bytes"
    ]


def _row(
    name: str, ratings: int, items: int, ours: Callable[[], float], peer: Callable[[], float]
) -> dict:
    if abs(ours() - peer()) > 1e-9:
        raise AssertionError(f"{name}: {ours()} is not the {peer()} of krippendorff")
    ours_ms, peer_ms = _milliseconds(ours), _milliseconds(peer)
    return {
        "from": name,
        "items": items,
        "ratings": ratings,
        "ms": round(ours_ms, 1),
        "krippendorff ms": round(peer_ms, 1),
        "times faster": round(peer_ms / ours_ms, 1),
        "MiB": round(_peak_mib(ours), 1),
        "krippendorff MiB": round(_peak_mib(peer), 1),
    }


def _milliseconds(call: Callable[[], float]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return min(took) * 1000


def _peak_mib(call: Callable[[], float]) -> float:
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20
