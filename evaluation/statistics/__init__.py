"""Statistics of judgments: pure functions of arrays, with intervals, and reasons where none.

comparisons = read_judgments("judgments.csv").comparisons.in_stratum("0.23")
pairwise_table(comparisons)
robust(comparisons, fit_scale(comparisons)).interval()

Modules say `import scipy` and, where they use it, `scipy.special.expit`: SciPy then loads a part
when it is asked for; a process that asks for none, as most do, starts in two thirds of the time.
"""

from evaluation.statistics.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from evaluation.statistics.annotator_model import AnnotatorScale, fit_annotators
from evaluation.statistics.batch import bradley_terry_batch
from evaluation.statistics.ceiling import human_ceiling, leave_one_out_score, task_votes
from evaluation.statistics.choice_models import BRADLEY_TERRY, DAVIDSON, RAO_KUPPER, THURSTONE
from evaluation.statistics.clusters import (
    BOTH,
    Bootstrap,
    cluster_bootstrap,
    robust,
    robust_annotators,
)
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
from evaluation.statistics.options import Options
from evaluation.statistics.plackett_luce import PlackettLuce, plackett_luce
from evaluation.statistics.planning import (
    PlanRow,
    Prior,
    annotator_hours,
    judgments_for_power,
    judgments_for_width,
    plan,
)
from evaluation.statistics.preference import (
    PairPreference,
    Share,
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
from evaluation.statistics.sampling import information_gain, next_pairs
from evaluation.statistics.scaling import Scale, bradley_terry, fit_scale, profile_interval
from evaluation.statistics.screening import (
    AnnotatorReport,
    Flag,
    Measure,
    Rules,
    excluded,
    screen,
    without,
)
from evaluation.statistics.simulated import population_shares, simulate_study
from evaluation.statistics.summary import summarise
from evaluation.statistics.triads import circular_triads, coefficient_of_consistence

__all__ = [
    "BOTH",
    "BRADLEY_TERRY",
    "DAVIDSON",
    "RAO_KUPPER",
    "THURSTONE",
    "AllPairs",
    "AnnotatorReport",
    "AnnotatorScale",
    "BestShares",
    "Bootstrap",
    "Comparisons",
    "ContentScale",
    "Estimate",
    "Flag",
    "InvalidComparisons",
    "Judgments",
    "Malformed",
    "Measure",
    "NotConverged",
    "NotIdentified",
    "Options",
    "Outcomes",
    "PairPreference",
    "PlackettLuce",
    "PlanRow",
    "Prior",
    "Rankings",
    "Rules",
    "Scale",
    "Share",
    "all_pairs",
    "annotator_hours",
    "benjamini_hochberg_adjusted",
    "best_with_probability",
    "binomial_p",
    "bradley_terry",
    "bradley_terry_batch",
    "circular_triads",
    "clopper_pearson_interval",
    "cluster_bootstrap",
    "coefficient_of_consistence",
    "compact_letters",
    "content_scale",
    "excluded",
    "first_choice_shares",
    "fit_annotators",
    "fit_scale",
    "fleiss_kappa",
    "gwet_ac1",
    "holm_adjusted",
    "human_ceiling",
    "information_gain",
    "judgments_for_power",
    "judgments_for_width",
    "kendall_w",
    "krippendorff_alpha",
    "leave_one_out_score",
    "matrix_counts",
    "next_pairs",
    "nominal_answers",
    "pairwise_table",
    "plackett_luce",
    "plan",
    "population_shares",
    "profile_interval",
    "rating_counts",
    "read_comparisons",
    "read_judgments",
    "repeat_agreement",
    "repeat_counts",
    "robust",
    "robust_annotators",
    "screen",
    "simulate_study",
    "summarise",
    "task_votes",
    "wilson_interval",
    "win_shares",
    "without",
]
