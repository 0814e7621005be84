"""Small 2AFC datasets on disk."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

MANIFEST_COLUMNS = (
    *("split", "subset", "file", "content", "sha256", "crop", "stratum"),
    *("p0_codec", "p0_version", "p0_bpp", "p0_miss", "p1_codec", "p1_version", "p1_bpp", "p1_miss"),
    *("votes", "votes_p1", "judge", "simulated"),
)


def a_picture(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """A picture like no other of another seed."""
    width, height = size
    samples = np.random.default_rng(seed).integers(40, 216, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(samples)


def changed(picture: Image.Image, by: int) -> Image.Image:
    """Every sample of every second column by so much."""
    samples = np.asarray(picture).astype(np.int16)
    samples[:, ::2] += by
    return Image.fromarray(samples.clip(0, 255).astype(np.uint8))


def write_pair(
    subset: Path,
    name: str,
    *,
    share: float = 0.5,
    photograph: int = 0,
    changes: tuple[int, int] = (4, 9),
    size: tuple[int, int] = (8, 8),
) -> None:
    """A pair whose p0 and p1 lie so far from the reference."""
    original = a_picture(photograph, size)
    pictures = {"ref": original, "p0": changed(original, changes[0])}
    pictures["p1"] = changed(original, changes[1])
    for folder, picture in pictures.items():
        (subset / folder).mkdir(parents=True, exist_ok=True)
        picture.save(subset / folder / f"{name}.png")
    (subset / "judge").mkdir(exist_ok=True)
    np.save(subset / "judge" / f"{name}.npy", np.array([share], np.float32))


def a_row(**values) -> dict:
    """A row of a manifest."""
    row = {"split": "train", "subset": "bpp-0.23", "file": "000000", "content": "pond"}
    row |= {"stratum": "0.23", "votes": 2, "votes_p1": 1, "simulated": "false"}
    row |= {"p0_codec": "avif", "p1_codec": "jpeg"}
    return row | values


def a_dataset(folder: Path) -> Path:
    """Two photographs of ours, one in each split, with a manifest."""
    rows = []
    for photograph, split in enumerate(("train", "val")):
        write_pair(folder / "2afc" / split / "bpp-0.23", "000000", photograph=photograph)
        rows.append(a_row(split=split, content=f"photograph {photograph}"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder
