"""Bradley-Terry from rows, and a cluster bootstrap, beside choix, evalica and a loop of refits.

Seconds are the least of several runs, each side taking the same Python lists of labels. Memory is
what a process of its own needed at its peak beyond the rows themselves.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

CONDITIONS = 50
SIZES = (10**4, 10**5, 10**6, 10**7)
ANNOTATORS, CONTENTS = 1000, 100
BOOTSTRAPPED, N_BOOT, REFITS = 10**5, 1000, 10


def run() -> list[dict]:
    rows = []
    for size in SIZES:
        seconds, peak = _in_own_process(_fit, size, CONDITIONS)
        row = {"judgments": size, "conditions": CONDITIONS, "seconds": seconds, "peak_mib": peak}
        if size <= 10**6:
            row |= _beside("evalica", _evalica, seconds, size, CONDITIONS)
            row |= _beside("choix_ilsr", _choix, seconds, size, CONDITIONS)
        rows.append(row)
    seconds, peak = _in_own_process(_fit, 10**5, 200)
    row = {"judgments": 10**5, "conditions": 200, "seconds": seconds, "peak_mib": peak}
    row |= _beside("evalica", _evalica, seconds, 10**5, 200)
    rows.append(row | _beside("choix_ilsr", _choix, seconds, 10**5, 200))
    for over in (("annotator",), ("annotator", "content")):
        rows.append(_bootstrap_row(over))
    return rows


def _beside(name: str, peer: Callable, ours: float, size: int, conditions: int) -> dict:
    seconds, _ = _in_own_process(peer, size, conditions)
    return {f"{name}_seconds": seconds, f"{name}_ratio": round(seconds / ours, 1)}


def _bootstrap_row(over: tuple[str, ...]) -> dict:
    ours, peak = _in_own_process(_bootstrap, over)
    own, _ = _in_own_process(_loop_of_own_refits, over)
    choix, _ = _in_own_process(_loop_of_choix, over)
    return {
        "bootstrap over": " and ".join(over),
        "judgments": BOOTSTRAPPED,
        "resamples": N_BOOT,
        "seconds": ours,
        "peak_mib": peak,
        "loop_of_choix_seconds": choix,
        "loop_of_choix_ratio": round(choix / ours, 1),
        "loop_of_own_refits_seconds": own,
        "loop_of_own_refits_ratio": round(own / ours, 1),
    }


def _in_own_process(task: Callable, *args: object) -> tuple[float, int]:
    """Seconds, and MiB at the peak beyond what was there before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds, peak = pool.submit(task, *args).result()
    return float(f"{seconds:.3g}"), round(peak)


def _timed(task: Callable[[], object], times: int = 5) -> tuple[float, float]:
    before = _peak_mib()
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - start)
    return best, _peak_mib() - before


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _drawn(size: int, conditions: int) -> tuple[list[int], list[int], list[bool]]:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=conditions)
    a = rng.integers(conditions, size=size)
    b = (a + rng.integers(1, conditions, size=size)) % conditions
    wins = rng.random(size) < 1 / (1 + np.exp(scores[b] - scores[a]))
    return a.tolist(), b.tolist(), wins.tolist()


def _labels(size: int, conditions: int) -> tuple[list[str], list[str], list[bool]]:
    a, b, wins = _drawn(size, conditions)
    names = [f"codec-{i}" for i in range(conditions)]
    return [names[i] for i in a], [names[i] for i in b], wins


def _fit(size: int, conditions: int) -> tuple[float, float]:
    from evaluation.statistics import Comparisons, fit_scale

    left, right, wins = _labels(size, conditions)
    chosen = ["left" if win else "right" for win in wins]
    del wins

    def fit() -> None:
        fit_scale(Comparisons.from_columns(None, None, None, left, right, chosen))

    return _timed(fit, 3 if size > 10**6 else 7)


def _evalica(size: int, conditions: int) -> tuple[float, float]:
    import evalica

    left, right, wins = _labels(size, conditions)
    winners = [evalica.Winner.X if win else evalica.Winner.Y for win in wins]
    return _timed(lambda: evalica.bradley_terry(left, right, winners), 7)


def _choix(size: int, conditions: int) -> tuple[float, float]:
    import choix

    a, b, wins = _drawn(size, conditions)  # it takes numbers, winner first: given for nothing
    pairs = [(i, j) if win else (j, i) for i, j, win in zip(a, b, wins, strict=True)]
    return _timed(lambda: choix.ilsr_pairwise(conditions, pairs), 2)


def _crowd():
    from evaluation.statistics import Comparisons

    left, right, wins = _labels(BOOTSTRAPPED, CONDITIONS)
    rng = np.random.default_rng(1)
    return Comparisons.from_columns(
        rng.integers(ANNOTATORS, size=BOOTSTRAPPED).astype(str).tolist(),
        rng.integers(CONTENTS, size=BOOTSTRAPPED).astype(str).tolist(),
        None,
        left,
        right,
        ["left" if win else "right" for win in wins],
    )


def _bootstrap(over: tuple[str, ...]) -> tuple[float, float]:
    from evaluation.statistics import cluster_bootstrap

    crowd = _crowd()
    rng = np.random.default_rng(2)
    return _timed(lambda: cluster_bootstrap(crowd, over=over, n_boot=N_BOOT, rng=rng), 3)


def _resamples(crowd, over: tuple[str, ...]):
    """The rows of each resample, as a script draws them: each judgment as often as it counts."""
    rng = np.random.default_rng(2)
    kinds = {"annotator": (crowd.annotator, ANNOTATORS), "content": (crowd.content, CONTENTS)}
    while True:
        times = np.ones(BOOTSTRAPPED, np.int64)
        for codes, count in (kinds[kind] for kind in over):
            times *= rng.multinomial(count, np.full(count, 1 / count))[codes]
        yield np.repeat(np.arange(BOOTSTRAPPED), times)


def _loop_of_own_refits(over: tuple[str, ...]) -> tuple[float, float]:
    from evaluation.statistics import fit_scale

    crowd = _crowd()
    resamples = _resamples(crowd, over)
    seconds, peak = _timed(lambda: fit_scale(crowd.where(next(resamples))), REFITS)
    return seconds * N_BOOT, peak


def _loop_of_choix(over: tuple[str, ...]) -> tuple[float, float]:
    import choix

    crowd = _crowd()
    winner = np.where(crowd.outcome == 1, crowd.a, crowd.b)
    loser = np.where(crowd.outcome == 1, crowd.b, crowd.a)
    resamples = _resamples(crowd, over)

    def refit() -> None:
        rows = next(resamples)
        pairs = list(zip(winner[rows].tolist(), loser[rows].tolist(), strict=True))
        choix.ilsr_pairwise(CONDITIONS, pairs)

    seconds, peak = _timed(refit, REFITS)
    return seconds * N_BOOT, peak
