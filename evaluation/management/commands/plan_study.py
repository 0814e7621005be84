import json
from decimal import Decimal, InvalidOperation
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from codecs_registry.models import SourceImage
from evaluation.launching import find_sources, problems_here
from evaluation.plan import Assumptions, Plan, plan_of
from evaluation.study_files import InvalidStudy, read_study_file
from evaluation.templatetags.plan_numbers import duration, hours
from projects.access import NoSuchProject, default_project, find_project


class Command(BaseCommand):
    help = (
        "What a study will take, and what it may be expected to show, before it is launched "
        "(docs/planning.md). A folder of pictures is imported; nothing else is made."
    )

    def add_arguments(self, parser):
        usual = Assumptions()
        parser.add_argument("study", type=Path, metavar="STUDY.toml")
        parser.add_argument("--project", help="whose it would be; else that of the first project")
        parser.add_argument("--annotators", type=int, help="who will come (as many as it takes)")
        parser.add_argument("--seconds", type=float, default=usual.seconds_per_judgment)
        parser.add_argument("--pay-per-hour", metavar="AMOUNT")
        parser.add_argument("--currency", default="")
        parser.add_argument(
            "--preferred",
            type=float,
            default=usual.preferred,
            help="share who prefer the better of two codecs, the difference to find",
        )
        parser.add_argument("--annotator-sd", type=float, default=usual.annotator_sd)
        parser.add_argument("--content-sd", type=float, default=usual.content_sd)
        parser.add_argument("--json", action="store_true")

    def handle(self, *, study: Path, **options):
        assumptions = _assumptions(options)
        try:
            specification = read_study_file(study)
            project = find_project(options["project"]) if options["project"] else default_project()
            sources: list[SourceImage] = find_sources(
                specification.images, project=project, progress=self.stderr.write
            )
            if problems := problems_here(specification, sources, project=project):
                raise InvalidStudy(problems)
            plan = plan_of(specification, sources, assumptions, patiently=True)
        except (InvalidStudy, NoSuchProject) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(plan.as_dict(), indent=2, allow_nan=False))
            return
        self.stdout.write(specification.name)
        for label, told in _lines(plan):
            self.stdout.write(f"  {label:16}{told}")
        if plan.target_told:
            self.stdout.write(f"  {plan.target_told}")
        for limit in plan.limits:
            self.stdout.write(f"  {limit}")


def _assumptions(options: dict) -> Assumptions:
    """Raises CommandError, naming the option that is out of range."""
    if options["annotators"] is not None and options["annotators"] < 1:
        raise CommandError("--annotators takes a whole number from 1 on")
    if not options["seconds"] > 0:
        raise CommandError("--seconds takes a number above 0")
    if not 0.5 < options["preferred"] < 1:
        raise CommandError("--preferred takes a share between 0.5 and 1, such as 0.62")
    for name in ("annotator_sd", "content_sd"):
        if not 0 <= options[name] <= 10:
            raise CommandError(f"--{name.replace('_', '-')} takes a number from 0 to 10")
    pay = options["pay_per_hour"]
    try:
        amount = None if pay is None else Decimal(pay)
        is_amount = amount is None or 0 <= amount <= 10_000
    except InvalidOperation:
        is_amount = False
    if not is_amount:
        raise CommandError("--pay-per-hour takes a number from 0 to 10000")
    return Assumptions(
        annotators=options["annotators"],
        seconds_per_judgment=options["seconds"],
        pay_per_hour=amount,
        currency=options["currency"],
        preferred=options["preferred"],
        annotator_sd=options["annotator_sd"],
        content_sd=options["content_sd"],
    )


def _lines(plan: Plan):
    yield "pictures", f"{plan.sources:,} ({plan.megapixels:.1f} megapixels)"
    yield "reconstructions", f"{plan.reconstructions:,}, of which {plan.to_make:,} are to be made"
    yield "questions", f"{plan.tasks:,}, and up to {plan.most_gold_tasks:,} gold tasks"
    yield (
        "judgments",
        f"{plan.judgments:,} of {plan.judgments_wanted:,} wanted, {plan.asked:,} answers in all",
    )
    yield "annotators", f"{plan.annotators:,}, {hours(plan.hours_each)} each"
    yield "time", hours(plan.hours)
    if plan.cost is not None:
        bonus = f", bonus up to {plan.bonus:,}" if plan.bonus else ""
        yield "cost", f"{plan.cost:,} {plan.currency}{bonus}".rstrip()
    unmeasured = f", by a default for {', '.join(plan.unmeasured)}" if plan.unmeasured else ""
    size = f"{plan.stored_bytes / 1e9:.2f} GB"
    yield "encoding", f"{duration(plan.encode_seconds)} of one worker, {size}{unmeasured}"
    if plan.foretold is None:
        yield "foretelling", f"cannot be had ({plan.foretold_reason})"
        return
    for row in plan.foretold.rows:
        widths = [
            "–" if each is None else f"{each.value:.2f}" for each in (row.width, row.score_width)
        ]
        here = "  <- this plan" if row == plan.foretold.at else ""
        yield (
            f"{row.judgments_per_pair} a pair",
            f"interval of a difference {widths[0]} log-odds, of a score {widths[1]}, "
            f"power {row.power.value:.0%}{here}",
        )
