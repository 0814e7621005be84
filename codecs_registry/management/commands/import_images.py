from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from codecs_registry.importing import find_pictures, import_files
from codecs_registry.models import Collection
from projects.access import NoSuchProject, find_project


class Command(BaseCommand):
    help = "Import the pictures of a folder as source images. Importing twice changes nothing."

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, help="PNG, JPEG, WebP, TIFF and AVIF files")
        parser.add_argument("--collection", help="put them into the collection of this name")
        parser.add_argument("--project", help="whose the collection is; else everybody's")

    def handle(self, *, folder: Path, collection: str | None, project: str | None, **options):
        longest = Collection._meta.get_field("name").max_length
        if collection and len(collection) > longest:
            raise CommandError(f"--collection takes a name of at most {longest} characters")
        try:
            owner = find_project(project) if project else None
            paths = find_pictures(folder)
        except (OSError, NoSuchProject) as error:
            raise CommandError(str(error)) from None
        if not paths:
            raise CommandError(f"{folder} holds no files")
        result = import_files(
            ((path.name, path) for path in paths),
            collection=collection,
            project=owner,
            progress=self.stderr.write,
        )
        self.stdout.write(
            f"{len(result.added)} new, {len(result.known)} known already, "
            f"{len(result.skipped)} skipped"
        )
        if result.sources and not collection:
            self.stdout.write("They are in no collection: name one with --collection for a study")
        for name, reason in result.skipped:
            self.stderr.write(f"skipped {folder / name}: {reason}")
        if result.skipped:
            raise CommandError(f"{len(result.skipped)} of {len(paths)} files were skipped")
