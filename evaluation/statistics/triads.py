"""Circular triads: whether an annotator's answers could come from one order of the conditions."""

from __future__ import annotations

import numpy as np

from evaluation.statistics.by_annotator import for_first
from evaluation.statistics.comparisons import Comparisons, IntArray
from evaluation.statistics.ratings import question_codes


def circular_triads(comparisons: Comparisons) -> tuple[IntArray, IntArray]:
    """Count each annotator's circular triads, i over j, j over k and k over i, in one question set.

    A triad counts if the annotator decided all its three pairs for one source image in one
    stratum; of repeats the majority decides, and a pair that stays tied is not decided. Time and
    memory are linear in the pairs of decided pairs that share their first condition.

    Returns circular (k,) and triads (k,) int64, in the order of comparisons.annotators. For
    random answers 1/4 of triads is circular, and the number of circular ones among N has variance
    3 N / 16 (Kendall and Babington Smith 1940): any two triads are then uncorrelated.
    """
    c = comparisons
    n, k = max(len(c.conditions), 1), c.n_annotators
    question, _ = question_codes(c)
    key, at = np.unique(question * max(k, 1) + c.annotator, return_inverse=True)
    net = np.bincount(at, weights=c.weight * for_first(c), minlength=len(key))
    some = np.zeros(len(key), dtype=np.int64)  # a row of each question of each annotator
    some[at] = np.arange(len(at))
    rows = some[net != 0]
    first, second = np.minimum(c.a, c.b)[rows], np.maximum(c.a, c.b)[rows]
    setting = (c.annotator[rows] * max(len(c.contents), 1) + c.content[rows]) * max(
        len(c.strata), 1
    ) + c.stratum[rows]
    block = np.unique(setting, return_inverse=True)[1].astype(np.int64, copy=False)
    edge = (block * n + first) * n + second
    order = np.argsort(edge)
    edge, first, second, block = edge[order], first[order], second[order], block[order]
    forth = net[net != 0][order] > 0
    annotator = c.annotator[rows][order]
    end = np.searchsorted(edge, (block * n + first + 1) * n)  # of those with the same first
    follow = end - np.arange(len(edge)) - 1
    ij = np.repeat(np.arange(len(edge)), follow)
    ik = ij + 1 + np.arange(len(ij)) - np.repeat(np.cumsum(follow) - follow, follow)
    closing = (block[ij] * n + second[ij]) * n + second[ik]
    jk = np.minimum(np.searchsorted(edge, closing), max(len(edge) - 1, 0))
    full = edge[jk] == closing
    ij, ik, jk = ij[full], ik[full], jk[full]
    circle = (forth[ij] == forth[jk]) & (forth[ij] != forth[ik])
    return (
        np.bincount(annotator[ij[circle]], minlength=k).astype(np.int64),
        np.bincount(annotator[ij], minlength=k).astype(np.int64),
    )


def coefficient_of_consistence(circular: int, n: int) -> float:
    """zeta in [0, 1]: 1 without circular triads, 0 with as many as n conditions can have.

    For a full set of n (n - 1) / 2 decided answers: 1 - 24 d / (n^3 - n) for odd n and
    1 - 24 d / (n^3 - 4 n) for even n, where d is the number of circular triads (Kendall and
    Babington Smith 1940, "On the method of paired comparisons", Biometrika 31, 324-345).
    Raises ValueError for n < 3, which have no triads, and if there cannot be so many.
    """
    if n < 3:
        raise ValueError(f"expected at least 3 conditions, found {n}")
    most = (n**3 - (n if n % 2 else 4 * n)) // 24
    if not 0 <= circular <= most:
        raise ValueError(f"expected 0 to {most} circular triads, found {circular}")
    return 1.0 - circular / most
