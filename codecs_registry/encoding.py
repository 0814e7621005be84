"""From source images to reconstructions: asked for, claimed by a worker, made, recorded.

    request ------> waiting --claim--> encoding --store--> ready
                      ^                   |  \\--refuse--> failed --retry--> waiting
                      '---- lease ends ---'

The database is the queue and decides who makes what; Celery's messages only wake workers up. So a
message that is lost, doubled or late costs nothing but time, and what a killed worker was making is
taken up when its lease ends.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import count, product

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.dispatch import Signal

from codecs_registry import blobs, clock, lossless, memory
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import Codec, CodecError, CodecUnavailable, Pixels
from codecs_registry.leases import DATABASE_GONE, Work, lease_kept, worker_name
from codecs_registry.models import Encode, Reconstruction, SourceImage
from codecs_registry.pictures import read_png
from codecs_registry.rate_matched import Encoded, Files, encode_to_rates
from perceptual.reference import ms_ssim, psnr

MAX_ATTEMPTS = 3  # a picture that kills its worker (out of memory, say) is not tried for ever
State = Reconstruction.State
WORK = Work(
    Reconstruction,
    waiting=State.WAITING,
    held=State.ENCODING,
    failed=State.FAILED,
    most_attempts=MAX_ATTEMPTS,
)

# Sent after the reconstructions of a source image by a codec were made, or could not be made.
reconstructions_finished = Signal()  # reconstruction_ids: list[int]


class EncodesOf(Files):
    """The files that this codec, in this version and with these settings, made of a source.

    They outlive a search: the next one, for whatever targets, begins with what they tell, and one
    that a crash cut short goes on.
    """

    def __init__(self, source: SourceImage, codec: Codec) -> None:
        self.codec = codec
        self.key = {
            "source": source,
            "codec": codec.name,
            "codec_version": codec.version(),
        }

    def sizes(self) -> dict[float, int]:
        known = Encode.objects.filter(**self.key)
        return {
            each.setting: each.size_bytes
            for each in known
            if each.settings == self.codec.settings(each.setting) and blobs.exists(each.bitstream)
        }

    def put(self, setting: float, bitstream: bytes, encode_ms: float) -> None:
        # The file first: a row never names one that is not there.
        blob = blobs.put(bitstream, self.codec.extension)
        Encode.objects.update_or_create(
            **self.key,
            setting=setting,
            defaults={
                "settings": self.codec.settings(setting),
                "bitstream": blob,
                "size_bytes": len(bitstream),
                "encode_ms": encode_ms,
            },
        )

    def get(self, setting: float) -> tuple[bytes, float]:
        each = Encode.objects.get(**self.key, setting=setting)
        return blobs.read(each.bitstream), each.encode_ms


def request(
    sources: Iterable[SourceImage], codecs: Iterable[str], targets_bpp: Iterable[Decimal]
) -> list[Reconstruction]:
    """Ask for every source x codec x target; those that exist already are not asked for again.

    Raises UnknownCodec or CodecUnavailable before anything is written.
    """
    versions = {}
    for name in codecs:
        codec = get_codec(name)
        if reason := codec.unavailable():
            raise CodecUnavailable(f"{codec.label} is not available here: {reason}")
        versions[name] = codec.version()
    # In one order, so that two who ask for the same at once do not hold each other up.
    sources = sorted(sources, key=lambda source: source.id)
    targets_bpp = sorted(targets_bpp)
    of_codecs = Q(pk__in=[])
    for name, version in versions.items():
        of_codecs |= Q(codec=name, codec_version=version)
    wanted = Reconstruction.objects.filter(
        of_codecs, source__in=sources, target_bpp__in=targets_bpp
    )
    known = set(wanted.values_list("source_id", "codec", "target_bpp"))
    turns = count()
    new = []
    for source, (name, version) in product(sources, versions.items()):
        missing = [target for target in targets_bpp if (source.id, name, target) not in known]
        turn = next(turns) if missing else 0
        new += [
            Reconstruction(
                source=source, codec=name, codec_version=version, target_bpp=target, turn=turn
            )
            for target in missing
        ]
    Reconstruction.objects.bulk_create(new, ignore_conflicts=True)
    return list(wanted.all())


def count_owed(*, now: datetime) -> int:
    """How many (source, codec) wait, or have a worker whose lease has ended."""
    owed = Reconstruction.objects.filter(WORK.free(now=now)).order_by().values("source_id", "codec")
    return owed.distinct().count()


def give_up(*, now: datetime) -> int:
    """Mark as failed what lost its worker too often; returns how many."""
    ids = WORK.give_up(now=now)
    if ids:
        reconstructions_finished.send(sender=Reconstruction, reconstruction_ids=ids)
    return len(ids)


class MemoryIsShort(Exception):
    """What is next needs memory that other encodes of this machine hold for now."""


def make_next() -> int | None:
    """Make all reconstructions that are owed of one source image by one codec.

    Returns how many were made; None if nothing is owed. Any number of workers may call it at once.
    Raises MemoryIsShort if there is something to be made, but not now, and blobs.StorageFailed or
    one of DATABASE_GONE if it could not be stored or noted: it waits again.
    """
    worker = worker_name()
    claimed = claim_next(worker=worker, now=clock.now())
    if not claimed:
        return None
    ids = [each.id for each in claimed]
    held = WORK.held_by(worker).filter(id__in=ids)
    with lease_kept(held):
        try:
            made = _make(claimed, worker=worker)
        except CodecError as error:
            made = 0
            WORK.fail(held, str(error), now=clock.now())
        except blobs.StorageFailed:
            WORK.give_back(held)
            raise
        except DATABASE_GONE:
            WORK.let_go(held)
            raise
        except Exception as error:
            WORK.fail(held, f"{type(error).__name__}: {error}", now=clock.now())
            raise
        finally:
            reconstructions_finished.send(sender=Reconstruction, reconstruction_ids=ids)
    return made


def claim_next(
    *, worker: str, now: datetime, memory_bytes: int | None = None
) -> list[Reconstruction]:
    """Take what is next, with all else that is owed of its source and codec.

    Next is what has the least made before it of all that was asked for with it, so that a small
    study is not stuck behind a large one; then what was asked for first.

    worker : 'host:process:thread'; the encodes of one host share its memory.
    memory_bytes : what all encodes of the host may take; None: as the settings say.

    Empty: nothing is owed. Raises MemoryIsShort. What needs more than there is at all fails.
    """
    if memory_bytes is None:
        memory_bytes = memory.budget_bytes(settings.CLOSER_ENCODE_MEMORY_MB)
    host = worker.split(":")[0]
    while True:
        free = Reconstruction.objects.filter(WORK.free(now=now) & _makeable_here())
        with transaction.atomic():
            # One at a time on a host, so that two do not both take its last memory.
            _lock(f"encodes of {host}")
            first = free.order_by("turn", "id").select_related("source").first()
            if first is None:
                return []
            owed = free.filter(source=first.source, codec=first.codec)
            needed = memory.encode_bytes(get_codec(first.codec), first.source.pixel_count)
            if needed <= memory_bytes:
                if needed > memory_bytes - _held_bytes(host, now=now):
                    raise MemoryIsShort
                WORK.take(owed, worker=worker, now=now)
                group = {"source": first.source, "codec": first.codec}
                claimed = list(WORK.held_by(worker).filter(**group).select_related("source"))
                if claimed:  # else a worker of another host was first: look again
                    return claimed
                continue
            ids = list(owed.values_list("id", flat=True))
            reason = (
                f"To encode {first.source.width} x {first.source.height} pixels by "
                f"{get_codec(first.codec).label} takes about {memory.in_words(needed)} of memory; "
                f"this machine gives {memory.in_words(memory_bytes)} to its encoders "
                "(CLOSER_ENCODE_MEMORY_MB)."
            )
            WORK.fail(owed.filter(id__in=ids), reason, now=now)
        reconstructions_finished.send(sender=Reconstruction, reconstruction_ids=ids)


def _lock(name: str) -> None:
    """Wait until no other transaction holds the lock of this name; held to the end of this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _held_bytes(host: str, *, now: datetime) -> int:
    """What the encodes under way on a host take together."""
    held = WORK.under_way(now=now).filter(worker__startswith=f"{host}:")
    groups = held.order_by().values_list("codec", "source__width", "source__height", "source_id")
    codecs = all_codecs()
    return sum(
        memory.encode_bytes(codecs[name], width * height)
        for name, width, height, _ in groups.distinct()
        if name in codecs  # else a worker of this host has more codecs than this one
    )


def _make(claimed: list[Reconstruction], *, worker: str) -> int:
    codec = get_codec(claimed[0].codec)
    pixels = read_png(blobs.read(claimed[0].source.png))
    by_target = {float(each.target_bpp): each for each in claimed}
    made = 0
    files = EncodesOf(claimed[0].source, codec)
    for encoded in encode_to_rates(codec, pixels, list(by_target), files=files):
        reconstruction = by_target[encoded.target_bpp]
        made += _store(reconstruction, encoded, pixels, codec.extension, worker=worker)
    return made


def _store(
    reconstruction: Reconstruction,
    encoded: Encoded,
    pixels: Pixels,
    extension: str,
    *,
    worker: str,
) -> int:
    # Files first: a row never names a file that is not there.
    files = lossless.store(encoded.pixels)
    decibels = psnr(pixels, encoded.pixels)
    return (
        WORK.held_by(worker)
        .filter(id=reconstruction.id)
        .update(
            state=State.READY,
            settings=encoded.settings,
            bitstream=blobs.put(encoded.bitstream, extension),
            size_bytes=len(encoded.bitstream),
            decoded=files.png,
            decoded_bytes=files.png_bytes,
            webp=files.webp,
            webp_bytes=files.webp_bytes,
            actual_bpp=encoded.actual_bpp,
            miss=encoded.miss,
            psnr=decibels if math.isfinite(decibels) else None,
            ms_ssim=ms_ssim(pixels, encoded.pixels),
            encode_ms=encoded.encode_ms,
            decode_ms=encoded.decode_ms,
            error="",
            finished_at=clock.now(),
        )
    )


def _makeable_here() -> Q:
    """What was asked for in versions that this worker has; the rest is for others."""
    here = Q(pk__in=[])
    for codec in all_codecs().values():
        if not codec.unavailable():
            here |= Q(codec=codec.name, codec_version=codec.version())
    return here


def is_worked_on(*, now: datetime) -> bool:
    """Whether some worker is encoding at this moment."""
    return WORK.under_way(now=now).exists()
