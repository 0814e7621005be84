"""How results are computed: what a person may choose, and what is chosen unless they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation.statistics.choice_models import (
    BRADLEY_TERRY,
    DAVIDSON,
    RAO_KUPPER,
    THURSTONE,
    ChoiceModel,
)
from evaluation.statistics.clusters import BOTH, Cluster

ANNOTATORS = "annotators"
"""Bradley-Terry with a reliability and a side bias of each annotator: the default, since of real
crowds it gives the scores that other annotators reproduce best (docs/analysis.md)."""
MODELS: dict[str, ChoiceModel] = {
    ANNOTATORS: BRADLEY_TERRY,
    "bradley-terry": BRADLEY_TERRY,
    "thurstone": THURSTONE,
    "davidson": DAVIDSON,
    "rao-kupper": RAO_KUPPER,
}
SCREENS = ("none", "flag", "exclude")
CLUSTERS: dict[str, tuple[Cluster, ...]] = {
    "both": BOTH,
    "annotator": ("annotator",),
    "content": ("content",),
    "neither": (),
}
GROUPINGS = ("stratum", "content", "annotator")


@dataclass(frozen=True)
class Options:
    """How results are computed.

    confidence : of each interval, between 0 and 1.
    model : a key of MODELS, for scales. Where judgments do not tell annotators apart,
        "annotators" is "bradley-terry", and the results say so.
    clusters : what scores' intervals allow for: annotators who differ, source images that differ,
        both, or neither (judgments independent). A key of CLUSTERS.
    screen : "flag" tells whose answers look careless; "exclude" leaves these out of all results;
        "none" does not look. No judgment is ever deleted.
    by : "content" or "annotator" adds the results of each; "stratum" is all that there is.
    n_boot, seed : resamples of each bootstrap, and the seed of each.
    """

    confidence: float = 0.95
    model: str = ANNOTATORS
    clusters: str = "both"
    screen: Literal["none", "flag", "exclude"] = "flag"
    by: Literal["stratum", "content", "annotator"] = "stratum"
    n_boot: int = 2000
    seed: int = 2018

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, found {self.confidence}")
        for name, values in (
            ("model", MODELS),
            ("clusters", CLUSTERS),
            ("screen", SCREENS),
            ("by", GROUPINGS),
        ):
            if getattr(self, name) not in values:
                raise ValueError(f"{name}: expected one of {', '.join(values)}")

    @property
    def rng(self) -> np.random.Generator:
        """A new one each time, so that no result depends on what was computed before it."""
        return np.random.default_rng(self.seed)
