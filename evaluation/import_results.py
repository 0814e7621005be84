"""What imported judgments come to: computed once, by a worker where there are many, and kept.

Neither the file nor how it is read ever changes, so that results change with the code alone.
"""

import json
from datetime import datetime, timedelta

from django.db.models import Q

from codecs_registry import blobs
from evaluation.import_models import ImportedJudgments
from evaluation.importing import read_again
from evaluation.provenance import provenance

AT_ONCE = 2000
"""Rows that a page analyses itself: they take about two seconds."""
ASK_AGAIN = timedelta(minutes=10)
"""After which a worker that was asked is taken for lost."""


def kept(imported: ImportedJudgments) -> dict | None:
    """The results that this version of the code computed before: "analysis", which is what
    `analyse --comparisons` says of the file, "read_aloud" and "cannot_be_had"."""
    if imported.results_by != _version():
        return None
    return json.loads(blobs.read(imported.results))


def compute(imported: ImportedJudgments) -> dict:
    """As `kept`, computed and kept. Safe to run twice or at the same time.

    Raises InvalidComparisons if the study that it belongs to has changed so that no row fits.
    """
    from evaluation.analysis import analyse_file  # half a second that only results need
    from evaluation.import_words import cannot_be_had, read_aloud

    judgments = read_again(imported)
    found = {
        "analysis": analyse_file(judgments, name=imported.file_name),
        "read_aloud": read_aloud(judgments),
        "cannot_be_had": cannot_be_had(judgments),
    }
    text = json.dumps(found, allow_nan=False)
    imported.results = blobs.put(text.encode(), ".json")
    imported.results_by = _version()
    imported.save(update_fields=["results", "results_by"])
    return json.loads(text)  # the same whether it was kept or not


def results(imported: ImportedJudgments, *, now: datetime) -> dict | None:
    """As `kept`; computed if that is soon done, else None, and a worker is asked for them.

    Raises InvalidComparisons as `compute` does.
    """
    found = kept(imported)
    if found is None and imported.n_used <= AT_ONCE:
        found = compute(imported)
    if found is None:
        ask(imported, now=now)
    return found


def ask(imported: ImportedJudgments, *, now: datetime) -> None:
    """Ask a worker for results, unless one was asked a short while ago."""
    from evaluation.tasks import analyse_import

    was_not = Q(results_asked_at=None) | Q(results_asked_at__lt=now - ASK_AGAIN)
    if ImportedJudgments.objects.filter(was_not, id=imported.id).update(results_asked_at=now):
        analyse_import.delay(imported.id)


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
