import numpy as np
import pytest

from evaluation.statistics import Comparisons, NotIdentified
from evaluation.statistics.repeats import repeat_agreement, repeat_counts


def rng(seed=7):
    return np.random.default_rng(seed)


def random_comparisons(seed, m=200, conditions="abc"):
    source = rng(seed)
    pairs = np.array([source.permutation(list(conditions))[:2] for _ in range(m)])
    return Comparisons.from_columns(
        annotator=source.choice(["ann", "bob", "eve", "kim"], m).tolist(),
        content=source.choice([f"kodim{i:02}" for i in range(1, 9)], m).tolist(),
        stratum=source.choice(["0.23", "0.37"], m).tolist(),
        left=pairs[:, 0].tolist(),
        right=pairs[:, 1].tolist(),
        chosen=source.choice(["left", "right", "tie"], m, p=[0.5, 0.3, 0.2]).tolist(),
    )


def test_a_repeat_is_alike_whichever_side_the_chosen_was_on():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("ann", "kodim01", "0.23", "webp", "jpeg", "right"),
        ("ann", "kodim01", "0.37", "jpeg", "webp", "right"),  # another stratum: another question
        ("bob", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("bob", "kodim01", "0.23", "jpeg", "webp", "tie"),
        ("bob", "kodim01", "0.23", "webp", "jpeg", "tie"),
        ("eve", "kodim01", "0.23", "jpeg", "webp", "left"),
    ]
    comparisons = Comparisons.from_rows(rows)
    pairs, alike = repeat_counts(comparisons)
    assert (pairs.tolist(), alike.tolist()) == ([1, 3, 0], [1, 1, 0])
    estimate = repeat_agreement(comparisons, rng=rng())
    assert (estimate.value, estimate.n, estimate.low) == (0.5, 4, None)
    assert estimate.reason == "an interval over annotators needs 8 of them, and there are 2"


@pytest.mark.parametrize("seed", range(3))
def test_repeats_are_those_that_a_search_through_all_pairs_finds(seed):
    c = random_comparisons(seed)
    pairs, alike = np.zeros(4, int), np.zeros(4, int)
    for i in range(len(c.outcome)):
        for j in range(i):
            same = (c.annotator[i], c.content[i], c.stratum[i]) == (
                c.annotator[j],
                c.content[j],
                c.stratum[j],
            )
            if same and {c.a[i], c.b[i]} == {c.a[j], c.b[j]}:
                turned = c.outcome[j] if c.a[i] == c.a[j] else 1 - c.outcome[j]
                pairs[c.annotator[i]] += 1
                alike[c.annotator[i]] += c.outcome[i] == turned
    found = repeat_counts(c)
    assert (found[0].tolist(), found[1].tolist()) == (pairs.tolist(), alike.tolist())


def test_a_row_is_one_judgment_whatever_its_weight():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("ann", "kodim01", "0.23", "webp", "jpeg", "left"),
        ("bob", "kodim01", "0.23", "jpeg", "webp", "left"),
    ]
    pairs, alike = repeat_counts(Comparisons.from_rows(rows, weight=[3, 2, 5]))
    assert (pairs.tolist(), alike.tolist()) == ([1, 0], [0, 0])


def test_a_row_of_weight_zero_is_no_repeat():
    rows = [("ann", "kodim01", "0.23", "jpeg", "webp", "left")] * 3
    pairs, alike = repeat_counts(Comparisons.from_rows(rows, weight=[1, 0, 1]))
    assert (pairs.tolist(), alike.tolist()) == ([1], [1])


def test_eight_annotators_with_repeats_have_an_interval_and_seven_have_not():
    rows = [
        (f"p{k}", "kodim01", "0.23", "jpeg", "webp", chosen)
        for k in range(8)
        for chosen in ("left", ("left", "right")[k % 2])
    ]
    rows.append(("never again", "kodim01", "0.23", "jpeg", "webp", "left"))
    estimate = repeat_agreement(Comparisons.from_rows(rows), rng=rng())
    assert estimate.low < estimate.value == 0.5 < estimate.high
    estimate = repeat_agreement(Comparisons.from_rows(rows[2:]), rng=rng())
    assert estimate.reason == "an interval over annotators needs 8 of them, and there are 7"


def test_repeat_agreement_has_an_interval_over_annotators():
    source = rng(4)
    rows = [
        (
            f"p{k}",
            f"kodim{i}",
            "0.23",
            "jpeg",
            "webp",
            source.choice(["left", "right"], p=[p, 1 - p]),
        )
        for k, p in enumerate(source.uniform(0.5, 1, size=30))
        for i in range(10)
        for _ in range(2)
    ]
    estimate = repeat_agreement(Comparisons.from_rows(rows), rng=rng())
    assert estimate.n == 300
    assert 0.5 < estimate.low < estimate.value < estimate.high < 0.8


def test_without_repeats_there_is_no_repeat_agreement():
    rows = [("ann", "kodim01", "0.23", "jpeg", "webp", "left")]
    for comparisons in (Comparisons.from_rows(rows), Comparisons.from_rows([])):
        with pytest.raises(NotIdentified, match="the same question twice"):
            repeat_agreement(comparisons, rng=rng())
