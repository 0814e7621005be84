"""Whether what a browser receives tells, pixels apart, a codec, a rate or a task's purpose.

A study of real codecs with gold tasks and repeats is judged over HTTP, with whole pictures in both
formats and with crops, TASKS=500 of each, and all that arrives is noted. docs/blindness.md says
what that is and how association is measured.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import httpx
import numpy as np
from django.urls import reverse
from PIL import Image

from benchmarks import scratch
from benchmarks.photographs import photographs

RATES = {"0.25": 0, "0.5": 1, "1.0": 2}
CODECS: dict[
    str, tuple[str, list[dict]]
] = {  # Pillow's format, and what it is asked for at each of the rates
    "avif": ("AVIF", [{"quality": each, "speed": 9} for each in (25, 45, 75)]),
    "jpeg": ("JPEG", [{"quality": each} for each in (8, 30, 80)]),
    "jpeg2000": (
        "JPEG2000",
        [{"quality_mode": "rates", "quality_layers": [each]} for each in (96, 48, 16)],
    ),
    "webp": ("WEBP", [{"quality": each} for each in (5, 40, 88)]),
}
SIZE = (768, 512)  # of pictures: width and height in pixels, as of crops
SHOWN: dict[str, dict] = {
    "WebP": {},
    "PNG": {"has_webp": False},
    "crop": {"crop": [256, 256]},
}
BEGINNING = 10  # tasks; no repeat can be among the first, and nobody wonders why


def run() -> list[dict]:
    tasks = int(os.environ.get("TASKS", "500"))
    with scratch.database():
        from benchmarks.web import served

        rows = []
        images = make_stimuli(8, *SIZE)
        with served() as url:
            for name, shown in SHOWN.items():
                campaign = make_campaign(name, images, **shown)
                with httpx.Client(base_url=url, timeout=60) as client:
                    received = receive(client, campaign, tasks=tasks, annotators=tasks // 100)
                rows += table(name, received, associations(received, permutations=5000))
    return rows


def table(pictures: str, received: dict[str, Received], found: list[Association]) -> list[dict]:
    """A row for each observable: for each label, strength, what chance reaches, and p."""
    rows = []
    for about, arrived in received.items():
        of_table = [each for each in found if each.about == about]
        for observable in arrived.noted:
            of_row = {each.label: each for each in of_table if each.observable == observable}
            rows.append(
                {
                    "pictures": pictures,
                    "of": about,
                    "rows": arrived.count,
                    "observable": observable,
                    "class": "from pixels" if observable in FROM_PIXELS else "sent",
                    **{label: str(each) for label, each in of_row.items()},
                }
            )
    return rows


# --- what is judged -------------------------------------------------------------------------------


def make_stimuli(count: int, width: int, height: int) -> list:
    """Source images, and their reconstructions by real codecs at three rates."""
    from tests import factories

    images = [factories.source_image(each) for each in _cut(count, width, height)]
    for image in images:
        _reconstruct(image)
    return images


def make_campaign(name: str, images: list, *, crop: list[int] | None = None, has_webp: bool = True):
    """An open study with gold tasks and repeats.

    crop : width and height in pixels of what is shown; none: all. has_webp : whether pictures are
    stored as lossless WebP as well, and so sent as that; what is too large for it is not.
    """
    from codecs_registry.models import Reconstruction, SourceImage
    from evaluation import launching
    from evaluation.study_files import StudySpecification

    if not has_webp:
        for model in (SourceImage, Reconstruction):
            model.objects.update(webp="", webp_bytes=None)
    asked = {
        "name": name,
        "images": "-",
        "codecs": list(CODECS),
        "bpp": list(RATES),
        "gold_share": 0.15,
        "repeat_share": 0.15,
        "judgments_per_task": 20,
        **({"viewing": {"crop": crop}} if crop else {}),
    }
    study, _ = launching.launch(StudySpecification.from_mapping(asked), images)
    launching.advance(study.id)
    return study.campaign


def _cut(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Different parts of photographs."""
    drawn = random.Random(0)  # noqa: S311
    large = [each for each in photographs() if each.shape[0] >= height and each.shape[1] >= width]
    for number in range(count):
        photograph = large[number % len(large)]
        top = drawn.randint(0, photograph.shape[0] - height)
        left = drawn.randint(0, photograph.shape[1] - width)
        yield photograph[top : top + height, left : left + width]


def _reconstruct(source) -> None:
    from codecs_registry import blobs, lossless
    from codecs_registry.codecs import get_codec
    from codecs_registry.pictures import read_png
    from tests import factories

    original = Image.fromarray(read_png(blobs.read(source.png)))
    for codec, (file_format, settings) in CODECS.items():
        for bpp, step in RATES.items():
            coded = io.BytesIO()
            original.save(coded, file_format, **settings[step])
            decoded = np.asarray(Image.open(coded).convert("RGB"))
            files = lossless.store(decoded)
            size = len(coded.getvalue())
            factories.reconstruction(
                source,
                codec,
                bpp=bpp,
                codec_version=get_codec(codec).version(),
                size_bytes=size,
                actual_bpp=8 * size / source.pixel_count,
                decoded=files.png,
                decoded_bytes=files.png_bytes,
                webp=files.webp,
                webp_bytes=files.webp_bytes,
            )


# --- what arrives ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrived:
    """A response, and milliseconds from the request to its last byte."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    ms: float


@dataclass
class Received:
    """A table of what was noted: of images, or of assignments.

    noted : by observable, a value for each row.
    labels : what must not be told by it: by name, a value for each row.
    blocks : by label, what is known of a row anyhow; only within it are rows compared.
    """

    noted: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    blocks: dict[str, list] = field(default_factory=lambda: defaultdict(list))

    @property
    def count(self) -> int:
        return len(next(iter(self.labels.values())))

    def add(self, noted: dict, labels: dict[str, tuple[object, object]]) -> None:
        """labels : by name, (what must not be told, the block)."""
        for name, value in noted.items():
            self.noted[name].append(value)
        for name, (label, block) in labels.items():
            self.labels[name].append(label)
            self.blocks[name].append(block)


def fetch(client: httpx.Client, method: str, address: str, **request) -> Arrived:
    started = time.perf_counter()
    response = client.request(method, address, **request)
    ms = (time.perf_counter() - started) * 1000
    headers = [(name.decode(), value.decode()) for name, value in response.headers.raw]
    return Arrived(response.status_code, headers, response.content, ms)


def receive(
    client: httpx.Client, campaign, *, tasks: int, annotators: int = 1
) -> dict[str, Received]:
    """Judge so many tasks, evenly by so many annotators, and note all that arrives, by what it is
    about: "copies", "originals" and "tasks"."""
    from tests import factories

    tables = {name: Received() for name in ("copies", "originals", "tasks")}
    drawn = random.Random(campaign.seed)  # noqa: S311
    for number in range(annotators):
        wanted = tasks * (number + 1) // annotators - tasks * number // annotators
        _judge(client, factories.annotator(campaign), wanted, drawn, tables)
    return tables


def _judge(client: httpx.Client, annotator, wanted: int, drawn: random.Random, tables) -> None:
    page = reverse("judge", args=[annotator.token]).rstrip("/")
    answer = fetch(client, "POST", f"{page}/next")
    brought: dict[str, dict] = {}
    for place in range(wanted):
        todo = _json(answer)
        for at, each in enumerate(todo["assignments"]):
            if each["token"] not in brought:
                brought[each["token"]] = _of_answer(answer, todo, at)
        assignment = todo["assignments"][0]
        noted = brought[assignment["token"]] | _of_assignment(assignment)
        _note(client, assignment, noted | {"place among tasks": place}, drawn, tables)
        sent = {"assignment": assignment["token"], "answer": drawn.choice(["left", "right"])}
        answer = fetch(client, "POST", f"{page}/judgments", json={**sent, "response_ms": 900})
        assert answer.status == 201, answer


def _json(answer: Arrived) -> dict:
    return json.loads(answer.body)


def _note(client: httpx.Client, shown: dict, noted: dict, drawn: random.Random, tables) -> None:
    """Fetch an assignment's images, in any order, and note it and them."""
    from annotation.models import Assignment
    from codecs_registry.models import Reconstruction

    row = Assignment.objects.select_related("task").get(token=shown["token"])
    made = Reconstruction.objects.in_bulk(row.shown)
    source, place = row.task.source_id, noted["place among tasks"]
    codecs = "+".join(sorted(each.codec for each in made.values()))
    purposes = {
        purpose: (None if place < BEGINNING else str(row.purpose == purpose), row.annotator_id)
        for purpose in ("gold", "repeat")
    }
    # A gold task has two rates and one codec, and so no place among these.
    measures = row.purpose != "gold"
    tables["tasks"].add(
        noted,
        {
            "codec": (codecs if measures else None, source),
            "rate": (row.task.stratum if measures else None, source),
            **purposes,
        },
    )
    positions = list(shown["images"])
    for position in drawn.sample(positions, len(positions)):
        arrived = fetch(client, "GET", shown["images"][position])
        image = _of_image(arrived, shown["images"][position])
        if position == "original":
            tables["originals"].add(image, purposes)
            continue
        copy = made[row.shown[positions.index(position) - 1]]
        tables["copies"].add(
            image | {"position": position, "place among tasks": place},
            {"codec": (copy.codec, source), "rate": (copy.stratum, source), **purposes},
        )


def _of_answer(answer: Arrived, todo: dict, at: int) -> dict:
    """What is seen of the answer that brings an assignment."""
    return {
        **_of_headers(answer, "answer: "),
        "answer: keys": " ".join(todo),
        "answer: all else that it says": str(
            {name: todo[name] for name in todo if name not in ("assignments", "judged")}
        ),
        "answer: assignments in it": len(todo["assignments"]),
        "answer: place in it": at,
        "answer: milliseconds": answer.ms,
    }


def _of_assignment(shown: dict) -> dict:
    return {
        "keys": " ".join(shown),
        "names of images": " ".join(shown["images"]),
        "shapes of addresses": " ".join(
            re.sub(rf"{re.escape(shown['token'])}\.[\w-]{{43}}(?=/)", "TOKEN.SIGNATURE", each)
            for each in shown["images"].values()
        ),
        "size, and all else": str(
            {name: shown[name] for name in shown if name not in ("token", "images")}
        ),
        **_of_token(shown["token"]),
    }


def _of_token(token: str) -> dict:
    codes = list(token.encode())
    return {
        "token: length": len(token),
        "token: first character": codes[0],
        "token: last character": codes[-1],
        "token: mean character": sum(codes) / len(codes),
    }


def _of_headers(arrived: Arrived, about: str) -> dict:
    """All headers but the time of day, and the length of the body."""
    plain = [(name, value) for name, value in arrived.headers if name.lower() != "date"]
    return {
        f"{about}status": arrived.status,
        f"{about}names of headers, in order": " ".join(name for name, _ in arrived.headers),
        f"{about}values of headers": " ".join(
            value for name, value in plain if name.lower() != "content-length"
        ),
        f"{about}bytes": len(arrived.body),
        f"{about}Content-Length": dict(arrived.headers).get("Content-Length", "none"),
    }


def _of_image(arrived: Arrived, address: str) -> dict:
    chunks = list(chunks_of(arrived.body))
    kinds = [kind for kind, _ in chunks]
    coded = [data for kind, data in chunks if kind in ("IDAT", "VP8L")]
    padding = b"".join(data for kind, data in chunks if kind == "paDd")
    beginning = ZLIB_HEADER if kinds[0] == "IHDR" else VP8L_HEADER
    return {
        **_of_headers(arrived, ""),
        "length of address": len(address),
        "types of chunks, in order": " ".join(kind for kind, _ in groupby(kinds)),
        "first chunk: size, bit depth, colour type, flags": chunks[0][1].hex(),
        "header of the coded picture": coded[0][:beginning].hex(),
        "padding is zeros": str(not any(padding)),
        "milliseconds": arrived.ms,
        "coded picture, chunks": len(coded),
        "coded picture, bytes": sum(map(len, coded)),
        "padding, bytes": len(padding),
    }


ZLIB_HEADER, VP8L_HEADER = 2, 5  # bytes: method, window, level; signature, size, alpha, version
TIMES = {"milliseconds", "answer: milliseconds"}
FROM_PIXELS = {"coded picture, chunks", "coded picture, bytes", "padding, bytes"}
"""What anybody can compute who has the pixels: by coding them as the server did."""


def chunks_of(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(type, data) of each chunk of a PNG (3rd edition, section 5.3) or a WebP (RFC 9649, 2.3)."""
    is_png = content.startswith(b"\x89PNG")
    place = 8 if is_png else 12
    while place < len(content):
        if is_png:
            (length,) = struct.unpack(">I", content[place : place + 4])
            kind, after = content[place + 4 : place + 8], 4
        else:
            (length,) = struct.unpack("<I", content[place + 4 : place + 8])
            kind, after = content[place : place + 4], length % 2
        yield kind.decode(), content[place + 8 : place + 8 + length]
        place += 8 + length + after


# --- association ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Association:
    """How much an observable of `about` tells of a label.

    strength : 0 to 1: of numbers, the correlation ratio of their ranks; of names, Cramer's V.
    chance : what it reaches by chance alone in 95 % of cases.
    p : how often chance alone does as much.
    constant : where it does not vary, and so can tell nothing: everywhere, or within each block.
    """

    about: str
    observable: str
    label: str
    strength: float = 0.0
    chance: float = 0.0
    p: float = 1.0
    constant: str = ""

    def __str__(self) -> str:
        return self.constant or f"{self.strength:.3f} ({self.chance:.3f}) p {self.p:.4f}"


def associations(
    received: dict[str, Received], *, permutations: int, seed: int = 0
) -> list[Association]:
    """Of every observable with every label; labels are permuted within blocks."""
    rng = np.random.default_rng(seed)
    return [
        each
        for about, table in received.items()
        for label in table.labels
        for each in _of_label(about, table, label, permutations, rng)
    ]


def _of_label(
    about: str, table: Received, label: str, permutations: int, rng: np.random.Generator
) -> Iterable[Association]:
    known = [at for at, each in enumerate(table.labels[label]) if each is not None]
    labels = _codes(table.labels[label][at] for at in known)
    blocks = _codes(table.blocks[label][at] for at in known)
    shuffled = _shuffled(labels, blocks, permutations, rng)
    for observable, values in table.noted.items():
        yield _measure(about, observable, label, [values[at] for at in known], blocks, shuffled)


def _measure(about, observable, label, values: list, blocks, shuffled) -> Association:
    what = about, observable, label
    if len(set(values)) == 1:
        return Association(*what, constant="the same for all")
    codes = _codes(values)
    if all(len(set(codes[blocks == each])) == 1 for each in set(blocks)):
        return Association(*what, constant="the same for a source image")
    measure = _cramers_v if isinstance(values[0], str) else _correlation_ratio
    strengths = measure(values, blocks, shuffled)
    p = float(np.mean(strengths >= strengths[0] - 1e-12))
    return Association(*what, float(strengths[0]), float(np.quantile(strengths[1:], 0.95)), p)


def _codes(values: Iterable) -> np.ndarray:
    return np.unique(list(values), return_inverse=True)[1]


def _shuffled(labels, blocks, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """(1 + permutations, n): the labels, then the labels shuffled within blocks."""
    sorted_rows = np.argsort(blocks, kind="stable")
    found = np.empty((1 + permutations, len(labels)), dtype=labels.dtype)
    found[0] = labels
    for each in found[1:]:
        order = np.lexsort((rng.random(len(labels)), blocks))
        each[sorted_rows] = labels[order]
    return found


def _correlation_ratio(values: list, blocks, shuffled) -> np.ndarray:
    """For each row of labels, the correlation ratio of ranks, each less its block's mean."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    for each in set(blocks):
        ranks[blocks == each] -= ranks[blocks == each].mean()
    between = np.zeros(len(shuffled))
    for label in set(shuffled[0]):
        is_label = shuffled == label
        between += (is_label @ ranks) ** 2 / is_label.sum(axis=1)
    return np.sqrt(between / (ranks @ ranks))


def _cramers_v(values: list, blocks, shuffled) -> np.ndarray:
    """For each row of labels, Cramer's V with the values."""
    codes, labels = _codes(values), set(shuffled[0])
    n, chi2 = len(codes), np.zeros(len(shuffled))
    for value in set(codes):
        is_value = (codes == value).astype(float)
        for label in labels:
            is_label = shuffled == label
            expected = is_value.sum() * is_label.sum(axis=1) / n
            chi2 += (is_label @ is_value - expected) ** 2 / expected
    return np.sqrt(chi2 / (n * (min(len(set(codes)), len(labels)) - 1)))
