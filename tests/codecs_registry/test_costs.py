"""What codecs cost: how it is measured, kept, and shown side by side."""

import io
import json
import mmap
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from subprocess import run as run_program

import numpy as np
import pytest
import scipy.stats
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from codecs_registry import codec_costs, codecs
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import CodecError
from codecs_registry.codecs.closer import Closer
from codecs_registry.codecs.command_line import VARIABLE as DECLARATIONS
from codecs_registry.cost_plots import cost_plot
from codecs_registry.costs import (
    PeakMemory,
    in_process_of_its_own,
    median_interval,
    ordinary_setting,
    photographs,
)
from codecs_registry.models import CodecCost, Encode
from codecs_registry.pictures import write_png
from codecs_registry.templatetags.registry_numbers import significant, times
from tests import factories
from tests.codecs_registry.test_command_line import DECODE, TOML, program
from tests.codecs_registry.test_pages import page, text_of

MEGABYTE = 10**6


def measured(*arguments: object) -> tuple[str, str]:
    """What the command prints on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command("measure_codecs", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of two photographs, and of what is none."""
    made = tmp_path / "photographs"
    made.mkdir()
    for seed in (1, 2):
        Image.fromarray(factories.pixels(96, 64, seed=seed)).save(made / f"{seed}.png")
    (made / "about.txt").write_text("no picture")
    return made


# --- the median's interval ------------------------------------------------------------------------


@pytest.mark.parametrize(
    # Ranks of the 95 % interval of the median: Conover (1999), Practical Nonparametric
    # Statistics, from Table A3, the binomial distribution with 1/2.
    ("n", "rank"),
    [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6)],
)
def test_a_medians_interval_ends_at_the_ranks_of_the_tables(n, rank):
    found = median_interval(list(range(n, 0, -1)))
    assert (found.low, found.high) == (rank, n + 1 - rank)
    assert found.median == (n + 1) / 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_of_fewer_than_six_values_the_median_has_no_interval(n):
    found = median_interval([3.0] * n)
    assert (found.median, found.low, found.high) == (3.0, None, None)


@given(st.integers(6, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_a_medians_interval_is_the_narrowest_that_holds_often_enough(n, confidence):
    found = median_interval(list(range(1, n + 1)), confidence=confidence)
    if found.low is None:
        assert 2 * scipy.stats.binom.cdf(0, n, 0.5) > 1 - confidence
        return
    outside = 2 * scipy.stats.binom.cdf([found.low - 1, found.low], n, 0.5)
    assert outside[0] <= 1 - confidence < outside[1]


# --- memory and processes -------------------------------------------------------------------------


def test_the_peak_of_memory_is_seen_though_it_was_given_back_and_what_came_before_is_not():
    # Of the system itself: an allocator may keep what was freed, and give it again.
    take_and_give_back(120 * MEGABYTE)
    with PeakMemory() as peak:
        take_and_give_back(40 * MEGABYTE)
    assert 38 * MEGABYTE < peak.bytes < 80 * MEGABYTE


def take_and_give_back(count: int) -> None:
    with mmap.mmap(-1, count) as memory:
        for page in range(0, count, mmap.PAGESIZE):
            memory[page] = 1


def test_the_memory_of_a_program_counts_and_not_that_of_who_started_it():
    # ru_maxrss would say 200 MB and more: a program inherits its parent's peak.
    held = np.ones(200 * MEGABYTE, np.uint8)
    with PeakMemory() as peak:
        run_program(
            [sys.executable, "-ISc", "import time; held = b'1' * 60_000_000; time.sleep(0.1)"],
            check=True,
        )
    assert held.all()
    assert 60 * MEGABYTE < peak.bytes < 120 * MEGABYTE


def test_a_process_of_its_own_has_one_core_and_one_thread_and_leaves_ours_as_they_were():
    cores, environment = os.sched_getaffinity(0), dict(os.environ)
    assert len(in_process_of_its_own(os.sched_getaffinity, 0, of="a test")) == 1
    assert in_process_of_its_own(os.getenv, "OMP_NUM_THREADS", of="a test") == "1"
    assert os.sched_getaffinity(0) == cores
    assert dict(os.environ) == environment


def test_a_process_that_dies_is_an_error_that_says_whose_it_was():
    with pytest.raises(CodecError, match="the process of JPEG ended before it was done"):
        in_process_of_its_own(os._exit, 9, of="JPEG")


def test_a_codec_is_measured_at_the_setting_that_an_ordinary_photograph_takes():
    jpeg = get_codec("jpeg")
    for setting, bpp in jpeg.knob.curve:
        assert ordinary_setting(jpeg, bpp) == pytest.approx(setting)
    for codec in all_codecs().values():
        assert codec.knob.low <= ordinary_setting(codec, 0.67) <= codec.knob.high


def test_photographs_are_the_same_ones_in_any_order_and_format():
    pictures = [factories.pixels(seed=seed) for seed in (1, 2)]
    as_png = [write_png(pixels) for pixels in pictures]
    as_tiff = []
    for pixels in pictures:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "TIFF")
        as_tiff.append(file.getvalue())
    assert photographs(as_png).sha256 == photographs(as_tiff[::-1]).sha256
    assert photographs(as_png).sha256 != photographs(as_png[:1]).sha256


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def one_that_fails(tmp_path, monkeypatch):
    """A codec that is found and available, and cannot encode."""
    toml = tmp_path / "toy.toml"
    toml.write_text(TOML)
    program(tmp_path / "encode", "import sys; sys.exit('out of ink')")
    program(tmp_path / "decode", DECODE)
    monkeypatch.setenv(DECLARATIONS, str(toml))
    codecs._installed.cache_clear()
    yield
    monkeypatch.undo()
    codecs._installed.cache_clear()


@pytest.mark.django_db
def test_codecs_are_measured_and_kept_though_one_fails(folder, one_that_fails):
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 codecs failed"):
        call_command(
            *("measure_codecs", "--images", str(folder), "--repeat", "2", "--json"),
            *("--codec", "toy", "--codec", "webp"),
            stdout=out,
            stderr=err,
        )
    assert re.search(r"^toy: FAILED: .*out of ink", err.getvalue(), re.MULTILINE)
    document = json.loads(out.getvalue())
    assert [each["codec"] for each in document["failed"]] == ["toy"]
    [cost] = document["costs"]
    kept = CodecCost.objects.get()
    assert (kept.codec, kept.codec_version) == ("webp", get_codec("webp").version())
    assert kept.encode_s == cost["encode"]["median"] > 0
    assert kept.decode_s == cost["decode"]["median"] > 0
    assert 0 < kept.encode_core_s == cost["encode_core_s"] < 1.2 * kept.encode_s
    assert 0 < kept.decode_core_s == cost["decode_core_s"] < 1.2 * kept.decode_s
    assert kept.encode_s_low is None, "two photographs have no interval"
    assert (kept.pictures, kept.repeats, kept.target_bpp) == (2, 2, 0.67)
    assert kept.pictures_sha256 == document["pictures"]["sha256"]
    assert kept.machine == document["machine"]
    assert kept.software["numpy"] == np.__version__
    assert 0 <= kept.busy_elsewhere <= os.cpu_count() + 0.5
    # The file at the middle of a smooth picture: WebP's own, made here.
    webp, setting = get_codec("webp"), kept.setting
    sizes = [len(webp.encode(factories.pixels(96, 64, seed=seed), setting)) for seed in (1, 2)]
    assert kept.actual_bpp == pytest.approx(8 * sum(sizes) / (2 * 96 * 64))
    assert kept.peak_bytes_per_pixel == pytest.approx(kept.peak_bytes / (96 * 64))


@pytest.mark.django_db
def test_the_installations_own_photographs_are_taken_where_no_folder_is_named():
    for _ in range(5):
        factories.source_image()
    _, err = measured("--codec", "jpeg", "--pictures", "3", "--repeat", "1")
    assert err.startswith("jpeg: ")
    assert CodecCost.objects.get().pictures == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--repeat", "0"], "--pictures and --repeat take 1 or more"),
        (["--pictures", "0"], "--pictures and --repeat take 1 or more"),
        (["--bpp", "0"], "--bpp takes bits per pixel above 0"),
        (["--bpp", "nan"], "--bpp takes bits per pixel above 0"),
        (["--codec", "jpeg9000"], "no codec is named 'jpeg9000'; known are avif"),
        (["--codec", "bpg"], "bpg is not available: bpgenc is not on this machine"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(folder, arguments, problem):
    with pytest.raises(CommandError, match=re.escape(problem)):
        measured("--images", folder, *arguments)
    assert not CodecCost.objects.exists()


@pytest.mark.django_db
def test_without_photographs_the_command_says_how_to_get_some(tmp_path):
    with pytest.raises(CommandError, match="import_images FOLDER"):
        measured()
    with pytest.raises(CommandError, match="has no picture in it"):
        measured("--images", tmp_path)
    with pytest.raises(CommandError, match="nowhere is not a folder"):
        measured("--images", tmp_path / "nowhere")


@pytest.mark.django_db
def test_a_broken_photograph_is_named(folder):
    (folder / "3.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(CommandError, match=r"3\.png: it is no picture"):
        measured("--images", folder, "--codec", "jpeg")


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_of_a_codec_in_a_version_on_a_machine_one_cost_is_kept_and_the_newest_is_told():
    factories.codec_cost("jpeg", encode_s=1.0)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.codec_cost("jpeg")
    later = factories.NOW + timedelta(days=1)
    factories.codec_cost("jpeg", codec_version="jpeg 2", encode_s=2.0, measured_at=later)
    factories.codec_cost("jpeg", machine="Another", encode_s=3.0)
    assert codec_costs.newest_costs()["jpeg"].encode_s == 2.0
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.codec_cost("webp", encode_s=0.0)


@pytest.mark.django_db
def test_only_what_was_measured_alike_stands_side_by_side():
    factories.codec_cost("webp", encode_s=0.5, decode_s=0.01, peak_bytes=8 * MEGABYTE)
    factories.codec_cost("jpeg", encode_s=0.1, decode_s=0.02, peak_bytes=2 * MEGABYTE)
    later = factories.NOW + timedelta(days=1)
    for codec, other in (
        ("avif", {"machine": "Another"}),
        ("vvc", {"target_bpp": 1.0}),
        ("heic", {"pictures_sha256": "1" * 64}),
    ):
        factories.codec_cost(codec, measured_at=later, **other)
    found = codec_costs.costs_beside("webp")
    jpeg, webp = found.rows
    assert (jpeg.cost.codec, webp.cost.codec) == ("jpeg", "webp"), "the quickest first"
    assert (jpeg.encode_ratio, jpeg.decode_ratio, jpeg.memory_ratio) == (0.2, 2.0, 0.25)
    assert (webp.is_own, webp.encode_ratio) == (True, 1.0)
    assert found.others == ["AVIF", "HEIC", "VVC"]
    never = codec_costs.costs_beside("mozjpeg")
    assert never.own is None
    assert all(row.encode_ratio is None for row in never.rows)


@pytest.mark.django_db
def test_nothing_measured_is_nothing_to_show():
    assert codec_costs.costs_beside("jpeg") is None
    assert codec_costs.newest_costs() == {}


@pytest.mark.django_db
def test_what_studies_took_is_the_median_over_files_of_this_version_by_megapixel():
    source = factories.source_image(factories.pixels(100, 50))  # 0.005 megapixels
    for setting, ms in enumerate((10.0, 40.0, 20.0)):
        Encode.objects.create(
            source=source, codec="jpeg", codec_version="jpeg 1", setting=setting,
            settings={}, bitstream="none", size_bytes=1, encode_ms=ms,
        )  # fmt: skip
    factories.reconstruction(source, "jpeg", decode_ms=5.0)
    factories.reconstruction(source, "jpeg", bpp="1.0")  # made before times were kept
    found = codec_costs.time_here("jpeg", "jpeg 1")
    assert (found.encodes, found.decodes) == (3, 1)
    assert found.encode_s == pytest.approx(0.020 / 0.005)
    assert found.decode_s == pytest.approx(0.005 / 0.005)
    none = codec_costs.time_here("jpeg", "jpeg 2")
    assert (none.encode_s, none.encodes, none.decode_s, none.decodes) == (None, 0, None, 0)


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_codec_has_a_page_which_says_how_costs_are_measured(as_researcher):
    for codec in all_codecs().values():
        said = text_of(page(as_researcher, "codec", codec.name))
        assert codec.label in said
        assert re.sub(r"\s+", " ", codec.unavailable() or codec.version()) in said
        assert "manage.py measure_codecs" in said
    listed = page(as_researcher, "codecs").content.decode()
    assert reverse("codec", args=["jpeg"]) in listed


@pytest.mark.django_db
def test_a_codecs_page_compares_its_costs_and_marks_its_own(as_researcher):
    factories.codec_cost("webp", encode_s=0.5, codec_version=get_codec("webp").version())
    factories.codec_cost("jpeg", encode_s=0.1, encode_s_low=None, encode_s_high=None)
    shown = page(as_researcher, "codec", "webp")
    said = text_of(shown)
    assert "WebP this one 0.50 [0.15, 0.30] × 1.0 0.19" in said
    assert "JPEG 0.10 ÷ 5.0 0.19 0.020" in said
    assert "A processor, 2 cores" in said
    assert "Measured in another version" not in said
    assert "Measured in another version" in text_of(page(as_researcher, "codec", "jpeg"))
    assert "<svg" in shown.content.decode()
    said = text_of(page(as_researcher, "codec", "avif"))
    assert "AVIF itself was not measured yet: manage.py measure_codecs --codec avif" in said
    assert "0.50 decode 0.020" in text_of(page(as_researcher, "codecs"))


@pytest.mark.django_db
def test_the_learned_codecs_page_tells_its_models_card(as_researcher):
    card, digest = Closer().told()
    said = text_of(page(as_researcher, "codec", "closer"))
    assert digest in said
    assert f"{card.trained_on['steps']} steps" in said
    assert f"errors counted {card.saliency_floor} of what they do elsewhere" in said
    assert page(as_researcher, "codec", "jpeg").context["card"] is None


@pytest.mark.django_db
def test_a_codec_that_is_gone_keeps_its_page_and_one_that_never_was_has_none(as_researcher):
    factories.codec_cost("long-gone")
    assert "No package that is installed here" in text_of(page(as_researcher, "codec", "long-gone"))
    page(as_researcher, "codec", "never-was", status=404)
    assert "What machines see" in as_researcher.get("/codecs/downstream/").content.decode()


@pytest.mark.django_db
def test_a_page_takes_as_many_queries_whatever_was_measured(as_researcher):
    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            page(as_researcher, "codec", "jpeg")
        return len(made)

    factories.codec_cost("jpeg")
    queries()  # what it took in studies is kept
    few = queries()
    for name in ("webp", "avif", "heic"):
        factories.codec_cost(name)
    assert queries() == few


@pytest.mark.django_db
def test_a_plot_of_costs_names_every_codec_and_takes_two():
    factories.codec_cost("jpeg", peak_bytes=0)
    assert cost_plot(codec_costs.costs_beside("jpeg").rows) is None
    factories.codec_cost("webp", encode_s_low=None, encode_s_high=None)
    drawn = cost_plot(codec_costs.costs_beside("jpeg").rows)
    assert {"JPEG", "WebP"} <= set(re.findall(r">([^<]+)</text>", drawn))
    assert "NaN" not in drawn


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00512, "0.0051"), (0.0999, "0.10"), (0.1, "0.10"), (9.96, "10"), (3.52, "3.5"),
     (351.4, "351"), (0.0, "0"), (None, "–")],
)  # fmt: skip
def test_numbers_have_two_digits_that_tell(value, shown):
    assert significant(value) == shown


def test_ratios_are_told_so_that_they_are_above_one():
    assert [times(ratio) for ratio in (3.14, 1.0, 0.005, None)] == ["× 3.1", "× 1.0", "÷ 200", "–"]
