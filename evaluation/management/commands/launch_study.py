import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from evaluation.launching import EncodingFailed, find_sources, launch, wait_until_open
from evaluation.links import annotation_link, study_page
from evaluation.study_files import InvalidStudy, read_study_file
from projects.access import NoSuchProject, default_project, find_project


class Command(BaseCommand):
    help = "Make a study from a file, encode it and open it. Launching twice makes no second one."

    def add_arguments(self, parser):
        parser.add_argument("study", type=Path, metavar="STUDY.toml")
        parser.add_argument("--project", help="whose it is; else that of the first project")
        parser.add_argument("--no-wait", action="store_true", help="return while it encodes")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, study: Path, **options):
        try:
            specification = read_study_file(study)
            project = find_project(options["project"]) if options["project"] else default_project()
            sources = find_sources(
                specification.images, project=project, progress=self.stderr.write
            )
            launched, is_new = launch(specification, sources, project=project)
        except (InvalidStudy, NoSuchProject) as error:
            raise CommandError(str(error)) from None
        if not options["no_wait"]:
            try:
                wait_until_open(launched, progress=self.stderr.write)
            except EncodingFailed as error:
                raise CommandError(f"{error} Launch the same file again to retry.") from None
        page, link = study_page(launched), annotation_link(launched)
        if options["json"]:
            made = {"study": launched.name, "new": is_new, "page": page, "annotation_link": link}
            self.stdout.write(json.dumps(made, indent=2))
        else:
            self.stdout.write(f"{launched.name}: {'launched' if is_new else 'was there already'}")
            self.stdout.write(f"page             {page}\nannotation link  {link}")
