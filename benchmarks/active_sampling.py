"""Judgments that active sampling needs, as a share of what balanced sampling needs for the same.

Simulated observers judge conditions whose true scales were fitted to the answers of JPEG AIC-3's
crowd (test data judgments/jpeg_ai_ptc). The rules of the literature are written here from their
papers. A round is n - 1 judgments of n conditions; after each, one estimator, the same for all
rules, scales what was judged, and results are averaged over source images and runs.

A share is the mean over budgets of 10 to 25 rounds of balanced sampling: after what part of the
budget has the rule a result as good? ("> 1.9": not always within 40 rounds.) At 15 runs, shares
of rank correlation are uncertain by some 0.1, as its curves are flat; those of widths by 0.02.

"least" is the share that the best fixed allocation of judgments would need, known only to who
knows the true scales: no rule can do much better for long. CLOSER_BENCH_RUNS sets the runs of
each image (default 15), CLOSER_BENCH_PICTURE names a file for the curves.
"""

import csv
import functools
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats
from scipy.sparse import csgraph

from evaluation.statistics.sampling import information_gain, next_pairs

DATA = Path(os.environ.get("CLOSER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
RUNS = int(os.environ.get("CLOSER_BENCH_RUNS", "15"))
ROUNDS = 40
BUDGETS = range(10, 26)  # rounds of balanced sampling whose results the rules are to reach
PRIOR_SD = 2.0  # of the estimator, in log-odds
MEASURES = ("rank correlation", "width of scores", "width between neighbours")


def run() -> list[dict]:
    careful, everyone = fitted_scales(0.9), fitted_scales(0.0)
    together = [np.concatenate([careful[0][:1], *(scale[1:] for scale in careful)])]
    wide = [2 * scale for scale in careful]
    rows, curves = [], {}
    for observers, truths, lapse, runs, rules in (
        ("careful", careful, 0.0, RUNS, RULES),
        ("careful, 20 % lapses", careful, 0.2, RUNS, OURS),
        ("everyone", everyone, 0.0, RUNS, OURS),
        ("careful, scales twice as wide", wide, 0.0, RUNS, OURS),
        ("careful, 41 conditions", together, 0.0, max(RUNS // 3, 1), OURS),
    ):
        found = {
            # All shares rest on balanced sampling's curve, and its runs take next to no time.
            name: study(truths, rule, lapse, 10 * runs if rule is balanced else runs)
            for name, rule in rules.items()
        }
        curves[observers] = found
        rows += [
            {"observers": observers, "rule": name} | shares(found["balanced"], curve)
            for name, curve in found.items()
            if name != "balanced"
        ]
        rows.append({"observers": observers, "rule": "least"} | least_shares(truths, lapse))
    if picture := os.environ.get("CLOSER_BENCH_PICTURE"):
        draw(curves["careful"], picture)
    return rows + [speed(name, rule) for name, rule in RULES.items()]


# Rules: wins (n, n), a generator, and scores (n,) predicted from the pictures alone, which only
# one rule reads, give the next pairs (k, 2).


def balanced(wins, rng, _predicted):
    """A random order of all pairs, then another: pairs asked least often so far come first."""
    n = len(wins)
    i, j = np.triu_indices(n, 1)
    order = np.lexsort((rng.random(len(i)), (wins + wins.T)[i, j]))[: n - 1]
    return np.column_stack([i, j])[order]


def closer(doubt):
    def rule(wins, rng, _predicted):
        return next_pairs(wins, len(wins) - 1, rng=rng, doubt=doubt)

    return rule


def hybrid_mst(wins, rng, _predicted):
    """Li et al. (2018): the one best pair until there are as many judgments as pairs; from then
    on a spanning tree of the most informative pairs."""
    n = len(wins)
    gains = information_gain(wins, prior_sd=PRIOR_SD)
    if wins.sum() < n * (n - 1) / 2:
        i, j = np.nonzero(np.triu(gains >= gains.max() * (1 - 1e-9)))
        pick = rng.integers(len(i))
        return np.array([[i[pick], j[pick]]])
    return spanning_tree(gains, rng)


def asap(wins, rng, _predicted):
    """Mikhailiuk et al. (2021): expected divergence of the posterior that each answer would lead
    to, all of it worked out again, from the present one; a spanning tree of the best pairs."""
    n = len(wins)
    mean, variance, messages = pass_messages(wins)
    i, j, p = chosen_for_evaluation(mean, variance, rng)
    one = np.zeros((2, len(i), n, n))
    one[0, range(len(i)), i, j] = 1
    one[1, range(len(i)), j, i] = 1
    after = pass_messages(wins + one, messages, rounds=2)
    kl = divergence(after[0], after[1], mean, variance).sum(axis=-1)
    gains = np.zeros((n, n))
    gains[i, j] = p * kl[0] + (1 - p) * kl[1]
    return spanning_tree(gains + gains.T, rng)


def asap_approximate(wins, rng, _predicted):
    """The same, with only the two conditions' own scores changed by the answer."""
    mean, variance, _ = pass_messages(wins)
    i, j, p = chosen_for_evaluation(mean, variance, rng)
    total = 1 + variance[i] + variance[j]
    gain = 0.0
    for chance, sign in ((p, 1), (1 - p, -1)):
        t = sign * (mean[i] - mean[j]) / np.sqrt(total)
        psi = np.exp(-t * t / 2 - special.log_ndtr(t)) / np.sqrt(2 * np.pi)
        shrink = psi * (psi + t)
        for k, direction in ((i, sign), (j, -sign)):
            m = mean[k] + direction * variance[k] / np.sqrt(total) * psi
            v = variance[k] * (1 - variance[k] / total * shrink)
            gain = gain + chance * divergence(m, v, mean[k], variance[k])
    gains = np.zeros((len(wins),) * 2)
    gains[i, j] = gain
    return spanning_tree(gains + gains.T, rng)


def chosen_for_evaluation(mean, variance, rng):
    """ASAP's selective evaluation: obvious pairs are mostly left out, by chance."""
    n = len(mean)
    i, j = np.tril_indices(n, -1)
    p = special.ndtr((mean[i] - mean[j]) / np.sqrt(1 + variance[i] + variance[j]))
    unclear = np.zeros((n, n))
    unclear[i, j] = np.minimum(p, 1 - p)
    keep = unclear[i, j] / np.maximum(unclear.max(axis=1)[i], 1e-12) >= rng.random(len(i))
    return i[keep], j[keep], p[keep]


def divergence(m1, v1, m2, v2):
    """Kullback and Leibler's, of a normal 1 from a normal 2."""
    return (np.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1) / 2


def pass_messages(wins, messages=None, rounds=4, prior=0.5):
    """Means and variances (..., n) of scores by TrueSkill's message passing (Herbrich, Minka and
    Graepel 2006), all messages at once; equal comparisons send equal messages.

    messages : (2, 2, ..., n, n) precision and precision x mean, to the winner and to the loser.
    """
    n = wins.shape[-1]
    if messages is None:
        messages = np.zeros((2, 2, n, n))
    messages = messages.reshape(2, 2, *(1,) * (wins.ndim - 2), n, n)
    for _ in range(rounds):
        precision, weighted = marginals(wins, messages, prior)
        winner = precision[..., :, None] - messages[0, 0], weighted[..., :, None] - messages[1, 0]
        loser = precision[..., None, :] - messages[0, 1], weighted[..., None, :] - messages[1, 1]
        mean = winner[1] / winner[0], loser[1] / loser[0]
        total = 1 + 1 / winner[0] + 1 / loser[0]
        t = (mean[0] - mean[1]) / np.sqrt(total)
        psi = np.exp(-t * t / 2 - special.log_ndtr(t)) / np.sqrt(2 * np.pi)
        shrink = np.clip(psi * (psi + t), 1e-12, 1 - 1e-9)
        told_precision = shrink / (1 - shrink) / total
        told = (t + psi / shrink) * np.sqrt(total)  # the difference that the answer speaks of
        to_winner = 1 / (1 + 1 / told_precision + 1 / loser[0])
        to_loser = 1 / (1 + 1 / told_precision + 1 / winner[0])
        messages = np.stack(
            [
                np.stack([to_winner, to_loser]),
                np.stack([to_winner * (mean[1] + told), to_loser * (mean[0] - told)]),
            ]
        )
    precision, weighted = marginals(wins, messages, prior)
    return weighted / precision, 1 / precision, messages


def marginals(wins, messages, prior):
    sums = (wins * messages[:, 0]).sum(axis=-1) + (wins * messages[:, 1]).sum(axis=-2)
    return 1 / prior + sums[0], sums[1]


def spanning_tree(gains, rng):
    n = len(gains)
    i, j = np.triu_indices(n, 1)
    cost = np.zeros((n, n))
    # Chance decides between equal pairs; pairs left out come last.
    cost[i, j] = 1 / np.maximum(gains[i, j] * (1 + 1e-9 * rng.random(len(i))), 1e-12)
    return np.column_stack(csgraph.minimum_spanning_tree(cost).nonzero())


def learned(wins, rng, predicted):
    """After LBPS-EIC (S. Mohammadi and J. Ascenso 2024, "Uncertainty-driven sampling for efficient
    pairwise comparison subjective assessment", arXiv:2411.18372), which picks pairs before any
    are judged, by how much a changed answer would change the scale that a network predicts from
    the pictures. The network is stood in for by the truth with noise (correlation 0.9), and the
    quarter of all pairs that matter most, spanning tree first, is asked by turns: a sketch of it,
    not its equal."""
    i, j = learned_order(tuple(predicted))
    asked = (wins + wins.T)[i, j]
    order = np.lexsort((np.arange(len(i)), asked))[: len(wins) - 1]
    return np.column_stack([i, j])[order]


@functools.cache
def learned_order(predicted):
    n = len(predicted)
    i, j = np.triu_indices(n, 1)
    m = len(i)
    p = special.ndtr(np.subtract.outer(predicted, predicted))
    np.fill_diagonal(p, 0)
    changed = np.tile(p, (2, m, 1, 1))
    for side, change in ((0, 0.3), (1, -0.3)):
        changed[side, range(m), i, j] = np.clip(p[i, j] + change, 0, 1)
        changed[side, range(m), j, i] = 1 - changed[side, range(m), i, j]
    mean, covariance = posterior(p)
    after, _ = posterior(changed)
    shift = after - mean
    moved = np.einsum("smi,ij,smj->sm", shift, np.linalg.inv(covariance), shift)
    worth = p[i, j] * moved[0] + p[j, i] * moved[1]
    cost = np.zeros((n, n))
    cost[i, j] = 1 / worth
    tree = csgraph.minimum_spanning_tree(cost).toarray()[i, j] > 0
    best = np.lexsort((-worth, ~tree))[: max(n - 1, m // 4)]
    return i[best], j[best]


OURS = {
    "balanced": balanced,
    "closer, doubt 0": closer(0.0),
    "closer": closer(5.0),
    "closer, doubt 20": closer(20.0),
}
RULES = OURS | {
    "Hybrid-MST": hybrid_mst,
    "ASAP": asap,
    "ASAP, approximate": asap_approximate,
    "LBPS-EIC, sketched": learned,
}


# True scales, and what is measured.


def fitted_scales(share_of_traps_right):
    """One scale an image, in standard deviations of the difference (Thurstone's Case V), the
    original at 0, from annotators who got at least this share of the traps right."""
    path = DATA / "judgments" / "jpeg_ai_ptc"
    path /= "JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["response"] != "skip"]
    traps = defaultdict(list)
    for row in rows:
        if row["is_trap"] == "1":
            worse = "left" if int(row["dlevel_left"]) > int(row["dlevel_right"]) else "right"
            traps[row["worker"]].append(row["response"] == worse)
    wins = defaultdict(lambda: defaultdict(float))
    for row in rows:
        if row["is_trap"] == "1" or row["is_bias"] == "1":
            continue
        if np.mean(traps[row["worker"]]) < share_of_traps_right:
            continue
        left, right = ((row[f"codec_{s}"], int(row[f"dlevel_{s}"])) for s in ("left", "right"))
        closer = {"left": 0.0, "notsure": 0.5, "right": 1.0}[row["response"]]
        wins[row["img_num"]][left, right] += closer
        wins[row["img_num"]][right, left] += 1 - closer
    return [thurstone(table) for _, table in sorted(wins.items())]


def thurstone(table):
    conditions = sorted({condition for pair in table for condition in pair})
    w = np.array([[table.get((a, b), 0.0) for b in conditions] for a in conditions])

    def loss(scores):  # a weak prior, for distances that would be infinite
        return 0.01 * scores @ scores - np.sum(w * special.log_ndtr(scores[:, None] - scores))

    scores = optimize.minimize(loss, np.zeros(len(conditions))).x
    return scores - scores[conditions.index(("0", 0))]


def posterior(wins):
    """Mode (s, n) and covariance (s, n, n) of Bradley-Terry scores of s studies at once."""
    n = wins.shape[-1]
    scores = np.zeros(wins.shape[:-1])
    ridge = np.eye(n) / PRIOR_SD**2
    for _ in range(12):
        difference = scores[..., :, None] - scores[..., None, :]
        up = wins * special.expit(-difference)
        gradient = (up - up.swapaxes(-1, -2)).sum(axis=-1) - scores / PRIOR_SD**2
        weight = (wins + wins.swapaxes(-1, -2)) * special.expit(difference)
        weight *= special.expit(-difference)
        precision = ridge + weight.sum(axis=-1)[..., None] * np.eye(n) - weight
        scores = scores + np.linalg.solve(precision, gradient[..., None])[..., 0]
    return scores, np.linalg.inv(precision)


def study(truths, rule, lapse, runs):
    """Each measure (rounds + 1,), averaged over images and runs."""
    found = [
        measure(truth, simulate(truth, rule, lapse, runs, seed))
        for seed, truth in enumerate(truths)
    ]
    return {key: np.mean([each[key] for each in found], axis=0) for key in MEASURES}


def chances(truth, lapse):
    """(n, n) probability that i is judged closer than j, by Thurstone's Case V with lapses."""
    return (1 - lapse) * special.ndtr(truth[:, None] - truth) + lapse / 2


def simulate(truth, rule, lapse, runs, seed):
    """(rounds + 1, runs, n, n) wins after each round of n - 1 judgments."""
    n = len(truth)
    chance = chances(truth, lapse)
    history = np.zeros((ROUNDS + 1, runs, n, n))
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        predicted = truth + rng.normal(0, truth.std() / 2, n)
        wins = np.zeros((n, n))
        judged = 0
        for number in range(1, ROUNDS + 1):
            while judged < number * (n - 1):
                a, b = rule(wins, rng, predicted).T
                won = rng.random(len(a)) < chance[a, b]
                np.add.at(wins, (np.where(won, a, b), np.where(won, b, a)), 1)
                judged += len(a)
            history[number, run] = wins
    return history


def measure(truth, history):
    """Per round, means over runs: rank correlation, widths of 95 % intervals in log-odds."""
    n = len(truth)
    scores, covariance = posterior(history.reshape(-1, n, n))
    order = np.argsort(truth)
    ranks = stats.rankdata(scores, axis=1) - (n + 1) / 2
    right = stats.rankdata(truth) - (n + 1) / 2
    correlation = ranks @ right / np.sqrt((ranks**2).sum(axis=1) * (right @ right) + 1e-12)
    own = np.diagonal(covariance, axis1=1, axis2=2)
    a, b = order[:-1], order[1:]
    steps = own[:, a] + own[:, b] - 2 * covariance[:, a, b]
    centring = np.eye(n) - 1 / n
    centred = np.diagonal(centring @ covariance @ centring, axis1=1, axis2=2)
    widths = [2 * 1.96 * np.sqrt(variance).mean(axis=1) for variance in (centred, steps)]
    return {
        key: value.reshape(history.shape[:2]).mean(axis=1)
        for key, value in zip(MEASURES, [correlation, *widths], strict=True)
    }


def shares(reference, curve):
    """For each measure, the mean share of the budgets after which it is as good as balanced."""
    row = {}
    for key in MEASURES:
        sign = 1 if key == "rank correlation" else -1
        reached = np.maximum.accumulate(sign * curve[key])
        found = [after(reached, sign * reference[key][budget]) / budget for budget in BUDGETS]
        late = reached[-1] < max(sign * reference[key][budget] for budget in BUDGETS)
        row[key] = f"> {np.mean(found):.2f}" if late else round(float(np.mean(found)), 2)
    return row


def after(reached, aim):
    """The round, interpolated, in which a rising curve reaches the aim; the last if it does not."""
    number = int(np.searchsorted(reached, aim))
    if number > ROUNDS:
        return ROUNDS
    return number - 1 + (aim - reached[number - 1]) / (reached[number] - reached[number - 1])


def least_shares(truths, lapse):
    return {
        key: round(float(np.mean([least_share(t, chances(t, lapse), at) for t in truths])), 2)
        for at, key in enumerate(MEASURES[1:])
    }


def least_share(truth, chance, at):
    """Judgments that the best allocation needs for the same mean interval width, as a share of
    those of equal allocation: widths fall with the root of the number of judgments.

    Multiplicative algorithm for optimal designs (S. D. Silvey, D. M. Titterington and B. Torsney
    1978, "An algorithm for optimal designs on a finite design space", Communications in
    Statistics - Theory and Methods 7, 1379-1389).
    """
    n = len(truth)
    i, j = np.triu_indices(n, 1)
    pair = np.eye(n)[i] - np.eye(n)[j]
    order = np.argsort(truth)
    wanted = (np.eye(n) - 1 / n, np.diff(np.eye(n)[order], axis=0))[at]
    weight = chance[i, j] * chance[j, i]

    def errors(allocation):
        covariance = np.linalg.inv((pair.T * (allocation * weight)) @ pair + 1 / n)
        return covariance, np.sqrt(np.sum(wanted @ covariance * wanted, axis=1))

    allocation = np.full(len(i), 1 / len(i))
    equal = errors(allocation)[1].mean()
    for _ in range(500):
        covariance, sd = errors(allocation)
        slope = weight * np.sum((wanted @ covariance @ pair.T) ** 2 / sd[:, None], axis=0)
        allocation = allocation * np.sqrt(slope)
        allocation /= allocation.sum()
    return (errors(allocation)[1].mean() / equal) ** 2


def speed(name, rule, n=40):
    """Milliseconds for the next batch, of 39 pairs, after 780 judgments of 40 conditions."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 1, n)
    wins = np.triu(rng.random((n, n)) < chances(truth, 0.0), 1).astype(float)
    wins += np.tril(1 - wins.T, -1)
    rule(wins, rng, truth)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        rule(wins, rng, truth)
        took.append((time.perf_counter() - started) * 1000)
    return {"rule": name, "conditions": n, "next batch ms": round(statistics.median(took), 1)}


def draw(curves, path):
    import altair

    names = ["balanced", "closer", "Hybrid-MST", "ASAP"]
    rows = [
        {"rule": name, "measure": key, "round": number, "value": float(value)}
        for name in names
        for key in MEASURES
        for number, value in enumerate(curves[name][key])
        if number >= 5
    ]
    chart = altair.Chart(altair.Data(values=rows)).mark_line(strokeWidth=1.5)
    rule = altair.Color("rule:N", sort=names, scale=altair.Scale(scheme="tableau10"), title=None)
    panels = [
        chart.transform_filter(altair.datum.measure == key)
        .encode(
            x=altair.X("round:Q", title="judgments / (conditions - 1)"),
            y=altair.Y("value:Q", title=key, scale=altair.Scale(zero=False)),
            color=rule,
        )
        .properties(width=260, height=240)
        for key in MEASURES
    ]
    altair.hconcat(*panels).save(path)
