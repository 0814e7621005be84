import json
import time
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from perceptual.codec.training.run import Stopped
from perceptual.codec.training.settings import CannotTrain, Objective, Progress, Settings
from perceptual.codec.training.train_codec import train
from perceptual.training import distributed


class Command(BaseCommand):
    help = (
        "Train the learned codec on photographs (docs/learned-codec.md). Called again with the "
        "same --work, it goes on. Several processes of torchrun share the work."
    )

    def add_arguments(self, parser):
        parser.add_argument("--images", type=Path, action="append", required=True, metavar="FOLDER")
        parser.add_argument(
            "--work", type=Path, required=True, metavar="FOLDER", help="checkpoint and log"
        )
        parser.add_argument("--steps", type=int, default=Settings.steps)
        parser.add_argument("--batch", type=int, default=Settings.batch)
        parser.add_argument("--crop", type=int, default=Settings.crop)
        parser.add_argument("--learning-rate", type=float, default=Settings.learning_rate)
        parser.add_argument("--warm-up", type=int, default=Settings.warm_up)
        parser.add_argument("--cool-down", type=int, default=Settings.cool_down)
        parser.add_argument("--seed", type=int, default=Settings.seed)
        parser.add_argument("--metric", default="", metavar="VERSION")
        parser.add_argument("--metric-weight", type=float, default=0.0)

    def handle(self, **options):
        settings = Settings(
            objective=Objective(metric=options["metric"], metric_weight=options["metric_weight"]),
            **{
                name: options[name]
                for name in (
                    *("seed", "steps", "batch", "crop"),
                    *("learning_rate", "warm_up", "cool_down"),
                )
            },
        )
        self.log = options["work"] / "log.jsonl"
        options["work"].mkdir(parents=True, exist_ok=True)
        distributed.begin()
        try:
            train(options["images"], settings, folder=options["work"], tell=self.tell)
        except Stopped:
            raise CommandError("Stopped; the same command goes on from here.") from None
        except CannotTrain as error:
            raise CommandError(str(error)) from None

    def tell(self, progress: Progress) -> None:
        if not distributed.is_first():
            return
        with self.log.open("a") as log:
            log.write(json.dumps({"at": round(time.time())} | asdict(progress)) + "\n")
        self.stderr.write(line_of(progress))


def line_of(progress: Progress) -> str:
    """How far a training is, in a line."""
    line = (
        f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}, "
        f"{progress.bpp:.3f} bpp, {progress.psnr:.2f} dB, {progress.steps_per_s:.1f} steps/s"
    )
    held_out = ", ".join(f"{each.bpp:.3f} bpp {each.psnr:.2f} dB" for each in progress.watched)
    return f"{line}; held out: {held_out}" if held_out else line
