"""Agreement of scores between halves of a real crowd, by how careless annotators are dealt with.

The crowd is that of the JPEG AI test in shared data, five source images, a scale each, with the
same weak prior for all. SPLITS=200 draws more random halves than 50. Correlations are means over
images; the rms difference is a share of the scores' own spread. Differences from doing nothing are
paired, split by split; `+-` is the standard error that comes of the choice of splits, which says
nothing of other crowds.
"""

import os
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("CLOSER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESPONSES = (
    DATA / "judgments" / "jpeg_ai_ptc" / "JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv"
)
PRIOR_SD = 2.0  # log-odds


def run() -> list[dict]:
    if not RESPONSES.exists():
        return [{"skipped": f"{RESPONSES} is absent; set CLOSER_TEST_DATA"}]
    splits = int(os.environ.get("SPLITS", "50"))
    comparisons = _one_scale_an_image()
    methods = _methods()
    found = np.array([_agreements(comparisons, methods, seed) for seed in range(splits)])
    error = found.std(axis=0, ddof=1) / np.sqrt(splits)
    gain = found - found[:, :1]
    gain_error = gain.std(axis=0, ddof=1) / np.sqrt(splits)
    mean, mean_gain = found.mean(axis=0), gain.mean(axis=0)
    return [
        {
            "method": name,
            "spearman": f"{mean[i, 0]:.3f} +- {error[i, 0]:.3f}",
            "gain": f"{mean_gain[i, 0]:+.3f} +- {gain_error[i, 0]:.3f}",
            "pearson": f"{mean[i, 1]:.3f} +- {error[i, 1]:.3f}",
            "rms": f"{mean[i, 2]:.3f} +- {error[i, 2]:.3f}",
            "left out": f"{mean[i, 3]:.0%}",
        }
        for i, name in enumerate(methods)
    ]


def _methods() -> dict:
    """For each way, what gives scores, and the share of annotators left out, from half a crowd."""
    from evaluation.statistics.annotator_model import fit_annotators
    from evaluation.statistics.scaling import bradley_terry
    from evaluation.statistics.screening import excluded, screen, without

    def plain(crowd):
        return bradley_terry(crowd.win_matrix(), prior_sd=PRIOR_SD).scores

    def model(crowd, **options):
        return fit_annotators(crowd, prior_sd=PRIOR_SD, **options).scores

    def nobody(half):
        return ()

    def failed_traps(half, least):
        gold = half.where(~np.isnan(half.expected))
        right = np.bincount(gold.annotator, gold.outcome == gold.expected)
        share = right / np.bincount(gold.annotator)
        return [who for who, each in zip(gold.annotators, share, strict=True) if each < least]

    def flagged(half):
        return excluded(screen(half))

    ways = {
        "no screening": (plain, nobody),
        "traps, 60 % right": (plain, lambda half: failed_traps(half, 0.6)),
        "traps, 70 % right": (plain, lambda half: failed_traps(half, 0.7)),
        "traps, 80 % right": (plain, lambda half: failed_traps(half, 0.8)),
        "screening's rules": (plain, flagged),
        "annotator model": (model, nobody),
        "annotator model, no side bias": (lambda crowd: model(crowd, side_bias=False), nobody),
        "annotator model, traps, 70 % right": (model, lambda half: failed_traps(half, 0.7)),
        "annotator model, screening's rules": (model, flagged),
    }

    def applied(scores, screened):
        def way(half):
            out = screened(half)
            crowd = without(half, out).without_gold()
            return dict(zip(crowd.conditions, scores(crowd), strict=True)), len(out)

        return way

    return {name: applied(*way) for name, way in ways.items()}


def _one_scale_an_image():
    """All judgments, each condition named after its source image too, so that images are groups
    never compared with each other."""
    from evaluation.statistics import Comparisons, read_judgments

    read = read_judgments(RESPONSES, format="aic3").comparisons
    names = np.array(read.conditions, dtype=object)
    contents = np.array(read.contents, dtype=object)
    image = contents[read.content]
    answers = {1.0: "left", 0.0: "right", 0.5: "tie"}
    return Comparisons.from_columns(
        [read.annotators[k] for k in read.annotator],
        list(image),
        ["all"] * len(image),
        list(image + " " + names[read.a]),
        list(image + " " + names[read.b]),
        [answers[each] for each in read.outcome],
        expected=[answers.get(each, "") for each in read.expected],
    )


def _agreements(comparisons, methods: dict, seed: int) -> list[list[float]]:
    """For each method, the figures of `run` between the halves of one split."""
    order = np.random.default_rng(seed).permutation(comparisons.n_annotators)
    first = np.isin(comparisons.annotator, order[: len(order) // 2])
    halves = comparisons.where(first), comparisons.where(~first)
    rows = []
    for way in methods.values():
        (one, out_of_one), (other, out_of_other) = (way(half) for half in halves)
        rows.append([*_agreement(one, other), (out_of_one + out_of_other) / len(order)])
    return rows


def _agreement(one: dict, other: dict) -> list[float]:
    from scipy import stats

    figures = []
    for image in sorted({condition.split(" ")[0] for condition in one}):
        both = [c for c in one if c in other and c.split(" ")[0] == image]
        a, b = (np.array([half[c] for c in both]) for half in (one, other))
        a, b = a - a.mean(), b - b.mean()
        rms = np.sqrt(np.mean((a - b) ** 2) / np.mean([a**2, b**2]))
        figures.append([stats.spearmanr(a, b).statistic, np.corrcoef(a, b)[0, 1], rms])
    return np.mean(figures, axis=0).tolist()
