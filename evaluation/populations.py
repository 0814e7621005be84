"""Who judged: their judgments are never analysed together, and no metric is trained on both."""

PEOPLE, SIMULATED = POPULATIONS = ("people", "simulated")
