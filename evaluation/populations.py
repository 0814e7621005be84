"""Who judged: their judgments are never analysed together, and no metric is trained on both."""

PEOPLE, SIMULATED = POPULATIONS = ("people", "simulated")

PILOT = "pilot"
"""People, too, whom a study's pilot asked: a campaign of its own, and in nothing of the study."""
