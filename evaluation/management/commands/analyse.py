import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from evaluation.analysis import analyse, analyse_study
from evaluation.management.study_argument import find_study
from evaluation.models import PEOPLE, SIMULATED
from evaluation.statistics import InvalidComparisons, read_comparisons


class Command(BaseCommand):
    help = "Preferences, scales and agreement per stratum, of a study or of a comparison file."

    def add_arguments(self, parser):
        parser.add_argument("study", nargs="?", metavar="STUDY")
        parser.add_argument("--comparisons", type=Path, metavar="FILE.csv")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument(
            "--people", action="store_true", help="people's judgments (a study's are)"
        )
        kind.add_argument("--simulated", action="store_true", help="simulated judgments instead")
        parser.add_argument("--confidence", type=float, default=0.95)
        parser.add_argument("--json", action="store_true")

    def handle(self, *, study, comparisons, confidence, **options):
        if (study is None) == (comparisons is None):
            raise CommandError("Name a study, or a file with --comparisons")
        if not 0 < confidence < 1:
            raise CommandError("--confidence takes a share between 0 and 1, such as 0.95")
        if comparisons:
            try:
                kind = options["simulated"] if options["simulated"] or options["people"] else None
                table = read_comparisons(comparisons, simulated=kind)
                result = analyse(table, confidence=confidence)
            except (InvalidComparisons, OSError) as error:
                raise CommandError(str(error)) from None
        else:
            found = find_study(study)
            population = SIMULATED if options["simulated"] else PEOPLE
            result = analyse_study(found, population=population, confidence=confidence)
            counts = found.judgment_counts()
            if not counts[population] and any(counts.values()):
                self.stderr.write(
                    f"There are {counts[SIMULATED]} simulated judgments: --simulated shows them"
                    if population == PEOPLE
                    else f"There are {counts[PEOPLE]} judgments by people: leave out --simulated"
                )
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=2))
        else:
            self.print_tables(result, is_simulated=options["simulated"])

    def print_tables(self, result, *, is_simulated: bool):
        kind = "simulated judgments" if is_simulated else "judgments"
        for stratum, values in result["strata"].items():
            self.stdout.write(f"\n{stratum} bpp: {values['n_judgments']} {kind}")
            for each in values.get("missed", []):
                self.stdout.write(
                    f"  {each['condition']} missed the target in {each['n']} of {each['of']}: "
                    f"{each['lowest_bpp']:.3f} to {each['highest_bpp']:.3f} bpp"
                )
            scores = {each["condition"]: each for each in values["scale"] or []}
            for share in values["win_share"]:
                if not share["n"]:
                    self.stdout.write(f"  {share['condition']:12} never compared")
                    continue
                score = scores.get(share["condition"])
                shown = (
                    f"  score {score['score']:+.2f} [{score['low']:+.2f}, {score['high']:+.2f}]"
                    if score
                    else ""
                )
                self.stdout.write(
                    f"  {share['condition']:12} wins {share['share']:6.1%} "
                    f"[{share['low']:.1%}, {share['high']:.1%}] of {share['n']}{shown}"
                )
            if values["scale_reason"]:
                self.stdout.write(f"  no scale: {values['scale_reason']}")
            ceiling = values["agreement"]["human_ceiling"]
            shown = "cannot be had" if ceiling["value"] is None else f"{ceiling['value']:.1%}"
            reason = f" ({ceiling['reason']})" if ceiling["reason"] else ""
            name = "ceiling among simulated annotators" if is_simulated else "human ceiling"
            self.stdout.write(f"  {name} {shown}{reason}")
