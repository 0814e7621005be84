"""The results page: its numbers are those that `analyse --json` prints, and its plots are files."""

import csv
import io
import json
import re

import pytest
from django.urls import reverse
from PIL import Image

from codecs_registry.models import Collection
from evaluation.analysis import analyse_study
from evaluation.metric_models import ReconstructionScore
from evaluation.models import PEOPLE
from evaluation.reports import result_plots
from tests import factories
from tests.evaluation.test_methods import numbers_in
from tests.evaluation.test_reports import HOSTILE, Loaded, text_of
from tests.factories import preferring
from tests.metric_factories import metric, stored_version
from tests.numbers_of import as_told

pytestmark = pytest.mark.django_db

CODECS = ("avif", "jpeg", "webp")
CHOICES = (preferring(*CODECS), preferring("jpeg", "webp", "avif"), preferring("webp", *CODECS[:2]))


def judged_study(name: str = "Sea", *, sources: int = 1, bpp=("0.37",), **asked):
    study = factories.study(
        name, sources=sources, codecs=CODECS, bpp=bpp, judgments_per_task=3, **asked
    )
    for choose in CHOICES:
        factories.judge_all(factories.annotator(study.campaign), choose=choose)
    return study


def page(client, name: str = "study", *arguments) -> str:
    response = client.get(reverse(name, args=["sea", *arguments]))
    assert response.status_code == 200
    return b"".join(response).decode()


def section(html: str, name: str) -> str:
    return html.split(f'id="results-{name}"', 1)[1].split("</section>", 1)[0]


# --- every number is the document's ---------------------------------------------------------------


def test_every_number_on_the_page_and_in_the_report_is_the_documents(as_researcher):
    study = judged_study(sources=2, bpp=("0.37", "1.0"))
    holds_one = Collection.objects.create(name="animals")
    holds_one.sources.add(study.sources.first())
    analysis = json.loads(page(as_researcher, "analysis-json"))
    told = as_told(analysis) | {str(len(analysis["annotators"])), str(len(CODECS))}
    told |= {str(len(values["pairs"])) for values in analysis["strata"].values()}
    told |= _wins(analysis)
    html = page(as_researcher)
    for of in (html.split('id="results-rates"', 1)[1], page(as_researcher, "report")):
        # Names and digests hold digits that are no numbers.
        shown = text_of(of).split("as BibTeX")[0]
        shown = re.sub(r"photo-\d+\.png|annotator-\d+", "", shown)
        assert numbers_in(shown) - told - {"1", "0"} == set()
    assert "animals" in text_of(section(html, "images"))


def _wins(analysis: dict) -> set[str]:
    """How many judgments were won: a share times their number."""
    return {
        f"{share['share'] * share['n']:.10g}"
        for values in analysis["strata"].values()
        for share in values["win_share"]
    }


def test_what_is_plotted_is_the_documents(as_researcher):
    analysis = analyse_study(judged_study(), population=PEOPLE)
    values = analysis["strata"]["0.37"]
    drawn = {plot.name: plot for plot in result_plots(analysis, is_simulated=False)}
    told = csv.DictReader(io.StringIO(page(as_researcher, "plot-file", "scale", "csv")))
    assert [float(row["score"]) for row in told] == [row["score"] for row in drawn["scale"].rows]
    scores = [
        (each["condition"], each["score"], each["low"], each["high"]) for each in values["scale"]
    ]
    assert [
        (row["codec"], row["score"], row["low"], row["high"])
        for row in drawn["scale"].rows
        if row["stratum"] == "0.37"
    ] == scores


def test_the_document_has_the_bit_rates_that_codecs_have(as_researcher):
    study = factories.study(codecs=CODECS, bpp=("0.37", "1.0"))
    study.reconstructions.filter(codec="avif", target_bpp="0.37").update(actual_bpp=0.375)
    rates = analyse_study(study, population=PEOPLE)["rates"]
    assert list(rates) == ["0.37", "1.0"]
    avif, jpeg, _ = rates["0.37"]
    assert avif == {"condition": "avif", "n": 2, "mean": 0.375, "lowest": 0.375, "highest": 0.375}
    assert jpeg["mean"] == pytest.approx(0.37)


# --- metrics --------------------------------------------------------------------------------------


def test_a_metric_that_sees_what_people_see_agrees_with_them_wholly():
    study = factories.study(sources=9, codecs=CODECS, judgments_per_task=1)
    factories.judge_all(factories.annotator(study.campaign), choose=preferring(*CODECS))
    for codec, psnr in zip(CODECS, (40, 35, 30), strict=True):
        study.reconstructions.filter(codec=codec).update(psnr=psnr, ms_ssim=1 - psnr / 128)
    psnr, ms_ssim = analyse_study(study, population=PEOPLE)["metrics"]["0.37"]
    assert (psnr["name"], psnr["n_pairs"], psnr["n_without_value"]) == ("psnr", 27, 0)
    assert psnr["two_afc"]["value"] == 1
    assert ms_ssim["two_afc"]["value"] == 0
    assert psnr["spearman"]["value"] == pytest.approx(-ms_ssim["spearman"]["value"])
    assert psnr["kendall"]["value"] > 0.8
    assert [each["mean"] for each in psnr["by_codec"]] == [40, 35, 30]


def test_pairs_without_a_value_of_the_metric_are_left_out_and_counted():
    study = judged_study()
    study.reconstructions.filter(codec="webp").update(psnr=None)
    psnr, ms_ssim = analyse_study(study, population=PEOPLE)["metrics"]["0.37"]
    assert (psnr["n_pairs"], psnr["n_without_value"]) == (1, 2)
    assert psnr["by_codec"][2]["reason"] == "no value is stored"
    assert ms_ssim["pearson"]["value"] is None
    assert ms_ssim["pearson"]["reason"].startswith("no pair of reconstructions has both")


def test_the_metric_in_service_stands_beside_people_smaller_being_closer():
    study = judged_study()
    version = stored_version("by-hand", metric=metric(pixel_error_only=True), is_in_service=True)
    version.trained_on = {"studies": {"Sea": {}}}
    version.save()
    for made in study.reconstructions.all():
        ReconstructionScore.objects.create(
            version=version,
            reconstruction=made,
            distance=0.1 + CODECS.index(made.codec) / 10,
        )
    own = analyse_study(study, population=PEOPLE)["metrics"]["0.37"][-1]
    assert own["name"] == version.name
    assert not own["larger_is_closer"]
    assert own["trained_here"]
    # Two of three prefer avif to jpeg, jpeg to webp, and webp to avif: 2/3, 2/3 and 1/3.
    assert own["two_afc"]["value"] == pytest.approx(5 / 9)


# --- questions and their pictures -----------------------------------------------------------------


def test_the_most_and_least_agreed_questions_show_their_pictures_and_lead_to_the_viewer(
    as_researcher,
):
    study = judged_study()
    html = section(page(as_researcher), "questions")
    [source, *_] = study.sources.order_by("id")
    assert reverse("thumbnail", args=[source.id]) in html
    assert re.search(rf'href="/images/{source.id}/\?a=\d+&amp;b=\d+"', html)
    made = re.search(r"/reconstructions/(\d+)/thumbnail.webp", html)
    picture = as_researcher.get(made.group())
    assert picture["Content-Type"] == "image/webp"
    assert study.reconstructions.filter(id=made.group(1)).exists()


def test_the_reports_pictures_are_inside_it_and_small(as_researcher):
    judged_study()
    html = page(as_researcher, "report")
    assert Loaded(html).found == []
    held = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    assert held
    assert max(map(len, held)) < 30_000


# --- plots as files -------------------------------------------------------------------------------


def test_each_plot_has_links_to_its_files_and_a_drawing_that_needs_no_script(as_researcher):
    judged_study(bpp=("0.37", "1.0"))
    html = page(as_researcher)
    for name in ("rates", "scale", "preferences", "win-share", "images", "metrics"):
        for kind in ("svg", "png", "csv"):
            assert f'href="/studies/sea/plots/{name}.{kind}"' in html
    figures = re.findall(r'<figure class="plot".*?</figure>', html, flags=re.DOTALL)
    assert all("<svg" in figure for figure in figures)
    assert len(figures) == 6


def test_plots_are_downloaded_as_svg_and_png(as_researcher):
    judged_study()
    svg = as_researcher.get(reverse("plot-file", args=["sea", "scale", "svg"]))
    assert svg["Content-Type"] == "image/svg+xml"
    assert 'filename="sea-scale.svg"' in svg["Content-Disposition"]
    assert svg.content.startswith(b"<svg")
    png = as_researcher.get(reverse("plot-file", args=["sea", "scale", "png"]))
    with Image.open(io.BytesIO(png.content)) as picture:
        assert picture.format == "PNG"


def test_a_plot_that_is_not_there_is_not_found(as_researcher):
    judged_study()
    for name, kind in (("scale", "exe"), ("first-choice", "svg"), ("rates", "svg"), ("x", "csv")):
        assert as_researcher.get(reverse("plot-file", args=["sea", name, kind])).status_code == 404


@pytest.mark.parametrize("name", ["plot-file", "report-pdf", "methods-bibtex"])
def test_files_are_for_those_who_signed_in_and_are_only_read(client, researcher, name):
    factories.study()
    more = ["scale", "svg"] if name == "plot-file" else []
    address = reverse(name, args=["sea", *more])
    assert client.get(address).url.startswith(reverse("login"))
    client.force_login(researcher)
    assert client.post(address).status_code == 405
    assert client.get(reverse(name, args=["lake", *more])).status_code == 404


def test_pdf_and_bibtex_are_files_to_keep(as_researcher):
    judged_study()
    pdf = as_researcher.get(reverse("report-pdf", args=["sea"]))
    assert pdf["Content-Type"] == "application/pdf"
    assert b"".join(pdf).startswith(b"%PDF-")
    assert "@article{bradley1952," in page(as_researcher, "methods-bibtex")


# --- scripts --------------------------------------------------------------------------------------


def test_vega_is_served_from_here_with_its_interpreter_and_kept_by_browsers(client):
    got = client.get(reverse("vega-script"))
    assert got["Content-Type"].startswith("text/javascript")
    assert b"vegaEmbed" in got.content
    assert b"expressionInterpreter" in got.content or b"ast" in got.content
    again = client.get(reverse("vega-script"), headers={"If-None-Match": got["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    small = client.get(reverse("vega-script"), headers={"Accept-Encoding": "gzip"})
    assert small["Content-Encoding"] == "gzip"
    assert len(small.content) < len(got.content) / 2


def test_hostile_names_are_text_in_plots_and_specifications(as_researcher):
    study = judged_study()
    source = study.sources.first()
    source.name = f"{HOSTILE}.png"
    source.save()
    html = page(as_researcher)
    scripts = re.findall(r"<script(?![^>]*(?:src|application/json)).*?>", html)
    assert scripts == []
    for data in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL):
        json.loads(data)
        assert "<" not in data
    assert "alert(1)" in html


def test_where_nobody_judged_there_are_no_plots_and_no_breakdowns(as_researcher):
    factories.study()
    html = page(as_researcher, "report")
    assert "<svg" not in html
    assert "results-questions" not in html
    assert "Nothing was judged yet, so there is no method to tell." in text_of(html)
