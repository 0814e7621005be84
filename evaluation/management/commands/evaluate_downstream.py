import json
import math
import os
import time
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import CodecError
from codecs_registry.folder_encoding import encode_into_folder
from codecs_registry.memory import budget_bytes
from codecs_registry.pictures import UnreadablePicture
from codecs_registry.time_left import TimeLeft
from evaluation.downstream.answers import answer_store
from evaluation.downstream.document import lines
from evaluation.management.whole_file import write_whole
from evaluation.provenance import provenance
from perceptual.downstream.coco import BadAnnotations, read_labels
from perceptual.downstream.models import BadModel

LIBRARIES = ("ai-edge-litert", "onnxruntime", "pycocotools")
STRATA = (0.23, 0.37, 0.67, 1.0)
SECONDS_BETWEEN = 10.0  # of two lines that tell how far it is


class Command(BaseCommand):
    help = (
        "What detectors and segmenters see in what codecs leave of labelled photographs, beside "
        "the uncompressed ones (docs/downstream.md). Called again, it goes on where it was."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--images", type=Path, required=True, metavar="FOLDER")
        parser.add_argument(
            "--annotations", type=Path, required=True, metavar="FILE.json", help="in COCO's format"
        )
        parser.add_argument("--detector", type=Path, metavar="FILE.onnx", help="YOLOX")
        parser.add_argument(
            "--segmenter",
            type=Path,
            metavar="FILE.tflite",
            help="DeepLab or another with VOC's 21 classes; with a detector, it makes masks, too",
        )
        parser.add_argument(
            "--instances", type=Path, metavar="FILE.onnx", help="YOLO-seg or Mask R-CNN"
        )
        parser.add_argument(
            "--codec",
            action="append",
            default=[],
            metavar="NAME",
            help="may be repeated (default: every codec that is available here)",
        )
        parser.add_argument(
            "--bpp",
            action="append",
            default=[],
            type=float,
            help="target; may be repeated (default: 0.23, 0.37, 0.67, 1.0)",
        )
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FOLDER",
            help="where bitstreams and decoded PNGs lie (default: in the folder of Closer's data)",
        )
        parser.add_argument(
            "--jobs",
            type=int,
            default=os.cpu_count() or 1,
            metavar="N",
            help="encode in so many processes, and run models in so many threads "
            "(default: %(default)s)",
        )
        parser.add_argument("--confidence", type=float, default=0.95)
        parser.add_argument("--seed", type=int, default=0, help="of the bootstraps")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--plot", type=Path, metavar="FILE.svg")
        parser.add_argument("--keep", metavar="NAME", help="show the results on the pages, too")
        parser.add_argument("--project", help="whose pages (default: the first project)")

    def handle(self, *, images, annotations, codec, bpp, out, jobs, **options):
        # Imported here: Torch takes seconds to load, and --help needs none of it.
        from evaluation.downstream.scores import How, evaluate

        check(bpp=bpp, jobs=jobs, **options)
        targets = list(dict.fromkeys(bpp)) or list(STRATA)
        project = self.project(options["keep"], options["project"])
        try:
            labelled = read_labels(annotations, images)
            machines = open_models(options, threads=jobs)
            machines.check(labelled)
            codecs = chosen(codec)
            out = out or settings.CLOSER_DATA / "downstream" / labelled.digest[:16]
            self.stderr.write(
                f"{len(labelled.photographs)} photographs by {len(codecs)} codecs at "
                f"{len(targets)} bit rates into {out}"
            )
            rows = encode_into_folder(
                [each.file for each in labelled.photographs],
                codecs=codecs,
                targets_bpp=targets,
                folder=out,
                jobs=jobs,
                memory_bytes=budget_bytes(settings.CLOSER_ENCODE_MEMORY_MB),
                progress=self.stderr.write,
            )
            document = evaluate(
                labelled,
                rows,
                out,
                machines,
                answer_store(),
                how=How(options["confidence"], options["seed"]),
                progress=Told(self.stderr.write),
            )
        except (BadAnnotations, BadModel, CodecError, UnreadablePicture, OSError) as error:
            raise CommandError(str(error)) from None
        made_by = provenance()
        document["provenance"] = {
            **made_by,
            "libraries": made_by["libraries"] | {name: version(name) for name in LIBRARIES},
            "annotations": {"file": annotations.name, "digest": labelled.digest},
            "models": {
                name: {"file": question.model.name, "digest": question.model.digest}
                for name, question in machines.questions.items()
            },
        }
        if options["plot"]:
            self.write_plot(options["plot"], document)
        if project:
            self.keep(document, options["keep"], project)
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2, allow_nan=False))
        else:
            for line in lines(document):
                self.stdout.write(line)

    def project(self, name, project):
        """Where results are kept; None: nowhere. Looked for before hours of work, not after."""
        from evaluation.downstream.keeping import NAME_LENGTH
        from projects.access import NoSuchProject, default_project, find_project

        if name is None:
            if project:
                raise CommandError("--project says where --keep keeps: name that, too")
            return None
        if not 0 < len(name.strip()) <= NAME_LENGTH:
            raise CommandError(f"--keep takes a name of at most {NAME_LENGTH} characters")
        try:
            return find_project(project) if project else default_project()
        except NoSuchProject as error:
            raise CommandError(str(error)) from None

    def keep(self, document, name, project):
        from evaluation.downstream.keeping import AlreadyKept, keep

        try:
            kept = keep(document, name=name.strip(), project=project)
        except AlreadyKept as already:
            kept = already.kept
            self.stderr.write(str(already))
        self.stderr.write(f"Page: {settings.CLOSER_URL}{kept.get_absolute_url()}")

    def write_plot(self, path, document):
        from evaluation.downstream.plots import downstream_plot

        picture = downstream_plot(document)
        if picture is None:
            raise CommandError("There is nothing to plot: no measure has a value")
        write_whole(path, picture.encode(), what="The plot")
        self.stderr.write(f"Plot: {path}")


def check(*, bpp, jobs, confidence, seed, detector, segmenter, instances, plot, **options):
    if not (detector or segmenter or instances):
        raise CommandError("Name a model at least: --detector, --segmenter or --instances")
    if not all(0 < target < math.inf for target in bpp):
        raise CommandError("--bpp takes bits per pixel above 0")
    if jobs < 1:
        raise CommandError("--jobs takes 1 or more")
    if not 0 < confidence < 1:
        raise CommandError("--confidence takes a share between 0 and 1, such as 0.95")
    if seed < 0:
        raise CommandError("--seed takes a whole number from 0 on")
    # Now, not after hours of work.
    if plot and not plot.parent.is_dir():
        raise CommandError(f"The plot cannot be written: there is no folder {plot.parent}")


def chosen(names):
    """The codecs of these names; of none, all that are available here."""
    if names:
        return [get_codec(name) for name in dict.fromkeys(names)]
    return [each for each in all_codecs().values() if not each.unavailable()]


def open_models(options, *, threads):
    from evaluation.downstream.scores import Machines
    from perceptual.downstream.deeplab import DeepLab
    from perceptual.downstream.instances import open_instances
    from perceptual.downstream.yolox import Yolox

    opened = {
        name: open_file(options[name], threads=threads)
        for name, open_file in (
            ("detector", Yolox),
            ("segmenter", DeepLab),
            ("instances", open_instances),
        )
        if options[name]
    }
    return Machines(**opened)


class Told:
    """Tells how far a step is, every few seconds, with the time that is left."""

    def __init__(self, write) -> None:
        self._write = write
        self._what, self._done, self._at = "", 0, 0.0
        self._left = TimeLeft(0)

    def __call__(self, what, done, total):
        if what != self._what:
            self._what, self._done, self._at = what, done, time.monotonic()
            self._left = TimeLeft(total - done)
        self._left.did(done - self._done)
        self._done = done
        now = time.monotonic()
        if total and (done == total or now - self._at > SECONDS_BETWEEN):
            self._write(f"{what}: {done} of {total}{self._left}")
            self._at = now
