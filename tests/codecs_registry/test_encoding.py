"""Encoding: what is asked for is made once, by real codecs, and any failure says why."""

import itertools
import os
import resource
import socket
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import storages
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction

from codecs_registry import blobs, clock, encoding, memory, tasks
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import CodecUnavailable, EncodeFailed, UnknownCodec
from codecs_registry.codecs.webp import WebP
from codecs_registry.leases import LEASE
from codecs_registry.models import Encode, Reconstruction, SourceImage, stratum_name
from codecs_registry.pictures import read_png
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

State = Reconstruction.State
CODECS = ("avif", "jpeg", "jpeg2000", "webp")
TARGETS = [Decimal("0.23"), Decimal("0.37"), Decimal("0.67"), Decimal("1.0")]
LATER = NOW + LEASE


def request(source: SourceImage, *codecs: str, targets=("0.5",)) -> list[Reconstruction]:
    return encoding.request([source], codecs or ("jpeg",), map(Decimal, targets))


def make_all() -> int:
    """Encode until nothing is owed; returns how many reconstructions were made."""
    return sum(iter(encoding.make_next, None))


def states() -> list[str]:
    return list(Reconstruction.objects.order_by("id").values_list("state", flat=True))


def too_wide() -> SourceImage:
    """WebP cannot hold it: a side has 14 bits."""
    return factories.source_image(np.zeros((1, 16_384, 3), np.uint8))


@pytest.fixture
def messages(monkeypatch) -> list[str]:
    """What is sent to workers, in place of the broker that all test processes share."""
    sent = []
    monkeypatch.setattr(tasks.encode_owed, "delay", lambda: sent.append("encode_owed"))
    return sent


@pytest.fixture
def finished():
    """The ids that the signal told, call by call."""
    told = []

    def listen(*, reconstruction_ids, **_):
        told.append(sorted(reconstruction_ids))

    encoding.reconstructions_finished.connect(listen)
    yield told
    encoding.reconstructions_finished.disconnect(listen)


class InterruptedCodec(WebP):
    """The real WebP, and something that happens in the world while it works."""

    def __init__(self, happens) -> None:
        self.happens = happens

    def encode(self, pixels, setting):
        self.happens()
        return super().encode(pixels, setting)


# --- asking ---------------------------------------------------------------------------------------


def test_every_source_codec_and_target_is_asked_for_once_however_often_it_is_asked():
    sources = [factories.source_image() for _ in range(2)]
    first = encoding.request(sources, CODECS, TARGETS)
    again = encoding.request(sources, CODECS, TARGETS)
    assert len(first) == 2 * 4 * 4
    assert {each.id for each in first} == {each.id for each in again}
    assert Reconstruction.objects.count() == 2 * 4 * 4
    assert states() == [State.WAITING] * 32
    assert {each.codec_version for each in first} == {get_codec(name).version() for name in CODECS}


def test_a_target_written_in_another_way_is_the_same_target():
    source = factories.source_image()
    assert request(source, targets=("1", "1.0", "1.0000", "1E+0")) == request(
        source, targets=("1",)
    )
    assert Reconstruction.objects.count() == 1


def test_an_unknown_codec_is_refused_before_anything_is_asked_for():
    with pytest.raises(UnknownCodec, match=r"known are .*, jpeg, jpeg2000,"):
        request(factories.source_image(), "jpeg", "jpeg3000")
    assert not Reconstruction.objects.exists()


def test_a_codec_that_cannot_be_used_here_is_refused_before_anything_is_asked_for(monkeypatch):
    monkeypatch.setattr(type(get_codec("webp")), "unavailable", lambda self: "no library")
    with pytest.raises(CodecUnavailable, match="WebP is not available here: no library"):
        request(factories.source_image(), "jpeg", "webp")
    assert not Reconstruction.objects.exists()


@pytest.mark.parametrize(
    ("target", "name"),
    [("0.23", "0.23"), ("0.5000", "0.5"), ("1", "1.0"), ("1.0000", "1.0"), ("10", "10.0"),
     ("1E+1", "10.0"), ("0.0123", "0.0123")],
)  # fmt: skip
def test_a_stratum_is_named_as_people_write_it(target, name):
    assert stratum_name(Decimal(target)) == name


# --- making ---------------------------------------------------------------------------------------


def test_files_on_disk_have_the_rate_that_is_told_and_meet_their_target_or_say_why_not():
    source = factories.source_image(factories.pixels(256, 192, seed=4))
    request(source, *CODECS, targets=("0.01", "0.23", "0.37", "0.67", "1.0"))
    assert make_all() == 4 * 5
    met = 0
    for each in Reconstruction.objects.all():
        bitstream = blobs.read(each.bitstream)
        bpp = 8 * len(bitstream) / (256 * 192)
        assert each.state == State.READY
        assert each.size_bytes == len(bitstream)
        assert each.actual_bpp == pytest.approx(bpp, rel=1e-12)
        within = abs(bpp / float(each.target_bpp) - 1) <= 0.02
        assert within == (each.miss == ""), "what misses its target says so, and nothing else does"
        met += within
        png = blobs.read(each.decoded)
        assert each.decoded_bytes == len(png)
        decoded = get_codec(each.codec).decode(bitstream)
        assert np.array_equal(read_png(png), decoded)
        assert decoded.shape == (192, 256, 3)
        assert min(each.encode_ms, each.decode_ms) > 0
        assert each.finished_at is not None
    assert met >= 14, "most of the 16 that can be met are met"
    missed = Reconstruction.objects.get(codec="jpeg", target_bpp="0.01")
    assert "0.01 bpp is out of range: the smallest file" in missed.miss


def test_an_encode_can_be_repeated_from_its_stored_settings():
    source = factories.source_image(factories.pixels(128, 96))
    [made] = request(source, "webp")
    make_all()
    made.refresh_from_db()
    pixels = read_png(blobs.read(source.png))
    assert WebP().encode(pixels, made.settings["quality"]) == blobs.read(made.bitstream)


def test_what_was_made_for_one_study_costs_a_second_one_no_encode(monkeypatch):
    source = factories.source_image()
    request(source, "webp", targets=("1", "2"))
    make_all()
    monkeypatch.setattr(WebP, "encode", lambda *_: pytest.fail("it was made already"))
    request(source, "webp", targets=("1", "2"))
    assert encoding.make_next() is None
    assert states() == [State.READY] * 2


def test_a_study_at_other_targets_begins_with_what_is_known_of_the_picture(monkeypatch):
    source = factories.source_image(factories.pixels(192, 128))
    request(source, "webp", targets=("1", "2"))
    make_all()
    known = set(Encode.objects.values_list("setting", flat=True))
    encodes = []
    real = WebP.encode

    def count(self, pixels, setting):
        encodes.append(setting)
        return real(self, pixels, setting)

    monkeypatch.setattr(WebP, "encode", count)
    request(source, "webp", targets=("1.5",))
    assert encoding.make_next() == 1
    assert not known & set(encodes)
    assert len(encodes) <= 6, "files around it were known"
    assert set(Encode.objects.values_list("setting", flat=True)) == known | set(encodes)


def test_what_a_killed_worker_encoded_is_not_encoded_again(monkeypatch):
    source = factories.source_image(factories.pixels(192, 128))
    request(source, "webp", targets=("1",))
    encodes = []
    real = WebP.encode

    class Killed(BaseException):
        pass

    def encode(self, pixels, setting):
        if len(encodes) == 1:
            raise Killed
        encodes.append(setting)
        return real(self, pixels, setting)

    monkeypatch.setattr(WebP, "encode", encode)
    with pytest.raises(Killed):
        encoding.make_next()
    first = list(encodes)
    monkeypatch.setattr(WebP, "encode", lambda *given: encodes.append(given[2]) or real(*given))
    Reconstruction.objects.update(lease_ends=NOW)
    assert make_all() == 1
    assert len(encodes) == len(set(encodes)) > len(first)


def test_encodes_with_other_settings_or_of_another_version_are_not_taken_for_known(monkeypatch):
    source = factories.source_image()
    files = encoding.EncodesOf(source, WebP())
    files.put(50.0, b"made", 1.0)
    assert files.sizes() == {50.0: 4}
    monkeypatch.setattr(WebP, "settings", lambda self, setting: {"method": 3})
    assert files.sizes() == {}
    monkeypatch.undo()
    monkeypatch.setattr(WebP, "version", lambda self: "libwebp 9")
    assert encoding.EncodesOf(source, WebP()).sizes() == {}


def test_a_known_encode_whose_file_is_gone_is_made_again():
    source = factories.source_image()
    files = encoding.EncodesOf(source, WebP())
    files.put(50.0, b"made", 1.0)
    storages["blobs"].delete(Encode.objects.get().bitstream)
    assert files.sizes() == {}
    files.put(50.0, b"made", 1.0)
    assert files.get(50.0) == (b"made", 1.0)


def test_a_reconstruction_carries_its_distances_from_the_source():
    source = factories.source_image(factories.pixels(192, 176))
    [made] = request(source, "webp", targets=("1",))
    make_all()
    made.refresh_from_db()
    a, b = (read_png(blobs.read(name)).astype(float) for name in (source.png, made.decoded))
    assert made.psnr == pytest.approx(10 * np.log10(255**2 / ((a - b) ** 2).mean()))
    assert 0 < made.ms_ssim < 1


def test_one_call_makes_all_targets_of_one_source_and_codec_and_tells_so(finished):
    source = factories.source_image()
    asked = request(source, "jpeg", "webp", targets=("1", "2", "3"))
    assert encoding.make_next() == 3
    assert encoding.make_next() == 3
    assert encoding.make_next() is None
    by_codec = [[each.id for each in asked if each.codec == name] for name in ("jpeg", "webp")]
    assert finished == [sorted(ids) for ids in by_codec]


# --- who makes what -------------------------------------------------------------------------------


def test_a_lease_that_runs_is_respected_and_one_that_ended_is_given_to_the_next_worker():
    [asked] = request(factories.source_image())
    assert encoding.claim_next(worker="a", now=NOW) == [asked]
    assert encoding.claim_next(worker="b", now=LATER - timedelta(seconds=1)) == []
    [taken] = encoding.claim_next(worker="b", now=LATER)
    assert (taken.id, taken.worker, taken.attempts) == (asked.id, "b", 2)
    assert taken.lease_ends == LATER + LEASE


def test_what_is_owed_longest_is_made_first():
    sources = [factories.source_image() for _ in range(3)]
    for source in reversed(sources):
        request(source)
    claimed = [encoding.claim_next(worker=f"{n}", now=NOW)[0].source for n in range(3)]
    assert claimed == sources[::-1]


def test_a_small_request_is_not_stuck_behind_a_large_one():
    large = [factories.source_image() for _ in range(6)]
    small = [factories.source_image() for _ in range(2)]
    encoding.request(large, ["jpeg", "webp"], [Decimal("1")])
    for n in range(3):
        encoding.claim_next(worker=f"{n}", now=NOW)
    encoding.request(small, ["jpeg"], [Decimal("1")])
    claimed = [encoding.claim_next(worker=f"{3 + n}", now=NOW)[0].source for n in range(3)]
    assert claimed[:2] == small


def test_what_is_asked_for_anew_is_counted_without_what_was_there():
    old, new = factories.source_image(), factories.source_image()
    request(old, "jpeg", "webp")
    asked = encoding.request([old, new], ["jpeg", "webp"], [Decimal("0.5")])
    turns = {(each.source_id, each.codec): each.turn for each in asked}
    assert (turns[new.id, "jpeg"], turns[new.id, "webp"]) == (0, 1)


# --- memory ---------------------------------------------------------------------------------------


def jpeg_bytes(source: SourceImage) -> int:
    return memory.encode_bytes(get_codec("jpeg"), source.pixel_count)


def test_encodes_of_one_host_share_its_memory_and_those_of_another_do_not():
    one, two = factories.source_image(), factories.source_image()
    for source in (one, two):
        request(source)
    enough = jpeg_bytes(one) + jpeg_bytes(two) - 1
    [first] = encoding.claim_next(worker="a:1:1", now=NOW, memory_bytes=enough)
    assert first.source == one
    with pytest.raises(encoding.MemoryIsShort):
        encoding.claim_next(worker="a:2:1", now=NOW, memory_bytes=enough)
    assert states() == [State.ENCODING, State.WAITING], "it waits"
    [second] = encoding.claim_next(worker="b:1:1", now=NOW, memory_bytes=enough)
    assert second.source == two


def test_memory_is_free_again_when_the_work_is_done_or_its_lease_ended():
    one, two = factories.source_image(), factories.source_image()
    for source in (one, two):
        request(source)
    encoding.claim_next(worker="a:1:1", now=NOW, memory_bytes=jpeg_bytes(one))
    [taken] = encoding.claim_next(worker="a:2:1", now=LATER, memory_bytes=jpeg_bytes(two))
    assert taken.source == one


def test_what_needs_more_memory_than_a_machine_has_fails_with_the_reason(finished):
    large, small = factories.source_image(factories.pixels(300, 200)), factories.source_image()
    [refused] = request(large)
    [made] = request(small)
    claimed = encoding.claim_next(worker="a:1:1", now=NOW, memory_bytes=jpeg_bytes(large) - 1)
    assert claimed == [made]
    refused.refresh_from_db()
    assert refused.state == State.FAILED
    assert "To encode 300 x 200 pixels by JPEG takes about" in refused.error
    assert "CLOSER_ENCODE_MEMORY_MB" in refused.error
    assert finished == [[refused.id]]


def test_a_worker_that_finds_memory_short_asks_again_soon(monkeypatch):
    request(factories.source_image())
    later = []
    monkeypatch.setattr(tasks.encode_owed, "apply_async", lambda **options: later.append(options))

    def is_short():
        raise encoding.MemoryIsShort

    monkeypatch.setattr(encoding, "make_next", is_short)
    tasks.encode_owed()
    assert later == [{"countdown": tasks.RETRY_SECONDS}]


# --- who loses what -------------------------------------------------------------------------------


def test_a_result_that_comes_after_its_lease_went_to_another_worker_is_dropped(monkeypatch):
    [asked] = request(factories.source_image(), "webp", targets=("2",))
    others = []

    def lease_ends():
        if not others:
            late = clock.now() + LEASE
            others.extend(encoding.claim_next(worker="other", now=late))

    codec = InterruptedCodec(lease_ends)
    monkeypatch.setattr(encoding, "get_codec", lambda name: codec)
    assert encoding.make_next() == 0
    assert others == [asked]
    asked.refresh_from_db()
    assert (asked.state, asked.worker, asked.bitstream) == (State.ENCODING, "other", "")


def test_a_failure_that_comes_after_the_lease_went_to_another_worker_is_dropped(monkeypatch):
    [asked] = request(factories.source_image(), "webp")

    def fails_too_late():
        encoding.claim_next(worker="other", now=clock.now() + LEASE)
        raise EncodeFailed("out of memory")

    codec = InterruptedCodec(fails_too_late)
    monkeypatch.setattr(encoding, "get_codec", lambda name: codec)
    assert encoding.make_next() == 0
    asked.refresh_from_db()
    assert (asked.state, asked.worker, asked.error) == (State.ENCODING, "other", "")


@pytest.mark.parametrize("gone", [OperationalError, InterfaceError])
def test_what_the_database_was_away_for_waits_and_is_made_anew(gone, monkeypatch):
    [asked] = request(factories.source_image(), "webp")

    def away():
        raise gone("terminating connection due to unexpected postmaster exit")

    with monkeypatch.context() as patch:
        patch.setattr(encoding, "get_codec", lambda name: InterruptedCodec(away))
        again = []
        patch.setattr(tasks.encode_owed, "apply_async", lambda **how: again.append(how))
        tasks.encode_owed()
    assert again == [{"countdown": tasks.RETRY_SECONDS}]
    asked.refresh_from_db()
    assert (asked.state, asked.worker, asked.error, asked.attempts) == (State.WAITING, "", "", 0)
    assert encoding.make_next() == 1


def test_what_kills_its_worker_again_and_again_is_given_up_with_a_reason(finished):
    [asked] = request(factories.source_image())
    now = NOW
    for attempt in range(encoding.MAX_ATTEMPTS):
        assert encoding.give_up(now=now) == 0
        assert encoding.claim_next(worker=f"{attempt}", now=now), "tried again"
        now += LEASE
    assert encoding.claim_next(worker="next", now=now) == []
    assert encoding.give_up(now=now) == 1
    asked.refresh_from_db()
    assert asked.state == State.FAILED
    assert "died 3 times" in asked.error
    assert finished == [[asked.id]]
    assert encoding.give_up(now=now) == 0


# --- workers of this machine that died ------------------------------------------------------------


def dead_worker() -> str:
    """The name of a worker of this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{socket.gethostname()}:{process.pid}:1"


def test_what_a_dead_worker_of_this_machine_held_is_free_at_once():
    request(factories.source_image())
    request(factories.source_image())
    request(factories.source_image())
    encoding.claim_next(worker=dead_worker(), now=NOW)
    alive = f"{socket.gethostname()}:{os.getpid()}:1"
    encoding.claim_next(worker=alive, now=NOW)
    encoding.claim_next(worker="elsewhere:1:1", now=NOW)
    assert encoding.count_owed(now=NOW) == 0
    assert encoding.WORK.release_dead(now=NOW) == 1
    assert encoding.count_owed(now=NOW) == 1


def test_a_picture_that_kills_each_restarted_worker_is_given_up_too():
    [asked] = request(factories.source_image())
    for _ in range(encoding.MAX_ATTEMPTS):
        assert encoding.claim_next(worker=dead_worker(), now=NOW) == [asked]
        encoding.WORK.release_dead(now=NOW)
    assert encoding.claim_next(worker=dead_worker(), now=NOW) == []
    assert encoding.give_up(now=NOW) == 1


# --- failures -------------------------------------------------------------------------------------


def test_a_picture_that_a_codec_cannot_take_fails_with_the_reason_and_can_be_retried(finished):
    asked = request(too_wide(), "webp", targets=("1", "2"))
    assert encoding.make_next() == 0
    assert states() == [State.FAILED] * 2
    for each in Reconstruction.objects.all():
        assert "at most 16383 pixels a side" in each.error
        assert each.finished_at is not None
    assert encoding.make_next() is None, "it is not tried by itself again"
    assert finished == [sorted(each.id for each in asked)]
    assert encoding.WORK.retry(Reconstruction.objects.all()) == 2
    assert set(Reconstruction.objects.values_list("state", "error", "attempts")) == {
        (State.WAITING, "", 0)
    }


def test_a_retry_leaves_what_is_ready_or_being_made_alone():
    ready = factories.reconstruction(factories.source_image(), "jpeg")
    [held] = request(factories.source_image())
    encoding.claim_next(worker="a", now=NOW)
    assert encoding.WORK.retry(Reconstruction.objects.all()) == 0
    assert Reconstruction.objects.get(id=ready.id).state == State.READY
    assert Reconstruction.objects.get(id=held.id).worker == "a"


def test_what_finds_no_room_waits_until_there_is_some(messages, finished, monkeypatch):
    monkeypatch.setattr(
        tasks.encode_owed, "apply_async", lambda countdown: messages.append("later")
    )
    request(factories.source_image())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk: no file can grow
    try:
        tasks.encode_owed()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (states(), messages) == (["waiting"], ["later"])
    assert Reconstruction.objects.get().attempts == 0
    tasks.encode_owed()
    assert states() == ["ready"]


def test_a_failure_of_one_picture_leaves_the_others_to_be_made():
    request(too_wide(), "webp", "jpeg")
    request(factories.source_image(), "webp", "jpeg")
    make_all()
    failed = Reconstruction.objects.filter(state=State.FAILED)
    assert [each.codec for each in failed] == ["webp"]
    assert states().count(State.READY) == 3


def test_an_unforeseen_error_is_recorded_and_raised_and_the_others_go_on(messages, finished):
    source = factories.source_image()
    SourceImage.objects.filter(id=source.id).update(png="00/not-there.png")
    [asked] = request(source)
    request(factories.source_image())
    with pytest.raises(FileNotFoundError):
        tasks.encode_owed()
    asked.refresh_from_db()
    assert asked.state == State.FAILED
    assert asked.error.startswith("FileNotFoundError: ")
    assert finished == [[asked.id]]
    tasks.encode_owed()
    assert states().count(State.READY) == 1


def test_a_target_made_before_an_error_is_kept(monkeypatch):
    request(factories.source_image(), "webp", targets=("1", "2"))
    decodes = itertools.count()

    def fail_the_second(self, bitstream, decode=WebP.decode):
        if next(decodes):
            raise MemoryError("too little")
        return decode(self, bitstream)

    monkeypatch.setattr(WebP, "decode", fail_the_second)
    with pytest.raises(MemoryError):
        encoding.make_next()
    assert states() == [State.READY, State.FAILED]


@pytest.mark.parametrize("asked", [{"codec_version": "libwebp 0.1"}, {"codec": "gone"}])
def test_a_worker_leaves_to_others_what_it_has_not_the_codec_or_version_for(asked):
    request(factories.source_image(), "webp")
    Reconstruction.objects.update(**asked)
    request(factories.source_image(), "jpeg")
    assert encoding.make_next() == 1
    assert encoding.make_next() is None
    assert sorted(Reconstruction.objects.values_list("state", flat=True)) == ["ready", "waiting"]


# --- messages -------------------------------------------------------------------------------------


def test_what_is_owed_is_counted_by_source_and_codec():
    for _ in range(2):
        request(factories.source_image(), "jpeg", "webp", targets=("1", "2", "3"))
    assert encoding.count_owed(now=NOW) == 4
    encoding.claim_next(worker="a", now=NOW)
    assert encoding.count_owed(now=NOW) == 3
    assert encoding.count_owed(now=LATER) == 4


def test_workers_are_woken_no_more_often_than_there_is_work(messages):
    tasks.wake_encoders()
    assert messages == []
    request(factories.source_image(), "jpeg", "webp", targets=("1", "2"))
    tasks.wake_encoders()
    assert messages == ["encode_owed"] * 2


def test_a_lost_message_costs_nothing_but_time(messages):
    request(factories.source_image())
    tasks.resume_encoding()
    assert messages == ["encode_owed"]
    tasks.encode_owed()
    assert states() == [State.READY]


def test_nobody_is_woken_while_somebody_works(messages):
    request(factories.source_image(), "jpeg", "webp")
    encoding.claim_next(worker="elsewhere:1:1", now=clock.now())
    tasks.resume_encoding()
    assert messages == []


def test_a_message_too_many_does_no_harm(messages):
    request(factories.source_image())
    for _ in range(3):
        tasks.encode_owed()
    assert Reconstruction.objects.get().attempts == 1


def test_a_worker_that_starts_takes_up_what_its_dead_predecessor_held(messages):
    request(factories.source_image())
    encoding.claim_next(worker=dead_worker(), now=clock.now())
    tasks.look_for_work_when_a_worker_starts()
    assert messages == ["encode_owed"]


# --- what the database refuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"target_bpp": Decimal(0)}, "reconstruction_target_positive"),
        ({"target_bpp": Decimal(-1)}, "reconstruction_target_positive"),
        ({"bitstream": ""}, "reconstruction_ready_has_files"),
        ({"decoded": ""}, "reconstruction_ready_has_files"),
        ({"size_bytes": 0}, "reconstruction_ready_has_files"),
        ({"actual_bpp": 0.0}, "reconstruction_ready_has_files"),
        ({"size_bytes": None}, "reconstruction_ready_has_files"),
        ({"decoded_bytes": None}, "reconstruction_ready_has_files"),
        ({"actual_bpp": None}, "reconstruction_ready_has_files"),
    ],
)
def test_a_reconstruction_that_cannot_be_is_refused_by_validation_and_by_the_database(
    fields, constraint
):
    good = factories.reconstruction(factories.source_image(), "jpeg")
    good.validate_constraints()
    for name, value in fields.items():
        setattr(good, name, value)
    with pytest.raises(ValidationError, match=constraint):
        good.validate_constraints()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Reconstruction.objects.filter(id=good.id).update(**fields)


def test_a_reconstruction_is_there_once():
    source = factories.source_image()
    good = factories.reconstruction(source, "jpeg")
    with pytest.raises(IntegrityError, match="reconstruction_made_once"), transaction.atomic():
        factories.reconstruction(source, "jpeg")
    other = factories.reconstruction(source, "jpeg", codec_version="jpeg 2")
    other.codec_version = good.codec_version
    with pytest.raises(ValidationError):
        other.validate_constraints()


def test_a_source_image_is_known_by_its_pixels_and_has_some():
    picture = factories.pixels()
    source = factories.source_image(picture)
    with (
        pytest.raises(IntegrityError, match="source_image_known_by_its_pixels"),
        transaction.atomic(),
    ):
        factories.source_image(picture, name="another name.png")
    source.width = 0
    with pytest.raises(ValidationError, match="source_image_has_pixels"):
        source.validate_constraints()
    with pytest.raises(IntegrityError, match="source_image_has_pixels"), transaction.atomic():
        source.save()


def test_a_source_image_with_reconstructions_cannot_be_deleted_even_by_hand():
    made = factories.reconstruction(factories.source_image(), "jpeg")
    by_hand = (
        f"DELETE FROM codecs_registry_sourceimage WHERE id = {made.source_id};"  # noqa: S608
        "SET CONSTRAINTS ALL IMMEDIATE"
    )
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="foreign key"):
        cursor.execute(by_hand)


def test_every_codec_of_the_first_set_is_there():
    assert set(CODECS) <= set(all_codecs())
