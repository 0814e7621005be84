"""Share of nominal 95 % intervals of scores that hold the truth, where judgments of one annotator,
and of one source image, have something in common.

The truth is what a scale of endless judgments by endless annotators of endless images would be.
STUDIES=1000 simulates more studies than 400, which tell a share to 0.6 points or so.
"""

import os

import numpy as np

CROWDS = (  # annotators, source images, judgments of each pair on each image, spreads in log-odds
    (20, 20, 6, 0.5, 0.6),
    (10, 10, 6, 0.5, 0.6),
    (40, 12, 8, 0.4, 0.6),
    (60, 60, 3, 0.5, 0.5),
    (8, 24, 4, 0.4, 0.4),
    (30, 30, 5, 0.0, 0.0),
)
SCORES = np.linspace(0.8, -0.8, 5)
N_BOOT = 1000
ENDLESS = {"n_annotators": 1000, "n_contents": 1000, "judgments_per_task": 20}


def run() -> list[dict]:
    studies = int(os.environ.get("STUDIES", "400"))
    return [_covered(*crowd, studies=studies) for crowd in CROWDS]


def _covered(annotators, contents, each, annotator_sd, content_sd, *, studies: int) -> dict:
    from evaluation.statistics import (
        bradley_terry,
        cluster_bootstrap,
        fit_annotators,
        fit_scale,
        robust,
        robust_annotators,
    )
    from evaluation.statistics.scaling import profile_interval
    from evaluation.statistics.simulated import population_shares, simulate_study

    spreads = {"annotator_sd": annotator_sd, "content_sd": content_sd}
    truth = bradley_terry(population_shares(SCORES, **spreads)).scores
    # Reliabilities find another scale where liking differs; a huge study tells which.
    endless = simulate_study(SCORES, **ENDLESS, **spreads, rng=np.random.default_rng(2**31))
    reliable = fit_annotators(endless).scores
    reliable_truth = (reliable - reliable[::-1]) / 2  # SCORES lie evenly about 0
    holds: dict[str, list] = {}
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        study = simulate_study(
            SCORES,
            n_annotators=annotators,
            n_contents=contents,
            judgments_per_task=each,
            rng=rng,
            **spreads,
        )
        scale = fit_scale(study)
        intervals = {
            "wald": scale.interval(),
            "profile": profile_interval(study, scale),
            "robust over both": robust(study, scale).interval(),
            "bootstrap over both": cluster_bootstrap(study, n_boot=N_BOOT, rng=rng).interval(),
            "bootstrap over annotators": cluster_bootstrap(
                study, over=("annotator",), n_boot=N_BOOT, rng=rng
            ).interval(),
        }
        for name, (low, high) in intervals.items():
            holds.setdefault(name, []).append((low <= truth) & (truth <= high))
        low, high = robust_annotators(study, fit_annotators(study)).interval()
        holds.setdefault("with reliabilities", []).append(
            (low <= reliable_truth) & (reliable_truth <= high)
        )
    shares = {name: f"{np.mean(held):.1%}" for name, held in holds.items()}
    crowd = {"annotators": annotators, "images": contents, "judgments": len(study.outcome)}
    return crowd | spreads | {"studies": studies} | shares
