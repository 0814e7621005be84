"""A study with a target width closes by itself once its intervals are narrow enough.

It does when, at every stratum, there are at least FEWEST judgments and FEWEST_A_PAIR for each pair
of codecs, there is a scale, and no codec's 95 % interval is wider than the target. That is looked
at after every stored analysis, so never between two.

Stopping at a width leaves scores and the coverage of intervals nearly as they are (Chow and Robbins
1965, on fixed-width sequential intervals); it does bias p-values (docs/studies.md).
"""

from __future__ import annotations

from math import comb

from evaluation import launching
from evaluation.changes import NotAllowed
from evaluation.models import PEOPLE, PILOT, Study
from evaluation.stored_analyses import widths_of

FEWEST = 50
FEWEST_A_PAIR = 10


def fewest_of(study: Study) -> int:
    """How many judgments a stratum has at least when the study stops."""
    return max(FEWEST, FEWEST_A_PAIR * comb(len(study.codecs), 2))


def why_narrow(study: Study, document: dict) -> str:
    """Why a study with this analysis can stop; "" if it goes on."""
    target = study.target_width
    if target is None:
        return ""
    widths = widths_of(document)
    counts = {each: values["n_judgments"] for each, values in document["strata"].items()}
    if any(widest is None or widest > target for widest, _ in widths.values()):
        return ""
    if min(counts.values()) < fewest_of(study):
        return ""
    stratum, (widest, codec) = max(widths.items(), key=lambda each: each[1][0] or 0)
    return (
        f"No 95 % interval is wider than {target:g}, the target: the widest is {widest:.2f}, of "
        f"{codec} at {stratum} bpp, after {sum(counts.values())} judgments."
    )


def stop_if_narrow(study: Study, population: str, document: dict) -> bool:
    """Close a study whose new analysis is narrow enough; returns whether this call did.

    What simulated annotators judged closes a study only while nobody else judged: a rehearsal.
    """
    if population == PILOT:
        return False
    study = Study.objects.select_related("campaign", "pilot").get(id=study.id)
    if population != PEOPLE and study.judgment_counts()[PEOPLE]:
        return False
    reason = why_narrow(study, document)
    if not reason or study.state != Study.State.OPEN:
        return False
    try:
        launching.close(study, by=None, reason=reason)
    except NotAllowed:  # a person was faster
        return False
    return True
