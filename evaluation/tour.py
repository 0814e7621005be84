"""What to look at first, where `make demo` has set Closer up: a panel that can be put away."""

from dataclasses import dataclass

from django.urls import reverse

from evaluation.demo import OPEN_STUDY, SIMULATED_STUDY
from evaluation.links import annotation_link
from evaluation.models import Study
from projects.models import Project

COOKIE = "tour"
PUT_AWAY = "put-away"


@dataclass(frozen=True)
class Step:
    """One thing to look at: where it is, and what is to be seen there."""

    title: str
    address: str
    words: str


def steps(
    project: Project | None, *, study: Study | None = None, makes_studies: bool = True
) -> list[Step]:
    """The tour of the demo's studies, in the order in which to look; empty where there are none.

    project : the one whose studies are listed.
    study : the one whose page asks, for which there is a tour only if it is one of the demo's.
    makes_studies : whether who looks may.
    """
    found = _demo_studies(project)
    if found is None or (study is not None and study not in found):
        return []
    first, example = found
    results = reverse("study", args=[example.slug])
    looked_at = [
        Step(
            "Judge ten pairs",
            annotation_link(first),
            "Which of two copies is closer to the original? It takes some minutes, and is what "
            "your annotators will see.",
        ),
        Step(
            "Watch it fill",
            reverse("study", args=[first.slug]),
            "Its page tells how far the study is, and has results from the first answer on.",
        ),
        Step(
            "Read results",
            results,
            "Simulated annotators have judged this one: how codecs compare at each bit rate, how "
            "sure that is, and who looks careless.",
        ),
        Step(
            "Take them along",
            reverse("report", args=[example.slug]),
            "The same as one file to keep or send. Judgments and the 2AFC dataset are on the "
            "study’s page.",
        ),
    ]
    own = Step(
        "Make your own",
        reverse("new-study"),
        "Your photographs, the codecs and bit rates that you choose, and a link to send round.",
    )
    return [*looked_at, own] if makes_studies else looked_at


def _demo_studies(project: Project | None) -> tuple[Study, Study] | None:
    """The demo's study to judge and its example: launched by no person, and named alike but for
    their beginnings; the newest such pair."""
    if project is None:
        return None
    launched = Study.objects.filter(project=project, launched_by=None).select_related("campaign")
    by_name = {each.name: each for each in launched}
    for name, first in by_name.items():
        example = by_name.get(name.replace(OPEN_STUDY, SIMULATED_STUDY, 1))
        if name.startswith(OPEN_STUDY) and example is not None:
            return first, example
    return None
