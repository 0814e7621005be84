import json
import time
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from annotation.models import Campaign
from evaluation.launching import find_sources, launch
from evaluation.study_files import InvalidStudy, read_study_file


class Command(BaseCommand):
    help = "Make a study from a file, encode it and open it. Launching twice makes no second one."

    def add_arguments(self, parser):
        parser.add_argument("study", type=Path, metavar="STUDY.toml")
        parser.add_argument("--no-wait", action="store_true", help="return while it encodes")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, study: Path, **options):
        try:
            specification = read_study_file(study)
            sources = find_sources(specification.images, progress=self.stderr.write)
            launched, is_new = launch(specification, sources)
        except InvalidStudy as error:
            raise CommandError(str(error)) from None
        if not options["no_wait"]:
            self.wait(launched)
        page = settings.CLOSER_URL + reverse("study", args=[launched.slug])
        link = settings.CLOSER_URL + reverse("welcome", args=[launched.campaign.token])
        if options["json"]:
            made = {"study": launched.name, "new": is_new, "page": page, "annotation_link": link}
            self.stdout.write(json.dumps(made, indent=2))
        else:
            self.stdout.write(f"{launched.name}: {'launched' if is_new else 'was there already'}")
            self.stdout.write(f"page             {page}\nannotation link  {link}")

    def wait(self, study):
        reported = -1
        while True:
            study.campaign.refresh_from_db()
            progress = study.encoding_progress()
            if progress["ready"] != reported:
                reported = progress["ready"]
                self.stderr.write(f"encoded {reported} of {progress['total']}")
            if study.campaign.state != Campaign.State.DRAFT:
                return
            if progress["failed"] + progress["ready"] == progress["total"] and progress["failed"]:
                error = study.reconstructions.filter(state="failed").first().error
                raise CommandError(
                    f"{progress['failed']} reconstructions could not be made, the first because: "
                    f"{error} Launch the same file again to retry."
                )
            time.sleep(0.5)
