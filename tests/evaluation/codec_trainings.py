"""Folders of trainings: the one that made the codec which comes with Closer, as far as it is kept."""

from __future__ import annotations

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


def bundled_training(folder: Path, *, pictures: tuple[str, ...] = PICTURES) -> Path:
    """Its log, its codec, and what that makes of pictures it never saw."""
    folder.mkdir(parents=True)
    shutil.copyfile(BUNDLED_LOG, folder / "log.jsonl")
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
    write(folder, 8000, about, parts)
    return folder


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one / 255.0 - other / 255.0) ** 2)))
