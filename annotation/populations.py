"""Who judged: people, or simulated annotators. What they said is never mixed unless asked for."""

from django.db.models import QuerySet

PEOPLE, SIMULATED = POPULATIONS = ("people", "simulated")
BOTH = "both"


def judged_by(judgments: QuerySet, population: str) -> QuerySet:
    """Those of a queryset of judgments that a population gave; of BOTH: all."""
    if population == BOTH:
        return judgments
    return judgments.filter(assignment__annotator__is_simulated=population == SIMULATED)
