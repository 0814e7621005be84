import json
import math
import os
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from codecs_registry.codecs import get_codec
from codecs_registry.codecs.base import CodecError
from codecs_registry.folder_encoding import encode_into_folder
from codecs_registry.memory import budget_bytes
from codecs_registry.pictures import UnreadablePicture


class Command(BaseCommand):
    help = (
        "Encode pictures at target bit rates: bitstreams, decoded PNGs and manifest.csv. "
        "Called again, it goes on where it was interrupted."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
        parser.add_argument("--codec", action="append", required=True, metavar="NAME")
        parser.add_argument(
            "--bpp", action="append", required=True, type=float, help="target; may be repeated"
        )
        parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
        parser.add_argument(
            "--jobs",
            type=int,
            default=os.cpu_count() or 1,
            metavar="N",
            help="encode in so many processes at once, as memory allows (default: %(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="print the manifest as JSON")

    def handle(self, *, images, codec, bpp, out, jobs, **options):
        if jobs < 1:
            raise CommandError("--jobs takes 1 or more")
        if not all(0 < target < math.inf for target in bpp):
            raise CommandError("--bpp takes bits per pixel above 0")
        try:
            rows = encode_into_folder(
                images,
                codecs=[get_codec(name) for name in dict.fromkeys(codec)],
                targets_bpp=list(dict.fromkeys(bpp)),
                folder=out,
                jobs=jobs,
                memory_bytes=budget_bytes(settings.CLOSER_ENCODE_MEMORY_MB),
                progress=self.stderr.write,
            )
        except (CodecError, UnreadablePicture, OSError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"reconstructions": rows}, indent=2))
        else:
            self.stdout.write(str(out / "manifest.csv"))
