"""How far judges who rank the same conditions agree on their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.comparisons import FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.resampling import bootstrap_estimate, sums_by_cluster


def kendall_w(
    rank: ArrayLike,
    content: ArrayLike,
    annotator: ArrayLike,
    *,
    picture: ArrayLike | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """Kendall's W, the concordance of rankings with ties, averaged over source images; in [0, 1].

    rank : (m, n) whole numbers; the place of each condition in each ranking, 1 the closest, equal
        places for ties, 0 for not ranked, as Rankings.rank of one stratum.
    content : (m,) labels; the source image of each ranking.
    annotator : (m,) labels; who ranked. Of several rankings of one content and set of conditions
        by one annotator the first (of the least row) counts: repeats are not another judge.
    picture : (m,) labels; where contents are parts of pictures, what each is a part of.

    W is 1 where all judges give one order. Where they rank at random it is not 0 but 1 / m on
    average for m judges (Friedman's m (n - 1) W has n - 1 degrees of freedom), so compare W only
    between contents that equally many people ranked.

    Only rankings of the same conditions can be concordant: the rankings of one content are grouped
    by the set of conditions ranked, each group of at least two judges has a W, and the value is
    the mean over groups. A judge who ties all conditions counts, and lowers the others' W; a group
    in which all judges do so has no W and is left out.

    The interval is the percentile bootstrap over source images (see resampling.py); there is none
    for fewer than eight. Returns an Estimate whose n is the number of rankings used. Raises
    NotIdentified if no two judges ranked the same conditions of a content, or all tied all of
    them, and ValueError if the arrays do not fit.

    M. G. Kendall and B. Babington Smith (1939), "The problem of m rankings", Annals of
    Mathematical Statistics 10, 275-287. With ties, as S. Siegel (1956), "Nonparametric Statistics
    for the Behavioral Sciences", 229-238: ties share their mean rank, and W = S / (m^2 (n^3 - n) /
    12 - m sum(t^3 - t) / 12), S the sum of squared deviations of the conditions' rank sums.
    """
    places, labels, names, clusters = _checked(
        rank, content, annotator, content if picture is None else picture
    )
    ranked = places > 0
    some = ranked.sum(axis=1) >= 2
    places, ranked, labels, names = places[some], ranked[some], labels[some], names[some]
    clusters = clusters[some]
    # The set of conditions as bytes: one group is one content and one set.
    keys = np.column_stack(
        [
            np.unique(labels, return_inverse=True)[1],
            np.packbits(ranked, axis=1).astype(np.int64),
            np.unique(names, return_inverse=True)[1],
        ]
    )
    _, once = np.unique(keys, axis=0, return_index=True)
    places, clusters, keys = places[once], clusters[once], keys[once, :-1]
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    of_group = group.reshape(-1)
    size = np.bincount(of_group, minlength=len(first))
    if not np.any(size >= 2):
        raise NotIdentified("no two annotators ranked the same conditions of a content")
    w = _concordance(places, of_group, size)
    used = (size >= 2) & np.isfinite(w)
    if not used.any():
        raise NotIdentified("all annotators tied all conditions, so there is no order to agree on")
    return bootstrap_estimate(
        sums_by_cluster(np.column_stack([w[used], np.ones(used.sum())]), clusters[first][used]),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=int(size[used].sum()),
        clusters="source images",
        confidence=confidence,
        n_boot=n_boot,
        rng=rng,
    )


def _checked(
    rank: ArrayLike, content: ArrayLike, annotator: ArrayLike, picture: ArrayLike
) -> tuple[IntArray, NDArray[Any], NDArray[Any], NDArray[Any]]:
    places, labels, names = np.asarray(rank), np.asarray(content), np.asarray(annotator)
    clusters = np.asarray(picture)
    if places.ndim != 2:
        raise ValueError(f"rank: expected shape (m, n), found {places.shape}")
    if places.size and (places.dtype.kind not in "iu" or np.any(places < 0)):
        raise ValueError("rank: expected whole numbers >= 0")
    for name, found in (("content", labels), ("annotator", names), ("picture", clusters)):
        if found.shape != (len(places),):
            raise ValueError(f"{name}: expected shape ({len(places)},), found {found.shape}")
    return places.astype(np.int64), labels, names, clusters


def _concordance(places: IntArray, group: IntArray, m: IntArray) -> FloatArray:
    """(g,) W of each group of m (g,) judges, who rank the same conditions; NaN where all tie
    all."""
    ranked = places > 0
    n = ranked.sum(axis=1, keepdims=True)
    # Those not ranked come after all others, so as not to move their ranks.
    after = np.where(ranked, places, np.iinfo(np.int64).max)
    ranks = scipy.stats.rankdata(after, axis=1)
    deviation = np.where(ranked, ranks - (n + 1) / 2, 0.0)
    sums = np.stack([np.bincount(group, column, len(m)) for column in deviation.T], axis=1)
    # A ranking's own sum of squares is (n^3 - n) / 12 less its ties' sum(t^3 - t) / 12, so the
    # denominator is m times the sum of these over judges.
    most = m * np.bincount(group, (deviation**2).sum(axis=1), len(m))
    w = np.full(len(m), np.nan)
    np.divide((sums**2).sum(axis=1), most, out=w, where=most > 0)
    return w
