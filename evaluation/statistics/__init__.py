"""Statistics of judgments: pure functions of arrays, with intervals, and reasons where none.

comparisons = read_judgments("judgments.csv").comparisons.in_stratum("0.23")
pairwise_table(comparisons)
robust(comparisons, fit_scale(comparisons)).interval()
"""

from evaluation.statistics.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from evaluation.statistics.batch import bradley_terry_batch
from evaluation.statistics.ceiling import human_ceiling, leave_one_out_score, task_votes
from evaluation.statistics.choice_models import BRADLEY_TERRY, DAVIDSON, RAO_KUPPER, THURSTONE
from evaluation.statistics.clusters import BOTH, Bootstrap, cluster_bootstrap, robust
from evaluation.statistics.comparisons import Comparisons, InvalidComparisons
from evaluation.statistics.concordance import kendall_w
from evaluation.statistics.contents import ContentScale, content_scale
from evaluation.statistics.estimate import Estimate, NotConverged, NotIdentified
from evaluation.statistics.likelihood import Outcomes
from evaluation.statistics.multiplicity import (
    AllPairs,
    BestShares,
    all_pairs,
    benjamini_hochberg_adjusted,
    best_with_probability,
    compact_letters,
    holm_adjusted,
)
from evaluation.statistics.plackett_luce import PlackettLuce, plackett_luce
from evaluation.statistics.preference import (
    FirstChoice,
    PairPreference,
    WinShare,
    binomial_p,
    clopper_pearson_interval,
    first_choice_shares,
    pairwise_table,
    wilson_interval,
    win_shares,
)
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.ratings import matrix_counts, nominal_answers, rating_counts
from evaluation.statistics.reading import Judgments, Malformed, read_comparisons, read_judgments
from evaluation.statistics.repeats import repeat_agreement, repeat_counts
from evaluation.statistics.scaling import Scale, bradley_terry, fit_scale, profile_interval

__all__ = [
    "BOTH",
    "BRADLEY_TERRY",
    "DAVIDSON",
    "RAO_KUPPER",
    "THURSTONE",
    "AllPairs",
    "BestShares",
    "Bootstrap",
    "Comparisons",
    "ContentScale",
    "Estimate",
    "FirstChoice",
    "InvalidComparisons",
    "Judgments",
    "Malformed",
    "NotConverged",
    "NotIdentified",
    "Outcomes",
    "PairPreference",
    "PlackettLuce",
    "Rankings",
    "Scale",
    "WinShare",
    "all_pairs",
    "benjamini_hochberg_adjusted",
    "best_with_probability",
    "binomial_p",
    "bradley_terry",
    "bradley_terry_batch",
    "clopper_pearson_interval",
    "cluster_bootstrap",
    "compact_letters",
    "content_scale",
    "first_choice_shares",
    "fit_scale",
    "fleiss_kappa",
    "gwet_ac1",
    "holm_adjusted",
    "human_ceiling",
    "kendall_w",
    "krippendorff_alpha",
    "leave_one_out_score",
    "matrix_counts",
    "nominal_answers",
    "pairwise_table",
    "plackett_luce",
    "profile_interval",
    "rating_counts",
    "read_comparisons",
    "read_judgments",
    "repeat_agreement",
    "repeat_counts",
    "robust",
    "task_votes",
    "wilson_interval",
    "win_shares",
]
