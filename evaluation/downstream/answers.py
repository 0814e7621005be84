"""What models answered to pictures, asked once and kept.

An answer is known by the model's digest and by the SHA-256 of the picture's file: it outlives
renamed folders, and another model, or another use of one, never meets what an earlier one left.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from django.conf import settings
from PIL import Image

from codecs_registry.pictures import UnreadablePicture, read_picture
from perceptual.downstream.models import Detections, Instances, Model, Pixels
from perceptual.kept import Kept

T = TypeVar("T")


class AnswerStore(Kept[bytes]):
    """Answers by model and picture."""

    table, column = "answers", "answer BLOB"

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, stored: bytes | float) -> bytes:
        assert isinstance(stored, bytes)  # noqa: S101
        return stored


def answer_store() -> AnswerStore:
    """The one of this installation."""
    return AnswerStore(settings.CLOSER_DATA / "downstream.sqlite3")


@dataclass(frozen=True)
class Question(Generic[T]):
    """What a model is asked of a picture, and how its answer is kept."""

    model: Model
    ask: Callable[[Pixels], T]
    to_bytes: Callable[[T], bytes]
    from_bytes: Callable[[bytes], T]

    def key(self, digest: str) -> str:
        return f"{self.model.digest}/{digest}"

    def answers(self, digests: Iterable[str], store: AnswerStore) -> list[T]:
        """To pictures that were asked about before, in their order."""
        keys = [self.key(digest) for digest in digests]
        found = store.read(keys)
        return [self.from_bytes(found[key]) for key in keys]


def ask_all(
    questions: Iterable[Question],
    pictures: dict[str, Path],
    store: AnswerStore,
    *,
    progress: Callable[[int, int], None],
) -> None:
    """Ask of each picture (by the digest of its file) what was not asked before; each answer is
    kept at once. progress : told how many answers are owed, and how many of these are there.

    Raises UnreadablePicture, naming the file.
    """
    questions = list(questions)
    owed = {}
    for digest, file in pictures.items():
        known = store.read([question.key(digest) for question in questions])
        if open_ones := [each for each in questions if each.key(digest) not in known]:
            owed[file] = (digest, open_ones)
    total, done = sum(len(open_ones) for _, open_ones in owed.values()), 0
    progress(done, total)
    for file, (digest, open_ones) in owed.items():
        pixels = read(file)
        found = {each.key(digest): each.to_bytes(each.ask(pixels)) for each in open_ones}
        store.write(found)
        done += len(found)
        progress(done, total)


def read(file: Path) -> Pixels:
    try:
        return read_picture(file).pixels
    except UnreadablePicture as reason:
        raise UnreadablePicture(f"{file}: {reason}") from None


# --- how answers are kept ---


def detections_to_bytes(found: Detections) -> bytes:
    return json.dumps(
        [found.boxes.tolist(), found.scores.tolist(), found.classes.tolist()]
    ).encode()


def detections_from_bytes(stored: bytes) -> Detections:
    boxes, scores, classes = json.loads(stored)
    return Detections(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
        np.array(classes, dtype=np.int64),
    )


def instances_to_bytes(found: Instances) -> bytes:
    return json.dumps([list(found.masks), found.scores.tolist(), found.classes.tolist()]).encode()


def instances_from_bytes(stored: bytes) -> Instances:
    masks, scores, classes = json.loads(stored)
    return Instances(masks, np.array(scores, dtype=np.float64), np.array(classes, dtype=np.int64))


def class_map_to_bytes(found: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(found).save(file, "PNG")
    return file.getvalue()


def class_map_from_bytes(stored: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(stored)))
