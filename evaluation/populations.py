"""Who judged: their judgments are never analysed together, and no metric is trained on both."""

from annotation.populations import PEOPLE, POPULATIONS, SIMULATED

__all__ = ["PEOPLE", "POPULATIONS", "SIMULATED"]
