"""Studies that nobody was asked: what annotators might have answered, from known scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import NotIdentified

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Who is asked what: q judgments in the order in which they come in.

    a, b, content, annotator : (q,) int64, as in Comparisons. The first k P judgments, P being the
        number of pairs, ask each pair k times.
    """

    a: IntArray
    b: IntArray
    content: IntArray
    annotator: IntArray


def simulate_study(
    scores: FloatArray,
    *,
    n_annotators: int,
    n_contents: int,
    judgments_per_task: int,
    annotator_sd: float = 0.0,
    content_sd: float = 0.0,
    side_bias: float = 0.0,
    lapse: float = 0.0,
    rng: np.random.Generator,
) -> Comparisons:
    """A simulated study in which every pair is judged on every source image: nobody was asked.

    scores : (n,) true scores, in log-odds.
    judgments_per_task : of each pair on each source image, by that many different annotators; so
        there are n (n - 1) / 2 * n_contents * judgments_per_task judgments, evenly spread.
    annotator_sd, content_sd : standard deviations, in log-odds, of the normal deviations that
        each annotator, and each source image, has from each condition's score.
    side_bias : added to the log-odds of the left side, which is decided by chance.
    lapse : share in [0, 1] of answers that are coin flips.

        P(a chosen) = lapse / 2 + (1 - lapse) / (1 + exp(-(s[a] - s[b] + d[a] - d[b] + side_bias)))

    where d sums the deviations of the annotator and of the source image. This is Bradley and
    Terry's model with crossed random effects, and the lapses of F. A. Wichmann and N. J. Hill
    (2001), "The psychometric function: I. Fitting, sampling, and goodness of fit", Perception &
    Psychophysics 63, 1293-1313. No ties.

    Deviations and lapses draw shares towards 1/2, so a scale fitted to all judgments together
    tends to population_shares' scores, which are nearer to each other than the true ones.
    Raises ValueError if a task would need more annotators than there are.
    """
    scores = np.asarray(scores, dtype=np.float64)
    check_model(annotator_sd, content_sd, lapse)
    if judgments_per_task < 1:
        raise ValueError(f"expected at least one judgment a task, found {judgments_per_task}")
    per_pair = n_contents * judgments_per_task
    design = design_of(len(scores), per_pair, n_contents, n_annotators, rng)
    chosen = answer(design, scores[:, None], annotator_sd, content_sd, side_bias, lapse, rng)[:, 0]
    m = len(chosen)
    study = Comparisons(
        annotator=design.annotator,
        content=design.content,
        stratum=np.zeros(m, dtype=np.int64),
        a=design.a,
        b=design.b,
        outcome=chosen.astype(np.float64),
        weight=np.broadcast_to(np.int64(1), m),
        response_ms=np.broadcast_to(np.nan, m),
        expected=np.broadcast_to(np.nan, m),
        annotators=_names("annotator", n_annotators),
        contents=_names("content", n_contents),
        strata=("simulated",),
        conditions=_names("condition", len(scores)),
    )
    return study.where(np.ones(m, dtype=np.bool_))  # only those annotators who were needed


def population_shares(
    scores: FloatArray,
    *,
    annotator_sd: float = 0.0,
    content_sd: float = 0.0,
    side_bias: float = 0.0,
    lapse: float = 0.0,
) -> FloatArray:
    """(n, n) share of all annotators, on all source images, that prefer i to j; 0 if i is j.

    The arguments are simulate_study's. The normal deviations are integrated by Gauss-Hermite
    quadrature. bradley_terry(population_shares(...)) is what bradley_terry estimates from
    simulate_study, and so what its intervals are meant to hold.
    """
    check_model(annotator_sd, content_sd, lapse)
    scores = np.asarray(scores, dtype=np.float64)
    # A difference has the deviations of two conditions.
    sd = math.sqrt(2 * (annotator_sd**2 + content_sd**2))
    logit = (scores[:, None] - scores)[:, :, None] + sd * _NODES
    each_side = (
        scipy.special.expit(logit + side_bias) + scipy.special.expit(logit - side_bias)
    ) / 2
    shares = lapse / 2 + (1 - lapse) * (each_side @ _NODE_WEIGHTS) / _NODE_WEIGHTS.sum()
    np.fill_diagonal(shares, 0.0)
    return np.asarray(shares)


def check_model(annotator_sd: float, content_sd: float, lapse: float) -> None:
    if not (0 <= annotator_sd < math.inf and 0 <= content_sd < math.inf):
        raise ValueError(
            f"expected standard deviations >= 0, found {annotator_sd} and {content_sd}"
        )
    if not 0 <= lapse <= 1:
        raise ValueError(f"expected a lapse rate in [0, 1], found {lapse}")


def design_of(
    n: int, per_pair: int, n_contents: int, n_annotators: int, rng: np.random.Generator
) -> Design:
    """Each pair's judgments go round the source images, each time in the same random order."""
    if n < 2:
        raise NotIdentified(f"a scale needs at least two conditions, and there are {n}")
    if n_contents < 1 or n_annotators < 1:
        raise ValueError(f"found {n_contents} source images and {n_annotators} annotators")
    rounds = -(-per_pair // n_contents)
    if rounds > n_annotators:
        raise ValueError(
            f"{per_pair} judgments a pair on {n_contents} source images need {rounds} annotators "
            f"who judge no task twice, and there are {n_annotators}"
        )
    i, j = np.triu_indices(n, 1)
    n_pairs = len(i)
    m, p = np.divmod(np.arange(per_pair * n_pairs), n_pairs)
    order = rng.permuted(np.tile(np.arange(n_contents), (n_pairs, 1)), axis=1)
    # A block is as many tasks as there are annotators. They take it in turns, and begin elsewhere
    # in each round, so that nobody meets a task twice.
    turn, task = np.divmod(m, n_contents)
    task = task * n_pairs + p
    n_blocks = -(-n_contents * n_pairs // n_annotators)
    start = rng.permuted(np.tile(np.arange(n_annotators), (n_blocks, 1)), axis=1)
    annotator = (task + start[task // n_annotators, turn]) % n_annotators
    swapped = rng.random(len(p)) < 0.5
    a, b = np.where(swapped, j[p], i[p]), np.where(swapped, i[p], j[p])
    return Design(a, b, order[p, m % n_contents], annotator)


def first_asked(design: Design, q: int) -> Design:
    return Design(design.a[:q], design.b[:q], design.content[:q], design.annotator[:q])


def answer(
    design: Design,
    scores: FloatArray,
    annotator_sd: float,
    content_sd: float,
    side_bias: float,
    lapse: float,
    rng: np.random.Generator,
) -> BoolArray:
    """(q, S) whether a was chosen, in S studies of true scores (n, S): see simulate_study."""
    logit = scores[design.a] - scores[design.b] + side_bias
    for sd, cluster in ((annotator_sd, design.annotator), (content_sd, design.content)):
        if sd > 0:
            deviation = rng.normal(0.0, sd, (int(cluster.max()) + 1, *scores.shape))
            logit += deviation[cluster, design.a]
            logit -= deviation[cluster, design.b]
    return np.asarray(
        rng.random(logit.shape) < lapse / 2 + (1 - lapse) * scipy.special.expit(logit)
    )


def _names(what: str, n: int) -> tuple[str, ...]:
    """Labels that sort as their numbers do."""
    return tuple(f"{what} {k:0{len(str(n - 1))}d}" for k in range(n))
