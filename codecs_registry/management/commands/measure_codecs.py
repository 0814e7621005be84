import json
import math
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from codecs_registry import clock
from codecs_registry.codec_costs import (
    NoPhotographs,
    keep,
    newest_costs,
    photographs_of_folder,
    photographs_of_installation,
)
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import CodecError
from codecs_registry.costs import MEGA, Cost, measure
from codecs_registry.machine import machine_name, software
from codecs_registry.pictures import UnreadablePicture
from codecs_registry.time_left import TimeLeft


class Command(BaseCommand):
    help = (
        "Measure what codecs cost: seconds a megapixel to encode and to decode, and memory, each "
        "in a process of its own on one core. The pages of the codecs show it."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--images",
            type=Path,
            metavar="FOLDER",
            help="of photographs (default: the source images that were imported)",
        )
        parser.add_argument(
            "--pictures",
            type=int,
            default=12,
            metavar="N",
            help="take so many of them at most (default: %(default)s)",
        )
        parser.add_argument(
            "--codec", action="append", metavar="NAME", help="may be repeated (default: all)"
        )
        parser.add_argument(
            "--bpp",
            type=float,
            default=0.67,
            help="at the setting that an ordinary photograph takes at it (default: %(default)s)",
        )
        parser.add_argument(
            "--repeat",
            type=int,
            default=3,
            metavar="N",
            help="encode and decode each picture so often (default: %(default)s)",
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *, images, pictures, codec, bpp, repeat, **options):
        if pictures < 1 or repeat < 1:
            raise CommandError("--pictures and --repeat take 1 or more")
        if not 0 < bpp < math.inf:
            raise CommandError("--bpp takes bits per pixel above 0")
        try:
            wanted = [get_codec(name) for name in dict.fromkeys(codec or all_codecs())]
            on = (
                photographs_of_folder(images, most=pictures)
                if images
                else photographs_of_installation(most=pictures)
            )
        except (CodecError, NoPhotographs, UnreadablePicture, OSError) as error:
            raise CommandError(str(error)) from None
        reasons = {each.name: each.unavailable() for each in wanted}
        if codec and any(reasons.values()):
            told = (f"{name} is not available: {why}" for name, why in reasons.items() if why)
            raise CommandError("; ".join(told))
        newest_costs()  # a database that does not answer is told now, and not after minutes
        costs, failed = [], {}
        left = TimeLeft(sum(not why for why in reasons.values()))
        for name, why in reasons.items():
            if why:
                self.stderr.write(f"{name}: passed over, for it is not available")
                continue
            try:
                cost = measure(name, on, bpp=bpp, repeat=repeat)
            except Exception as error:  # a stranger's codec: whatever it raises, the others go on
                failed[name] = str(error) or type(error).__name__
                told = f"FAILED: {failed[name]}"
            else:
                keep(cost, on=on, bpp=bpp, repeat=repeat, now=clock.now())
                costs.append(cost)
                told = _in_words(cost)
            left.did(1)
            self.stderr.write(f"{name}: {told}{left}")
        if options["json"]:
            document = {
                "machine": machine_name(),
                "software": software(),
                "pictures": {"n": len(on.files), "sha256": on.sha256},
                "target_bpp": bpp,
                "repeats": repeat,
                "costs": [asdict(cost) for cost in costs],
                "failed": [{"codec": name, "reason": why} for name, why in failed.items()],
            }
            self.stdout.write(json.dumps(document, indent=2))
        else:
            width = max((len(cost.codec) for cost in costs), default=0)
            for cost in sorted(costs, key=lambda cost: cost.encode.median):
                self.stdout.write(f"{cost.codec:{width}}  {_in_words(cost)}")
        if failed:
            raise CommandError(f"{len(failed)} of {len(failed) + len(costs)} codecs failed")


def _in_words(cost: Cost) -> str:
    return (
        f"{cost.encode.median:.3g} s/MP to encode ({cost.encode_core_s:.3g} of a core's work), "
        f"{cost.decode.median:.3g} to decode ({cost.decode_core_s:.3g}), "
        f"{cost.peak_bytes / MEGA:.0f} MB, {cost.actual_bpp:.2f} bpp; "
        f"others kept {cost.busy_elsewhere:.1f} cores busy"
    )
