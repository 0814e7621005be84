"""What a file of judgments holds, said in words before anybody imports it."""

import numpy as np

from evaluation.importing import DryRun
from evaluation.labels import stratum_title
from evaluation.statistics.reading import Judgments
from evaluation.statistics.shares import Shares

READ_ALOUD = 2


def read_aloud(judgments: Judgments) -> list[str]:
    """The first rows as sentences: if these say the opposite of what was meant, so does all."""
    if judgments.shares is not None:
        n = min(READ_ALOUD, len(judgments.shares.share))
        return [_share_aloud(judgments.shares, row) for row in range(n)]
    if judgments.rankings is not None:
        n = min(READ_ALOUD, len(judgments.rankings.weight))
        return [_ranking_aloud(judgments, row) for row in range(n)]
    n = min(READ_ALOUD, len(judgments.comparisons.outcome))
    return [_comparison_aloud(judgments, row) for row in range(n)]


def as_told(found: DryRun) -> dict:
    """A dry run of a file that can be used, as plain values."""
    judgments = found.judgments
    table = judgments.shares or judgments.comparisons
    return {
        "format": found.format,
        "orientation": found.orientation,
        "columns": [
            {"name": each.name, "taken_for": each.taken_for or None, "meaning": each.meaning}
            for each in found.columns
        ],
        "rows": judgments.n_rows,
        "used": judgments.n_used,
        "malformed": [{"line": each.line, "reason": each.reason} for each in judgments.malformed],
        "set_aside": judgments.set_aside,
        "simulated": judgments.is_simulated,
        "conditions": list(table.conditions),
        "contents": list(table.contents),
        "strata": list(table.strata),
        "annotators": list(table.annotators) if judgments.names_annotators else None,
        "read_aloud": read_aloud(judgments),
        "cannot_be_had": cannot_be_had(judgments),
    }


def _comparison_aloud(judgments: Judgments, row: int) -> str:
    c = judgments.comparisons
    a, b = c.conditions[c.a[row]], c.conditions[c.b[row]]
    if c.outcome[row] == 0:
        a, b = b, a
    times = int(c.weight[row])
    who = (
        f"annotator {c.annotators[c.annotator[row]]}" if judgments.names_annotators else "somebody"
    )
    if times > 1:
        who = f"{times} people"
    found = (
        f"saw no difference between {a} and {b}"
        if c.outcome[row] == 0.5
        else f"found {a} closer than {b}"
    )
    gold = "" if np.isnan(c.expected[row]) else " (a question that checks attention)"
    return f"{who} {found}{_where(c, row)}{gold}"


def _ranking_aloud(judgments: Judgments, row: int) -> str:
    r = judgments.rankings
    places = [
        " and ".join(r.conditions[i] for i in np.flatnonzero(r.rank[row] == place))
        for place in range(1, int(r.rank[row].max()) + 1)
    ]
    who = r.annotators[r.annotator[row]]
    return f"annotator {who} found {places[0]} closest, then {', then '.join(places[1:])}" + _where(
        r, row
    )


def _share_aloud(shares: Shares, row: int) -> str:
    a, b = shares.conditions[shares.a[row]], shares.conditions[shares.b[row]]
    return f"{shares.share[row]:.1%} of the votes found {a} closer than {b}{_where(shares, row)}"


def _where(table, row: int) -> str:
    stratum = table.strata[table.stratum[row]]
    at = "" if stratum == "all" else f" at {stratum_title(stratum)}"
    return f" on {table.contents[table.content[row]]}{at}"


def cannot_be_had(judgments: Judgments) -> list[str]:
    """What results will lack, and why; nothing is invented in its place."""
    told = []
    if judgments.shares is not None:
        told.append(
            "The file tells shares of votes, and not of how many. Shares of conditions and pairs "
            "can be had; intervals, significance and a scale cannot. If you know how many people "
            "voted on each pair, add a column “votes”."
        )
    if not judgments.names_annotators:
        told.append(
            "The file does not say who judged. Agreement, screening and intervals that allow for "
            "annotators who differ cannot be had."
        )
    table = judgments.comparisons if judgments.shares is None else judgments.shares
    if len(table.contents) > 1 and not _shares_a_condition(table):
        told.append(
            "No condition stands on more than one source image: each image has a scale of its own, "
            "and conditions of different images cannot be compared."
        )
    return told


def _shares_a_condition(table) -> bool:
    """Whether some condition was judged on several source images."""
    n = len(table.contents)
    seen = np.unique(np.concatenate([table.a * n + table.content, table.b * n + table.content]))
    return len(seen) > len(table.conditions)
