"""Rate-distortion of a set of source images: averages, BD-rates, the table to download, plots."""

import math
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from codecs_registry import plots
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.plots import codec_channels, rate_distortion_plot
from codecs_registry.rate_distortion import (
    CSV_FIELDS,
    Point,
    bd_table,
    curves_csv,
    passed_over,
    points,
)
from tests import factories

STRATA = ("0.23", "0.37", "0.67", "1.0")


def make(source: SourceImage, codec: str, stratum: str, **fields) -> Reconstruction:
    """By a codec whose PSNR is 36 dB at 1 bpp, and 6 dB less with each halving."""
    bpp = fields.setdefault("actual_bpp", float(stratum))
    fields.setdefault("psnr", 36 + 6 * math.log2(bpp))
    fields.setdefault("ms_ssim", 1 - 10 ** -(1.5 + math.log10(bpp)))
    return factories.reconstruction(source, codec, bpp=stratum, **fields)


def make_curve(source: SourceImage, codec: str, *, cost: float = 1.0, **fields) -> None:
    """By a codec that needs `cost` times the bits for the same quality."""
    for stratum in STRATA:
        bpp = float(stratum)
        make(source, codec, stratum, psnr=36 + 6 * math.log2(bpp / cost), **fields)


def of(everything: list[Point], codec: str, stratum: str) -> Point:
    (found,) = (p for p in everything if (p.codec, p.stratum) == (codec, Decimal(stratum)))
    return found


@pytest.fixture
def sea(db) -> SourceImage:
    return factories.source_image(name="sea.png")


@pytest.fixture
def sky(db) -> SourceImage:
    return factories.source_image(name="sky.png")


# --- Points ---------------------------------------------------------------------------------------


def test_a_point_is_the_mean_over_images(sea, sky):
    make(sea, "jpeg", "0.37", actual_bpp=0.36, psnr=30, ms_ssim=0.9)
    make(sky, "jpeg", "0.37", actual_bpp=0.40, psnr=33, ms_ssim=0.99, miss="too far apart")
    assert points([sea, sky]) == [
        Point(
            codec="jpeg",
            version="jpeg 1",
            stratum=Decimal("0.37"),
            n=2,
            bpp=pytest.approx(0.38),
            psnr=pytest.approx(31.5),
            lossless=0,
            ms_ssim_db=pytest.approx((10 + 20) / 2),
            misses=1,
            partial=False,
        )
    ]


def test_points_come_in_the_order_of_codec_and_target(sea):
    for codec in ("webp", "avif"):
        for stratum in ("1.0", "0.23", "10"):
            make(sea, codec, stratum)
    assert [(p.codec, float(p.stratum)) for p in points([sea])] == [
        (codec, stratum) for codec in ("avif", "webp") for stratum in (0.23, 1.0, 10.0)
    ]


def test_only_these_sources_and_what_is_ready_count(sea, sky):
    make(sea, "jpeg", "0.37", psnr=30)
    make(sky, "jpeg", "0.37", psnr=40)
    waiting = {"bitstream": "", "decoded": "", "actual_bpp": None, "psnr": None, "ms_ssim": None}
    factories.reconstruction(sea, "jpeg", bpp="1.0", state=Reconstruction.State.WAITING, **waiting)
    factories.reconstruction(sea, "webp", bpp="1.0", state=Reconstruction.State.FAILED, **waiting)
    assert [(p.stratum, p.n, p.psnr) for p in points([sea])] == [(Decimal("0.37"), 1, 30)]
    assert points([]) == []


def test_where_nothing_was_lost_there_is_no_psnr_to_average_and_it_is_said(sea, sky):
    make(sea, "jpegxl", "10", psnr=None, ms_ssim=1.0)
    assert [(p.psnr, p.lossless, p.ms_ssim_db) for p in points([sea])] == [(None, 1, None)]
    make(sky, "jpegxl", "10", psnr=50, ms_ssim=0.999)
    (point,) = points([sea, sky])
    assert (point.n, point.psnr, point.lossless) == (2, 50, 1)
    assert point.ms_ssim_db == pytest.approx(30)


def test_a_picture_too_small_for_ms_ssim_does_not_enter_its_mean(sea, sky):
    make(sea, "jpeg", "0.37", ms_ssim=None)
    assert points([sea])[0].ms_ssim_db is None
    make(sky, "jpeg", "0.37", ms_ssim=0.9)
    assert points([sea, sky])[0].ms_ssim_db == pytest.approx(10)


def test_a_point_over_fewer_images_than_others_says_that_it_is_partial(sea, sky):
    for source in (sea, sky):
        for stratum in ("0.37", "1.0"):
            make(source, "jpeg", stratum)
    make(sea, "avif", "0.37")
    everything = points([sea, sky])
    assert of(everything, "avif", "0.37").partial
    assert not of(everything, "jpeg", "0.37").partial
    assert not any(p.partial for p in points([sea]))


def test_the_version_asked_for_last_counts_and_the_others_are_named(sea, sky):
    make(sea, "jpeg", "0.37", codec_version="9", psnr=30)
    make(sky, "jpeg", "0.37", codec_version="9", psnr=30)
    make(sea, "jpeg", "0.37", codec_version="10", psnr=31)
    make(sea, "webp", "0.37")
    everything = points([sea, sky])
    assert [(p.codec, p.version, p.n, p.psnr) for p in everything[:1]] == [("jpeg", "10", 1, 31)]
    assert passed_over([sea, sky]) == {"jpeg": ["9"]}
    assert passed_over([sky]) == {}
    assert [p.version for p in points([sky])] == ["9"], "of these sources, it is the newest"


def test_as_many_queries_for_many_sources_as_for_one(sea, sky, django_assert_num_queries):
    collection = Collection.objects.create(name="Water")
    for source in (sea, sky):
        source.collections.add(collection)
        make_curve(source, "jpeg")
        make_curve(source, "webp")
    for sources in (collection.sources.all(), SourceImage.objects.order_by("id")[:2], [sea, sky]):
        with django_assert_num_queries(1):
            assert {p.n for p in points(sources)} == {2}
        with django_assert_num_queries(1):
            assert {cell.n for cell in bd_table(sources, quality="psnr").cells.values()} == {2}
        with django_assert_num_queries(1):
            assert len(list(curves_csv(sources))) == 16
        with django_assert_num_queries(1):
            assert passed_over(sources) == {}


# --- BD-rates -------------------------------------------------------------------------------------


def test_bd_rate_is_the_mean_of_the_images_bd_rates(sea, sky):
    for source, cost in ((sea, 2.0), (sky, 1.5)):
        make_curve(source, "jpeg")
        make_curve(source, "webp", cost=cost)
    table = bd_table([sea, sky], quality="psnr")
    assert table.codecs == ["jpeg", "webp"]
    there, back = table.cells["jpeg", "webp"], table.cells["webp", "jpeg"]
    assert there.percent == pytest.approx((100 + 50) / 2)
    assert back.percent == pytest.approx((-50 - 100 / 3) / 2)
    assert (there.n, there.left_out) == (2, {})
    assert there.overlap == back.overlap
    assert 0 < there.overlap < 1


def test_the_rows_of_the_table_are_anchors_and_its_columns_tests(sea):
    for codec, cost in (("avif", 0.5), ("jpeg", 1), ("webp", 0.8)):
        make_curve(sea, codec, cost=cost)
    rows = bd_table([sea], quality="psnr").rows
    assert [anchor for anchor, _ in rows] == ["avif", "jpeg", "webp"]
    for i, (anchor, cells) in enumerate(rows):
        assert cells[i] is None
        assert [c.test for c in cells if c] == [c for c in ("avif", "jpeg", "webp") if c != anchor]
        assert {c.anchor for c in cells if c} == {anchor}


def test_bd_rate_by_ms_ssim_is_over_decibels(sea):
    make_curve(sea, "jpeg")
    for stratum in STRATA:
        bpp = float(stratum)
        make(sea, "webp", stratum, actual_bpp=0.8 * bpp, ms_ssim=1 - 10 ** -(1.5 + math.log10(bpp)))
    cell = bd_table([sea], quality="ms_ssim").cells["jpeg", "webp"]
    assert cell.percent == pytest.approx(-20)


def test_images_without_a_bd_rate_are_left_out_and_the_reasons_counted(sea, sky):
    make_curve(sea, "jpeg")
    make_curve(sea, "webp")
    make_curve(sky, "jpeg")
    make(sky, "webp", "0.37")
    cell = bd_table([sea, sky], quality="psnr").cells["jpeg", "webp"]
    assert (cell.n, cell.percent) == (1, pytest.approx(0))
    assert cell.left_out == {"webp: a curve needs 4 different points and has 1": 1}


def test_a_pair_without_any_bd_rate_says_why(sea, sky):
    for source in (sea, sky):
        make_curve(source, "jpeg", ms_ssim=None)
        make_curve(source, "webp", cost=1000, ms_ssim=None)
    make_curve(sea, "avif")
    by_psnr = bd_table([sea, sky], quality="psnr")
    assert by_psnr.cells["jpeg", "webp"].percent is None
    assert by_psnr.cells["jpeg", "webp"].overlap is None
    assert by_psnr.cells["jpeg", "webp"].left_out == {
        "the two curves have no range of quality in common": 2
    }
    by_ms_ssim = bd_table([sea, sky], quality="ms_ssim").cells["avif", "jpeg"]
    assert by_ms_ssim.left_out == {
        "the picture is too small for MS-SSIM": 1,
        "avif: a curve needs 4 different points and has 0": 1,
    }


def test_two_targets_met_by_one_file_are_one_point(sea):
    make_curve(sea, "jpeg")
    make_curve(sea, "jpegxl")
    make(sea, "jpegxl", "0.1", actual_bpp=0.23, miss="no smaller file can be made")
    assert bd_table([sea], quality="psnr").cells["jpeg", "jpegxl"].percent == pytest.approx(0)


def test_no_reconstructions_give_an_empty_table(sea):
    assert bd_table([sea], quality="psnr").rows == []


# --- The table to download ------------------------------------------------------------------------


def test_every_reconstruction_that_counts_is_a_row(sea, sky):
    make(sea, "jpeg", "0.37", codec_version="1", psnr=30)
    make(sea, "jpeg", "0.37", codec_version="2", psnr=31.25, ms_ssim=0.9)
    make(sky, "jpeg", "1.0", codec_version="2", actual_bpp=1.5, psnr=None, ms_ssim=None, miss="far")
    rows = [dict(zip(CSV_FIELDS, row, strict=True)) for row in curves_csv([sea, sky])]
    assert rows == [
        {
            "source": "sea.png",
            "source_sha256": sea.sha256,
            "codec": "jpeg",
            "version": "2",
            "target_bpp": "0.37",
            "actual_bpp": "0.370000",
            "psnr": "31.2500",
            "ms_ssim": "0.900000",
            "missed": "",
        },
        {
            "source": "sky.png",
            "source_sha256": sky.sha256,
            "codec": "jpeg",
            "version": "2",
            "target_bpp": "1.0",
            "actual_bpp": "1.500000",
            "psnr": "inf",
            "ms_ssim": "",
            "missed": "far",
        },
    ]


# --- Plots ----------------------------------------------------------------------------------------


def made_up(codecs: int, strata: tuple[str, ...] = STRATA, **fields) -> list[Point]:
    return [
        Point(
            **{
                "codec": f"codec-{k:02}",
                "version": "1",
                "stratum": Decimal(stratum),
                "n": 24,
                "bpp": float(stratum),
                "psnr": 30 + 6 * math.log2(float(stratum)) + k % 5,
                "lossless": 0,
                "ms_ssim_db": None,
                "misses": 0,
                "partial": False,
                **fields,
            }
        )
        for k in range(codecs)
        for stratum in strata
    ]


def texts(svg: str) -> list[str]:
    return [text for text in ElementTree.fromstring(svg).itertext() if text.strip()]  # noqa: S314


@pytest.mark.parametrize("codecs", [1, 2, 14, 40])
@pytest.mark.parametrize("strata", [("0.37",), STRATA])
def test_a_plot_names_every_codec_at_its_own_height(codecs, strata):
    svg = rate_distortion_plot(made_up(codecs, strata), quality="psnr", title="24 photographs")
    assert "NaN" not in svg
    assert "<script" not in svg
    shown = texts(svg)
    assert "24 photographs" in shown
    assert "PSNR (dB)" in shown
    assert set(strata) <= set(shown)
    assert {f"codec-{k:02}" for k in range(codecs)} <= set(shown)
    named = [text for text in shown if text.startswith("codec-")]
    assert len(named) == codecs, "each once"


def test_names_keep_the_order_of_the_curves_ends_and_a_lines_distance():
    rows = [{"codec": p.codec, "quality": p.psnr} for p in made_up(14)]
    names = plots._names(rows, line=0.5, low=20.0, high=35.0)
    assert [each["quality"] for each in names] == sorted(each["quality"] for each in names)
    places = [each["place"] for each in names]
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(places))
    assert places[0] >= 20
    assert places[-1] <= 35


def test_no_two_codecs_look_alike():
    colour, shape = (
        channel.to_dict()["scale"]["range"]
        for channel in codec_channels([f"codec-{k}" for k in range(36)], legend=None)
    )
    assert len(set(zip(colour, shape, strict=True))) == 36


def test_a_quality_that_no_point_has_gives_no_plot():
    assert rate_distortion_plot(made_up(3), quality="ms_ssim") is None
    assert rate_distortion_plot(made_up(3, psnr=None), quality="psnr") is None
    assert rate_distortion_plot([], quality="psnr") is None


def test_a_partial_point_is_hollow():
    """It differs from the same plot with all points whole, and nothing else does."""
    whole, partial = (
        rate_distortion_plot(made_up(1, partial=each), quality="psnr") for each in (False, True)
    )
    assert whole != partial
    assert texts(whole) == texts(partial)


def test_a_codecs_name_is_text_and_never_markup():
    svg = rate_distortion_plot(made_up(1, codec="<script>x</script>"), quality="psnr")
    assert "<script" not in svg
    assert "<script>x</script>" in texts(svg)


@pytest.mark.django_db
def test_what_was_made_before_distances_were_stored_is_no_point_and_not_lossless():
    source = factories.source_image(factories.pixels(192, 176))
    make(source, "jpeg", "1.0", psnr=None, ms_ssim=None)
    make(source, "jpeg", "0.5", psnr=30.0, ms_ssim=0.9)
    assert [(point.stratum, point.lossless) for point in points([source])] == [(Decimal("0.5"), 0)]
