"""The registry's pages: what they show in every state, what they serve, and what they refuse."""

import csv
import io
import re
from decimal import Decimal
from html import unescape
from urllib.parse import quote

import numpy as np
import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from codecs_registry import blobs, catalogue
from codecs_registry.codecs import all_codecs
from codecs_registry.models import Collection, Reconstruction
from codecs_registry.views import IMAGES_A_PAGE
from tests import factories

pytestmark = pytest.mark.django_db

State = Reconstruction.State
RATES = ("0.23", "0.37", "0.67", "1.0")


def text_of(response) -> str:
    """What a page says, without its markup."""
    html = re.sub(r"<(script|style|svg).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def page(client, name: str, *arguments, status: int = 200, **query):
    response = client.get(reverse(name, args=arguments), query)
    assert response.status_code == status
    return response


def body(response) -> bytes:
    """All of a file; reading it to its end also closes it."""
    return b"".join(response.streaming_content)


def collection(name: str, *sources) -> Collection:
    created = Collection.objects.create(name=name)
    created.sources.set(sources)
    return created


def encoded(*codecs: str, better: float = 3.0, **fields):
    """A source image with a reconstruction by each codec at each rate, each codec `better` dB above
    the one before it."""
    source = factories.source_image()
    for place, codec in enumerate(codecs):
        for step, bpp in enumerate(RATES):
            factories.reconstruction(
                source,
                codec,
                bpp=bpp,
                psnr=30 + 2 * step + better * place,
                ms_ssim=0.9 + 0.02 * step + 0.005 * place,
                **fields,
            )
    return source


def queries_of(client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


# --- who may see them -----------------------------------------------------------------------------

ADDRESSES = [
    ("codecs", []),
    ("images", []),
    ("image", [1]),
    ("original-png", [1]),
    ("thumbnail", [1]),
    ("decoded-png", [1]),
    ("bitstream", [1]),
    ("rate-distortion", []),
    ("rate-distortion-csv", []),
]


@pytest.mark.parametrize(("name", "arguments"), ADDRESSES)
@pytest.mark.parametrize("exists", [True, False])
def test_an_outsider_is_asked_to_sign_in_and_learns_nothing(client, name, arguments, exists):
    if exists:
        made = factories.reconstruction(factories.source_image(), "jpeg")
        arguments = [
            made.source_id if name in {"image", "original-png", "thumbnail"} else made.id
            for _ in arguments
        ]
    address = reverse(name, args=arguments)
    response = client.get(address)
    assert response.status_code == 302
    assert response.url == f"{reverse('login')}?next={quote(address)}"
    assert response.content == b""


@pytest.mark.parametrize("name", ["image", "original-png", "thumbnail", "decoded-png", "bitstream"])
def test_what_is_not_there_is_not_found(as_researcher, name):
    page(as_researcher, name, 12345, status=404)


@pytest.mark.parametrize("name", ["images", "rate-distortion", "rate-distortion-csv"])
@pytest.mark.parametrize("asked", ["12345", "kodak", "-1", "²", "9" * 40])
def test_a_collection_that_is_not_there_is_not_found(as_researcher, name, asked):
    page(as_researcher, name, status=404, collection=asked)


@pytest.mark.parametrize("state", [State.WAITING, State.ENCODING, State.FAILED])
def test_a_reconstruction_that_is_not_ready_has_no_files(as_researcher, state):
    made = factories.reconstruction(factories.source_image(), "jpeg", state=state)
    page(as_researcher, "decoded-png", made.id, status=404)
    page(as_researcher, "bitstream", made.id, status=404)


# --- codecs ---------------------------------------------------------------------------------------


def test_every_codec_is_listed_with_its_version_or_with_how_to_get_it(as_researcher):
    said = text_of(page(as_researcher, "codecs"))
    for codec in all_codecs().values():
        assert re.sub(r"\s+", " ", codec.label) in said
        assert re.sub(r"\s+", " ", codec.unavailable() or codec.version()) in said


def test_codecs_that_can_be_used_come_first(as_researcher):
    entries = page(as_researcher, "codecs").context["codecs"]
    assert [bool(entry.reason) for entry in entries] == sorted(
        bool(entry.reason) for entry in entries
    )


def test_a_codec_says_how_much_it_made_and_how_much_of_that_met_its_target(as_researcher):
    source = factories.source_image()
    for bpp in RATES[:3]:
        factories.reconstruction(source, "jpeg", bpp=bpp, miss="" if bpp != "0.67" else "too far")
    factories.reconstruction(source, "jpeg", bpp="1.0", state=State.FAILED)
    [jpeg] = [
        entry for entry in page(as_researcher, "codecs").context["codecs"] if entry.name == "jpeg"
    ]
    assert (jpeg.made, jpeg.on_target, jpeg.failed) == (3, 2, 1)


def test_a_codec_that_was_taken_out_is_still_listed_with_what_it_made(as_researcher):
    factories.reconstruction(factories.source_image(), "long-gone")
    last = page(as_researcher, "codecs").context["codecs"][-1]
    gone = [e for e in page(as_researcher, "codecs").context["codecs"] if e.name == "long-gone"]
    assert [entry.made for entry in gone] == [1]
    assert last.reason, "after those that can be used"


def test_a_knob_that_rises_and_one_that_falls_are_both_told_from_small_files_to_large(
    as_researcher,
):
    entries = {e.name: e for e in page(as_researcher, "codecs").context["codecs"]}
    for name, codec in all_codecs().items():
        if codec.unavailable() or not entries[name].turns:
            continue
        ends = (codec.knob.low, codec.knob.high)
        smallest, largest = ends if codec.knob.rises else ends[::-1]
        for turn in entries[name].turns:
            assert codec.settings(smallest).get(turn.name, "–") == turn.at_smallest
            assert codec.settings(largest).get(turn.name, "–") == turn.at_largest


# --- source images --------------------------------------------------------------------------------


def test_without_images_the_page_says_how_to_import_some(as_researcher):
    assert "manage.py import_images FOLDER" in text_of(page(as_researcher, "images"))


def test_an_empty_collection_says_how_to_fill_it(as_researcher):
    factories.source_image(name="elsewhere.png")
    empty = collection("Night")
    said = text_of(page(as_researcher, "images", collection=empty.id))
    assert "import_images FOLDER --collection 'Night'" in said
    assert "elsewhere.png" not in said


def test_images_can_be_narrowed_to_a_collection(as_researcher):
    by_day, by_night = (factories.source_image(name=name) for name in ("day.png", "night.png"))
    collection("Day", by_day)
    night = collection("Night", by_night)
    assert "day.png" in text_of(page(as_researcher, "images"))
    said = text_of(page(as_researcher, "images", collection=night.id))
    assert "night.png" in said
    assert "day.png" not in said


def test_images_come_in_pages_that_keep_the_collection(as_researcher, monkeypatch):
    monkeypatch.setattr("codecs_registry.views.IMAGES_A_PAGE", 2)
    named = collection("Sea", *(factories.source_image(name=f"{n}.png") for n in "abc"))
    first = page(as_researcher, "images", collection=named.id)
    assert f"?collection={named.id}&amp;page=2" in first.content.decode()
    assert "c.png" not in text_of(first)
    assert "c.png" in text_of(page(as_researcher, "images", collection=named.id, page=2))
    assert "c.png" in text_of(page(as_researcher, "images", page=99)), "the last there is"
    assert IMAGES_A_PAGE > 2


def test_a_name_with_markup_is_shown_as_text(as_researcher):
    source = factories.source_image(name="<b>&.png")
    for response in (page(as_researcher, "images"), page(as_researcher, "image", source.id)):
        assert "<b>&.png" not in response.content.decode()
        assert "<b>&.png" in unescape(response.content.decode())


def test_a_thumbnail_is_a_small_file_of_the_same_shape(as_researcher):
    source = factories.source_image(factories.pixels(900, 600))
    response = page(as_researcher, "thumbnail", source.id)
    assert response["Content-Type"] == "image/webp"
    assert len(response.content) < source.png_bytes / 4
    with Image.open(io.BytesIO(response.content)) as small:
        assert small.size == (catalogue.THUMBNAIL_SIDE, catalogue.THUMBNAIL_SIDE * 600 // 900)


# --- an image -------------------------------------------------------------------------------------


def test_an_image_shows_every_reconstruction_with_its_rate_and_its_distances(as_researcher):
    source = factories.source_image()
    factories.reconstruction(source, "jpeg", actual_bpp=0.3719, psnr=31.234, ms_ssim=0.95678)
    said = text_of(page(as_researcher, "image", source.id))
    for fact in (source.name, "JPEG", "jpeg 1", "0.37 bpp", "0.3719", "31.23 dB", "0.9568"):
        assert fact in said


def test_an_image_that_nothing_was_made_of_says_what_to_do(as_researcher):
    said = text_of(page(as_researcher, "image", factories.source_image().id))
    assert "No codec has encoded this image yet" in said


def test_a_miss_is_marked_and_gives_its_reason(as_researcher):
    source = factories.source_image()
    factories.reconstruction(source, "jpeg", miss="its files never get that small")
    response = page(as_researcher, "image", source.id)
    assert 'title="its files never get that small"' in response.content.decode()
    assert "missed" in text_of(response)


def test_what_failed_says_why_and_offers_no_picture(as_researcher):
    source = factories.source_image()
    factories.reconstruction(source, "jpeg", state=State.FAILED, error="no memory left")
    html = page(as_researcher, "image", source.id).content.decode()
    assert 'title="no memory left"' in html
    assert "data-picture=" not in html


def test_the_best_of_each_stratum_is_marked_but_none_that_missed_its_target(as_researcher):
    source = encoded("jpeg", "webp")
    factories.reconstruction(source, "avif", bpp="0.37", psnr=60, ms_ssim=0.99, miss="too large")
    cells = page(as_researcher, "image", source.id).context["matrix"].ready
    best = [(c.reconstruction.codec, c.reconstruction.stratum) for c in cells if c.best_psnr]
    assert best == [("webp", bpp) for bpp in RATES]


def test_one_reconstruction_alone_is_not_the_best_of_anything(as_researcher):
    source = encoded("jpeg")
    cells = page(as_researcher, "image", source.id).context["matrix"].ready
    assert len(cells) == 4
    assert not any(cell.best_psnr or cell.best_ms_ssim for cell in cells)


def test_two_versions_of_a_codec_stand_apart(as_researcher):
    source = factories.source_image()
    for version in ("jpeg 1", "jpeg 2"):
        factories.reconstruction(source, "jpeg", codec_version=version)
    rows = page(as_researcher, "image", source.id).context["matrix"].rows
    assert [row.version for row in rows] == ["jpeg 2", "jpeg 1"], "the newest first"


def test_the_address_says_which_two_pictures_are_shown(as_researcher):
    source = factories.source_image()
    one, other = (factories.reconstruction(source, codec) for codec in ("jpeg", "webp"))
    shown = page(as_researcher, "image", source.id, a=one.id, b=other.id).context
    assert (shown["a"], shown["b"]) == (str(one.id), str(other.id))


@pytest.mark.parametrize("asked", ["", "x", "999999", "<script>"])
def test_a_picture_that_is_not_there_gives_way_to_the_original(as_researcher, asked):
    source = factories.source_image()
    made = factories.reconstruction(source, "jpeg")
    shown = page(as_researcher, "image", source.id, a=asked, b=asked).context
    assert (shown["a"], shown["b"]) == ("original", str(made.id))


def test_the_pages_bring_no_script_or_style_of_their_own(as_researcher):
    source = encoded("jpeg", "webp")
    for response in (
        page(as_researcher, "codecs"),
        page(as_researcher, "images"),
        page(as_researcher, "image", source.id),
    ):
        html = response.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)", html), "the policy forbids it"
        assert "<style" not in html
        assert " style=" not in html
        assert not re.search(r"\son\w+=", html)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["original-png", "decoded-png", "bitstream", "thumbnail"])
def test_files_are_kept_by_the_browser_and_by_nobody_else(as_researcher, kind):
    made = factories.reconstruction(factories.source_image(), "jpeg")
    which = made.id if kind in {"decoded-png", "bitstream"} else made.source_id
    response = page(as_researcher, kind, which)
    if response.streaming:
        body(response)
    for directive in ("private", "immutable", "no-transform"):
        assert directive in response["Cache-Control"]


def test_the_pixels_that_are_served_are_those_that_are_kept(as_researcher):
    picture = factories.pixels(50, 40, seed=4)
    source = factories.source_image(picture)
    made = factories.reconstruction(source, "jpeg")
    response = page(as_researcher, "original-png", source.id)
    assert response["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(body(response))) as served:
        assert np.array_equal(np.asarray(served), picture)
    assert body(page(as_researcher, "decoded-png", made.id)) == blobs.read(made.decoded)


def test_a_bitstream_is_a_download_named_after_what_it_is(as_researcher):
    made = factories.reconstruction(
        factories.source_image(name="sea.png"), "jpeg", bitstream=blobs.put(b"coded", ".jpg")
    )
    response = page(as_researcher, "bitstream", made.id)
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="sea-jpeg-0.37bpp.jpg"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert body(response) == b"coded"
    assert storages["blobs"].exists(made.bitstream)


# --- rate-distortion ------------------------------------------------------------------------------


def test_nothing_to_draw_says_what_to_do(as_researcher):
    assert "No source images yet" in text_of(page(as_researcher, "rate-distortion"))
    factories.source_image()
    assert "Nothing encoded yet" in text_of(page(as_researcher, "rate-distortion"))


def test_a_collection_is_drawn_and_its_codecs_compared_with_jpeg(as_researcher):
    named = collection("Sea", encoded("jpeg", "webp"), encoded("jpeg", "webp"))
    encoded("avif")  # of another collection, or none
    response = page(as_researcher, "rate-distortion", collection=named.id)
    assert response.content.decode().count("<svg") == 2
    said = text_of(response)
    assert "BD-rate against jpeg" in said
    for quality in response.context["qualities"]:
        [cell] = quality["against"]
        assert (cell.test, cell.n) == ("webp", 2)
        assert cell.percent < 0


def test_the_anchor_is_chosen_by_the_address(as_researcher):
    encoded("jpeg", "webp")
    chosen = page(as_researcher, "rate-distortion", anchor="webp").context["qualities"][0]
    assert [(cell.test, cell.percent > 0) for cell in chosen["against"]] == [("jpeg", True)]
    unknown = page(as_researcher, "rate-distortion", anchor="nonsense")
    assert unknown.context["anchor"] == "jpeg"


def test_without_jpeg_another_codec_is_the_anchor(as_researcher):
    encoded("avif", "webp")
    assert page(as_researcher, "rate-distortion").context["anchor"] == "avif"


def test_a_codec_with_too_few_points_has_no_bd_rate_and_the_page_says_why(as_researcher):
    source = encoded("jpeg")
    factories.reconstruction(source, "webp", psnr=33, ms_ssim=0.95)
    said = text_of(page(as_researcher, "rate-distortion"))
    assert "a curve needs 4 different points and has 1" in said


def test_several_versions_are_said(as_researcher):
    source = encoded("jpeg")
    factories.reconstruction(source, "jpeg", codec_version="jpeg 2", psnr=33)
    said = text_of(page(as_researcher, "rate-distortion"))
    assert "left out: jpeg of jpeg 1" in said


def test_the_numbers_can_be_downloaded(as_researcher):
    named = collection("North sea", encoded("jpeg", "webp"))
    encoded("avif")
    response = page(as_researcher, "rate-distortion-csv", collection=named.id)
    assert response["Content-Disposition"].endswith('"north-sea-rate-distortion.csv"')
    rows = list(csv.DictReader(io.StringIO(body(response).decode())))
    assert [(row["codec"], row["target_bpp"]) for row in rows] == [
        (codec, bpp) for codec in ("jpeg", "webp") for bpp in RATES
    ]
    assert Decimal(rows[0]["psnr"]) == 30


# --- queries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["codecs", "images", "rate-distortion", "image"])
def test_more_pictures_take_no_more_queries(as_researcher, name):
    first = encoded("jpeg", "webp")
    collection("Sea", first)
    address = reverse(name, args=[first.id] if name == "image" else [])
    few = queries_of(as_researcher, address)
    for number in range(3):
        collection(f"Sea {number}", encoded("jpeg", "webp", "avif"))
    for bpp in RATES:
        factories.reconstruction(first, "avif", bpp=bpp)
    assert queries_of(as_researcher, address) == few


# --- from a study ---------------------------------------------------------------------------------


def test_a_study_leads_to_the_pages_of_its_images(as_researcher):
    study = factories.study()
    made = study.reconstructions.first()
    html = page(as_researcher, "stimuli", "sea").content.decode()
    assert f"{reverse('image', args=[made.source_id])}?b={made.id}" in html
