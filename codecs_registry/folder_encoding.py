"""Rate-matched encodes into a plain folder, for those who want files and no study.

What is finished is noted in `manifest.part.csv` at once and becomes `manifest.csv` when all is:
a folder without one is unfinished, and the same call goes on where it was cut short.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from codecs_registry import memory
from codecs_registry.codecs import get_codec
from codecs_registry.codecs.base import Codec, CodecError, CodecUnavailable
from codecs_registry.pictures import UnreadablePicture, identify, read_picture, write_png
from codecs_registry.rate_matched import encode_to_rates
from codecs_registry.time_left import TimeLeft

COLUMNS = (
    *("source", "codec", "version", "settings", "target_bpp", "actual_bpp", "bitstream"),
    *("decoded", "encode_ms", "decode_ms", "sha256"),
)
_NUMBERS = ("target_bpp", "actual_bpp", "encode_ms", "decode_ms")
_NOTED = (*COLUMNS, "missed")


@dataclass(frozen=True)
class _Unit:
    """What one process does at a time: one picture by one codec at the targets not yet met."""

    path: Path
    sha256: str
    pixel_count: int
    codec: str
    targets_bpp: tuple[float, ...]

    def stem(self, target_bpp: float) -> str:
        return f"{self.path.stem}-{self.sha256[:8]}/{self.codec}-{target_bpp}"


def encode_into_folder(
    images: Sequence[Path],
    *,
    codecs: Sequence[Codec],
    targets_bpp: Sequence[float],
    folder: Path,
    jobs: int = 1,
    memory_bytes: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, str | float]]:
    """Write each image's bitstreams and decoded PNGs, then manifest.csv; returns the rows of these.

    `sha256` is the source's identity; `settings` is JSON; paths are relative to the folder. Where
    files missed their targets, missed.csv says which and why. What the folder holds already, of
    the same pixels by the same version of a codec, is not made again; what else it holds stays.

    jobs : how many processes encode at the same time, as far as memory_bytes (default: three
        quarters of the machine's) takes them.

    Raises UnreadablePicture (naming the file), CodecError or OSError; what was finished is kept.
    """
    for codec in codecs:
        if reason := codec.unavailable():
            raise CodecUnavailable(f"{codec.label} is not available here: {reason}")
    pictures = {(path.stem, sha256): (path, n) for path, sha256, n in map(_identify, images)}
    wanted = [
        _Unit(path, sha256, pixel_count, codec.name, tuple(targets_bpp))
        for (_, sha256), (path, pixel_count) in pictures.items()
        for codec in codecs
    ]
    folder.mkdir(parents=True, exist_ok=True)
    versions = {codec.name: codec.version() for codec in codecs}
    noted = {row["bitstream"]: row for row in _noted(folder)}
    owed = [unit for each in wanted if (unit := _without_made(each, versions, noted))]
    total = len(wanted) * len(targets_bpp)
    done = total - sum(len(unit.targets_bpp) for unit in owed)
    if done:
        progress(f"{done} of {total} are there already")

    # Whatever is about to be written over is not promised any more.
    for unit in owed:
        for target in unit.targets_bpp:
            noted.pop(_bitstream(unit, target), None)
    _write_csv(folder / "manifest.part.csv", _NOTED, noted.values())
    for name in ("manifest.csv", "missed.csv"):
        (folder / name).unlink(missing_ok=True)

    budget = memory.budget_bytes() if memory_bytes is None else memory_bytes
    time_left = TimeLeft(total - done)
    for rows in _make_all(owed, folder, jobs=jobs, memory_bytes=budget):
        with (folder / "manifest.part.csv").open("ab") as file:
            file.write(_csv_lines(_NOTED, rows))
        for row in rows:
            noted[row["bitstream"]] = row
            done += 1
            time_left.did(1)
            note = f"  MISSED: {row['missed']}" if row["missed"] else ""
            progress(
                f"[{done}/{total}] {row['source']} {row['codec']} "
                f"{float(row['target_bpp']):g} bpp: {float(row['actual_bpp']):.4f}{note}{time_left}"
            )

    asked = [_bitstream(unit, target) for unit in wanted for target in unit.targets_bpp]
    rows = [row for name, row in noted.items() if name not in set(asked)]
    rows += [noted[name] for name in dict.fromkeys(asked)]
    missed = [
        {"bitstream": row["bitstream"], "reason": row["missed"]} for row in rows if row["missed"]
    ]
    if missed:
        _write_csv(folder / "missed.csv", ("bitstream", "reason"), missed)
    _write_csv(folder / "manifest.csv", COLUMNS, rows)
    (folder / "manifest.part.csv").unlink()
    return [
        {name: float(row[name]) if name in _NUMBERS else row[name] for name in COLUMNS}
        for row in (noted[name] for name in dict.fromkeys(asked))
    ]


def _identify(path: Path) -> tuple[Path, str, int]:
    pixels = _read(path)
    return path, identify(pixels), pixels.shape[0] * pixels.shape[1]


def _bitstream(unit: _Unit, target_bpp: float) -> str:
    return f"{unit.stem(target_bpp)}{get_codec(unit.codec).extension}"


def _without_made(
    unit: _Unit, versions: dict[str, str], noted: dict[str, dict[str, str]]
) -> _Unit | None:
    """What is left of a unit when targets that are met already are left out; None: nothing."""
    left = tuple(
        target
        for target in unit.targets_bpp
        if (row := noted.get(_bitstream(unit, target))) is None
        or (row["sha256"], row["version"]) != (unit.sha256, versions[unit.codec])
    )
    if not left:
        return None
    return _Unit(unit.path, unit.sha256, unit.pixel_count, unit.codec, left)


def _make_all(
    units: Sequence[_Unit], folder: Path, *, jobs: int, memory_bytes: int
) -> Iterator[list[dict[str, str]]]:
    """The rows of each unit, as they are finished."""
    for unit in units:
        if _needs(unit) > memory_bytes:
            raise CodecError(
                f"{unit.path}: to encode it by {get_codec(unit.codec).label} takes about "
                f"{memory.in_words(_needs(unit))} of memory; encodes may take "
                f"{memory.in_words(memory_bytes)} here"
            )
    if jobs == 1 or len(units) < 2:
        for unit in units:
            yield _make(unit, folder)
        return
    # Not forked: codec libraries keep threads, which a fork would lose.
    with ProcessPoolExecutor(min(jobs, len(units)), mp_context=get_context("spawn")) as pool:
        waiting = list(reversed(units))
        running: dict[Future[list[dict[str, str]]], _Unit] = {}
        failure: BaseException | None = None
        while running or (waiting and not failure):
            free = memory_bytes - sum(map(_needs, running.values()))
            if waiting and not failure and len(running) < jobs and _needs(waiting[-1]) <= free:
                unit = waiting.pop()
                running[pool.submit(_make, unit, folder)] = unit
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                if error := future.exception():
                    failure = failure or error  # what others are at is finished first
                else:
                    yield future.result()
    if failure:
        raise failure


def _needs(unit: _Unit) -> int:
    return memory.encode_bytes(get_codec(unit.codec), unit.pixel_count)


def _make(unit: _Unit, folder: Path) -> list[dict[str, str]]:
    codec = get_codec(unit.codec)
    rows = []
    for encoded in encode_to_rates(codec, _read(unit.path), unit.targets_bpp):
        bitstream = _bitstream(unit, encoded.target_bpp)
        decoded = f"{unit.stem(encoded.target_bpp)}.decoded.png"
        _write(folder / bitstream, encoded.bitstream)
        _write(folder / decoded, write_png(encoded.pixels))
        row = {
            "source": unit.path.name,
            "codec": codec.name,
            "version": codec.version(),
            "settings": json.dumps(encoded.settings),
            "target_bpp": encoded.target_bpp,
            "actual_bpp": round(encoded.actual_bpp, 6),
            "bitstream": bitstream,
            "decoded": decoded,
            "encode_ms": round(encoded.encode_ms, 3),
            "decode_ms": round(encoded.decode_ms, 3),
            "sha256": unit.sha256,
            "missed": encoded.miss,
        }
        rows.append({name: str(value) for name, value in row.items()})
    return rows


def _noted(folder: Path) -> Iterator[dict[str, str]]:
    """The rows of what is finished and still there, of a folder finished or not."""
    reasons = {row["bitstream"]: row["reason"] for row in _read_csv(folder / "missed.csv")}
    for name, columns in (("manifest.csv", COLUMNS), ("manifest.part.csv", _NOTED)):
        for row in _read_csv(folder / name):
            # A line that was cut short has too few fields.
            if any(row.get(column) is None for column in columns):
                continue
            if all((folder / row[key]).is_file() for key in ("bitstream", "decoded")):
                yield {"missed": reasons.get(row["bitstream"], "")} | row


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return []
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _write_csv(path: Path, columns: Sequence[str], rows) -> None:
    _write(path, _csv_lines(columns, [dict(zip(columns, columns, strict=True)), *rows]))


def _csv_lines(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> bytes:
    table = io.StringIO(newline="")
    csv.DictWriter(table, columns, extrasaction="ignore").writerows(rows)
    # A file's name may be any bytes: they are written as they are.
    return table.getvalue().encode(errors="surrogateescape")


def _read(path: Path):
    try:
        return read_picture(path).pixels
    except UnreadablePicture as reason:
        raise UnreadablePicture(f"{path}: {reason}") from None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
