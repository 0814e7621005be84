"""Plots: SVG that a page can hold, without script, and nothing where there is nothing to draw."""

import csv
import io
from xml.etree import ElementTree

import pytest
from PIL import Image

from evaluation import plots
from evaluation.statistics import Comparisons
from evaluation.statistics.summary import summarise

SVG = "{http://www.w3.org/2000/svg}"


def rows(strata=("0.23", "1.0"), codecs=("avif", "jpeg", "webp")) -> list[tuple[str, ...]]:
    """Everybody judges every pair, now for the first and now for the second."""
    pairs = [(a, b) for a in codecs for b in codecs if a < b]
    return [
        (f"annotator-{k}", "sea.png", stratum, a, b, "left" if k % 3 else "right")
        for stratum in strata
        for a, b in pairs
        for k in range(6)
    ]


def analysis_of(given) -> dict:
    return summarise(Comparisons.from_rows(given))


def texts(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())  # noqa: S314  (our own)


@pytest.mark.parametrize(
    "plot",
    [
        plots.rates_plot,
        plots.scale_plot,
        plots.win_share_plot,
        plots.preference_plot,
        plots.images_plot,
    ],
)
def test_a_plot_is_svg_without_script_that_names_every_codec(plot):
    svg = plot(analysis_of(rows())).svg
    root = ElementTree.fromstring(svg)  # noqa: S314
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    assert "http" not in svg.replace("http://www.w3.org/", ""), "no outside host"
    assert "NaN" not in svg
    for codec in ("avif", "jpeg", "webp"):
        assert codec in texts(svg)


def test_every_stratum_has_its_panel_of_win_shares_in_rising_order():
    shown = texts(plots.win_share_plot(analysis_of(rows(strata=("1.0", "0.23", "10.0")))).svg)
    places = [shown.index(f"{stratum} bpp") for stratum in ("0.23", "1.0", "10.0")]
    assert places == sorted(places)


@pytest.mark.parametrize("strata", [("0.37",), ("0.23", "0.37", "0.67", "1.0")])
def test_the_scale_has_a_tick_at_every_bit_rate(strata):
    shown = texts(plots.scale_plot(analysis_of(rows(strata))).svg)
    for stratum in strata:
        assert stratum in shown.split()


def test_no_judgments_give_no_plot():
    assert plots.all_plots(analysis_of([])) == []


def test_win_shares_are_drawn_where_there_is_no_scale():
    one_sided = [("annotator-1", "sea.png", "0.23", "avif", "jpeg", "left")]
    assert plots.win_share_plot(analysis_of(one_sided)) is not None
    assert plots.scale_plot(analysis_of(one_sided)) is None


def test_a_codecs_name_is_text_and_never_markup():
    svg = plots.win_share_plot(analysis_of(rows(codecs=("<script>x</script>", "a&b")))).svg
    assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))  # noqa: S314


def test_the_same_judgments_give_the_same_plot():
    given = rows()
    assert plots.scale_plot(analysis_of(given)) == plots.scale_plot(analysis_of(given[::-1]))


# --- codecs against bpp ---------------------------------------------------------------------------


def test_codecs_across_bit_rates_are_plotted_where_two_bit_rates_have_a_scale():
    assert plots.rates_plot(analysis_of(rows(strata=("0.23",)))) is None
    assert plots.rates_plot(analysis_of(rows(strata=("low", "high")))) is None
    plot = plots.rates_plot(analysis_of(rows(strata=("0.23", "1.0", "high"))))
    assert {row["target_bpp"] for row in plot.rows} == {0.23, 1.0}


def test_each_point_across_bit_rates_is_the_scales():
    analysis = analysis_of(rows())
    for row in plots.rates_plot(analysis).rows:
        stratum = {0.23: "0.23", 1.0: "1.0"}[row["target_bpp"]]
        [score] = [
            each
            for each in analysis["strata"][stratum]["scale"]
            if each["condition"] == row["codec"]
        ]
        for name in ("score", "low", "high", "group"):
            assert row[name] == score[name]


# --- preferences ----------------------------------------------------------------------------------


def test_preferences_hold_each_pair_both_ways_with_its_number_and_significance():
    lopsided = [
        (f"annotator-{k}", "sea.png", "0.5", "avif", "jpeg", "left" if k else "right")
        for k in range(12)
    ]
    found = {
        (row["codec"], row["over"]): row
        for row in plots.preference_plot(analysis_of(lopsided)).rows
    }
    one, other = found["avif", "jpeg"], found["jpeg", "avif"]
    assert (one["share"], other["share"]) == (pytest.approx(11 / 12), pytest.approx(1 / 12))
    assert other["low"] == pytest.approx(1 - one["high"])
    assert one["n"] == other["n"] == 12
    # Twice the chance of one or no head in twelve: 2 * 13 / 4096.
    assert one["p_adjusted"] == pytest.approx(26 / 4096)
    assert one["significant"]
    assert "92% *" in texts(plots.preference_plot(analysis_of(lopsided)).svg)


def test_a_pair_that_was_never_compared_has_no_cell():
    apart = [
        ("ann", "sea.png", "0.5", "avif", "jpeg", "left"),
        ("ann", "sea.png", "0.5", "jpeg", "webp", "left"),
    ]
    cells = {(row["codec"], row["over"]) for row in plots.preference_plot(analysis_of(apart)).rows}
    assert cells == {("avif", "jpeg"), ("jpeg", "avif"), ("jpeg", "webp"), ("webp", "jpeg")}


# --- image by image -------------------------------------------------------------------------------


def test_of_many_images_the_most_unusual_are_drawn_and_all_are_in_the_data():
    many = [
        ("ann", f"photo-{k}.png", "0.5", "avif", "jpeg", "right" if k == 7 else "left")
        for k in range(plots.MOST_IMAGES + 5)
    ]
    plot = plots.images_plot(analysis_of(many))
    assert len({row["image"] for row in plot.rows}) == plots.MOST_IMAGES + 5
    drawn = {row["image"] for row in plot.specification["datasets"][plots.ROWS]}
    assert len(drawn) == plots.MOST_IMAGES
    assert "photo-7.png" in drawn


# --- files ----------------------------------------------------------------------------------------


def test_a_plots_files_stand_alone_and_hold_what_is_plotted():
    plot = plots.scale_plot(analysis_of(rows(strata=("0.5",))), title="Simulated judgments")
    svg = plot.svg_file()
    assert "var(" not in svg
    assert "currentColor" not in svg
    assert "Simulated judgments" in texts(svg)
    with Image.open(io.BytesIO(plot.png_file())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100
    told = list(csv.DictReader(io.StringIO(plot.csv_file())))
    assert [float(row["score"]) for row in told] == [row["score"] for row in plot.rows]
    assert [row["codec"] for row in told] == ["avif", "jpeg", "webp"]
