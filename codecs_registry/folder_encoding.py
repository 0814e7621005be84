"""Rate-matched encodes into a plain folder, for those who want files and no study."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from codecs_registry.codecs.base import Codec, CodecUnavailable
from codecs_registry.encoding import encode_to_rates
from codecs_registry.pictures import UnreadablePicture, identify, read_picture, write_png

COLUMNS = (
    *("source", "codec", "version", "settings", "target_bpp", "actual_bpp", "bitstream"),
    *("decoded", "encode_ms", "decode_ms", "sha256"),
)


def encode_into_folder(
    images: Sequence[Path],
    *,
    codecs: Sequence[Codec],
    targets_bpp: Sequence[float],
    folder: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict]:
    """Write each image's bitstreams and decoded PNGs, then manifest.csv; returns its rows.

    `sha256` is the source's identity; `settings` is JSON; paths are relative to the folder. The
    manifest comes last and whole: a folder without one is unfinished. Where files missed their
    targets, missed.csv says which and why.

    Raises UnreadablePicture (naming the file), CodecError or OSError.
    """
    for codec in codecs:
        if reason := codec.unavailable():
            raise CodecUnavailable(f"{codec.label} is not available here: {reason}")
    for path in images:  # a bad picture is found before anything is written
        _read(path)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("manifest.csv", "missed.csv"):
        (folder / name).unlink(missing_ok=True)
    rows, missed = [], []
    for path in images:
        pixels = _read(path)
        sha256 = identify(pixels)
        for codec in codecs:
            for encoded in encode_to_rates(codec, pixels, targets_bpp):
                stem = f"{path.stem}-{sha256[:8]}/{codec.name}-{encoded.target_bpp}"
                bitstream, decoded = f"{stem}{codec.extension}", f"{stem}.decoded.png"
                _write(folder / bitstream, encoded.bitstream)
                _write(folder / decoded, write_png(encoded.pixels))
                rows.append(
                    {
                        "source": path.name,
                        "codec": codec.name,
                        "version": codec.version(),
                        "settings": json.dumps(encoded.settings),
                        "target_bpp": encoded.target_bpp,
                        "actual_bpp": round(encoded.actual_bpp, 6),
                        "bitstream": bitstream,
                        "decoded": decoded,
                        "encode_ms": round(encoded.encode_ms, 3),
                        "decode_ms": round(encoded.decode_ms, 3),
                        "sha256": sha256,
                    }
                )
                if encoded.miss:
                    missed.append({"bitstream": bitstream, "reason": encoded.miss})
                note = f"  MISSED: {encoded.miss}" if encoded.miss else ""
                progress(
                    f"{path.name} {codec.name} {encoded.target_bpp:g} bpp: "
                    f"{encoded.actual_bpp:.4f}{note}"
                )
    if missed:
        _write_csv(folder / "missed.csv", ("bitstream", "reason"), missed)
    _write_csv(folder / "manifest.csv", COLUMNS, rows)
    return rows


def _write_csv(path: Path, columns: Sequence[str], rows: list[dict]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns)
    writer.writeheader()
    writer.writerows(rows)
    # A file's name may be any bytes: they are written as they are.
    _write(path, table.getvalue().encode(errors="surrogateescape"))


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
