import json

from django.core.management.base import BaseCommand

from codecs_registry.codecs import all_codecs


class Command(BaseCommand):
    help = "List the codecs, their versions, and what each needs if it is not available here."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true")

    def handle(self, **options):
        codecs = [
            {
                "name": codec.name,
                "label": codec.label,
                "available": not (reason := codec.unavailable()),
                "version": "" if reason else codec.version(),
                "reason": reason,
            }
            for codec in all_codecs().values()
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"codecs": codecs}, indent=2))
            return
        width = max(len(codec["name"]) for codec in codecs)
        for codec in codecs:
            detail = codec["version"] or f"not available: {codec['reason']}"
            self.stdout.write(f"{codec['name']:{width}}  {codec['label']:12}  {detail}")
