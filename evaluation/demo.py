"""What `make demo` shows: a study to judge, and one that simulated annotators have judged."""

import importlib.util
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth import get_user_model

from annotation.models import Campaign
from codecs_registry.importing import import_files
from codecs_registry.models import Collection
from evaluation.analysis import SIMULATED, populations
from evaluation.launching import find_sources, launch
from evaluation.models import Study
from evaluation.simulation import simulate
from evaluation.study_files import StudySpecification

# Colour photographs inside scikit-image's package; docs/images.md gives origins and licences.
PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"),
    *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
COLLECTION = "demo"
OPEN_STUDY, SIMULATED_STUDY = "First study", "Simulated example"
USERNAME = "researcher"
SIMULATED_ANNOTATORS = 12
POLL_S = 0.2

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Demo:
    """What a newcomer is told. The password is known only when its account is made."""

    study: Study
    example: Study
    username: str
    password: str | None


def prepare(*, images: Path | None, say: Say) -> Demo:
    """Import photographs, launch both studies and wait until they are open.

    Goes on where it was. Raises DemoFailed.
    """
    password = _make_account()
    collection = _import(images, say=say)
    suffix = "" if images is None else f": {collection}"
    wanted = {
        "name": f"{OPEN_STUDY}{suffix}",
        "images": collection,
        "codecs": ["jpeg", "jpeg2000", "webp", "avif"],
        "judgments_per_task": 3,
        "judgments_per_annotator": 10,
        "seed": 1,
    }
    study = _launch(wanted)
    example = _launch(
        wanted | {"name": f"{SIMULATED_STUDY}{suffix}", "judgments_per_annotator": None, "seed": 2}
    )
    for each in (study, example):
        _wait_until_open(each, say=say)
    return Demo(study, example, USERNAME, password)


def simulate_example(example: Study, *, url: str) -> int:
    """Have simulated annotators judge all of the example, unless they did; returns how much.

    Raises SimulationFailed.
    """
    if populations(example)[SIMULATED]:
        return 0
    acknowledged = simulate(
        example.campaign,
        url=url,
        annotators=SIMULATED_ANNOTATORS,
        judgments=example.campaign.tasks.count(),
        seed=7,
    )
    return sum(len(each.assignments) for each in acknowledged)


def _make_account() -> str | None:
    accounts = get_user_model().objects
    if accounts.filter(username=USERNAME).exists():
        return None
    password = secrets.token_urlsafe(12)
    accounts.create_user(USERNAME, password=password)
    return password


def _import(images: Path | None, *, say: Say) -> str:
    """Import the demo's photographs, or a folder's; returns the collection's name."""
    if images is None:
        name = COLLECTION
        folder = Path(importlib.util.find_spec("skimage").origin).parent / "data"
        paths = [folder / photograph for photograph in PHOTOGRAPHS]
    else:
        if not images.is_dir():
            raise DemoFailed(f"IMAGES={images} is no folder.")
        name = images.resolve().name
        paths = sorted(path for path in images.iterdir() if path.is_file())
    known = Collection.objects.filter(name=name).first()
    if images is None and known and known.sources.count() == len(PHOTOGRAPHS):
        return name
    say(f"Importing {len(paths)} pictures")
    result = import_files(((path.name, path) for path in paths), collection=name)
    for skipped, reason in result.skipped:
        say(f"  skipped {skipped}: {reason}")
    if not result.sources:
        raise DemoFailed(f"{images} holds no picture that can be used.")
    return name


def _launch(wanted: dict) -> Study:
    known = Study.objects.filter(name=wanted["name"]).first()
    if known:  # as it is: somebody may have judged in it
        return known
    specification = StudySpecification.from_mapping(wanted)
    return launch(specification, find_sources(specification.images))[0]


def _wait_until_open(study: Study, *, say: Say) -> None:
    reported = -1
    while True:
        study.campaign.refresh_from_db()
        if study.campaign.state != Campaign.State.DRAFT:
            return
        progress = study.encoding_progress()
        if progress["failed"]:
            error = study.reconstructions.filter(state="failed").first().error
            raise DemoFailed(f"{progress['failed']} pictures could not be encoded: {error}")
        percent = 100 * progress["ready"] // progress["total"]
        if percent // 10 != reported:
            reported = percent // 10
            say(f"Encoding: {progress['ready']} of {progress['total']} reconstructions")
        time.sleep(POLL_S)
