"""What imported judgments come to: analysed once, by a worker where there are many, and kept as
analyses of studies are (stored_analyses.py).

Neither the file nor how it is read ever changes, so that results change with the code alone.
"""

import json
import time
from contextlib import nullcontext
from datetime import datetime

from codecs_registry.leases import lease_kept
from evaluation.import_models import ImportedJudgments
from evaluation.importing import read_again
from evaluation.models import StoredAnalysis
from evaluation.provenance import provenance

AT_ONCE = 2000
"""Rows that a page analyses itself: they take about two seconds."""


def kept(imported: ImportedJudgments) -> dict | None:
    """The results that this version of the code computed before: "analysis", which is what
    `analyse --comparisons` says of the file, "read_aloud" and "cannot_be_had"."""
    stored = StoredAnalysis.objects.filter(imported=imported, basis=_version()).first()
    return stored.document if stored else None


def compute(imported: ImportedJudgments, *, now: datetime) -> dict | None:
    """As `kept`, computed if need be, and kept; None while somebody else does.

    Raises InvalidComparisons if the study that it belongs to has changed so that no row fits.
    """
    from evaluation.stored_analyses import claimed, put  # with all of statistics

    with claimed(_made_room(imported), now=now) as held:
        if held is not None and kept(imported) is None:
            begun = time.monotonic()
            with lease_kept(held) if imported.n_used > AT_ONCE else nullcontext():
                text = json.dumps(_made(imported), allow_nan=False)
            seconds = time.monotonic() - begun
            told = {"basis": _version(), "news": 0, "n_judgments": imported.n_used}
            put(held, now=now, text=text, seconds=seconds, **told)
    return kept(imported)


def _made(imported: ImportedJudgments) -> dict:
    from evaluation.analysis import analyse_file  # half a second that only results need
    from evaluation.import_words import cannot_be_had, read_aloud

    judgments = read_again(imported)
    return {
        "analysis": analyse_file(judgments, name=imported.file_name),
        "read_aloud": read_aloud(judgments),
        "cannot_be_had": cannot_be_had(judgments),
    }


def results(imported: ImportedJudgments, *, now: datetime) -> dict | None:
    """As `kept`; computed if that is soon done, else None, and a worker is asked for them.

    Raises InvalidComparisons as `compute` does.
    """
    found = kept(imported)
    if found is None and imported.n_used <= AT_ONCE:
        found = compute(imported, now=now)
    if found is None:
        ask(imported, now=now)
    return found


def ask(imported: ImportedJudgments, *, now: datetime) -> None:
    """Ask a worker for results, unless one is at it or was asked a moment ago."""
    from evaluation.stored_analyses import ask_for

    ask_for(_made_room(imported), now=now)


def _made_room(imported: ImportedJudgments) -> StoredAnalysis:
    return StoredAnalysis.objects.get_or_create(
        imported=imported, defaults={"population": imported.population}
    )[0]


def beside(own: dict, imported: dict) -> list[dict]:
    """Each codec's share of wins by a study's own people and by an import, side by side; the two
    are never pooled."""
    rows = []
    for stratum, values in imported["strata"].items():
        ours = own["strata"].get(stratum, {"win_share": []})["win_share"]
        shares = {each["condition"]: each for each in ours}
        rows += [
            {
                "stratum": stratum,
                "condition": each["condition"],
                "own": shares.get(each["condition"]),
                "imported": each,
            }
            for each in values["win_share"]
        ]
    return rows


def _version() -> str:
    made_by = provenance()
    return f"{made_by['closer']} {made_by['commit'] or ''}".strip()[:100]
