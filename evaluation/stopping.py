"""A study with a target width closes by itself once its intervals are narrow enough.

It does when, at every stratum, there are at least FEWEST judgments, each codec took part in at
least FEWEST_A_CODEC, there is a scale, and no codec's 95 % interval is wider than the target. That
is looked at after every stored analysis, so never between two.

Stopping at a width leaves scores and the coverage of intervals nearly as they are (Chow and Robbins
1965, on fixed-width sequential intervals); it does bias p-values (docs/studies.md).
"""

from __future__ import annotations

from evaluation import launching
from evaluation.changes import NotAllowed
from evaluation.models import PEOPLE, PILOT, Study
from evaluation.stored_analyses import widths_of

FEWEST = 50
FEWEST_A_CODEC = 20  # comparisons; a pair that active sampling leaves alone needs none


def is_judged_enough(values: dict) -> bool:
    """Whether a stratum of a document has as many judgments as an interval needs to be believed.
    Codecs that nobody judged are in its list of win shares, too."""
    compared = [each["n"] or 0 for each in values["win_share"]]
    return (values["n_judgments"] or 0) >= FEWEST and min(compared, default=0) >= FEWEST_A_CODEC


def why_narrow(study: Study, document: dict) -> str:
    """Why a study with this analysis can stop; "" if it goes on."""
    target = study.target_width
    if target is None:
        return ""
    widths = widths_of(document)
    counts = {each: values["n_judgments"] for each, values in document["strata"].items()}
    if any(widest is None or widest > target for widest, _ in widths.values()):
        return ""
    if not all(is_judged_enough(values) for values in document["strata"].values()):
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
