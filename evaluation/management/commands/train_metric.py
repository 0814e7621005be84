import json
import time
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from codecs_registry import clock
from codecs_registry.leases import worker_name
from evaluation import training_runs
from evaluation.labels import agreement_label
from evaluation.links import metric_page
from evaluation.management.study_argument import find_study
from evaluation.metric_models import TrainingRun
from evaluation.metric_scores import NoSuchPairs, pairs_to_score
from evaluation.metric_versions import UnknownVersion, find_version
from evaluation.populations import PEOPLE, SIMULATED
from evaluation.retraining import CANNOT, perform
from evaluation.training_data import judgments
from perceptual.backbones import BACKBONES, load_backbone
from perceptual.pairs import read_dataset
from perceptual.training import SCRATCH, VARIANTS, Progress, Settings

SECONDS_BETWEEN = 1.0  # of two lines that tell how far it is
SECONDS_WAITING = 1.0  # until it is asked again whether the other training is over


class Command(BaseCommand):
    help = (
        "Train the metric on judgments and make a version of it (docs/retraining.md). Called again "
        "after it was stopped or killed, it goes on."
    )

    def add_arguments(self, parser):
        on = parser.add_mutually_exclusive_group(required=True)
        on.add_argument("--dataset", type=Path, metavar="FOLDER", help="a 2AFC dataset")
        on.add_argument("--study", metavar="STUDY")
        parser.add_argument("--backbone", choices=BACKBONES, required=True)
        parser.add_argument(
            "--variant",
            choices=VARIANTS,
            default=Settings.variant,
            help="weights of a frozen backbone, the backbone tuned as well, or all of it from "
            "scratch",
        )
        parser.add_argument(
            "--no-psnr", action="store_true", help="without the component of pixel error"
        )
        parser.add_argument("--seed", type=int, default=Settings.seed)
        parser.add_argument("--epochs", type=int, default=Settings.epochs, help="at most")
        parser.add_argument(
            "--name", default="", help="of the version (default: the next closer-lpips-comp-N)"
        )
        parser.add_argument(
            "--backbone-weights", default="", metavar="FILE", help="instead of those of ImageNet"
        )
        parser.add_argument("--from", metavar="VERSION", help="begin from this version's weights")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument(
            "--people", action="store_true", help="what people judged (the default of --study)"
        )
        kind.add_argument(
            "--simulated", action="store_true", help="what simulated annotators judged"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, **options):
        self.told_at = 0.0
        try:
            run = self.claimed(self.run_for(options))
            version = perform(run, tell=self.tell)
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on from here.") from None
        except training_runs.LeaseLost:
            raise CommandError(
                "This process did not report for too long, and another has taken over."
            ) from None
        except (*CANNOT, NoSuchPairs, UnknownVersion, training_runs.NameTaken) as error:
            raise CommandError(str(error)) from None
        self.conclude(version, as_json=options["json"])

    # --- what is asked for ---

    def run_for(self, options) -> TrainingRun:
        """The run that the same command left unfinished, or a new one."""
        settings = self.settings(options)
        study = find_study(options["study"]) if options["study"] else None
        asked = {
            "population": self.population(options, study),
            "study": study,
            "dataset": str(options["dataset"].resolve()) if options["dataset"] else "",
            "start": find_version(options["from"]) if options["from"] else None,
            "is_foreground": True,
        }
        if found := training_runs.unfinished(settings, name=options["name"], **asked):
            self.stderr.write(f"{found.name} goes on where it was")
            return found
        return training_runs.request(settings, name=options["name"], **asked)

    def settings(self, options) -> Settings:
        if options["seed"] < 0:
            raise CommandError("--seed takes a whole number from 0 on")
        if options["variant"] == SCRATCH and options["backbone_weights"]:
            raise CommandError("--variant scratch begins at random: it takes no --backbone-weights")
        weights = options["backbone_weights"]
        settings = Settings(
            backbone=options["backbone"],
            backbone_weights=str(Path(weights).resolve()) if Path(weights).is_file() else weights,
            variant=options["variant"],
            with_psnr=not options["no_psnr"],
            seed=options["seed"],
            epochs=options["epochs"],
        )
        if settings.variant != SCRATCH:  # now, and not after the judgments were gathered
            load_backbone(settings.backbone, settings.backbone_weights or None, seed=settings.seed)
        return settings

    def population(self, options, study) -> str:
        if study:
            population = SIMULATED if options["simulated"] else PEOPLE
            if not judgments(population, study).exists():
                kind = "Simulated annotators have" if options["simulated"] else "People have"
                other = PEOPLE if options["simulated"] else SIMULATED
                there = (
                    f", but --{other} would find some" if judgments(other, study).exists() else ""
                )
                raise CommandError(f"{kind} not judged {study.name} yet{there}")
            return population
        asked = options["simulated"] if options["simulated"] or options["people"] else None
        pairs = pairs_to_score(read_dataset(options["dataset"]), simulated=asked)
        return SIMULATED if pairs[0].is_simulated else PEOPLE

    def claimed(self, run: TrainingRun) -> TrainingRun:
        """The run, once it is this process's turn to train it."""
        training_runs.WORK.release_dead(now=clock.now())
        said = False
        while True:
            worker = worker_name()
            if claimed := training_runs.claim(run.id, worker=worker, now=clock.now()):
                return claimed
            run.refresh_from_db()
            if run.state != TrainingRun.State.QUEUED:
                raise CommandError(f"{run.name} is being trained already, by {run.worker}")
            if not said:
                self.stderr.write("Another training is under way; this one waits for it")
                said = True
            time.sleep(SECONDS_WAITING)

    # --- what is told ---

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.told_at < SECONDS_BETWEEN and progress.done != progress.total:
            return
        self.told_at = now
        self.stderr.write(line_of(progress))

    def conclude(self, version, *, as_json: bool) -> None:
        ceiling = agreement_label("human_ceiling", is_simulated=version.is_simulated)
        self.stderr.write(f"Held-out score: {_interval(version, 'held_out_score', 'held_out')}")
        self.stderr.write(f"{ceiling}: {_interval(version, 'human_ceiling', 'ceiling')}")
        self.stderr.write(f"{version.reason}\n{metric_page(version)}")
        if as_json:
            self.stdout.write(json.dumps(described(version), indent=2))
        else:
            self.stdout.write(version.name)


def line_of(progress: Progress) -> str:
    """How far a training is, in a line."""
    if progress.epoch is None:
        return f"looked at {progress.done} of {progress.total} pictures"
    epoch = progress.epoch
    left = "" if progress.seconds_left is None else f", at most {progress.seconds_left:.0f} s left"
    return (
        f"epoch {progress.done} of at most {progress.total}: loss {epoch.loss:.4f}, on what is "
        f"watched {epoch.watched_loss:.4f} and a score of {100 * epoch.watched_score:.1f} %{left}"
    )


def described(version) -> dict:
    """A version as --json prints it."""
    return {
        "name": version.name,
        "sha256": version.sha256,
        "held_out": _bounds(version, "held_out_score", "held_out"),
        "human_ceiling": _bounds(version, "human_ceiling", "ceiling"),
        "n_pairs": version.n_pairs,
        "n_judgments": version.n_judgments,
        "simulated": version.is_simulated,
        "in_service": version.is_in_service,
        "reason": version.reason,
        "page": metric_page(version),
        "provenance": version.provenance,
    }


def _bounds(version, value: str, prefix: str) -> dict | None:
    if getattr(version, value) is None:
        return None
    return {
        "score": getattr(version, value),
        "low": getattr(version, f"{prefix}_low"),
        "high": getattr(version, f"{prefix}_high"),
    }


def _interval(version, value: str, prefix: str) -> str:
    found = _bounds(version, value, prefix)
    if found is None:
        return "cannot be had"
    if found["low"] is None:
        return f"{found['score']:.1f} % (no interval)"
    return f"{found['score']:.1f} % [{found['low']:.1f}, {found['high']:.1f}]"
