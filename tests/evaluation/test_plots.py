"""Plots: SVG that a page can hold, without script, and nothing where there is nothing to draw."""

from xml.etree import ElementTree

import pytest

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


@pytest.mark.parametrize("plot", [plots.win_share_plot, plots.scale_plot])
def test_a_plot_is_svg_without_script_that_names_every_codec(plot):
    svg = plot(analysis_of(rows()))
    root = ElementTree.fromstring(svg)  # noqa: S314
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    assert "http" not in svg.replace("http://www.w3.org/", ""), "no outside host"
    assert "NaN" not in svg
    for codec in ("avif", "jpeg", "webp"):
        assert codec in texts(svg)


def test_every_stratum_has_its_panel_of_win_shares_in_rising_order():
    shown = texts(plots.win_share_plot(analysis_of(rows(strata=("1.0", "0.23", "10.0")))))
    places = [shown.index(f"{stratum} bpp") for stratum in ("0.23", "1.0", "10.0")]
    assert places == sorted(places)


@pytest.mark.parametrize("strata", [("0.37",), ("0.23", "0.37", "0.67", "1.0")])
def test_the_scale_has_a_tick_at_every_bit_rate(strata):
    shown = texts(plots.scale_plot(analysis_of(rows(strata))))
    for stratum in strata:
        assert stratum in shown.split()


def test_no_judgments_give_no_plot():
    nothing = analysis_of([])
    assert plots.win_share_plot(nothing) is None
    assert plots.scale_plot(nothing) is None


def test_win_shares_are_drawn_where_there_is_no_scale():
    one_sided = [("annotator-1", "sea.png", "0.23", "avif", "jpeg", "left")]
    assert plots.win_share_plot(analysis_of(one_sided)) is not None
    assert plots.scale_plot(analysis_of(one_sided)) is None


def test_a_codecs_name_is_text_and_never_markup():
    svg = plots.win_share_plot(analysis_of(rows(codecs=("<script>x</script>", "a&b"))))
    assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))  # noqa: S314


def test_the_same_judgments_give_the_same_plot():
    given = rows()
    assert plots.scale_plot(analysis_of(given)) == plots.scale_plot(analysis_of(given[::-1]))
