"""Whether a new version of the metric takes the place of the one in service.

It does if it is not worse, which is held to mean, of its 2AFC score less that of the version in
service, on the same held-out pairs:

1. the difference is at least zero, and
2. the lower end of its 95 % interval (paired bootstrap over source images, the same draws for both)
   is at least -MARGIN, so that a loss of more than MARGIN percentage points is ruled out.

The first alone would let chance decide where few pictures are held out; the second alone would let
small losses add up from version to version. With fewer held-out source images than an interval
needs, nothing is decided: the version in service stays.

Three cases need no numbers. The first version is promoted. One trained on what people judged takes
the place of one trained on simulated judgments, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from evaluation.distances import DistanceStore, distances
from evaluation.metric_models import MetricVersion
from evaluation.metric_scores import How, credits_of, mean_over_contents
from evaluation.metric_versions import VersionUnavailable, metric_of
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.resampling import FEWEST_RESAMPLED
from perceptual.metric import Metric
from perceptual.pairs import Pair

MARGIN = 2.0  # percentage points


@dataclass(frozen=True)
class Comparison:
    """The 2AFC score of a new version less another's, in percentage points, and on what."""

    against: str
    difference: float | None
    low: float | None
    high: float | None
    n_pairs: int
    n_contents: int
    n_left_out: int
    """Of the held-out pairs: on source images that the other was trained on."""


@dataclass(frozen=True)
class Decision:
    is_promoted: bool
    reason: str
    comparison: dict | None = None


def decide(
    metric: Metric,
    *,
    is_simulated: bool,
    held_out: Sequence[Pair],
    present: MetricVersion | None,
    store: DistanceStore,
) -> Decision:
    """Whether a new version is to take the place of the present one.

    held_out : pairs on source images that the new version has not seen.
    """
    if present is None:
        return Decision(True, "Promoted: it is the first version.")
    if present.is_simulated and not is_simulated:
        return Decision(
            True, f"Promoted: it was trained on what people judged, and {present} on simulations."
        )
    if is_simulated and not present.is_simulated:
        return Decision(
            False,
            f"Kept aside: it was trained on simulated judgments, and {present}, in service, on "
            "what people judged.",
        )
    fair = [pair for pair in held_out if pair.content not in seen_by(present)]
    n_contents = len({pair.content for pair in fair})
    counts = {
        "n_pairs": len(fair),
        "n_contents": n_contents,
        "n_left_out": len(held_out) - len(fair),
    }
    if n_contents < FEWEST_RESAMPLED:
        found = Comparison(present.name, None, None, None, **counts)
        return Decision(False, f"Kept aside: {_too_few(found)}", asdict(found))
    try:
        estimate = compare(fair, metric, metric_of(present), store)
    except (VersionUnavailable, ValueError) as error:
        return Decision(False, f"Kept aside: it cannot be compared with {present}: {error}")
    found = Comparison(present.name, estimate.value, estimate.low, estimate.high, **counts)
    return Decision(is_not_worse(estimate), _told(found, estimate), asdict(found))


def seen_by(version: MetricVersion) -> set[str]:
    """The source images that a version was trained on or watched by."""
    return {*version.split["fitted"], *version.split["watched"]}


def compare(pairs: Sequence[Pair], metric: Metric, other: Metric, store: DistanceStore) -> Estimate:
    """The 2AFC score of a metric less another's on the same pairs, in percentage points, with its
    interval over source images.

    Raises InvalidDataset, and ValueError for pictures that one of them does not take.
    """
    mine, others = (credits_of(pairs, distances(pairs, each, store)) for each in (metric, other))
    contents = [pair.content for pair in pairs]
    return mean_over_contents(100 * (mine - others), contents, How())


def is_not_worse(estimate: Estimate) -> bool:
    """The rule above, of a difference in percentage points. Where all source images say the same,
    there is no interval, and what they say holds."""
    return estimate.value >= 0 and (estimate.low is None or estimate.low >= -MARGIN)


def _told(found: Comparison, estimate: Estimate) -> str:
    numbers = _signed(found.difference)
    if found.low is not None:
        numbers += f" [{_signed(found.low)}, {_signed(found.high)}]"
    measured = (
        f"its score less that of {found.against} is {numbers} percentage points on "
        f"{found.n_pairs} pairs of {found.n_contents} source images held out{_left_out(found)}"
    )
    if is_not_worse(estimate):
        return f"Promoted: {measured}."
    if estimate.value < 0:
        return f"Kept aside, as it scored lower: {measured}."
    return (
        f"Kept aside, as a loss of more than {MARGIN:g} points is not ruled out: {measured}. More "
        "held-out pictures make the interval narrower."
    )


def _too_few(found: Comparison) -> str:
    return (
        f"whether it is worse than {found.against} cannot be told from {found.n_contents} source "
        f"image{'' if found.n_contents == 1 else 's'} held out{_left_out(found)}; it takes "
        f"{FEWEST_RESAMPLED}. About one picture in five is held out: have more judged."
    )


def _left_out(found: Comparison) -> str:
    if not found.n_left_out:
        return ""
    return f" ({found.n_left_out} pairs, which {found.against} was trained on, left out)"


def _signed(points: float | None) -> str:
    return f"{round(points or 0, 1) or 0:+.1f}".replace("-", "\N{MINUS SIGN}")
