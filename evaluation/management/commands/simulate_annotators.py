import threading

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation.models import Campaign
from evaluation.management.study_argument import find_study
from evaluation.simulation import SimulationFailed, simulate


class Command(BaseCommand):
    help = "Have simulated annotators judge a study through its real pages; they stay marked."

    def add_arguments(self, parser):
        parser.add_argument("study", metavar="STUDY")
        parser.add_argument("--annotators", type=int, required=True, metavar="N")
        parser.add_argument(
            "--judgments", type=int, required=True, metavar="M", help="of each annotator, at most"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S")
        parser.add_argument(
            "--url", default=settings.CLOSER_URL, help="where the pages are (%(default)s)"
        )

    def handle(self, *, study, annotators, judgments, seed, url, **options):
        if annotators < 1 or judgments < 1:
            raise CommandError("--annotators and --judgments take whole numbers above 0")
        found = find_study(study)
        if found.campaign.state != Campaign.State.OPEN:
            raise CommandError(f"{found.name} is not open; it is {found.campaign.state}")
        finished, lock = [], threading.Lock()

        def progress(count: int) -> None:
            with lock:
                finished.append(count)
                self.stderr.write(f"{len(finished)} of {annotators} annotators are done")

        try:
            simulate(
                found.campaign,
                url=url,
                annotators=annotators,
                judgments=judgments,
                seed=seed,
                progress=progress,
            )
        except SimulationFailed as error:
            raise CommandError(f"{error}. Is Closer running at {url}?") from None
        self.stdout.write(f"{sum(finished)} simulated judgments by {annotators} annotators")
