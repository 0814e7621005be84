"""Folders of trainings: small ones, and the one that made the codec which comes with Closer, as far
as it is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from skimage import data

from perceptual.codec.card import BUNDLED_FILE
from perceptual.codec.model import LearnedCodec
from perceptual.codec.training.held_out_pictures import Reconstruction, Shown, middle, write
from perceptual.codec.training.run import WATCHED_PRICES

BUNDLED_LOG = BUNDLED_FILE.with_name("closer-codec-training.jsonl")
PICTURES = ("astronaut", "coffee", "chelsea")
UPTO = 8000


def bundled_training(folder: Path, *, pictures: tuple[str, ...] = PICTURES) -> Path:
    """Its log as it was at step UPTO, its codec, and what that makes of pictures it never saw."""
    folder.mkdir(parents=True)
    lines = BUNDLED_LOG.read_text().splitlines(keepends=True)
    told = [each for each in lines if json.loads(each)["step"] <= UPTO]
    (folder / "log.jsonl").write_text("".join(told))
    shutil.copyfile(BUNDLED_FILE, folder / "codec.safetensors")
    codec = LearnedCodec.load(BUNDLED_FILE)
    about, parts = [], []
    for name in pictures:
        original = np.ascontiguousarray(middle(getattr(data, name)()))
        coded = [codec.encode(original, price) for price in WATCHED_PRICES]
        decoded = [codec.decode(each) for each in coded]
        made = [
            Reconstruction(price, 8 * len(file) / original[..., 0].size, psnr(original, picture))
            for price, file, picture in zip(WATCHED_PRICES, coded, decoded, strict=True)
        ]
        height, width = original.shape[:2]
        about.append(Shown(f"{name}.png", width, height, width, height, tuple(made)))
        parts.append([original, *decoded])
    write(folder, UPTO, about, parts)
    return folder


def line(step: int, *, steps: int = 100, watched: bool = False, **changes) -> dict:
    """Of a log."""
    reached = [
        {"price": price, "bpp": 0.2 * place - step / 1e4, "psnr": 26.0 + 2 * place}
        for place, price in enumerate(WATCHED_PRICES, start=1)
    ]
    told = {"at": 1_800_000_000 + step, "step": step, "steps": steps, "loss": 12.0, "bpp": 0.9}
    told |= {"psnr": 30.5, "gradient": 20.0, "steps_per_s": 2.0}
    return told | {"watched": reached if watched else []} | changes


def part(step: int, **changes) -> dict:
    """Of a record."""
    settings = {"steps": 100, "watched_every": 20, "averaged_over": 20, "objective": {}}
    told = {
        "step": step, "settings": settings, "data": {"held_out": [], "folders": []},
        "provenance": {"libraries": {}}, "processes": 1, "device": "CPU", "begins_from": None,
    }  # fmt: skip
    return told | changes


def tell_of_training(folder: Path, *, steps: int = 100, upto: int = 20) -> Path:
    """A training that told of every tenth step, and watched at every other; its pictures are grey,
    and its codec is no codec."""
    folder.mkdir(parents=True)
    lines = [line(step, steps=steps, watched=step % 20 == 0) for step in range(10, upto + 1, 10)]
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    (folder / "codec.safetensors").write_bytes(b"no codec")
    for step in range(20, upto + 1, 20):
        show_grey(folder, step)
    return folder


def show_grey(folder: Path, step: int) -> None:
    grey = np.full((40, 50, 3), 128, np.uint8)
    made = tuple(Reconstruction(price, 0.5, 31.5) for price in WATCHED_PRICES)
    about = [Shown(f"{name}.png", 50, 40, 500, 400, made) for name in ("one", "two")]
    write(folder, step, about, [[grey] * 6] * 2)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one / 255.0 - other / 255.0) ** 2)))
