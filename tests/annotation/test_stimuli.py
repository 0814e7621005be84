"""Nothing but its pixels may tell an annotator which codec made an image."""

import io
import struct
import zlib
from collections import defaultdict

import numpy as np
import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotation import serving
from annotation.models import Assignment
from annotation.stimuli import WEBP, delivered_bytes, pad, question_bytes
from codecs_registry import blobs
from codecs_registry.models import Reconstruction, SourceImage
from codecs_registry.pictures import write_png, write_webp
from codecs_registry.tasks import encode_owed
from tests import factories
from tests.factories import NOW

POSITIONS = ("original", "left", "right")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def assignment(db) -> Assignment:
    """Of reconstructions whose PNG files differ much in size, as those of real codecs do."""
    source = factories.source_image()
    campaign = factories.campaign()
    made = {}
    for codec, picture in (
        ("avif", np.full((source.height, source.width, 3), 90, np.uint8)),
        ("jpeg", factories.pixels(source.width, source.height, seed=99)),
    ):
        png = write_png(picture)
        made[source.id, codec, "0.37"] = factories.reconstruction(
            source, codec, decoded=blobs.put(png, ".png"), decoded_bytes=len(png)
        )
    factories.task(campaign, source, made=made)
    [assignment] = serving.lease(factories.annotator(campaign), now=NOW)
    return assignment


# A request's name, else made up by chance for each, is sent back as it came.
NAMED = {"X-Request-ID": "a-request-of-a-test"}


def fetch(client, assignment, position: str):
    return client.get(reverse("stimulus", args=[assignment.token, position]), headers=NAMED)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """(type, data) of every chunk, in order; each checksum is verified (PNG 3rd edition, 5.3)."""
    assert png.startswith(PNG_SIGNATURE)
    found, place = [], len(PNG_SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(kind + data)
        found.append((kind, data))
        place += 12 + length
    return found


def riff_chunks(webp: bytes) -> list[tuple[bytes, bytes]]:
    """(tag, data) of every chunk, in order (RFC 9649, section 2.3)."""
    assert (webp[:4], webp[8:12]) == (b"RIFF", b"WEBP")
    assert struct.unpack("<I", webp[4:8]) == (len(webp) - 8,)
    found, place = [], 12
    while place < len(webp):
        tag, (length,) = webp[place : place + 4], struct.unpack("<I", webp[place + 4 : place + 8])
        found.append((tag, webp[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return found


def layout_of(content: bytes) -> tuple[bytes, ...]:
    """The kinds of chunks that a file has, those of pixels once."""
    read = chunks if content.startswith(PNG_SIGNATURE) else riff_chunks
    return tuple(dict.fromkeys(kind for kind, _ in read(content)))


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


# --- files ----------------------------------------------------------------------------------------


def test_every_file_of_a_task_has_the_same_size(client, assignment):
    stored = set(Reconstruction.objects.values_list("decoded_bytes", flat=True))
    assert max(stored) > 5 * min(stored), "they would differ"
    sizes = {len(fetch(client, assignment, position).content) for position in POSITIONS}
    assert sizes == {assignment.task.delivery_bytes}


def test_an_annotator_sees_the_very_pixels_that_were_decoded(client, assignment):
    left, right = (Reconstruction.objects.get(id=each) for each in assignment.shown)
    for position, stored in (
        ("original", assignment.task.source.png),
        ("left", left.decoded),
        ("right", right.decoded),
    ):
        sent = fetch(client, assignment, position).content
        assert np.array_equal(pixels_of(sent), pixels_of(blobs.read(stored)))


def test_left_and_right_are_as_the_assignment_says_in_either_order(client, db):
    campaign = factories.open_campaign(1, judgments_per_task=2)
    orders = set()
    for _ in range(2):
        [assignment] = serving.lease(factories.annotator(campaign), now=NOW)
        orders.add(tuple(assignment.shown))
        for position, shown in zip(("left", "right"), assignment.shown, strict=True):
            stored = blobs.read(Reconstruction.objects.get(id=shown).decoded)
            sent = fetch(client, assignment, position).content
            assert np.array_equal(pixels_of(sent), pixels_of(stored))
    assert len(orders) == 2


def test_a_file_holds_pixels_and_padding_and_no_metadata(client, assignment):
    for position in POSITIONS:
        found = chunks(fetch(client, assignment, position).content)
        kinds = [kind for kind, _ in found]
        assert kinds[0] == b"IHDR"
        assert kinds[-2:] == [b"paDd", b"IEND"]
        assert set(kinds[1:-2]) == {b"IDAT"}
        assert set(found[-2][1]) <= {0}


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    more=st.integers(0, 5000),
)
def test_a_padded_file_has_the_size_asked_for_and_the_same_picture(width, height, seed, more):
    picture = factories.pixels(width, height, seed=seed)
    png = write_png(picture)
    size = delivered_bytes([len(png)]) + more
    padded = pad(png, size)
    assert len(padded) == size
    assert [each for each in chunks(padded) if each[0] != b"paDd"] == chunks(png)
    assert np.array_equal(pixels_of(padded), picture)


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    more=st.integers(0, 2500),
)
def test_a_padded_webp_has_the_size_asked_for_and_the_same_picture(width, height, seed, more):
    picture = factories.pixels(width, height, seed=seed)
    webp = write_webp(picture)
    size = delivered_bytes([len(webp)], WEBP) + 2 * more
    padded = pad(webp, size, WEBP)
    assert len(padded) == size
    kinds = [kind for kind, _ in riff_chunks(padded)]
    assert kinds == [b"VP8X", b"VP8L", b"paDd"]
    assert dict(riff_chunks(padded))[b"VP8L"] == dict(riff_chunks(webp))[b"VP8L"]
    assert np.array_equal(pixels_of(padded), picture)


@given(missing=st.integers(1, 200))
def test_a_file_without_room_for_its_padding_is_refused(missing):
    png = write_png(factories.pixels(9, 9))
    with pytest.raises(ValueError, match="cannot be padded"):
        pad(png, delivered_bytes([len(png)]) - missing)


@given(sizes=st.lists(st.integers(1, 10**7), min_size=1))
def test_the_size_of_a_task_leaves_room_for_each_of_its_files(sizes):
    assert all(delivered_bytes(sizes) >= size + 12 for size in sizes)


# --- responses ------------------------------------------------------------------------------------


def test_responses_differ_in_nothing_but_the_picture(client, assignment):
    headers = [dict(fetch(client, assignment, position).headers) for position in POSITIONS]
    assert headers[0] == headers[1] == headers[2]
    assert headers[0] == {
        "Content-Type": "image/png",
        "Content-Length": str(assignment.task.delivery_bytes),
        "Cache-Control": "private, max-age=86400, immutable, no-transform",
        "Content-Security-Policy": headers[0]["Content-Security-Policy"],
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        **NAMED,
    }, "no date, no ETag, no file name, no cookie"


def test_an_address_holds_an_unguessable_token_and_a_position_and_nothing_else(assignment):
    addresses = [reverse("stimulus", args=[assignment.token, position]) for position in POSITIONS]
    token, signature = addresses[0].split("/")[2].split(".")
    assert addresses == [f"/stimuli/{token}.{signature}/{position}" for position in POSITIONS]
    assert token == assignment.token
    assert (len(token), len(signature)) == (24, 43)


@pytest.mark.parametrize(
    "position", ["middle", "Left", "0", "1", "left.png", "original%00", "%2e%2e", "ref"]
)
def test_there_is_no_image_at_another_position(client, assignment, position):
    assert (
        client.get(
            reverse("stimulus", args=[assignment.token, "left"]).replace("left", position)
        ).status_code
        == 404
    )


@pytest.mark.parametrize("token", ["x" * 24, "x" * 32, "x", "x" * 91, "%00", "é", "..", "."])
def test_there_is_no_image_under_another_token(client, assignment, token):
    assert client.get(f"/stimuli/{token}/left").status_code == 404


@pytest.mark.parametrize("whose", ["annotator", "campaign", "id", "reconstruction"])
def test_no_other_name_of_ours_leads_to_an_image(client, assignment, whose):
    name = {
        "annotator": assignment.annotator.token,
        "campaign": assignment.task.campaign.token,
        "id": str(assignment.id),
        "reconstruction": str(assignment.shown[0]),
    }[whose]
    assert client.get(reverse("stimulus", args=[name, "left"])).status_code == 404


def test_images_are_read_and_never_written(client, assignment):
    address = reverse("stimulus", args=[assignment.token, "left"])
    for method in (client.post, client.put, client.patch, client.delete):
        assert method(address).status_code == 405


# --- blindness ------------------------------------------------------------------------------------


def test_whatever_can_be_observed_is_the_same_for_every_codec_and_rate(client, db, monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)
    study = factories.study(
        sources=3, codecs=("avif", "jpeg", "webp"), bpp=("0.23", "1.0"), judgments_per_task=1
    )
    annotator = factories.annotator(study.campaign)
    observed = defaultdict(set)
    seen = defaultdict(set)
    while held := serving.lease(annotator, now=NOW, ahead=1):
        [assignment] = held
        source = assignment.task.source_id
        for position in POSITIONS:
            response = fetch(client, assignment, position)
            address = response.wsgi_request.path.replace(position, "")
            headers = tuple(sorted(response.headers.items()))
            structure = layout_of(response.content)
            observed[source].add((headers, len(response.content), len(address), structure))
        for shown in assignment.shown:
            made = Reconstruction.objects.get(id=shown)
            seen[source].add((made.codec, made.stratum, made.decoded_bytes))
        serving.judge(assignment, answer="left", response_ms=1, viewing={}, now=NOW)
    assert set(seen) == set(SourceImage.objects.values_list("id", flat=True))
    for source, made in seen.items():
        assert len({(codec, stratum) for codec, stratum, _ in made}) == 6
        assert len({size for _, _, size in made}) > 1, "stored, they differ in size"
        assert len(observed[source]) == 1, "sent, they differ in nothing"


def test_the_welcome_says_how_much_each_question_loads(client, assignment):
    campaign = assignment.task.campaign
    assert question_bytes(campaign) == 3 * assignment.task.delivery_bytes
    assert question_bytes(factories.campaign()) == 0
    page = client.get(reverse("welcome", args=[campaign.token])).content.decode()
    assert "Each question loads about" in page
