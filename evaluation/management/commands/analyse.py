import json
from collections.abc import Iterator
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from evaluation.analysis import analyse_file, analyse_study
from evaluation.labels import agreement_label, stratum_title
from evaluation.management.study_argument import find_study
from evaluation.management.whole_file import write_whole
from evaluation.models import PEOPLE, PILOT, SIMULATED
from evaluation.reports import report_html
from evaluation.statistics import InvalidComparisons, read_judgments
from evaluation.statistics.options import CLUSTERS, GROUPINGS, MODELS, SCREENS, Options
from evaluation.statistics.reading import FORMATS

MOST_SHOWN = 20
"""Malformed rows told on stderr; `--json` and the report have them all."""


class Command(BaseCommand):
    help = (
        "Preferences, scales, agreement and screening per stratum, of a study or of a file of "
        "comparisons or rankings (docs/analysis.md)."
    )

    def add_arguments(self, parser):
        parser.add_argument("study", nargs="?", metavar="STUDY")
        parser.add_argument("--comparisons", type=Path, metavar="FILE.csv")
        parser.add_argument("--format", choices=("auto", *FORMATS), default="auto")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument(
            "--people", action="store_true", help="people's judgments (a study's are)"
        )
        kind.add_argument("--simulated", action="store_true", help="simulated judgments instead")
        kind.add_argument("--pilot", action="store_true", help="those of a study's pilot instead")
        parser.add_argument("--confidence", type=float, default=0.95)
        parser.add_argument("--model", choices=MODELS, default=Options.model, help="of scales")
        parser.add_argument(
            "--clusters",
            choices=CLUSTERS,
            default=Options.clusters,
            help="what scores' intervals allow for",
        )
        parser.add_argument("--by", choices=GROUPINGS, default=Options.by, help="results of each")
        parser.add_argument(
            "--screen", choices=SCREENS, default=Options.screen, help="careless annotators"
        )
        parser.add_argument("--seed", type=int, default=Options.seed, help="of the bootstraps")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--html", type=Path, metavar="REPORT.html", help="one file, offline")

    def handle(self, *, study, comparisons, confidence, **options):
        if (study is None) == (comparisons is None):
            raise CommandError("Name a study, or a file with --comparisons")
        if not 0 < confidence < 1:
            raise CommandError("--confidence takes a share between 0 and 1, such as 0.95")
        if options["seed"] < 0:
            raise CommandError("--seed takes a whole number from 0 on")
        wanted = {name: options[name] for name in ("model", "clusters", "by", "screen", "seed")}
        how = Options(confidence=confidence, **wanted)
        if comparisons and options["pilot"]:
            raise CommandError("A pilot is a study's: --comparisons has none")
        if comparisons:
            result = self.of_file(comparisons, how, **options)
        else:
            result = self.of_study(study, how, **options)
        if options["html"]:
            if result["counts"]["judgments"] is None:
                raise CommandError(f"There is no report: {result['counts']['judgments_reason']}")
            self.write_report(options["html"], result, comparisons or study, **options)
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=2, allow_nan=False))
        else:
            for line in tables(result, is_simulated=options["simulated"]):
                self.stdout.write(line)

    def of_file(self, path, how, *, people, simulated, **options):
        kind = simulated if simulated or people else None
        try:
            judgments = read_judgments(path, format=options["format"], simulated=kind)
        except (InvalidComparisons, OSError) as error:
            raise CommandError(str(error)) from None
        if judgments.malformed:
            self.stderr.write(
                f"{len(judgments.malformed)} of {judgments.n_rows} rows are malformed and left out:"
            )
            for each in judgments.malformed[:MOST_SHOWN]:
                self.stderr.write(f"  {each}")
            if len(judgments.malformed) > MOST_SHOWN:
                self.stderr.write("  ... --json lists them all")
        for cause, n in judgments.set_aside.items():
            self.stderr.write(f"{n} rows are set aside: {cause}")
        return analyse_file(judgments, name=path.name, options=how)

    def of_study(self, name, how, *, simulated, pilot, **options):
        found = find_study(name)
        if pilot:
            if found.pilot is None:
                raise CommandError(f"{found.name} has no pilot")
            return analyse_study(found, population=PILOT, options=how)
        population = SIMULATED if simulated else PEOPLE
        counts = found.judgment_counts()
        if not counts[population] and any(counts.values()):
            self.stderr.write(
                f"There are {counts[SIMULATED]} simulated judgments: --simulated shows them"
                if population == PEOPLE
                else f"There are {counts[PEOPLE]} judgments by people: leave out --simulated"
            )
        return analyse_study(found, population=population, options=how)

    def write_report(self, path, result, of, *, simulated, **options):
        title = of.stem if isinstance(of, Path) else result["provenance"]["study"]
        study = None if isinstance(of, Path) else find_study(of)
        page = report_html(result, title=title, is_simulated=simulated, study=study)
        write_whole(path, page.encode("utf-8", "replace"), what="The report")
        self.stderr.write(f"Report: {path}")


def tables(result: dict, *, is_simulated: bool) -> Iterator[str]:
    """The results as lines for a terminal."""
    kind = "simulated judgments" if is_simulated else "judgments"
    for stratum, values in result["strata"].items():
        if "n_shares" in values:
            yield from _shares(stratum, values)
            continue
        yield f"\n{stratum_title(stratum)}: {values['n_judgments']} {kind}"
        for each in values.get("missed", []):
            yield (
                f"  {each['condition']} missed the target in {each['n']} of {each['of']}: "
                f"{each['lowest_bpp']:.3f} to {each['highest_bpp']:.3f} bpp"
            )
        yield from _conditions(values)
        if values["scale_reason"]:
            yield f"  no scale: {values['scale_reason']}"
        else:
            yield from _told(values["scale_fit"])
        yield from _of_rankings(values)
        for name, estimate in values["agreement"].items():
            if estimate["value"] is not None or name == "human_ceiling":
                label = agreement_label(name, is_simulated=is_simulated)
                yield f"  {label}: {_estimate(estimate)}"
        for by in ("content", "annotator"):
            for group in values.get(f"by_{by}", []):
                yield f"  {group[by]}: {group['n_judgments']} {kind}"
                yield from (f"  {line}" for line in _scores(group))
    yield from _screening(result)


def _shares(stratum: str, values: dict) -> Iterator[str]:
    yield f"\n{stratum_title(stratum)}: {values['n_shares']} shares of votes"
    for each in sorted(values["win_share"], key=lambda each: -each["share"]):
        yield f"  {each['condition']} is preferred in {each['share']:6.1%} (no interval)"
    yield f"  no scale: {values['scale_reason']}"


def _conditions(values: dict) -> Iterator[str]:
    scores = {each["condition"]: each for each in values["scale"] or []}
    width = max((len(each["condition"]) for each in values["win_share"]), default=0)
    for share in sorted(values["win_share"], key=lambda each: -(each["share"] or 0)):
        name = f"  {share['condition']:{width}}"
        if not share["n"]:
            yield f"{name} never compared"
            continue
        interval = "" if share["low"] is None else f" [{share['low']:.1%}, {share['high']:.1%}]"
        line = f"{name} wins {share['share']:6.1%}{interval} of {share['n']}"
        if score := scores.get(share["condition"]):
            line += f"  score {_interval(score, score['score'])}  {score['group']}"
        yield line


def _scores(group: dict) -> Iterator[str]:
    if group["scale_reason"]:
        yield f"  no scale: {group['scale_reason']}"
    width = max((len(each["condition"]) for each in group["scale"] or []), default=0)
    for each in group["scale"] or []:
        yield f"  {each['condition']:{width}} {_interval(each, each['score'])}"


def _screening(result: dict) -> Iterator[str]:
    flagged = [each for each in result["annotators"] if each["flags"]]
    if flagged:
        yield f"\n{len(flagged)} of {len(result['annotators'])} annotators have flags:"
    for each in flagged:
        for flag in each["flags"]:
            yield f"  {each['annotator']}: {flag['why']}"
    screening = result["screening"]
    if screening["left_out"]:
        yield f"Left out of these results: {', '.join(screening['left_out'])}"
    elif screening["flagged"]:
        yield f"--screen exclude would leave out {', '.join(screening['flagged'])}"


def _told(fit: dict) -> Iterator[str]:
    """What the scale is not, and why."""
    if fit["model_reason"]:
        yield f"  scores are {fit['model']}'s: {fit['model_reason']}"
    if fit["interval_reason"]:
        yield f"  intervals of scores: {fit['interval']}, since {fit['interval_reason']}"


def _of_rankings(values: dict) -> Iterator[str]:
    scores = {each["condition"]: each for each in values["plackett_luce"] or []}
    for each in values["first_choice"] or []:
        line = f"  {each['condition']}: "
        if each["share"] is None:
            line += each["reason"]
        else:
            line += f"first in {each['share']:.1%} [{each['low']:.1%}, {each['high']:.1%}]"
        if score := scores.get(each["condition"]):
            line += f", Plackett-Luce {_interval(score, score['score'])}"
        yield line
    if values["first_choice"] and values["plackett_luce_reason"]:
        yield f"  no Plackett-Luce scores: {values['plackett_luce_reason']}"


def _interval(bounds: dict, value: float) -> str:
    return f"{value:+.2f} [{bounds['low']:+.2f}, {bounds['high']:+.2f}]"


def _estimate(estimate: dict) -> str:
    if estimate["value"] is None:
        return f"cannot be had ({estimate['reason']})"
    value = f"{estimate['value']:.3f}"
    if estimate["low"] is None:
        return f"{value} (no interval: {estimate['reason']})"
    return f"{value} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
