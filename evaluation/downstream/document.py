"""What `evaluate_downstream --json` prints: what it must be, and as a table for a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.labels import stratum_title

FORMAT = "closer-downstream-1"
MEASURES = {
    "box_ap": "Detection: mAP of boxes",
    "box_ap50": "Detection: mAP of boxes at IoU 0.5",
    "box_ap75": "Detection: mAP of boxes at IoU 0.75",
    "mask_ap": "Instance segmentation: mAP of masks",
    "mask_ap50": "Instance segmentation: mAP of masks at IoU 0.5",
    "mask_ap75": "Instance segmentation: mAP of masks at IoU 0.75",
    "mean_iou": "Semantic segmentation: mean IoU",
}
FIRST = ("box_ap", "mask_ap", "mean_iou")
"""Shown in a terminal and plotted; `--json` and the page have them all."""
SHORT = {"box_ap": "mAP, boxes", "mask_ap": "mAP, masks", "mean_iou": "mean IoU"}
MINUS = "\N{MINUS SIGN}"
MOST_ROWS = 1000  # codecs x strata of one document: more is no comparison any more


class BadDocument(ValueError):
    """The text is no result of `evaluate_downstream --json`; the message says why."""


def read_document(content: bytes) -> dict[str, Any]:
    """The document of a file. Raises BadDocument."""
    try:
        document = json.loads(content, parse_constant=_refuse)
    except ValueError as error:
        raise BadDocument(f"it is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadDocument(
            f"it does not say that it is a document of evaluate_downstream: expected "
            f'"format": "{FORMAT}"'
        )
    try:
        _check(document)
    except KeyError as error:
        raise BadDocument(f"{error.args[0]!r} is missing") from None
    except (TypeError, AttributeError):
        raise BadDocument("a value is of another kind than evaluate_downstream writes") from None
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _check(document: Mapping[str, Any]) -> None:
    for name in ("n_images", "n_labels", "n_boot", "seed"):
        if not isinstance(document[name], int) or document[name] < 0:
            raise BadDocument(f"{name}: expected a whole number from 0 on")
    if not 0 < document["confidence"] < 1:
        raise BadDocument("confidence: expected a share between 0 and 1")
    measures = document["measures"]
    if unknown := [name for name in measures if name not in MEASURES] or not measures:
        raise BadDocument(f"measures: expected some of {', '.join(MEASURES)}, found {unknown}")
    for count in document["classes"].values():
        _number(count, "classes")
    _check_measures(document["uncompressed"], measures, "uncompressed", ("value", "low", "high"))
    for each in document["provenance"]["models"].values():
        _text(each["file"], "file")
        _text(each["digest"], "digest")
    _text(document["provenance"]["annotations"]["file"], "file")
    rows = [(s, row) for s, of in document["strata"].items() for row in of["codecs"]]
    if len(rows) > MOST_ROWS:
        raise BadDocument(f"it has {len(rows)} rows of codecs; at most {MOST_ROWS} are taken")
    for stratum, row in rows:
        where = f"{_text(row['codec'], 'codec')} at {stratum}"
        if not _is_rate(stratum):
            raise BadDocument(f"strata: {stratum!r} is no bit rate")
        _text(row["version"], "version")
        _number(row["actual_bpp"], where)
        _number(row["n_off_target"], where)
        bounds = (f"{what}{bound}" for what in ("difference",) for bound in ("", "_low", "_high"))
        _check_measures(row["measures"], measures, where, ("value", "low", "high", *bounds))


def _check_measures(
    found: Mapping[str, Any], measures: list[str], where: str, wanted: tuple[str, ...]
) -> None:
    for name in measures:
        for value in wanted:
            if found[name][value] is not None:
                _number(found[name][value], f"{where}: {name}")


def _number(value: object, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadDocument(f"{where}: expected a number, found {value!r}")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadDocument(f"{where}: expected text, found {value!r}")
    return value


def _is_rate(stratum: str) -> bool:
    try:
        return 0 < float(stratum) < math.inf
    except ValueError:
        return False


def by_rate(document: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each stratum and its rows, by rate: a database keeps a document, but not its order."""
    return [
        (stratum, of["codecs"])
        for stratum, of in sorted(document["strata"].items(), key=lambda each: float(each[0]))
    ]


def tables(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each measure a table: `name`, `title`, `is_first` (see FIRST), `uncompressed`, `strata`,
    and `rows`: of each codec its measure in each stratum, None where it has none there."""
    strata = [stratum for stratum, _ in by_rate(document)]
    by_place = {(row["codec"], stratum): row for stratum, rows in by_rate(document) for row in rows}
    codecs = sorted({codec for codec, _ in by_place})
    return [
        {
            "name": name,
            "title": MEASURES[name],
            "is_first": name in FIRST,
            "uncompressed": document["uncompressed"][name],
            "strata": strata,
            "rows": [
                (codec, [_cell(by_place.get((codec, stratum)), name) for stratum in strata])
                for codec in codecs
            ],
        }
        for name in document["measures"]
    ]


def _cell(row: Mapping[str, Any] | None, name: str) -> dict[str, Any] | None:
    return row and row["measures"][name]


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The tables in Markdown: each value, and in brackets the interval of its difference from the
    uncompressed photographs."""
    yield (
        f"{document['n_images']} photographs with {document['n_labels']} labels; in percent; in "
        f"brackets the {document['confidence']:.0%} interval of the difference from the "
        "uncompressed photographs"
    )
    for table in tables(document):
        if not table["is_first"]:
            continue
        uncompressed = table["uncompressed"]
        yield f"\n**{table['title']}**; uncompressed {interval(uncompressed)}\n"
        yield " | ".join(["| codec", *map(stratum_title, table["strata"])]) + " |"
        yield "|---" * (1 + len(table["strata"])) + "|"
        for codec, cells in table["rows"]:
            yield " | ".join([f"| {codec}", *map(cell, cells)]) + " |"
    for stratum, rows in by_rate(document):
        for row in rows:
            if row["n_off_target"]:
                yield (
                    f"\n{row['codec']} at {stratum_title(stratum)}: {row['n_off_target']} of "
                    f"{document['n_images']} files are more than 2 % off the rate; "
                    f"{row['actual_bpp']:.3f} bpp on average"
                )


def interval(found: Mapping[str, Any]) -> str:
    """'25.8 [20.1, 31.2]'; the value alone where it has no interval."""
    if found["value"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['value']:.1f}"
    return f"{found['value']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def cell(found: Mapping[str, Any] | None) -> str:
    """'21.4 [−6.2, −2.9]': the value, and the interval of its difference."""
    if found is None or found["value"] is None:
        return "–"
    if found["difference_low"] is None:
        return f"{found['value']:.1f}"
    bounds = (signed(found[f"difference_{bound}"]) for bound in ("low", "high"))
    return f"{found['value']:.1f} [{', '.join(bounds)}]"


def signed(points: float) -> str:
    return f"{round(points, 1) or 0:+.1f}".replace("-", MINUS)
