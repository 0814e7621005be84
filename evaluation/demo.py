"""What `make demo` shows: a study to judge, and one that simulated annotators have judged."""

import importlib.util
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth import get_user_model

from codecs_registry.importing import find_pictures, import_files
from codecs_registry.models import Collection
from evaluation.launching import (
    EncodingFailed,
    collection_sources,
    launch,
    retry_encoding,
    wait_until_open,
)
from evaluation.models import Study
from evaluation.study_files import InvalidStudy, StudySpecification
from projects.access import default_project
from projects.models import Membership
from projects.roles import Role

# Colour photographs inside scikit-image's package; docs/images.md gives origins and licences.
PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"),
    *("retina.jpg", "rocket.jpg"),
)
COLLECTION = "demo"
OPEN_STUDY, SIMULATED_STUDY = "First study", "Simulated example"
USERNAME = "researcher"
SIMULATED_ANNOTATORS = 12

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
    try:
        for each in (study, example):
            wait_until_open(each, progress=say)
    except EncodingFailed as error:
        raise DemoFailed(f"{error} 'make demo' tries again.") from None
    # Last, since its password is told only once, and at the end.
    return Demo(study, example, USERNAME, _make_account())


def simulate_example(example: Study, *, url: str) -> int:
    """Have simulated annotators judge what is left of the example; returns how much that was.

    Raises SimulationFailed.
    """
    if not example.campaign.tasks.filter(simulated_places_left__gt=0).exists():
        return 0
    from evaluation.simulation import simulate  # slow to import, and needed once

    acknowledged = simulate(
        example.campaign,
        url=url,
        annotators=SIMULATED_ANNOTATORS,
        judgments=example.campaign.measured_tasks.count(),
        seed=7,
    )
    return sum(len(each.assignments) for each in acknowledged)


def _make_account() -> str | None:
    accounts = get_user_model().objects
    if accounts.filter(username=USERNAME).exists():
        return None
    password = secrets.token_urlsafe(12)
    made = accounts.create_user(USERNAME, password=password)
    Membership.objects.create(project=default_project(), user=made, role=Role.OWNER)
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
        name = images.resolve().name[:80]  # the studies' names hold it, and have 100 characters
        paths = find_pictures(images)
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
        retry_encoding(known)
        return known
    try:
        specification = StudySpecification.from_mapping(wanted)
        return launch(specification, collection_sources(specification.images))[0]
    except InvalidStudy as error:
        raise DemoFailed(f"The study cannot be launched: {error}") from None
