"""Who judged: their judgments are never analysed together, and no metric is trained on both."""

from annotation.populations import PEOPLE, POPULATIONS, SIMULATED

__all__ = ["PEOPLE", "PILOT", "POPULATIONS", "SIMULATED"]

PILOT = "pilot"
"""People, too, whom a study's pilot asked: a campaign of its own, and in nothing of the study."""
