"""The scale of one stratum as a document: scores, intervals, groups, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from evaluation.statistics import multiplicity
from evaluation.statistics.annotator_model import AnnotatorScale, fit_annotators
from evaluation.statistics.choice_models import BRADLEY_TERRY, DAVIDSON, ChoiceModel
from evaluation.statistics.clusters import (
    Cluster,
    cluster_bootstrap,
    robust,
    robust_annotators,
)
from evaluation.statistics.comparisons import Comparisons, FloatArray
from evaluation.statistics.contents import content_scale
from evaluation.statistics.estimate import Estimate, NotConverged, NotIdentified, t_quantile
from evaluation.statistics.options import ANNOTATORS, CLUSTERS, MODELS, Options
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.scaling import Parameter, Scale, fit_scale

FEWEST_ANNOTATORS, FEWEST_EACH = 5, 20
# The last is not known to occur; a page that hundreds look at must not end with it.
CANNOT = (NotIdentified, NotConverged, np.linalg.LinAlgError)
Document = dict[str, Any]


@dataclass(frozen=True)
class _Fitted:
    """A scale, over what its intervals are, and why neither is what was asked for."""

    scale: Scale | AnnotatorScale
    over: tuple[Cluster, ...]
    interval_reason: str | None
    model: str
    model_reason: str | None

    def about(self) -> Document:
        return {
            "model": self.model,
            "model_reason": self.model_reason,
            "interval": f"robust, clustered by {' and '.join(self.over)}" if self.over else "Wald",
            "interval_reason": self.interval_reason,
        }


def _fitted(comparisons: Comparisons, options: Options) -> _Fitted:
    model, model_reason = MODELS[options.model], None
    if options.model == ANNOTATORS:
        try:
            _require_enough_of_each(comparisons)
            reliable = fit_annotators(comparisons)
        except CANNOT as error:
            model_reason = explained(error, comparisons)
        else:
            name = f"{model.name} with annotators' reliabilities"
            return _clustered(comparisons, reliable, name, None, options)
    # What forbids this one, too, is the reason to tell.
    plain = fit_scale(comparisons, model=model)
    return _clustered(comparisons, plain, model.name, model_reason, options)


def _require_enough_of_each(comparisons: Comparisons) -> None:
    """Raise NotIdentified unless reliabilities would be more than noise, which moves scores."""
    judged = np.bincount(comparisons.annotator, comparisons.weight, comparisons.n_annotators)
    enough = int(np.sum(judged >= FEWEST_EACH))
    if enough < FEWEST_ANNOTATORS:
        raise NotIdentified(
            f"reliabilities need {FEWEST_ANNOTATORS} annotators of {FEWEST_EACH} judgments each, "
            f"and there {'is' if enough == 1 else 'are'} {enough}"
        )


def _clustered(
    comparisons: Comparisons,
    scale: Scale | AnnotatorScale,
    model: str,
    model_reason: str | None,
    options: Options,
) -> _Fitted:
    """The scale with intervals over the clusters asked for, or what of them can be had."""
    wanted = CLUSTERS[options.clusters]
    ways: list[tuple[Cluster, ...]] = [wanted, *((kind,) for kind in wanted if len(wanted) > 1)]
    reason = None
    for over in ways if wanted else []:
        try:
            if isinstance(scale, AnnotatorScale):
                clustered: Scale | AnnotatorScale = robust_annotators(comparisons, scale, over=over)
            else:
                clustered = robust(comparisons, scale, over=over)
        except CANNOT as error:
            reason = reason or explained(error, comparisons)
        else:
            return _Fitted(clustered, over, reason, model, model_reason)
    return _Fitted(scale, (), reason, model, model_reason)


def scale_document(
    comparisons: Comparisons, options: Options
) -> tuple[list[Document] | None, str | None, Document | None]:
    """The scale as rows, or why there is none, and how it was made."""
    try:
        fitted = _fitted(comparisons, options)
    except CANNOT as error:
        return None, explained(error, comparisons), None
    scale, names = fitted.scale, comparisons.conditions
    tests = multiplicity.all_pairs(
        scale.scores,
        scale.covariance,
        confidence=options.confidence,
        degrees_of_freedom=scale.degrees_of_freedom,
    )
    order = np.argsort(-scale.scores, kind="stable")
    letters = multiplicity.compact_letters(tests.significant(1 - options.confidence), order)
    best = _best(comparisons, fitted, options)
    rows = [
        row | {"group": group, "best": chance}
        for row, group, chance in zip(
            _rows(comparisons, scale, options), letters, best, strict=True
        )
    ]
    fit = {
        **fitted.about(),
        "unit": MODELS[options.model].unit,
        "degrees_of_freedom": _finite(scale.degrees_of_freedom),
        "log_likelihood": scale.log_likelihood,
        "iterations": scale.iterations,
        "differences": [
            {
                "a": names[i],
                "b": names[j],
                **{
                    name: _finite(getattr(tests, name)[i, j])
                    for name in ("difference", "low", "high", "p", "p_adjusted")
                },
                "reason": _reason_of(tests, i, j),
            }
            for i, j in combinations(range(len(names)), 2)
        ],
        "side_effect": _parameter(comparisons, MODELS[options.model], "side", fitted.over, options),
        "ties": _parameter(comparisons, DAVIDSON, "tie", fitted.over, options),
        "image_variation": estimated(
            lambda: content_scale(comparisons, confidence=options.confidence).variation, comparisons
        ),
    }
    return rows, None, fit


def _rows(
    comparisons: Comparisons, scale: Scale | AnnotatorScale, options: Options
) -> list[Document]:
    low, high = scale.interval(options.confidence)
    return [
        {"condition": name, "score": float(score), "low": float(a), "high": float(b)}
        for name, score, a, b in zip(comparisons.conditions, scale.scores, low, high, strict=True)
    ]


def _best(comparisons: Comparisons, fitted: _Fitted, options: Options) -> list[float]:
    """In what share of resamples each condition scores highest.

    Where clusters cannot be resampled, and of a scale with reliabilities, whose resamples would
    take seconds, scores are drawn from the normal distribution of their covariance instead.
    """
    scale = fitted.scale
    if fitted.over and isinstance(scale, Scale):
        is_fast = scale.model is BRADLEY_TERRY
        with suppress(*CANNOT):
            boot = cluster_bootstrap(
                comparisons,
                over=fitted.over,
                n_boot=options.n_boot if is_fast else min(options.n_boot, 200),
                rng=options.rng,
                scale=scale,
            )
            return _shares(boot.draws)
    draws = options.rng.multivariate_normal(
        scale.scores, scale.covariance, size=options.n_boot, method="eigh"
    )
    return _shares(draws)


def _shares(draws: FloatArray) -> list[float]:
    return [float(share) for share in multiplicity.best_with_probability(draws).probability]


def _parameter(
    comparisons: Comparisons,
    model: ChoiceModel,
    name: Literal["side", "tie"],
    over: Sequence[Cluster],
    options: Options,
) -> Document:
    """A side effect, or a tie parameter, with the interval that the scale has."""
    try:
        scale = fit_scale(comparisons, model=model, side_effect=name == "side")
        if over:
            scale = robust(comparisons, scale, over=over)
    except CANNOT as error:
        return absent(explained(error, comparisons))
    parameter: Parameter | None = getattr(scale, name)
    if parameter is None:
        return absent(f"{model.name} has none")
    half = t_quantile(options.confidence, scale.degrees_of_freedom) * parameter.standard_error
    n = int(comparisons.weight.sum())
    value = Estimate(parameter.value, parameter.value - half, parameter.value + half, n, model.name)
    return asdict(value)


def short_scale(comparisons: Comparisons, options: Options) -> Document:
    """The scale's rows and how they came about, or why there is none."""
    try:
        fitted = _fitted(comparisons, options)
    except CANNOT as error:
        return {"scale": None, "scale_reason": explained(error, comparisons)}
    rows = _rows(comparisons, fitted.scale, options)
    return {"scale": rows, "scale_reason": None, **fitted.about()}


def estimated(ask: Callable[[], Estimate], comparisons: Comparisons) -> Document:
    """An estimate, or why there is none."""
    try:
        return asdict(ask())
    except CANNOT as error:
        return absent(explained(error, comparisons))


def absent(reason: str) -> Document:
    return {"value": None, "low": None, "high": None, "n": 0, "method": "", "reason": reason}


def explained(error: Exception, table: Comparisons | Rankings) -> str:
    """The reason, conditions named."""
    return error.explain(table.conditions) if isinstance(error, NotIdentified) else str(error)


def _reason_of(tests: multiplicity.AllPairs, i: int, j: int) -> str | None:
    return tests.reason(i, j) if np.isnan(tests.p[i, j]) else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
