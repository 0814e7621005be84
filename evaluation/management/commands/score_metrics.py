import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from evaluation.distances import distance_store
from evaluation.labels import agreement_label, stratum_title
from evaluation.management.whole_file import write_whole
from evaluation.metric_plots import metric_score_plot
from evaluation.metric_scores import (
    ALL,
    SPLIT_CHOICES,
    How,
    NoSuchPairs,
    pairs_to_score,
    score_table,
)
from evaluation.metric_versions import (
    UnknownVersion,
    VersionUnavailable,
    in_service,
    load_version,
    metric_of,
    versions,
)
from evaluation.provenance import provenance
from perceptual.metric import Metric, MetricUnavailable, UnknownMetric, availability, metric_names
from perceptual.pairs import InvalidDataset, read_dataset

MOST_CODEC_PAIRS = 6
"""Shown as text; `--json` has them all."""
SECONDS_BETWEEN = 10.0  # of two lines that tell how far it is


class Command(BaseCommand):
    help = (
        "The 2AFC score of metrics on a dataset, beside the human ceiling of the same pairs "
        "(docs/metrics.md)."
    )
    requires_system_checks = []
    told = -SECONDS_BETWEEN

    def add_arguments(self, parser):
        parser.add_argument(
            "--dataset", type=Path, required=True, metavar="FOLDER", help="a 2AFC dataset"
        )
        parser.add_argument(
            "--metric",
            action="append",
            default=[],
            metavar="NAME",
            help="a metric's name, a .safetensors file, or a version of LPIPS-Comp; may be given "
            "several times (default: all metrics, and the version in service)",
        )
        parser.add_argument(
            "--split",
            choices=SPLIT_CHOICES,
            default=ALL,
            help="the pairs that count: by default all; for a metric that was trained on this "
            "dataset only val is a fair test",
        )
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--people", action="store_true", help="only what people judged")
        kind.add_argument(
            "--simulated", action="store_true", help="only what simulated annotators judged"
        )
        parser.add_argument("--confidence", type=float, default=How.confidence)
        parser.add_argument("--seed", type=int, default=How.seed, help="of the bootstraps")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--plot", type=Path, metavar="FILE.svg")

    def handle(self, *, dataset, metric, split, confidence, seed, **options):
        if not 0 < confidence < 1:
            raise CommandError("--confidence takes a share between 0 and 1, such as 0.95")
        if seed < 0:
            raise CommandError("--seed takes a whole number from 0 on")
        metrics, unavailable = find_metrics(metric)
        simulated = options["simulated"] if options["simulated"] or options["people"] else None
        try:
            found = read_dataset(dataset)
            pairs = pairs_to_score(found, split=split, simulated=simulated)
            table = score_table(
                pairs,
                metrics,
                distance_store(),
                unavailable=unavailable,
                how=How(confidence, seed),
                progress=self.tell,
            )
        except (InvalidDataset, NoSuchPairs, OSError) as error:
            raise CommandError(str(error)) from None
        versions = {name: each.digest for name, each in metrics.items()}
        table["provenance"] = {
            **provenance(),
            "dataset": {"folder": dataset.name, "digest": found.digest, "split": split},
            "metrics": versions,
        }
        if options["plot"]:
            self.write_plot(options["plot"], table)
        if options["json"]:
            self.stdout.write(json.dumps(table, indent=2, allow_nan=False))
        else:
            for line in lines(table):
                self.stdout.write(line)

    def tell(self, label, done, total):
        now = time.monotonic()
        if done == total or now - self.told > SECONDS_BETWEEN:
            self.stderr.write(f"{label}: {done} of {total} distances")
            self.told = now

    def write_plot(self, path, table):
        picture = metric_score_plot(table)
        if picture is None:
            raise CommandError("There is nothing to plot: no metric has a score")
        write_whole(path, picture.encode(), what="The plot")
        self.stderr.write(f"Plot: {path}")


def find_metrics(names: Sequence[str]) -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics by name, and why others cannot run here.

    Of those that are asked for each must run: CommandError says why one does not. No names mean
    all there are, and the version of LPIPS-Comp in service here.
    """
    if names:
        return {name: _find(name) for name in dict.fromkeys(names)}, {}
    unavailable = {name: reason for name, reason in availability().items() if reason}
    found = {name: Metric.load(name) for name in metric_names() if name not in unavailable}
    with suppress(OperationalError):  # a folder can be scored without the database
        if version := in_service():
            try:
                found[version.name] = metric_of(version)
            except VersionUnavailable as error:
                unavailable[version.name] = str(error)
    return found, unavailable


def _find(name: str) -> Metric:
    try:
        return Metric.load(name)
    except UnknownMetric as unknown:
        try:
            return load_version(name)
        except OperationalError:
            raise CommandError(
                f"{unknown}; whether a version is called so cannot be asked: no database answers"
            ) from None
        except UnknownVersion:
            known = ", ".join(versions()) or "none yet"
            raise CommandError(f"{unknown}; and versions of LPIPS-Comp: {known}") from None
        except VersionUnavailable as error:
            raise CommandError(str(error)) from None
    except (MetricUnavailable, ValueError, OSError) as error:
        raise CommandError(str(error)) from None


def lines(table: Mapping) -> Iterator[str]:
    """The table for a terminal."""
    kind = "simulated annotators" if table["simulated"] else "people"
    yield f"{_counted(table)}, judged by {kind}; {table['confidence']:.0%} intervals"
    yield from _summary(table, is_simulated=table["simulated"])
    for stratum, values in table["strata"].items():
        yield f"\n{stratum_title(stratum)}: {_counted(values)}"
        yield from _summary(values, is_simulated=table["simulated"], is_part=True)
    for subset, values in table["subsets"].items() if len(table["subsets"]) > 1 else ():
        yield f"\n{subset}: {_counted(values)}"
        yield from _summary(values, is_simulated=table["simulated"], is_part=True)
    most = sorted(table["codec_pairs"], key=lambda each: -each["n_pairs"])
    for values in most[:MOST_CODEC_PAIRS] if len(most) > 1 else ():
        yield f"\n{values['a']} against {values['b']}: {_counted(values)}"
        yield from _summary(values, is_simulated=table["simulated"], is_part=True)
    if len(most) > MOST_CODEC_PAIRS:
        yield f"\n{len(most) - MOST_CODEC_PAIRS} more pairs of codecs: --json has them all"


def _counted(values: Mapping) -> str:
    return f"{values['n_pairs']} pairs of {values['n_contents']} source images"


def _summary(values: Mapping, *, is_simulated: bool, is_part: bool = False) -> Iterator[str]:
    ceiling = agreement_label("human_ceiling", is_simulated=is_simulated)
    if values["human_ceiling"] is None:
        yield f"  {ceiling}: cannot be had ({values['reason']})"
    else:
        yield f"  {ceiling}: {_interval(values['human_ceiling'], 'score')}"
    scored = [each for each in values["metrics"] if each["score"] is not None]
    differences = {each["name"]: each for each in values["differences"]}
    width = max((len(each["label"]) for each in scored), default=0)
    for each in sorted(scored, key=lambda each: -each["score"]):
        line = f"  {each['label']:{width}}  {_interval(each, 'score')}"
        if difference := differences.get(each["name"]):
            line += f"  against PSNR {_interval(difference, 'difference', signed=True)}"
        yield line
    for each in values["metrics"]:
        if each["score"] is None and not is_part:
            yield f"  {each['label']}: no score ({each['reason']})"


def _interval(values: Mapping, name: str, *, signed: bool = False) -> str:
    form = "+.1f" if signed else ".1f"
    value = f"{values[name]:{form}}{' points' if signed else ' %'}"
    if values["low"] is None:
        return value if signed else f"{value} (no interval: {values['reason']})"
    return f"{value} [{values['low']:{form}}, {values['high']:{form}}]"
