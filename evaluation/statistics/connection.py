"""Whether comparisons connect the conditions, so that they can be put on one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from evaluation.statistics.comparisons import FloatArray
from evaluation.statistics.estimate import NotIdentified


def require_connection(wins: FloatArray) -> None:
    """Raise NotIdentified unless in every split of the conditions each part has beaten the other.

    wins : (n, n) array; wins[i, j] > 0 where i was judged closer than j, or they tied.

    It is then, and only then, that Bradley-Terry's likelihood has a maximum (L. R. Ford 1957,
    "Solution of a ranking problem from binary comparisons", American Mathematical Monthly 64,
    28-33). The error tells groups never compared, or one that never lost or never won, by the
    indexes of their conditions.
    """
    n_parts, part = scipy.sparse.csgraph.connected_components(
        wins > 0, directed=True, connection="weak"
    )
    if n_parts > 1:
        groups = members(n_parts, part)
        each = " / ".join(f"{{{g}}}" for g in range(n_parts))
        raise NotIdentified(
            f"{n_parts} groups were never compared with each other: {each}", *groups
        )
    n_parts, part = scipy.sparse.csgraph.connected_components(
        wins > 0, directed=True, connection="strong"
    )
    if n_parts == 1:
        return
    unbeaten, winless = [], []
    for group in members(n_parts, part):
        rest = [i for i in range(len(wins)) if i not in group]
        if not np.any(wins[np.ix_(rest, group)]):
            unbeaten.append((group, rest, "{0} never lost to {1}: the distance is infinite"))
        if not np.any(wins[np.ix_(group, rest)]):
            winless.append((group, rest, "{0} never won against {1}: the distance is infinite"))
    # There is always one of each; the smaller group is the more telling.
    group, rest, reason = min(unbeaten + winless, key=lambda found: len(found[0]))
    raise NotIdentified(reason, group, rest)


def members(n_parts: int, part: NDArray[np.signedinteger[Any]]) -> list[list[int]]:
    """The indexes of each part, where part (n,) tells the part of each."""
    return [np.flatnonzero(part == p).tolist() for p in range(n_parts)]
