"""From source images to reconstructions: asked for, claimed by a worker, made, recorded.

    request ------> waiting --claim--> encoding --store--> ready
                      ^                   |  \\--refuse--> failed --retry--> waiting
                      '---- lease ends ---'

The database is the queue and decides who makes what; Celery's messages only wake workers up. So a
message that is lost, doubled or late costs nothing but time, and what a killed worker was making is
taken up when its lease ends.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import F, Q
from django.dispatch import Signal
from django.utils import timezone

from codecs_registry import blobs
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import Codec, CodecError, CodecUnavailable, Pixels
from codecs_registry.models import Reconstruction, SourceImage
from codecs_registry.pictures import read_png, write_png
from codecs_registry.rate import match_rates

LEASE = timedelta(seconds=30)
MAX_ATTEMPTS = 3  # a picture that kills its worker (out of memory, say) is not tried for ever
State = Reconstruction.State

# Sent after the reconstructions of a source image by a codec were made, or could not be made.
reconstructions_finished = Signal()  # reconstruction_ids: list[int]


@dataclass(frozen=True)
class Encoded:
    """One rate-matched encode: the file, what it decodes to, and how it was made."""

    target_bpp: float
    actual_bpp: float
    settings: dict
    bitstream: bytes
    pixels: Pixels
    encode_ms: float
    decode_ms: float
    miss: str


def encode_to_rates(
    codec: Codec, pixels: Pixels, targets_bpp: Sequence[float]
) -> Iterator[Encoded]:
    """Encode pixels (H, W, 3) so that each file comes nearest to its target, and decode the files.

    Raises CodecError if the codec cannot encode the picture at all.
    """
    height, width, _ = pixels.shape
    made: dict[float, tuple[bytes, float]] = {}

    def size_bits(setting: float) -> int:
        started = time.perf_counter()
        bitstream = codec.encode(pixels, setting)
        made[setting] = bitstream, (time.perf_counter() - started) * 1000
        return 8 * len(bitstream)

    matches = match_rates(
        size_bits, knob=codec.knob, pixel_count=height * width, targets_bpp=targets_bpp
    )
    for target_bpp in targets_bpp:
        match = matches[target_bpp]
        bitstream, encode_ms = made[match.setting]
        started = time.perf_counter()
        decoded = codec.decode(bitstream)
        decode_ms = (time.perf_counter() - started) * 1000
        if decoded.shape != pixels.shape:
            raise CodecError(f"{codec.label} decoded a picture of another size than it was given")
        yield Encoded(
            target_bpp=target_bpp,
            actual_bpp=8 * len(bitstream) / (height * width),
            settings=codec.settings(match.setting),
            bitstream=bitstream,
            pixels=decoded,
            encode_ms=encode_ms,
            decode_ms=decode_ms,
            miss=match.miss,
        )


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
    Reconstruction.objects.bulk_create(
        (
            Reconstruction(source=source, codec=name, codec_version=version, target_bpp=target)
            for source in sources
            for name, version in versions.items()
            for target in targets_bpp
        ),
        ignore_conflicts=True,
    )
    wanted = Q()
    for name, version in versions.items():
        wanted |= Q(codec=name, codec_version=version)
    return list(
        Reconstruction.objects.filter(wanted, source__in=sources, target_bpp__in=targets_bpp)
    )


def count_owed(*, now: datetime) -> int:
    """How many (source, codec) wait, or have a worker whose lease has ended."""
    owed = Reconstruction.objects.filter(_free(now)).order_by().values("source_id", "codec")
    return owed.distinct().count()


def release_dead(host: str, *, now: datetime) -> int:
    """End the leases of processes of this host that are no more; returns how many.

    Leases would end by themselves; this spares a restarted worker the wait. Should it err (two
    hosts of one name), something is made twice, and the database keeps one.
    """
    held = Reconstruction.objects.filter(state=State.ENCODING, worker__startswith=f"{host}:")
    workers = held.values_list("worker", flat=True).order_by().distinct()
    dead = [worker for worker in workers if not _is_alive(int(worker.split(":")[1]))]
    return held.filter(worker__in=dead).update(lease_ends=now)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def give_up(*, now: datetime) -> int:
    """Mark as failed what lost its worker too often; returns how many."""
    lost = Reconstruction.objects.filter(
        state=State.ENCODING, lease_ends__lte=now, attempts__gte=MAX_ATTEMPTS
    )
    ids = list(lost.values_list("id", flat=True))
    count = lost.filter(id__in=ids).update(
        state=State.FAILED,
        error=f"The worker that encoded it died {MAX_ATTEMPTS} times; it may need more memory.",
        finished_at=now,
    )
    if count:
        reconstructions_finished.send(sender=Reconstruction, reconstruction_ids=ids)
    return count


def retry_failed(reconstructions) -> int:
    """Ask again for those of a queryset that failed; returns how many."""
    return reconstructions.filter(state=State.FAILED).update(
        state=State.WAITING, error="", attempts=0
    )


def make_next() -> int | None:
    """Make all reconstructions that are owed of one source image by one codec.

    Returns how many were made; None if nothing is owed. Any number of workers may call it at once.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    claimed = claim_next(worker=worker, now=timezone.now())
    if not claimed:
        return None
    ids = [each.id for each in claimed]
    with _lease_kept(ids, worker=worker):
        try:
            made = _make(claimed, worker=worker)
        except CodecError as error:
            made = 0
            _refuse(ids, str(error), worker=worker)
        except Exception as error:
            _refuse(ids, f"{type(error).__name__}: {error}", worker=worker)
            raise
        finally:
            reconstructions_finished.send(sender=Reconstruction, reconstruction_ids=ids)
    return made


def claim_next(*, worker: str, now: datetime) -> list[Reconstruction]:
    """Take what is owed longest, with all else of its source and codec. Empty: nothing is owed."""
    while True:
        free = Reconstruction.objects.filter(_free(now) & _makeable_here())
        first = free.order_by("id").values("source_id", "codec").first()
        if first is None:
            return []
        free.filter(**first).update(
            state=State.ENCODING,
            worker=worker,
            lease_ends=now + LEASE,
            attempts=F("attempts") + 1,
        )
        claimed = list(_held_by(worker).filter(**first).select_related("source"))
        if claimed:  # else another worker was first: look again
            return claimed


def _make(claimed: list[Reconstruction], *, worker: str) -> int:
    codec = get_codec(claimed[0].codec)
    pixels = read_png(blobs.read(claimed[0].source.png))
    by_target = {float(each.target_bpp): each for each in claimed}
    made = 0
    for encoded in encode_to_rates(codec, pixels, list(by_target)):
        made += _store(by_target[encoded.target_bpp], encoded, codec.extension, worker=worker)
    return made


def _store(reconstruction: Reconstruction, encoded: Encoded, extension: str, *, worker: str) -> int:
    # Files first: a row never names a file that is not there.
    png = write_png(encoded.pixels)
    return (
        _held_by(worker)
        .filter(id=reconstruction.id)
        .update(
            state=State.READY,
            settings=encoded.settings,
            bitstream=blobs.put(encoded.bitstream, extension),
            size_bytes=len(encoded.bitstream),
            decoded=blobs.put(png, ".png"),
            decoded_bytes=len(png),
            actual_bpp=encoded.actual_bpp,
            miss=encoded.miss,
            encode_ms=encoded.encode_ms,
            decode_ms=encoded.decode_ms,
            error="",
            finished_at=timezone.now(),
        )
    )


def _refuse(ids: list[int], reason: str, *, worker: str) -> None:
    _held_by(worker).filter(id__in=ids).update(
        state=State.FAILED, error=reason, finished_at=timezone.now()
    )


def _free(now: datetime) -> Q:
    orphaned = Q(state=State.ENCODING, lease_ends__lte=now, attempts__lt=MAX_ATTEMPTS)
    return Q(state=State.WAITING) | orphaned


def _makeable_here() -> Q:
    """What was asked for in versions that this worker has; the rest is for others."""
    here = Q(pk__in=[])
    for codec in all_codecs().values():
        if not codec.unavailable():
            here |= Q(codec=codec.name, codec_version=codec.version())
    return here


def is_worked_on(*, now: datetime) -> bool:
    """Whether some worker is encoding at this moment."""
    return Reconstruction.objects.filter(state=State.ENCODING, lease_ends__gt=now).exists()


def _held_by(worker: str):
    return Reconstruction.objects.filter(state=State.ENCODING, worker=worker)


@contextlib.contextmanager
def _lease_kept(ids: list[int], *, worker: str) -> Iterator[None]:
    """Renew the lease from a second thread for as long as the work takes."""
    done = threading.Event()

    def renew() -> None:
        try:
            while not done.wait(LEASE.total_seconds() / 3):
                with contextlib.suppress(Exception):  # the next renewal may succeed
                    _held_by(worker).filter(id__in=ids).update(lease_ends=timezone.now() + LEASE)
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
