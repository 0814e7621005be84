"""Metrics beside what people said of a study: how far they agree, on the pairs that were judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from annotation.records import content_names
from codecs_registry.models import Reconstruction, stratum_name
from evaluation import reconstruction_scores
from evaluation.metric_versions import in_service
from evaluation.models import Study
from evaluation.statistics import Comparisons, NotIdentified
from evaluation.statistics.comparisons import picture_of
from evaluation.statistics.metric_agreement import FEWEST_PAIRS, MEASURES, metric_agreement
from evaluation.statistics.options import Options
from evaluation.statistics.ratings import (
    FIRST,
    TIE,
    nominal_answers,
    question_codes,
    question_conditions,
)
from evaluation.statistics.scale_summary import absent

Values = dict[tuple[str, str, str], float]
"""Of a metric, by picture, codec and stratum."""


@dataclass(frozen=True)
class StoredMetric:
    """What is stored of a metric.

    sign : 1 where a larger value is closer to the original, -1 where a smaller one is.
    trained_here : whether it was trained on judgments of this study, which flatters it.
    """

    name: str
    label: str
    sign: int
    values: Values
    trained_here: bool = False


def metrics_beside_people(
    study: Study, judged: Comparisons, options: Options
) -> dict[str, list[dict[str, Any]]]:
    """By stratum: each metric whose values are stored, and how well it goes with people.

    judged : of the population and of those annotators that results rest on, all strata.

    PSNR and MS-SSIM are those measured when the study was encoded, and the distance that of the
    metric version in service. All are of whole pictures, also where people saw a part. See
    metric_agreement for the measures; what cannot be had is None, with a reason.
    """
    metrics = stored_metrics(study)
    return {
        stratum: [
            _beside(
                metric,
                judged.in_stratum(stratum) if stratum in judged.strata else None,
                stratum,
                study.codecs,
                options,
            )
            for metric in metrics
        ]
        for stratum in study.strata
    }


def stored_metrics(study: Study) -> list[StoredMetric]:
    names = content_names(study.campaign)
    psnr, ms_ssim, distance = {}, {}, {}
    distances = reconstruction_scores.of_reconstructions(
        study.reconstructions.values_list("id", flat=True)
    )
    for each in study.reconstructions.filter(state=Reconstruction.State.READY).order_by("id"):
        if each.source_id not in names:
            continue
        key = names[each.source_id], each.codec, stratum_name(each.target_bpp)
        for values, value in (
            (psnr, each.psnr),
            (ms_ssim, each.ms_ssim),
            (distance, distances.get(each.id)),
        ):
            if value is not None:
                values[key] = value
    found = [StoredMetric("psnr", "PSNR (dB)", 1, psnr)]
    found.append(StoredMetric("ms_ssim", "MS-SSIM", 1, ms_ssim))
    if version := in_service():
        studies = version.trained_on.get("studies", {})
        found.append(
            StoredMetric(
                version.name, f"Distance by {version.name}", -1, distance, study.name in studies
            )
        )
    return found


def _beside(
    metric: StoredMetric,
    judged: Comparisons | None,
    stratum: str,
    codecs: list[str],
    options: Options,
) -> dict[str, Any]:
    pairs = [] if judged is None else list(_pairs(judged))
    known = [
        (metric.sign * (metric.values[one] - metric.values[other]), share, picture)
        for picture, a, b, share in pairs
        if (one := (picture, a, stratum)) in metric.values
        and (other := (picture, b, stratum)) in metric.values
    ]
    by_codec = defaultdict(list)
    for (_, codec, at), value in metric.values.items():
        if at == stratum:
            by_codec[codec].append(value)
    return {
        "name": metric.name,
        "label": metric.label,
        "larger_is_closer": metric.sign > 0,
        "trained_here": metric.trained_here,
        "n_pairs": len(known),
        "n_without_value": len(pairs) - len(known),
        **_measures(known, options),
        "by_codec": [
            {
                "condition": codec,
                "mean": float(np.mean(by_codec[codec])) if by_codec[codec] else None,
                "n": len(by_codec[codec]),
                "reason": None if by_codec[codec] else "no value is stored",
            }
            for codec in codecs
        ],
    }


def _measures(known: list[tuple[float, float, str]], options: Options) -> dict[str, Any]:
    difference, share, pictures = zip(*known, strict=True) if known else ((), (), ())
    try:
        found = metric_agreement(
            np.array(difference, np.float64),
            np.array(share, np.float64),
            np.array(pictures, np.str_),
            confidence=options.confidence,
            n_boot=options.n_boot,
            rng=lambda: options.rng,
        )
    except NotIdentified as error:
        return {name: absent(error.reason) for name in MEASURES}
    few = absent(f"a correlation needs {FEWEST_PAIRS} pairs of reconstructions")
    return {name: asdict(found[name]) if name in found else few for name in MEASURES}


def _pairs(judged: Comparisons) -> Iterator[tuple[str, str, str, float]]:
    """Each question's picture, codecs, and the share of annotators who found the first closer."""
    counts, _ = nominal_answers(judged)
    _, content = question_codes(judged)
    ends = question_conditions(judged)
    shares = (counts[:, FIRST] + counts[:, TIE] / 2) / counts.sum(axis=1)
    for place, a, b, share in zip(content, *ends, shares, strict=True):
        names = judged.contents[place], judged.conditions[a], judged.conditions[b]
        yield picture_of(names[0]), names[1], names[2], float(share)
