"""How well metrics agree with people: 2AFC scores beside the human ceiling of the same pairs.

docs/metrics.md says what a score and its interval are. Database-free: the caller passes metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.distances import DistanceStore, distances
from evaluation.statistics import NotIdentified
from evaluation.statistics.ceiling import human_ceiling
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.resampling import bootstrap_estimate, sums_by_cluster
from perceptual.metric import Metric, MetricUnavailable
from perceptual.pairs import SPLITS, Dataset, Pair, size
from perceptual.scoring import credit

BASELINE = "psnr"
"""The metric that the others are held against."""
ALL = "all"
SPLIT_CHOICES = (*SPLITS, ALL)
N_BOOT = 2000

Progress = Callable[[str, int, int], None]
"""Called with a metric's label, how many of its distances are there, and how many there will be."""


class NoSuchPairs(Exception):
    """The dataset has no pairs of the kind that was asked for, or does not say which are meant."""


@dataclass(frozen=True)
class How:
    """confidence : of intervals.   seed : of the bootstraps."""

    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class _Scored:
    """Pairs, and each metric's credit for each of them, (n,), or why it has none."""

    pairs: Sequence[Pair]
    labels: Mapping[str, str]
    credits: Mapping[str, NDArray[np.float64]]
    reasons: Mapping[str, str]

    def only(self, chosen: NDArray[np.bool_]) -> _Scored:
        pairs = [pair for pair, is_chosen in zip(self.pairs, chosen, strict=True) if is_chosen]
        of_chosen = {name: each[chosen] for name, each in self.credits.items()}
        return _Scored(pairs, self.labels, of_chosen, self.reasons)


def pairs_to_score(
    dataset: Dataset, *, split: str = ALL, simulated: bool | None = None
) -> list[Pair]:
    """The pairs of a split that people, or that simulated annotators judged.

    simulated : None takes whichever the dataset holds, if it does not hold both.

    Raises NoSuchPairs where it holds both, or none that are meant.
    """
    pairs = [pair for pair in dataset.pairs if split in (ALL, pair.split)]
    if not pairs:
        raise NoSuchPairs(f"{dataset.folder} has no pairs in the split {split!r}")
    kinds = {pair.is_simulated for pair in pairs}
    if simulated is None and len(kinds) > 1:
        raise NoSuchPairs(
            f"{dataset.folder} holds people's judgments and simulated ones; say --people or "
            "--simulated"
        )
    if simulated is not None and simulated not in kinds:
        kind = "simulated" if simulated else "people's"
        raise NoSuchPairs(f"{dataset.folder} holds no {kind} judgments")
    return [pair for pair in pairs if simulated in (None, pair.is_simulated)]


def score_table(
    pairs: Sequence[Pair],
    metrics: Mapping[str, Metric],
    store: DistanceStore,
    *,
    unavailable: Mapping[str, str] | None = None,
    how: How | None = None,
    progress: Progress = lambda label, done, total: None,
) -> dict[str, Any]:
    """The 2AFC score of each metric, overall and for each stratum and pair of codecs.

    metrics : by the name that results carry.   unavailable : why others have no score, by name.

    Returns what `score_metrics --json` prints but for `provenance`; scores, ceilings and
    differences in percent. Raises InvalidDataset for a file that is no picture.
    """
    how = how or How()
    scored = _scored(pairs, metrics, dict(unavailable or {}), store, progress)
    return {
        **_summary(scored, how),
        "strata": _groups(scored, lambda pair: pair.stratum, how),
        "subsets": _groups(scored, lambda pair: "" if pair.stratum else pair.subset, how),
        "codec_pairs": [
            {"a": codecs[0], "b": codecs[1], **values}
            for codecs, values in _groups(scored, _codecs_of, how).items()
        ],
        "baseline": BASELINE,
        "simulated": pairs[0].is_simulated,
        "confidence": how.confidence,
        "seed": how.seed,
    }


def _scored(
    pairs: Sequence[Pair],
    metrics: Mapping[str, Metric],
    reasons: dict[str, str],
    store: DistanceStore,
    progress: Progress,
) -> _Scored:
    labels = {name: metric.label for name, metric in metrics.items()}
    found_credits = {}
    smallest = min(min(size(file)) for file in {pair.reference for pair in pairs})
    for name, metric in metrics.items():
        if smallest < metric.smallest_side:
            reasons[name] = (
                f"{metric.label} takes pictures with sides of {metric.smallest_side} pixels or "
                f"more, and here are some of {smallest}"
            )
            continue
        try:
            found = distances(pairs, metric, store, progress=partial(progress, metric.label))
        except MetricUnavailable as error:
            reasons[name] = str(error)
            continue
        found_credits[name] = credits_of(pairs, found)
    return _Scored(pairs, labels, found_credits, reasons)


def credits_of(pairs: Sequence[Pair], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): the credit of each pair, given its distances (n, 2)."""
    shares = torch.tensor([pair.share for pair in pairs], dtype=torch.float64)
    d0, d1 = torch.from_numpy(found).unbind(1)
    return credit(d0, d1, shares).numpy()


def _summary(scored: _Scored, how: How) -> dict[str, Any]:
    contents = [pair.content for pair in scored.pairs]
    metrics = [
        {
            "name": name,
            "label": scored.labels[name],
            **_percent(mean_over_contents(each, contents, how), "score"),
        }
        for name, each in scored.credits.items()
    ]
    metrics += [
        {"name": name, "label": name, "score": None, "low": None, "high": None, "reason": reason}
        for name, reason in scored.reasons.items()
    ]
    baseline = scored.credits.get(BASELINE)
    differences = [
        {"name": name, **_percent(mean_over_contents(each - baseline, contents, how), "difference")}
        for name, each in scored.credits.items()
        if baseline is not None and name != BASELINE
    ]
    ceiling, reason = _ceiling(scored.pairs, how)
    return {
        "n_pairs": len(scored.pairs),
        "n_contents": len(set(contents)),
        "human_ceiling": ceiling,
        "reason": reason,
        "metrics": metrics,
        "differences": differences,
    }


def _groups(
    scored: _Scored,
    group_of: Callable[[Pair], Any],
    how: How,
) -> dict[Any, dict[str, Any]]:
    """The summary of each group of pairs, in order; "" and None are no groups."""
    groups = [group_of(pair) for pair in scored.pairs]
    return {
        group: _summary(scored.only(np.array([each == group for each in groups])), how)
        for group in sorted({each for each in groups if each}, key=_order)
    }


def _order(group: Any) -> tuple[float, Any]:
    """Bit rates by size, all else by name."""
    try:
        return float(group), group
    except (TypeError, ValueError):
        return math.inf, group


def _codecs_of(pair: Pair) -> tuple[str, ...] | None:
    return tuple(sorted(pair.codecs)) if pair.codecs else None


def mean_over_contents(values: NDArray[np.float64], contents: Sequence[str], how: How) -> Estimate:
    """Over pairs, with an interval from drawing source images; the same draws whatever the metric,
    so that differences are those of metrics on the same pairs."""
    parts = np.stack([values, np.ones_like(values)], axis=1)
    return bootstrap_estimate(
        sums_by_cluster(parts, contents),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=len(values),
        clusters="source images",
        confidence=how.confidence,
        n_boot=N_BOOT,
        rng=np.random.default_rng(how.seed),
    )


def _ceiling(pairs: Sequence[Pair], how: How) -> tuple[dict[str, Any] | None, str | None]:
    """The human ceiling, or None and why there is none."""
    known = [pair for pair in pairs if pair.votes is not None]
    if not known:
        return None, "the folder does not say how many votes each pair has"
    votes = np.array([_votes(pair) for pair in known])
    try:
        found = human_ceiling(
            votes,
            [pair.content for pair in known],
            confidence=how.confidence,
            n_boot=N_BOOT,
            rng=np.random.default_rng(how.seed),
        )
    except NotIdentified as error:
        return None, error.reason
    return {**_percent(found, "score"), "n_pairs": found.n}, None


def _votes(pair: Pair) -> tuple[int, int]:
    """Whole votes for p0 and p1. Half a vote each is what a tie leaves: it chose no side."""
    assert pair.votes is not None  # noqa: S101
    for_p1 = round(2 * pair.share * pair.votes) / 2
    return int(pair.votes - for_p1), int(for_p1)


def _percent(estimate: Estimate, name: str) -> dict[str, Any]:
    bounds = {"low": estimate.low, "high": estimate.high}
    return {
        name: 100 * estimate.value,
        **{bound: None if value is None else 100 * value for bound, value in bounds.items()},
        "reason": estimate.reason,
    }
