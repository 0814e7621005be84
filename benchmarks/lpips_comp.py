"""What LPIPS-Comp reaches: on simulated observers beside their ceiling, and on people's choices.

    python -m benchmarks.lpips_comp --simulated DATASET --people DATASET [--weights FILE]

DATASET of simulated observers is what benchmarks/simulated_study.py writes; that of people is any
2AFC folder, such as `manage.py import_judgments` makes of mucped23. Printed as tables in Markdown:

1.  On held-out photographs of the simulated study, LPIPS-Comp with and without the component of
    pixel error beside the other metrics, and trained on fewer judgments.
2.  On people's pairs, LPIPS-Comp trained on simulated judgments alone; on people's; and on both,
    people's votes counting PEOPLE_COUNT times. To be fair, people's photographs are cut into
    FOLDS parts, and each is scored by a metric that was trained on the others; "half" is two parts.

--weights trains the metric that comes with Closer, on all of both, and writes it to FILE.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from perceptual.lpips import LpipsComp
    from perceptual.pairs import Dataset, Pair

NAME = "closer-lpips-comp"
PEOPLE_COUNT = 8
FOLDS, SEEDS = 5, 3
FEWER = (100, 300, 1000)


class Bench:
    """Trainings on two datasets, with features and distances kept in a folder."""

    def __init__(self, simulated: Path, people: Path, folder: Path) -> None:
        from evaluation.distances import DistanceStore

        self.simulated, self.people = _read(simulated), _read(people)
        self.folder = folder
        self.distances = DistanceStore(folder / "distances.sqlite3")

    def train(self, pairs: Sequence[Pair], label: str, **settings: Any) -> LpipsComp:
        """On all of these pairs, whatever their split."""
        from perceptual.pairs import TRAIN, Dataset
        from perceptual.training import Settings, train

        dataset = Dataset(self.folder, tuple(replace(pair, split=TRAIN) for pair in pairs))
        chosen = Settings(**settings)
        print(f"training {label} on {len(pairs)} pairs", file=sys.stderr, flush=True)
        return train(
            dataset,
            chosen,
            folder=self.folder / "runs" / f"{label}-{dataset.digest[:12]}-{chosen.seed}",
            name=label,
            features=self.folder / "features.sqlite3",
        ).metric

    def table(self, pairs: Sequence[Pair], metrics: Mapping[str, Any]) -> dict[str, Any]:
        from evaluation.metric_scores import score_table

        return score_table(pairs, metrics, self.distances)

    def credits(self, pairs: Sequence[Pair], metric: LpipsComp) -> np.ndarray:
        """(n,): by features that are kept."""
        from evaluation.metric_scores import credits_of
        from perceptual.components import ComponentStore, table_of

        store = ComponentStore(self.folder / "features.sqlite3")
        seen = table_of(pairs, metric.backbone, store)[:, :, 0, : len(metric.weight)]
        return credits_of(pairs, (seen @ metric.weight).double().numpy())


def _read(folder: Path) -> Dataset:
    """A dataset whose photographs are called by their pixels, as versions call them."""
    from evaluation.retraining import by_pixels
    from perceptual.pairs import read_dataset

    found = read_dataset(folder)
    return replace(found, pairs=tuple(by_pixels(found.pairs, folder)))


def counted(pairs: Sequence[Pair], times: int) -> list[Pair]:
    """The pairs with each vote as so many."""
    return [replace(pair, votes=times * (pair.votes or 1)) for pair in pairs]


# --- simulated observers --------------------------------------------------------------------------


def on_simulated(bench: Bench) -> Iterator[str]:
    """The tables of what is held out of the simulated study."""
    fitted, held_out = bench.simulated.train, bench.simulated.val
    with_psnr = bench.train(fitted, "LPIPS-Comp")
    metrics = others() | {
        "LPIPS-Comp": with_psnr,
        "LPIPS-Comp without PSNR": bench.train(fitted, "LPIPS-Comp without PSNR", with_psnr=False),
    }
    table = bench.table(held_out, metrics)
    votes = sum(pair.votes or 0 for pair in fitted)
    yield (
        f"{votes} simulated judgments of {len(fitted)} pairs to train on, of "
        f"{len({pair.content for pair in fitted})} photographs; held out are {len(held_out)} pairs "
        f"of {table['n_contents']} others"
    )
    yield from markdown(table)
    yield from against(bench, held_out, metrics, "LPIPS-Comp", "LPIPS-Comp without PSNR")
    yield "\nTrained on fewer:"
    rng = np.random.default_rng(0)
    fewer = {}
    for count in FEWER:
        chosen = rng.permutation(len(fitted))[:count]
        some = [fitted[number] for number in sorted(chosen.tolist())]
        judgments = sum(pair.votes or 0 for pair in some)
        fewer[f"{judgments} judgments"] = bench.train(some, f"LPIPS-Comp on {judgments}")
    fewer[f"{votes} judgments"] = with_psnr
    yield from markdown(bench.table(held_out, {"psnr": others()["psnr"], **fewer}))


def others() -> dict[str, Any]:
    """The metrics that can run here but for the default LPIPS-Comp, which has seen this data."""
    from perceptual.metric import Metric, availability

    reasons = availability()
    return {name: Metric.load(name) for name in reasons if not reasons[name] and name != NAME}


# --- people ---------------------------------------------------------------------------------------


def on_people(bench: Bench) -> Iterator[str]:
    """The table of people's pairs."""
    from evaluation.distances import distances
    from evaluation.metric_scores import How, credits_of, mean_over_contents

    pairs = bench.people.pairs
    contents = [pair.content for pair in pairs]
    table = bench.table(pairs, others())
    yield f"{len(pairs)} pairs of {table['n_contents']} photographs, judged by people"
    yield from markdown(table)
    psnr = credits_of(pairs, distances(pairs, others()["psnr"], bench.distances))
    rows = {"simulated": bench.credits(pairs, bench.train(bench.simulated.pairs, "simulated"))}
    for parts, word in ((2, "half"), (FOLDS, f"{FOLDS - 1} of {FOLDS}")):
        rows[f"people, {word}"] = crossed(bench, parts)
        rows[f"simulated and people, {word}"] = crossed(bench, parts, bench.simulated.pairs)
    last = f"simulated and people, {FOLDS - 1} of {FOLDS}, without PSNR"
    rows[last] = crossed(bench, FOLDS, bench.simulated.pairs, with_psnr=False)
    yield "\n| LPIPS-Comp trained on | 2AFC score | against PSNR |"
    yield "|---|---|---|"
    for label, credit in rows.items():
        score = mean_over_contents(credit, contents, How())
        difference = mean_over_contents(credit - psnr, contents, How())
        yield f"| {label} | {_estimate(score)} | {_estimate(difference, sign='+')} |"


def crossed(bench: Bench, parts: int, also: Sequence[Pair] = (), **settings: Any) -> np.ndarray:
    """(n,): the credit of each of people's pairs by metrics that saw nothing of its photograph;
    the mean over several ways to cut photographs into parts."""
    pairs = bench.people.pairs
    contents = sorted({pair.content for pair in pairs})
    found = np.zeros((SEEDS, len(pairs)))
    for seed in range(SEEDS):
        part = np.random.default_rng(seed).permutation(len(contents)) % parts
        part_of = dict(zip(contents, part.tolist(), strict=True))
        for number in range(parts):
            seen = [pair for pair in pairs if part_of[pair.content] != number]
            unseen = [i for i, pair in enumerate(pairs) if part_of[pair.content] == number]
            kind = "both" if also else "people"
            label = f"{kind}-without-{number + 1}-of-{parts}"
            trained = [*counted(seen, PEOPLE_COUNT if also else 1), *also]
            metric = bench.train(trained, label, seed=seed, **settings)
            found[seed, unseen] = bench.credits([pairs[i] for i in unseen], metric)
    return found.mean(0)


# --- tables ---------------------------------------------------------------------------------------


def markdown(table: Mapping[str, Any]) -> Iterator[str]:
    yield "\n| metric | 2AFC score | against PSNR |"
    yield "|---|---|---|"
    differences = {each["name"]: each for each in table["differences"]}
    for each in sorted(table["metrics"], key=lambda each: -(each["score"] or 0)):
        difference = differences.get(each["name"])
        yield (
            f"| {each['name'] if each['name'].startswith('LPIPS') else each['label']} | "
            f"{_interval(each, 'score')} | "
            f"{_interval(difference, 'difference', sign='+') if difference else ''} |"
        )
    if ceiling := table["human_ceiling"]:
        what = f"one against another, {ceiling['n_pairs']} pairs"
        yield f"| *{what}* | {_interval(ceiling, 'score')} | |"


def against(bench: Bench, pairs, metrics: Mapping, one: str, other: str) -> Iterator[str]:
    from evaluation.metric_scores import How, mean_over_contents

    a, b = (bench.credits(pairs, metrics[name]) for name in (one, other))
    difference = mean_over_contents(a - b, [pair.content for pair in pairs], How())
    yield f"\n{one} less {other}: {_estimate(difference, sign='+')} points"


def _interval(values: Mapping, name: str, sign: str = "") -> str:
    form = f"{sign}.1f"
    if values["low"] is None:
        return f"{values[name]:{form}}"
    return f"{values[name]:{form}} [{values['low']:{form}}, {values['high']:{form}}]"


def _estimate(found, sign: str = "") -> str:
    values = {"value": found.value, "low": found.low, "high": found.high}
    return _interval({name: 100 * each for name, each in values.items()}, "value", sign)


# --- the metric that comes with Closer ------------------------------------------------------------


def make_default(bench: Bench, file: Path) -> None:
    """Train on all of both, and write the metric, with what its version's page shows of it."""
    from evaluation.retraining import training_provenance
    from perceptual.lpips import to_bytes

    people, simulated = bench.people.pairs, bench.simulated.pairs
    metric = bench.train([*counted(people, PEOPLE_COUNT), *simulated], NAME)
    by_people, by_program = (
        sum(pair.votes or 0 for pair in pairs) for pairs in (people, simulated)
    )
    seen = {name: value for name, value in metric.card.trained_on.items() if name != "votes"}
    about = {
        "folder": "benchmarks/simulated_study.py on CID22 and mucped23",
        "script": "benchmarks/lpips_comp.py",
        "judgments": by_people + by_program,
        "judgments_by_people": by_people,
        "people_count": PEOPLE_COUNT,
        "digests": {"people": bench.people.digest, "simulated": bench.simulated.digest},
        "provenance": training_provenance(),
    }
    metric.card = replace(metric.card, trained_on=seen | about)
    file.write_bytes(to_bytes(metric))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lpips_comp", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--simulated", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--people", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument(
        "--keep", type=Path, required=True, metavar="FOLDER", help="for features and distances"
    )
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    bench = Bench(options.simulated, options.people, options.keep)
    if options.weights:
        make_default(bench, options.weights)
    for line in (*on_simulated(bench), "", *on_people(bench)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
