import os

from django.core.management.base import BaseCommand

from config.environment import CHAPTERS, Environment, as_markdown


class Command(BaseCommand):
    help = "List the variables that an installation may set, and which are set here; no secret."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--markdown", action="store_true", help="as tables, for docs")

    def handle(self, **options):
        if options["markdown"]:
            self.stdout.write(as_markdown(), ending="")
            return
        here = Environment(os.environ)
        for title, chapter in CHAPTERS.items():
            self.stdout.write(title)
            for each in chapter:
                value = "(secret)" if each.is_secret else os.environ.get(each.name, "")
                told = f"= {value}" if here.is_set(each.name) else f"not set: {each.told_default}"
                self.stdout.write(f"  {each.name:24} {told}")
