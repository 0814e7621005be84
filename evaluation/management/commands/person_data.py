import json

from django.core.management.base import BaseCommand, CommandError

from codecs_registry import clock
from evaluation import personal_data
from evaluation.personal_data import NobodyFound
from projects.members import CannotChange


class Command(BaseCommand):
    help = (
        "Hand somebody all that is held of them, or erase it (docs/privacy.md). "
        + personal_data.HOW
    )

    def add_arguments(self, parser):
        parser.add_argument("person", metavar="PERSON")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--export", action="store_true", help="print all of it as JSON")
        what.add_argument(
            "--erase",
            action="store_true",
            help="for good: an account with all that belongs to it; of annotators, who they are",
        )
        parser.add_argument(
            "--with-judgments",
            action="store_true",
            help="with --erase: their judgments, too, as when they withdraw",
        )

    def handle(self, *, person, export, with_judgments, **options):
        if with_judgments and export:
            raise CommandError("--with-judgments goes with --erase")
        try:
            found = personal_data.find(person)
            if export:
                self.export(found)
            else:
                self.erase(found, with_judgments=with_judgments)
        except (NobodyFound, CannotChange) as error:
            raise CommandError(str(error)) from None

    def export(self, found):
        is_annotator = isinstance(found, list)
        held = personal_data.of_annotators if is_annotator else personal_data.of_account
        document = json.dumps(held(found), cls=personal_data.Encoder, indent=2, ensure_ascii=False)
        self.stdout.write(document)

    def erase(self, found, *, with_judgments):
        if not isinstance(found, list):
            if with_judgments:
                raise CommandError("--with-judgments is for annotators; accounts have none")
            personal_data.erase_account(found)
            self.stdout.write("The account is deleted with all that belonged to it.")
            return
        gone = personal_data.erase_annotators(found, with_judgments=with_judgments, now=clock.now())
        who = ", ".join(f"annotator-{each.id}" for each in found)
        self.stdout.write(
            f"{who}: deleted, {gone} judgments with them."
            if with_judgments
            else f"{who}: nothing tells any more who it was. The judgments stay."
        )
