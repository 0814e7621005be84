"""What LPIPS-Comp reaches: on simulated observers beside their ceiling, and on people's choices.

    python -m benchmarks.lpips_comp --simulated DATASET --fine DATASET --people DATASET
        --keep FOLDER [--weights FILE]

DATASET of simulated observers is what benchmarks/simulated_study.py writes, without and with its
--fine; that of people is any 2AFC folder, such as `manage.py import_judgments` makes of mucped23.
Printed as tables in Markdown:

1.  Of the simulated study: LPIPS-Comp with and without the component of pixel error, and trained
    on fewer pairs, beside the other metrics.
2.  Of people's pairs: LPIPS-Comp trained on simulated judgments alone; on people's; and on both,
    people's votes counting PEOPLE_COUNT times and those of the fine study FINE_COUNT times.

All photographs are held out once: they are cut into FOLDS parts (or halves), and each is scored by
a metric that was trained on the others. No photograph is in two of the datasets.

--weights trains the metric that comes with Closer, on all of them, and writes it to FILE. It is to
serve for pictures and distortions that no dataset has, so its weights are pulled more strongly to
where all layers and channels count alike, and there is no component of pixel error (SHIPPED).
"""

from __future__ import annotations

import argparse
import hashlib
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
PEOPLE_COUNT, FINE_COUNT = 8, 4
SHIPPED = {"decay": 1000.0, "with_psnr": False}
AS_SHIPPED = "set as the one that comes with Closer"
FOLDS = 5
FEWER = (100, 300, 1000)


class Bench:
    """Trainings on two datasets, with features and distances kept in a folder."""

    def __init__(self, simulated: Path, fine: Path, people: Path, folder: Path) -> None:
        from evaluation.distances import DistanceStore

        self.simulated, self.fine, self.people = map(_read, (simulated, fine, people))
        self.folder = folder
        self.distances = DistanceStore(folder / "distances.sqlite3")

    def train(self, pairs: Sequence[Pair], label: str, **settings: Any) -> LpipsComp:
        """On all of these pairs, whatever their split."""
        from perceptual.pairs import TRAIN, Dataset
        from perceptual.training import Settings, train

        dataset = Dataset(self.folder, tuple(replace(pair, split=TRAIN) for pair in pairs))
        chosen = Settings(**settings)
        run = hashlib.sha256(f"{dataset.digest} {chosen}".encode()).hexdigest()[:16]
        print(f"training {label} on {len(pairs)} pairs", file=sys.stderr, flush=True)
        return train(
            dataset,
            chosen,
            folder=self.folder / "runs" / f"{label}-{run}",
            name=label,
            features=self.folder / "features.sqlite3",
        ).metric

    @property
    def by_program(self) -> list[Pair]:
        """The pairs of both simulated studies."""
        return [*counted(self.fine.pairs, FINE_COUNT), *self.simulated.pairs]

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
    """The tables of the simulated study: each photograph is scored by a metric that was trained on
    the others."""
    from evaluation.distances import distances
    from evaluation.metric_scores import credits_of

    pairs = bench.simulated.pairs
    metrics = others()
    table = bench.table(pairs, metrics)
    judgments = sum(pair.votes or 0 for pair in pairs)
    yield (
        f"{len(pairs)} pairs of {table['n_contents']} photographs, {judgments} judgments by "
        f"simulated observers; LPIPS-Comp is trained on {FOLDS - 1} in {FOLDS} photographs and "
        "scored on the others"
    )
    credits_of_psnr = credits_of(pairs, distances(pairs, metrics["psnr"], bench.distances))
    rows = {
        "LPIPS-Comp": crossed(bench, pairs, FOLDS),
        "LPIPS-Comp without PSNR": crossed(bench, pairs, FOLDS, with_psnr=False),
        f"LPIPS-Comp, {AS_SHIPPED}": crossed(
            bench, pairs, FOLDS, counted(bench.fine.pairs, FINE_COUNT), **SHIPPED
        ),
    }
    for count in FEWER:
        rows[f"LPIPS-Comp, of {count} pairs"] = crossed(bench, pairs, FOLDS, most=count)
    yield from markdown(table, pairs, rows, credits_of_psnr)
    both = rows["LPIPS-Comp"] - rows["LPIPS-Comp without PSNR"]
    yield f"\nWhat PSNR adds: {_mean(both, pairs, sign='+')} points"


def others() -> dict[str, Any]:
    """The metrics that can run here but for the default LPIPS-Comp, which has seen this data."""
    from perceptual.metric import Metric, availability

    reasons = availability()
    return {name: Metric.load(name) for name in reasons if not reasons[name] and name != NAME}


# --- people ---------------------------------------------------------------------------------------


def on_people(bench: Bench) -> Iterator[str]:
    """The table of people's pairs."""
    from evaluation.distances import distances
    from evaluation.metric_scores import credits_of

    pairs, by_program = bench.people.pairs, bench.by_program
    metrics = others()
    table = bench.table(pairs, metrics)
    yield f"{len(pairs)} pairs of {table['n_contents']} photographs, judged by people"
    credits_of_psnr = credits_of(pairs, distances(pairs, metrics["psnr"], bench.distances))
    rows = {
        f"LPIPS-Comp, {word}": bench.credits(pairs, bench.train(seen, "simulated"))
        for word, seen in {
            "simulated": by_program,
            "simulated, of 0.23 to 1.0 bpp alone": bench.simulated.pairs,
            "simulated, of 1.0 to 2.8 bpp alone": bench.fine.pairs,
        }.items()
    }
    for parts, word in ((2, "half of people's"), (FOLDS, f"{FOLDS - 1} in {FOLDS} of people's")):
        rows[f"LPIPS-Comp, {word}"] = crossed(bench, pairs, parts)
        weighted = counted(pairs, PEOPLE_COUNT)
        rows[f"LPIPS-Comp, simulated and {word}"] = crossed(bench, weighted, parts, by_program)
    shipped = crossed(bench, weighted, FOLDS, by_program, **SHIPPED)
    rows[f"LPIPS-Comp, simulated and {word}, {AS_SHIPPED}"] = shipped
    yield from markdown(table, pairs, rows, credits_of_psnr)


# --- crossed --------------------------------------------------------------------------------------


def crossed(
    bench: Bench,
    pairs: Sequence[Pair],
    parts: int,
    also: Sequence[Pair] = (),
    *,
    most: int | None = None,
    **settings: Any,
) -> np.ndarray:
    """(n,): the credit of each pair by metrics that saw nothing of its photograph.

    Photographs are cut into so many parts; each is scored by a metric that was trained on the
    others, and on `also`.

    most : of the pairs that are trained on, so many, drawn.
    """
    contents = sorted({pair.content for pair in pairs})
    rng = np.random.default_rng(0)
    part = rng.permutation(len(contents)) % parts
    part_of = dict(zip(contents, part.tolist(), strict=True))
    found = np.zeros(len(pairs))
    for number in range(parts):
        seen = [pair for pair in pairs if part_of[pair.content] != number]
        if most:
            seen = [seen[i] for i in rng.permutation(len(seen))[:most]]
        unseen = [i for i, pair in enumerate(pairs) if part_of[pair.content] == number]
        metric = bench.train([*seen, *also], f"{number + 1}-of-{parts}", **settings)
        found[unseen] = bench.credits([pairs[i] for i in unseen], metric)
    return found


# --- tables ---------------------------------------------------------------------------------------


def markdown(
    table: Mapping[str, Any],
    pairs: Sequence[Pair],
    rows: Mapping[str, np.ndarray],
    psnr: np.ndarray,
) -> Iterator[str]:
    """A score table with rows more, each of credits (n,)."""
    yield "\n| metric | 2AFC score | against PSNR |"
    yield "|---|---|---|"
    differences = {each["name"]: each for each in table["differences"]}
    lines = [
        (each["score"], each["label"], _interval(each, "score"), differences.get(each["name"]))
        for each in table["metrics"]
        if each["score"] is not None
    ]
    found = [
        (score, label, interval, _interval(apart, "difference", sign="+") if apart else "")
        for score, label, interval, apart in lines
    ]
    for label, credit in rows.items():
        score, apart = _mean(credit, pairs), _mean(credit - psnr, pairs, sign="+")
        found.append((100 * float(credit.mean()), label, score, apart))
    for _, *cells in sorted(found, reverse=True):
        yield f"| {' | '.join(cells)} |"
    if ceiling := table["human_ceiling"]:
        what = f"one against another, {ceiling['n_pairs']} pairs"
        yield f"| *{what}* | {_interval(ceiling, 'score')} | |"


def _mean(values: np.ndarray, pairs: Sequence[Pair], sign: str = "") -> str:
    from evaluation.metric_scores import How, mean_over_contents

    found = mean_over_contents(values, [pair.content for pair in pairs], How())
    bounds = {"value": found.value, "low": found.low, "high": found.high}
    in_percent = {name: None if each is None else 100 * each for name, each in bounds.items()}
    return _interval(in_percent, "value", sign)


def _interval(values: Mapping, name: str, sign: str = "") -> str:
    form = f"{sign}.1f"
    if values["low"] is None:
        return f"{values[name]:{form}}"
    return f"{values[name]:{form}} [{values['low']:{form}}, {values['high']:{form}}]"


# --- the metric that comes with Closer ------------------------------------------------------------


def make_default(bench: Bench, file: Path) -> None:
    """Train on all of it, and write the metric, with what its version's page shows of it."""
    from evaluation.provenance import training_provenance
    from perceptual.lpips import to_bytes

    parts = {"people": bench.people, "simulated": bench.simulated, "simulated-fine": bench.fine}
    judgments = {name: sum(pair.votes or 0 for pair in part.pairs) for name, part in parts.items()}
    pairs = [*counted(bench.people.pairs, PEOPLE_COUNT), *bench.by_program]
    metric = bench.train(pairs, NAME, **SHIPPED)
    seen = {name: value for name, value in metric.card.trained_on.items() if name != "votes"}
    about = {
        "folder": "benchmarks/simulated_study.py on CID22 and mucped23",
        "script": "benchmarks/lpips_comp.py",
        "judgments": sum(judgments.values()),
        "judgments_by_people": judgments["people"],
        "counted": {"people": PEOPLE_COUNT, "simulated-fine": FINE_COUNT},
        "digests": {name: part.digest for name, part in parts.items()},
        "provenance": training_provenance(),
    }
    metric.card = replace(metric.card, trained_on=seen | about)
    file.write_bytes(to_bytes(metric))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lpips_comp", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--simulated", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--fine", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--people", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument(
        "--keep", type=Path, required=True, metavar="FOLDER", help="for features and distances"
    )
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    bench = Bench(options.simulated, options.fine, options.people, options.keep)
    if options.weights:
        make_default(bench, options.weights)
    for line in (*on_simulated(bench), "", *on_people(bench)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
