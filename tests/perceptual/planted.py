"""Datasets with a planted taste: what the people of these files look at is known."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIDE = 64
COLUMNS = (
    *("split", "subset", "file", "content", "stratum", "p0_codec", "p1_codec"),
    *("votes", "votes_p1", "simulated"),
)


def photograph(seed: int) -> Image.Image:
    """A smooth picture with edges."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    picture = small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    stripe = rng.integers(0, SIDE - 12)
    picture.paste((int(rng.integers(256)),) * 3, (int(stripe), 8, int(stripe) + 12, SIDE - 8))
    return picture


def blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


def grainy(picture: Image.Image, sd: float, *, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, sd, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def blur_haters(
    folder: Path,
    *,
    contents: int = 10,
    pairs: int = 4,
    votes: int = 5,
    is_simulated: bool = True,
    opposed: str = "",
) -> Path:
    """People who always find grain closer than blur, though its pixels are further off: three
    quarters of the contents for training, one for validation.

    opposed : a split of which they say the opposite.
    """
    subset = "simulated-bpp-0.37" if is_simulated else "bpp-0.37"
    rows = []
    for content in range(contents):
        split = "val" if content % 4 == 3 else "train"
        original = photograph(content)
        for pair in range(pairs):
            seed = 100 * content + pair
            rng = np.random.default_rng(seed)
            soft = blurred(original, rng.uniform(2, 3))
            rough = grainy(original, rng.uniform(20, 26), seed=seed)
            is_p1_rough = seed % 2 == 0
            shown = (soft, rough) if is_p1_rough else (rough, soft)
            is_p1_chosen = is_p1_rough == (split != opposed)
            name = f"{content:03d}{pair:03d}"
            base = folder / "2afc" / split / subset
            for kind, picture in zip(("ref", "p0", "p1"), (original, *shown), strict=True):
                write(base / kind / f"{name}.png", picture)
            (base / "judge").mkdir(parents=True, exist_ok=True)
            np.save(base / "judge" / f"{name}.npy", np.array([is_p1_chosen], np.float32))
            codecs = ("blur", "grain") if is_p1_rough else ("grain", "blur")
            for_p1 = votes if is_p1_chosen else 0
            about = split, subset, name, f"photo-{content}", "0.37"
            rows.append((*about, *codecs, votes, for_p1, str(is_simulated).lower()))
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    (folder / "manifest.csv").write_text(text.getvalue())
    return folder


def write(file: Path, picture: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
