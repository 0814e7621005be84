"""Rate and distortion of codecs on photographs, by real files, beside the learned codec.

    python -m benchmarks.codec_rate_distortion --images FOLDER --keep FOLDER
        [--codec NAME ...] [--metric NAME ...] [--limit N] [--json]

Each codec makes files of each photograph at the settings where an ordinary one has the rates of
POINTS; every file is decoded and measured. Printed, as tables in Markdown: what each codec reaches
at the four strata (between the points, along log rate), the mean over photographs; and BD-rates of
`closer` against each other codec, by each measure, the mean over photographs. Measures other than
PSNR and MS-SSIM are metrics of Closer by name. What was measured is kept by content and version,
and not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

STRATA = (0.23, 0.37, 0.67, 1.0)
POINTS = (0.12, 0.2, 0.33, 0.55, 0.9, 1.5)
CODECS = ("jpeg", "webp", "jpeg2000", "avif", "heic", "closer")
METRICS = ("psnr", "ms-ssim", "closer-lpips-comp", "ssimulacra2")
TEST = "closer"


class Measured:
    """Rows of what was measured, in a file that only grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text().splitlines() if file.exists() else []
        self._rows = dict(map(json.loads, lines))

    def row(self, key: str, missing: list[str]) -> dict[str, Any]:
        """The row of a key, and of `missing` those names that it lacks."""
        row = self._rows.get(key, {})
        missing[:] = [name for name in missing if name not in row]
        return dict(row)

    def put(self, key: str, row: dict[str, Any]) -> None:
        self._rows[key] = row
        with self._file.open("a") as file:
            file.write(json.dumps([key, row]) + "\n")


def measure(
    pictures: list[np.ndarray], codecs: list[str], metrics: list[str], keep: Path
) -> dict[str, list[list[dict[str, Any]]]]:
    """Rows by codec, picture and point."""
    from codecs_registry.codecs import get_codec
    from codecs_registry.codecs.closer import Closer

    kept = Measured(keep / "rate-distortion.jsonl")
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for name in codecs:
        codec = Closer() if name == TEST else get_codec(name)
        if reason := codec.unavailable():
            print(f"{name} is left out: {reason}", file=sys.stderr)
            continue
        settings = [codec.knob.setting(math.log(bpp)) for bpp in POINTS]
        found[name] = []
        for number, pixels in enumerate(pictures, 1):
            told = hashlib.sha256(pixels.tobytes()).hexdigest()
            rows = []
            for setting in dict.fromkeys(settings):
                key = f"{name} {codec.version()} {setting!r} {told}"
                missing = ["bpp", *metrics]
                row = kept.row(key, missing)
                if missing:
                    row |= _measured(codec, pixels, setting, missing)
                    kept.put(key, row)
                rows.append(row)
            found[name].append(rows)
            print(f"{name}: {number} of {len(pictures)}", file=sys.stderr, flush=True)
    return found


def _measured(codec: Any, pixels: np.ndarray, setting: float, names: list[str]) -> dict[str, Any]:
    import torch

    started = time.perf_counter()
    bitstream = codec.encode(pixels, setting)
    encoded = time.perf_counter()
    decoded = codec.decode(bitstream)
    row: dict[str, Any] = {
        "bpp": 8 * len(bitstream) / (pixels.shape[0] * pixels.shape[1]),
        "encode_s": encoded - started,
        "decode_s": time.perf_counter() - encoded,
    }
    with torch.no_grad():
        a, b = (
            torch.from_numpy(each).permute(2, 0, 1)[None].float() / 255
            for each in (pixels, decoded)
        )
        for name in names:
            if name != "bpp":
                row[name] = float(_metric(name).distance(a, b)[0])
    return row


_LOADED: dict[str, Any] = {}


def _metric(name: str) -> Any:
    from perceptual import Metric

    if name not in _LOADED:
        _LOADED[name] = Metric.load(name)
    return _LOADED[name]


def tables(found: dict[str, list[list[dict[str, Any]]]], metrics: list[str]) -> Iterator[str]:
    yield f"| codec | {' | '.join(f'{m} at {s:g}' for m in metrics for s in STRATA)} |"
    yield "|---" * (1 + len(metrics) * len(STRATA)) + "|"
    for name, pictures in found.items():
        cells = [
            _cell(metric, np.mean([_at(rows, metric, stratum) for rows in pictures]))
            for metric in metrics
            for stratum in STRATA
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    if TEST not in found:
        return
    yield ""
    yield f"| {TEST} against | {' | '.join(metrics)} |"
    yield "|---" * (1 + len(metrics)) + "|"
    for name, pictures in found.items():
        if name != TEST:
            cells = [_bd_cell(pictures, found[TEST], metric) for metric in metrics]
            yield f"| {name} | {' | '.join(cells)} |"


def _cell(metric: str, value: float) -> str:
    return f"{-value:.2f}" if metric == "psnr" else f"{value:.4f}"


def _at(rows: list[dict[str, Any]], metric: str, bpp: float) -> float:
    points = sorted((math.log(row["bpp"]), row[metric]) for row in rows)
    return float(np.interp(math.log(bpp), *zip(*points, strict=True)))


def _quality(metric: str, distance: float) -> float:
    """Rising, and about straight in log rate: decibels of what falls towards 0."""
    return -distance if metric in ("psnr", "ssimulacra2") else -10 * math.log10(distance)


def _bd_cell(
    anchors: list[list[dict[str, Any]]], tests: list[list[dict[str, Any]]], metric: str
) -> str:
    from codecs_registry.bd_rate import NoBdRate, bd_rate

    rates = []
    for anchor, test in zip(anchors, tests, strict=True):
        curves = [
            [(row["bpp"], _quality(metric, row[metric])) for row in rows] for rows in (anchor, test)
        ]
        try:
            rates.append(bd_rate(*curves))
        except NoBdRate:
            continue
    if not rates:
        return "cannot be had"
    few = "" if len(rates) == len(tests) else f" ({len(rates)} of {len(tests)})"
    return f"{np.mean(rates):+.1f} %{few}".replace("-", "\N{MINUS SIGN}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--codec", action="append")
    parser.add_argument("--metric", action="append")
    parser.add_argument("--limit", type=int, help="take so many photographs, evenly chosen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from codecs_registry.pictures import read_picture

    files = sorted(each for each in options.images.iterdir() if each.suffix == ".png")
    if options.limit:
        files = files[:: max(1, len(files) // options.limit)][: options.limit]
    metrics = options.metric or list(METRICS)
    found = measure(
        [read_picture(file).pixels for file in files],
        options.codec or list(CODECS),
        metrics,
        options.keep,
    )
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(tables(found, metrics)))


if __name__ == "__main__":
    main()
