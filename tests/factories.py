"""Makes what tests need, with real pictures, real files and only what a test cares about named."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import numpy as np

from annotation import serving
from annotation.models import (
    Annotator,
    Assignment,
    Campaign,
    Judgment,
    Purpose,
    Task,
    TaskReconstruction,
)
from annotation.stimuli import delivered_bytes
from codecs_registry import blobs, lossless
from codecs_registry.codecs import get_codec
from codecs_registry.models import CodecCost, Reconstruction, SourceImage
from codecs_registry.pictures import Pixels, identify
from evaluation import launching
from evaluation.models import Study
from evaluation.study_files import StudySpecification

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_numbers = count(1)


def pixels(width: int = 48, height: int = 32, *, seed: int = 0) -> Pixels:
    """A smooth picture with some texture, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    planes = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0, 3, (3, 3))]
    smooth = 128 + 90 * np.stack(planes, axis=-1)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def source_image(picture: Pixels | None = None, *, name: str | None = None) -> SourceImage:
    number = next(_numbers)
    picture = pixels(seed=number) if picture is None else picture
    height, width, _ = picture.shape
    return SourceImage.objects.create(
        sha256=identify(picture),
        width=width,
        height=height,
        name=name or f"photo-{number}.png",
        **asdict(lossless.store(picture)),
    )


def codec_cost(codec: str, **fields) -> CodecCost:
    """What a codec took, as if it had been measured."""
    return CodecCost.objects.create(
        **{
            "codec": codec,
            "codec_version": f"{codec} 1",
            "machine": "A processor, 2 cores",
            "software": {"python": "3.11"},
            "busy_elsewhere": 0.5,
            "target_bpp": 0.67,
            "setting": 50.0,
            "actual_bpp": 0.7,
            "pictures": 12,
            "pictures_sha256": "0" * 64,
            "repeats": 3,
            "encode_s": 0.2,
            "encode_s_low": 0.15,
            "encode_s_high": 0.3,
            "decode_s": 0.02,
            "decode_s_low": 0.015,
            "decode_s_high": 0.03,
            "encode_core_s": 0.19,
            "decode_core_s": 0.019,
            "peak_bytes": 12_000_000,
            "peak_bytes_per_pixel": 30.0,
            "measured_at": NOW,
            **fields,
        }
    )


def reconstruction(
    source: SourceImage, codec: str, *, bpp: str = "0.37", **fields
) -> Reconstruction:
    """A ready reconstruction, with files of its own."""
    picture = pixels(source.width, source.height, seed=next(_numbers))
    files = lossless.store(picture)
    bitstream = picture.tobytes()[:100]
    return Reconstruction.objects.create(
        **{
            "source": source,
            "codec": codec,
            "codec_version": f"{codec} 1",
            "target_bpp": Decimal(bpp),
            "state": Reconstruction.State.READY,
            "bitstream": blobs.put(bitstream, f".{codec}"),
            "size_bytes": len(bitstream),
            "decoded": files.png,
            "decoded_bytes": files.png_bytes,
            "webp": files.webp,
            "webp_bytes": files.webp_bytes,
            "actual_bpp": float(bpp),
            "psnr": 30 + 10 * float(bpp),
            **fields,
        }
    )


def campaign(**fields) -> Campaign:
    return Campaign.objects.create(
        **{
            "state": Campaign.State.OPEN,
            "kind": "2afc",
            "judgments_per_task": 3,
            "seed": 1,
            **fields,
        }
    )


def task(
    of: Campaign,
    source: SourceImage | None = None,
    codecs: tuple[str, str] = ("avif", "jpeg"),
    *,
    bpp: str = "0.37",
    made: dict | None = None,
    **fields,
) -> Task:
    """A 2AFC task. `made` shares reconstructions between tasks, by (source id, codec, bpp)."""
    source = source or source_image()
    made = {} if made is None else made
    shown = []
    for codec in codecs:
        key = source.id, codec, bpp
        if key not in made:
            made[key] = reconstruction(source, codec, bpp=bpp)
        shown.append(made[key])
    created = Task.objects.create(
        **{
            "campaign": of,
            "source": source,
            "target_bpp": Decimal(bpp),
            "places_left": of.judgments_per_task,
            "simulated_places_left": of.judgments_per_task,
            "order_key": next(_numbers) * 0.618 % 1,
            "delivery_bytes": delivered_bytes(
                [source.png_bytes, *(each.decoded_bytes for each in shown)]
            ),
            **fields,
        }
    )
    TaskReconstruction.objects.bulk_create(
        TaskReconstruction(task=created, reconstruction=each) for each in shown
    )
    return created


def gold_task(of: Campaign) -> Task:
    """A 2AFC task whose answer is known: one codec at a low and at a high rate."""
    created = task(of, codecs=("jpeg",), bpp="0.23", places_left=0, simulated_places_left=0)
    best = reconstruction(created.source, "jpeg", bpp="1.0")
    TaskReconstruction.objects.create(task=created, reconstruction=best)
    created.closest = best
    created.save()
    return created


def open_campaign(tasks: int = 3, **fields) -> Campaign:
    """A campaign with so many 2AFC tasks, each on a source image of its own."""
    created = campaign(**fields)
    for _ in range(tasks):
        task(created)
    return created


def annotator(of: Campaign, **fields) -> Annotator:
    return Annotator.objects.create(**{"campaign": of, "began_at": NOW, **fields})


def judge_all(who: Annotator, *, choose=lambda assignment: "left", now=NOW) -> int:
    """Have an annotator judge everything there is for them; returns how much that was."""
    judged = 0
    while held := serving.lease(who, now=now):
        serving.judge(held[0], answer=choose(held[0]), response_ms=1000, viewing={}, now=now)
        judged += 1
    return judged


def judge_gold(annotator: Annotator, *, is_right: bool) -> None:
    """Answer a new gold task of the annotator's campaign."""
    task = gold_task(annotator.campaign)
    shown = list(task.parts.values_list("reconstruction", flat=True))
    assignment = Assignment.objects.create(
        task=task, annotator=annotator, purpose=Purpose.GOLD, shown=shown, leased_at=NOW
    )
    ranks = [1 if (each == task.closest_id) == is_right else 2 for each in shown]
    Judgment.objects.create(assignment=assignment, ranks=ranks, response_ms=1000, judged_at=NOW)


def preferring(*codecs: str):
    """What an annotator chooses who finds earlier codecs of the list closer than later ones."""

    def choose(assignment) -> str:
        shown = Reconstruction.objects.in_bulk(assignment.shown)
        left, right = (codecs.index(shown[each].codec) for each in assignment.shown)
        return "left" if left < right else "right"

    return choose


def study(
    name: str = "Sea",
    *,
    sources: int = 2,
    codecs: tuple[str, ...] = ("avif", "jpeg"),
    bpp: tuple[str, ...] = ("0.37",),
    ready: bool = True,
    when_ready: str = "open",
    **asked,
) -> Study:
    """A launched study: open, or what it does `when_ready`, unless its stimuli are not `ready` but
    wait to be encoded."""
    pictures = [source_image() for _ in range(sources)]
    if ready:
        for picture in pictures:
            for codec in codecs:
                for target in bpp:
                    reconstruction(
                        picture, codec, bpp=target, codec_version=get_codec(codec).version()
                    )
    specification = StudySpecification.from_mapping(
        {"name": name, "images": "-", "codecs": list(codecs), "bpp": list(bpp), **asked}
    )
    made, _ = launching.launch(specification, pictures, when_ready=when_ready)
    launching.advance(made.id)
    made.refresh_from_db()
    return made
