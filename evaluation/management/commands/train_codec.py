import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from evaluation.codec_trainings import record
from evaluation.provenance import training_provenance
from perceptual.codec.card import Card, InvalidModel
from perceptual.codec.model import LearnedCodec, to_bytes
from perceptual.codec.training.run import Stopped
from perceptual.codec.training.settings import CannotTrain, Data, Objective, Progress, Settings
from perceptual.codec.training.train_codec import train
from perceptual.saliency import SaliencyUnavailable, default_file
from perceptual.training import distributed

ON, OFF = "on", "off"


class Command(BaseCommand):
    help = (
        "Train the learned codec on photographs (docs/learned-codec.md). Called again with the "
        "same --work it goes on, also with more steps or another objective. Processes that "
        "torchrun starts share the work."
    )

    def add_arguments(self, parser):
        parser.add_argument("--images", type=Path, action="append", required=True, metavar="FOLDER")
        parser.add_argument(
            *("--work", "--out"),
            type=Path,
            required=True,
            metavar="FOLDER",
            help="for the checkpoint, the log, and the codec: codec.safetensors",
        )
        parser.add_argument("--from", type=Path, metavar="FILE", help="begin from this codec")
        parser.add_argument("--name", default="closer-codec", help="of the codec")
        parser.add_argument("--metric", default="", metavar="VERSION", help="a name, or a file")
        parser.add_argument("--saliency", choices=(ON, OFF), default=OFF)
        parser.add_argument("--saliency-model", type=Path, metavar="FILE", help="an ONNX network")
        distortion = Objective()
        for name in ("mse", "metric", "ms-ssim", "charbonnier"):
            default = getattr(distortion, f"{name.replace('-', '_')}_weight")
            parser.add_argument(f"--{name}-weight", type=float, default=default)
        parser.add_argument("--saliency-floor", type=float, default=distortion.saliency_floor)
        settings = Settings()
        for name in WHOLE:
            parser.add_argument(
                f"--{name.replace('_', '-')}", type=int, default=getattr(settings, name)
            )
        parser.add_argument("--learning-rate", type=float, default=settings.learning_rate)
        parser.add_argument("--no-bf16", action="store_true", help="float32 throughout")

    def handle(self, **options):
        self.work, self.name = options["work"], options["name"]
        self.told = self.record = self.parent = None
        try:
            self.settings = self.settings_of(options)
            start = None
            if options["from"]:
                begun_from = LearnedCodec.load(options["from"])
                self.parent = {"name": begun_from.card.name, "digest": begun_from.digest}
                start = begun_from.network
            self.work.mkdir(parents=True, exist_ok=True)
            distributed.begin()
            with self.its_end():
                train(
                    options["images"],
                    self.settings,
                    folder=self.work,
                    start=start,
                    tell=self.tell,
                    keep=self.keep,
                    begun=self.begun,
                )
        except (Stopped, KeyboardInterrupt):
            raise CommandError("Stopped; the same command goes on from here.") from None
        except (CannotTrain, InvalidModel, SaliencyUnavailable) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
        finally:
            distributed.end()
        self.stdout.write(str(self.file))

    @property
    def file(self) -> Path:
        return self.work / "codec.safetensors"

    def settings_of(self, options) -> Settings:
        if options["saliency"] == OFF and options["saliency_model"]:
            raise CommandError("--saliency-model is of use with --saliency on alone")
        model = ""
        if options["saliency"] == ON:
            model = str(options["saliency_model"] or default_file())
        objective = Objective(
            mse_weight=options["mse_weight"],
            metric=options["metric"],
            metric_weight=options["metric_weight"],
            ms_ssim_weight=options["ms_ssim_weight"],
            charbonnier_weight=options["charbonnier_weight"],
            saliency=model,
            saliency_floor=options["saliency_floor"],
        )
        return Settings(
            objective=objective,
            learning_rate=options["learning_rate"],
            bf16=not options["no_bf16"],
            **{name: options[name] for name in WHOLE},
        )

    def begun(self, data: Data, step: int) -> None:
        """Write down what is trained on what, by which code."""
        settings = asdict(self.settings)
        for name in ("metric", "saliency"):  # of files, their names alone
            settings["objective"][name] = Path(settings["objective"][name]).name
        part = {
            "step": step,
            "settings": settings,
            "data": asdict(data),
            "provenance": training_provenance(),
            "processes": distributed.count(),
            "device": distributed.device_name(),
            "begins_from": self.parent,
        }
        self.record = record.begin(self.work, self.name, part, at=time.time())

    @contextmanager
    def its_end(self) -> Iterator[None]:
        """Write down how what was begun ends; a process that is killed writes nothing."""
        try:
            yield
        except (Stopped, KeyboardInterrupt):
            self.ended(record.STOPPED)
            raise
        except Exception as error:
            with suppress(OSError):  # such as a full disk, which is what failed
                self.ended(record.FAILED, " ".join(f"{type(error).__name__}: {error}".split()))
            raise
        self.ended(record.FINISHED)

    def ended(self, how: str, why: str = "") -> None:
        if self.record:
            record.end(self.work, how, at=time.time(), why=why)

    def tell(self, progress: Progress) -> None:
        if not distributed.is_first():
            return
        self.told = progress
        with (self.work / "log.jsonl").open("a") as log:
            log.write(json.dumps({"at": round(time.time())} | asdict(progress)) + "\n")
        self.stderr.write(line_of(progress))

    def keep(self, network, step: int) -> None:
        """Write the codec as it stands."""
        objective = self.settings.objective
        card = Card(
            name=self.name,
            shape=network.shape,
            saliency_floor=objective.saliency_floor if objective.saliency else None,
            trained_on=self.record.origin(step),
            results={"held_out": [asdict(each) for each in self.told.watched]},
        )
        aside = self.file.with_suffix(".writing")
        aside.write_bytes(to_bytes(network, card))
        aside.replace(self.file)


WHOLE = (
    *("steps", "batch", "crop", "seed", "warm_up", "cool_down"),
    *("averaged_over", "held_out", "watched_every"),
)


def line_of(progress: Progress) -> str:
    """How far a training is, in a line."""
    line = (
        f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}, "
        f"{progress.bpp:.3f} bpp, {progress.psnr:.2f} dB, {progress.steps_per_s:.1f} steps/s"
    )
    held_out = ", ".join(f"{each.bpp:.3f} bpp {each.psnr:.2f} dB" for each in progress.watched)
    return f"{line}; held out: {held_out}" if held_out else line
