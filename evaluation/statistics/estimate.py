"""What every statistic returns, and how it says that a value cannot be had.

One rule holds throughout the package. A value that the data do not determine raises
`NotIdentified` with a reason. A value without an interval is an `Estimate` whose `low` and `high`
are None and whose `reason` says why. Tables list all their rows, those without a value included,
each with its reason. Exceptions are named after the fact that they report, as Django's are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number, its interval, and how both came about.

    value : the point estimate, in the unit that its function states.
    low, high : bounds of the confidence interval; both None where it cannot be had.
    n : how many units the estimate rests on; its function names the unit.
    method : how the interval was made.
    reason : why there is no interval; None where there is one.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str | None = None


class NotIdentified(Exception):
    """The data do not determine the value asked for, however exactly one computes.

    template : the reason, with {0}, {1}, ... in place of groups of conditions.
    groups : the indexes of the conditions of each group.

    >>> error = NotIdentified("{0} never lost to {1}", (2,), (0, 1))
    >>> error.reason
    'condition 2 never lost to conditions 0 and 1'
    >>> error.explain(["jpeg", "webp", "avif"])
    'avif never lost to jpeg and webp'
    """

    def __init__(self, template: str, *groups: Sequence[int]) -> None:
        super().__init__(template, *groups)  # all of it, so that the exception can be pickled
        self.template = template
        self.groups = tuple(tuple(group) for group in groups)

    @property
    def reason(self) -> str:
        return self.explain()

    def explain(self, labels: Sequence[str] | None = None) -> str:
        """The reason as a sentence; labels[i] names condition i, otherwise its index does."""
        return self.template.format(*(_named(group, labels) for group in self.groups))

    def __str__(self) -> str:
        return self.reason


class NotConverged(Exception):
    """An iteration did not settle, so its last value is not returned."""


def normal_quantile(confidence: float) -> float:
    """z such that a standard normal lies within -z and z with this probability.

    Raises ValueError unless confidence is between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    return float(scipy.special.ndtri((1 + confidence) / 2))


def t_quantile(confidence: float, degrees_of_freedom: float) -> float:
    """As normal_quantile, of Student's t."""
    z = normal_quantile(confidence)
    if math.isinf(degrees_of_freedom):
        return z
    return float(scipy.special.stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def expanded_tail(confidence: float, n_clusters: int) -> float:
    """The share of bootstrap values to leave out on either side, of n_clusters >= 2 clusters drawn.

    Percentiles are too narrow where clusters are few, as a normal interval with the uncorrected
    variance is; so they are taken as much further out as Student's t with the corrected one is
    (T. C. Hesterberg 2015, "What teachers should know about the bootstrap", The American
    Statistician 69, 371-386, "expanded percentile interval").
    """
    g = n_clusters
    return float(scipy.special.ndtr(-math.sqrt(g / (g - 1)) * t_quantile(confidence, g - 1)))


def _named(group: Sequence[int], labels: Sequence[str] | None) -> str:
    names = [str(i) if labels is None else labels[i] for i in group]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    if labels is not None:
        return listed
    return f"condition {listed}" if len(names) == 1 else f"conditions {listed}"
