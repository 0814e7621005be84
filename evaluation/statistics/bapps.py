"""The answers of a BAPPS folder as one table, so that they can be kept and read as a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from evaluation.statistics.comparisons import InvalidComparisons

SIDES = ("p0", "p1")


def bapps_table(folder: Path) -> bytes:
    """The shares of a BAPPS folder (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric") as a file of the format "bapps".

    Its manifest.csv, if there is one, as our own datasets have: codecs and numbers of votes are
    told. Without it all that the folder tells are the shares for p1, judge/000000.npy of each
    subset: conditions are "p0" and "p1", and a subset is a stratum.

    Raises InvalidComparisons naming the file that cannot be read; OSError passes.
    """
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return manifest.read_bytes()
    judged = sorted(folder.rglob("judge/*.npy"))
    if not judged:
        raise InvalidComparisons(
            f"{folder}: expected manifest.csv, or judge/000000.npy in its subsets"
        )
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["content", "stratum", "p0_codec", "p1_codec", "judge"])
    for path in judged:
        subset = path.parent.parent.relative_to(folder).as_posix()
        share = _share(path)
        writer.writerow([f"{subset}/{path.stem}", subset, *SIDES, f"{share:.6g}"])
    return table.getvalue().encode()


def _share(path: Path) -> float:
    try:
        values = np.load(path, allow_pickle=False)
        return float(np.asarray(values, dtype=np.float64).reshape(1)[0])
    except (ValueError, EOFError) as error:
        raise InvalidComparisons(f"{path}: expected one share as numpy saves it: {error}") from None
