"""Statistics of judgments: pure functions of arrays, with intervals, and reasons where none.

comparisons = read_comparisons("judgments.csv").in_stratum("0.23")
pairwise_table(comparisons)
bradley_terry(comparisons.win_matrix()).interval()
"""

from evaluation.statistics.agreement import human_ceiling, task_votes
from evaluation.statistics.comparisons import Comparisons, InvalidComparisons
from evaluation.statistics.estimate import Estimate, NotConverged, NotIdentified
from evaluation.statistics.preference import (
    PairPreference,
    WinShare,
    binomial_p,
    holm_adjusted,
    pairwise_table,
    wilson_interval,
    win_shares,
)
from evaluation.statistics.reading import read_comparisons
from evaluation.statistics.scaling import Scale, bradley_terry

__all__ = [
    "Comparisons",
    "Estimate",
    "InvalidComparisons",
    "NotConverged",
    "NotIdentified",
    "PairPreference",
    "Scale",
    "WinShare",
    "binomial_p",
    "bradley_terry",
    "holm_adjusted",
    "human_ceiling",
    "pairwise_table",
    "read_comparisons",
    "task_votes",
    "wilson_interval",
    "win_shares",
]
