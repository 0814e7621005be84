"""The report: one file that opens anywhere, says what it rests on, and takes names for text."""

import io
import json
import re
from functools import cache
from html import unescape
from html.parser import HTMLParser

import pytest
from django.urls import reverse

from evaluation.analysis import analyse_file, analyse_study
from evaluation.models import PEOPLE
from evaluation.reports import report_html
from evaluation.statistics import read_judgments
from evaluation.statistics.options import Options
from evaluation.templatetags import evaluation_numbers as numbers
from tests import factories
from tests.evaluation.test_analyse_command import HEADER, clicker, crowd
from tests.factories import preferring

AVIF_FIRST, JPEG_FIRST = preferring("avif", "jpeg"), preferring("jpeg", "avif")
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
HOSTILE = "<script>alert(1)</script>"
RANKINGS = [
    f"{who},photo-{photo},0.5,{ranking}"
    for who, ranking in (("ann", "avif > webp > jpeg"), ("bob", "jpeg > avif = webp"))
    for photo in range(3)
]


@cache
def report(*rows: str, header: str = HEADER, name: str = "judgments.csv", **options) -> str:
    """The report of a file of judgments."""
    judgments = read_judgments(io.StringIO("\n".join([header, *rows, ""])))
    how = Options(**{"n_boot": 50, **options})
    return report_html(analyse_file(judgments, name=name, options=how), title=name)


def text_of(html: str) -> str:
    """What a report says, without its markup."""
    html = re.sub(r"<(script|style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


class Loaded(HTMLParser):
    """Collects what a browser would run, or fetch from elsewhere; held pictures are neither."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form"):
            self.found.append((tag, ""))
        for name, value in attrs:
            held = ("#", "data:image/") if tag == "img" else "#"
            inside = not name.startswith("xmlns") and not (value or "").startswith(held)
            if name.startswith("on") or (name in ("src", "href", "xlink:href") and inside):
                self.found.append((tag, f"{name}={value}"))


def assert_is_one_file(html: str) -> None:
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    assert Loaded(html).found == []
    assert {*re.findall(r"https?://[^\s\"'<>)]*", html)} <= NAMESPACES
    assert "@import" not in html
    assert not re.search(r"url\((?!#|['\"]?data:)", html)


# --- one file -------------------------------------------------------------------------------------


def test_a_report_is_one_file_with_its_plots_inside_that_loads_nothing():
    html = report(*crowd(), *clicker())
    assert_is_one_file(html)
    assert html.count("<svg") == len(["scale", "preferences", "shares", "images"])


def test_a_report_of_rankings_has_first_choices_plackett_luce_scores_and_kendalls_w():
    html = report(*RANKINGS, header="annotator,content,stratum,ranking")
    assert_is_one_file(html)
    shown = text_of(html)
    assert "Rankings: first choices, and Plackett-Luce scores" in shown
    assert re.search(r"avif 50\.0% \[[\d.]+%, [\d.]+%\] \+0\.\d\d \[", shown)
    assert "Kendall’s W" in shown


def test_where_rankings_give_no_scores_the_report_says_why():
    rows = [f"{who},photo,0.5,avif > jpeg" for who in ("ann", "bob")]
    shown = text_of(report(*rows, header="annotator,content,stratum,ranking"))
    assert "No Plackett-Luce scores: avif never lost to jpeg" in shown
    assert "No scale yet: avif never lost to jpeg: the distance is infinite." in shown


def test_a_report_without_a_scale_has_the_plot_of_shares_and_the_reason():
    html = report("ann,photo,0.5,avif,jpeg,left,,", "bob,photo,0.5,avif,webp,left,,")
    assert_is_one_file(html)
    assert html.count("<svg") == len(["preferences", "shares", "images"])
    assert "No bit rate has a scale yet" in text_of(html)


# --- what it says ---------------------------------------------------------------------------------


def test_malformed_rows_are_counted_and_listed_by_line():
    shown = text_of(report(*crowd(), "broken", "ann-0,photo-0,0.5,avif,jpeg,up,,"))
    assert "2 of 74 rows of the file are malformed and left out" in shown
    assert "line 74, expected 8 values as in the header, found 1" in shown
    assert "line 75, column chosen: expected left, right or tie, found 'up'" in shown
    assert "malformed" not in text_of(report(*crowd()))


def test_flags_and_what_leaving_the_flagged_out_would_change_are_shown():
    shown = text_of(report(*crowd(), *clicker()))
    assert "1 of 7 has flags. A flag is a reason to look; no judgment is deleted." in shown
    assert "Nobody is left out above; below stands what leaving out clicker" in shown
    assert "scores of everybody, and without the flagged" in shown
    assert "100% of 12 answers took less than 500 ms; 50% is allowed" in shown
    assert "84 judgments by 7 annotators on 4 source images." in shown


def test_who_is_left_out_is_named_and_judgments_are_counted_before_and_after():
    shown = text_of(report(*crowd(), *clicker(), screen="exclude"))
    assert "Left out of everything above: clicker." in shown
    assert "72 judgments by 6 annotators on 4 source images." in shown
    assert "from 84 judgments" in shown


def test_where_screening_was_not_asked_for_the_report_says_so_and_flags_nobody():
    shown = text_of(report(*crowd(), *clicker(), screen="none"))
    assert "Screening was not asked for." in shown
    assert "500 ms" not in shown


def test_where_nobody_looks_careless_the_report_says_so():
    assert "None of 6 has a flag" in text_of(report(*crowd()))


@pytest.mark.parametrize(
    ("by", "kind", "names"),
    [("content", "source image", "photo"), ("annotator", "annotator", "ann")],
)
def test_the_results_of_each_image_or_annotator_are_there_when_asked_for(by, kind, names):
    shown = text_of(report(*crowd(), by=by))
    assert f"Each {kind} alone" in shown
    assert len(re.findall(rf"{names}-\d \d+ (?:avif|webp|jpeg) [+−]", shown)) >= 1
    assert "alone" not in text_of(report(*crowd()))


def test_intervals_that_fall_back_are_told_with_the_reason():
    rows = [row for row in crowd(12) if ",photo-0," in row]
    shown = text_of(report(*rows))
    assert "Score intervals: robust, clustered by annotator, since " in shown
    assert "of which some take judgments as independent, as told below" not in shown


def test_wald_intervals_are_told_to_take_judgments_as_independent():
    circle = [f"ann,photo,0.5,{pair},left,," for pair in ("avif,jpeg", "jpeg,webp", "webp,avif")]
    shown = text_of(report(*circle))
    assert "Score intervals: Wald, since " in shown
    assert "of which some take judgments as independent, as told below" in shown


@pytest.mark.parametrize(
    ("model", "said"),
    [("bradley-terry", "Bradley-Terry scores in log-odds"),
     ("thurstone", "Thurstone Case V scores in just noticeable differences")],
)  # fmt: skip
def test_what_a_score_means_is_said(model, said):
    assert said in text_of(report(*crowd(), model=model))


def test_the_confidence_is_the_one_that_was_asked_for():
    shown = text_of(report(*crowd(), confidence=0.9))
    assert "Codecs, with 90 % intervals" in shown
    assert "95 %" not in shown


def test_the_last_line_says_from_what_and_by_what_the_report_was_made():
    shown = text_of(report(*crowd(), "ann-0,photo-0,0.5,avif,jpeg,left,900,left", seed=11))
    assert "from 73 judgments (1 to gold questions) with SHA-256 " in shown
    assert "bootstraps of 50 resamples with seed 11." in shown


# --- hostile names --------------------------------------------------------------------------------


def test_names_are_text_wherever_they_stand():
    rows = [
        row.replace("ann-", f"{HOSTILE}ann-")
        .replace("photo-", f"{HOSTILE}photo-")
        .replace(",0.5,", f",{HOSTILE}0.5,")
        .replace("avif", f"{HOSTILE}avif")
        for row in [*crowd(), *clicker()]
    ]
    rows = [row.replace("clicker", f"{HOSTILE}clicker") for row in rows]
    bad = f"ann,photo,0.5,a,b,{HOSTILE},,"
    html = report(*rows, bad, name=f"{HOSTILE}.csv", by="content")
    assert_is_one_file(html)
    assert "<script" not in html
    shown = text_of(html)
    for name in ("ann-0", "photo-0", "avif", "clicker", "0.5", ".csv: report"):
        assert f"{HOSTILE}{name}" in shown
    assert f"found '{HOSTILE}'" in shown


# --- of a study -----------------------------------------------------------------------------------


def judge(study, *choices, is_simulated: bool = False) -> None:
    for choose in choices:
        annotator = factories.annotator(study.campaign, is_simulated=is_simulated)
        factories.judge_all(annotator, choose=choose)


def got(client, name: str, **asked):
    response = client.get(reverse(name, args=["sea"]), asked)
    assert response.status_code == 200
    return response, b"".join(response).decode()


@pytest.mark.django_db
def test_the_report_of_a_study_is_a_file_to_keep(as_researcher):
    judge(factories.study(judgments_per_task=5), AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    response, html = got(as_researcher, "report")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'filename="sea-report.html"' in response.headers["Content-Disposition"]
    assert_is_one_file(html)
    assert html.count("<svg") == len(["scale", "preferences", "shares", "images", "metrics"])
    shown = text_of(html)
    assert "6 judgments by 3 annotators on 2 source images." in shown
    assert "imulated" not in shown


@pytest.mark.django_db
def test_the_json_of_a_study_is_what_the_command_prints(as_researcher):
    study = factories.study(judgments_per_task=5)
    judge(study, AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    response, text = got(as_researcher, "analysis-json")
    assert response.headers["Content-Type"] == "application/json"
    assert 'filename="sea-results.json"' in response.headers["Content-Disposition"]
    expected = analyse_study(study, population=PEOPLE)
    assert json.loads(text) == json.loads(json.dumps(expected, allow_nan=False))


@pytest.mark.django_db
def test_simulated_judgments_are_marked_throughout(as_researcher):
    judge(factories.study(judgments_per_task=5), *[AVIF_FIRST] * 2, JPEG_FIRST, is_simulated=True)
    _, html = got(as_researcher, "report")
    shown = text_of(html)
    assert "Simulated judgments. Everything below was answered by simulated annotators" in shown
    assert "6 simulated judgments by 3 simulated annotators" in shown
    assert "Scale (simulated)" in shown
    assert "Human ceiling" not in shown
    # A plot that is cut out says so itself.
    plots = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(plots) == 5
    assert all("Simulated judgments" in plot for plot in plots)


@pytest.mark.django_db
def test_people_are_reported_unless_simulations_are_asked_for(as_researcher):
    study = factories.study(judgments_per_task=5)
    judge(study, AVIF_FIRST, AVIF_FIRST)
    judge(study, JPEG_FIRST, is_simulated=True)
    counts = {}
    for asked in ({}, {"judged_by": "people"}, {"judged_by": "simulated"}, {"judged_by": "dogs"}):
        result = json.loads(got(as_researcher, "analysis-json", **asked)[1])
        counts[asked.get("judged_by")] = result["counts"]["judgments"]
    assert counts == {None: 4, "people": 4, "simulated": 2, "dogs": 4}
    of_people, of_simulated = (
        text_of(got(as_researcher, "report", **asked)[1])
        for asked in ({}, {"judged_by": "simulated"})
    )
    assert "Simulated judgments." not in of_people
    assert "Simulated judgments." in of_simulated


@pytest.mark.django_db
def test_a_study_that_nobody_judged_has_a_report_that_says_so(as_researcher):
    factories.study(bpp=("0.37", "1.0"))
    _, html = got(as_researcher, "report")
    assert_is_one_file(html)
    shown = text_of(html)
    assert "0.37 bpp No judgments here yet." in shown
    assert "1.0 bpp No judgments here yet." in shown
    result = json.loads(got(as_researcher, "analysis-json")[1])
    assert result["counts"]["judgments"] == 0


@pytest.mark.django_db
def test_a_study_with_a_hostile_name_is_reported_by_it(as_researcher):
    study = factories.study("Sea")
    type(study).objects.update(name=f"{HOSTILE}Sea")
    judge(study, AVIF_FIRST, JPEG_FIRST)
    _, html = got(as_researcher, "report")
    assert_is_one_file(html)
    assert f"{HOSTILE}Sea: report" in text_of(html)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["report", "analysis-json"])
def test_results_are_for_those_who_signed_in_and_are_only_read(client, researcher, name):
    factories.study()
    address = reverse(name, args=["sea"])
    outsider = client.get(address)
    assert (outsider.status_code, outsider.content) == (302, b"")
    assert outsider.url.startswith(reverse("login"))
    client.force_login(researcher)
    assert client.post(address).status_code == 405
    assert client.get(reverse(name, args=["lake"])).status_code == 404


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.percent(0.3333), "33.3%"),
        (numbers.percent_plain(0.95), "95 %"),
        (numbers.percent_plain(0.995), "99.5 %"),
        (numbers.percent_or_dash(None), "–"),
        (numbers.percent_or_dash(-0.125), "−12.5%"),
        (numbers.seconds_or_dash(None), "–"),
        (numbers.seconds_or_dash(1234.0), "1.2 s"),
        (numbers.signed(1.234), "+1.23"),
        (numbers.signed(-1.234), "−1.23"),
        (numbers.signed(-0.001), "+0.00"),
        (numbers.p_value(0.0004), "< 0.001"),
        (numbers.p_value(0.6875), "0.688"),
    ],
)
def test_numbers_are_printed_as_a_paper_prints_them(shown, expected):
    assert shown == expected


def test_of_codecs_the_best_comes_first_and_one_never_compared_last():
    shares = [
        {"condition": name, "share": share, "n": n}
        for name, share, n in (("jpeg", 0.25, 4), ("bpg", None, 0), ("avif", 0.75, 4))
    ]
    rows = numbers.codec_rows({"win_share": shares, "scale": None})
    assert [row["condition"] for row in rows] == ["avif", "jpeg", "bpg"]
    assert [row["wins"] for row in rows] == ["3", "1", "0"]


def test_a_report_of_a_study_that_nobody_judged_says_so_in_words(as_researcher):
    factories.study()
    shown = text_of(got(as_researcher, "report")[1])
    assert "Nothing was judged yet" in shown
    assert "Nobody has judged yet" in shown
    assert "None" not in shown


def test_a_report_says_where_scores_are_not_those_of_the_model_that_was_asked_for():
    assert "reliabilities need 5 annotators" in text_of(report(*crowd(annotators=4)))
