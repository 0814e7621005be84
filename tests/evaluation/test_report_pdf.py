"""The report as PDF: it opens, says what the page says, and takes names for text."""

import io
import json
import re
import zlib

import pytest
import typst
from PIL import Image

from evaluation import report_pdf
from evaluation.statistics.summary import empty_stratum
from tests.evaluation.test_analyse_command import clicker, crowd
from tests.evaluation.test_methods import analysed
from tests.numbers_of import as_told

HOSTILE = [
    "<script>alert(1)</script>",
    '#eval("1+1")#panic("read as code")',
    "$x^2$ `raw` *bold* _it_ @cite <label> \\u{41} // /* = - +",
    "שלום עולם مرحبا \u202eback\u202c",
    "x" * 100,
]


def queried(data: dict, selector: str) -> list[dict]:
    """What Typst made of a report's data: elements with their texts, before they are drawn."""
    found = typst.query(
        report_pdf.TEMPLATE.read_bytes(),
        selector,
        sys_inputs={"report": json.dumps(data)},
        ignore_system_fonts=True,
    )
    return json.loads(found)


def texts(part) -> str:
    """All text of elements; spaces as Typst keeps them."""
    if isinstance(part, dict):
        if part.get("func") == "space":
            return " "
        return "".join(texts(each) for name, each in part.items() if name != "func")
    if isinstance(part, list):
        return "".join(map(texts, part))
    return part if isinstance(part, str) else ""


def pages_of(pdf: bytes) -> int:
    """How many pages a PDF says that it has."""
    parts = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL):
        try:
            parts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    counts = [
        int(n)
        for part in parts
        for pages in re.findall(rb"/Type\s*/Pages.*?>>", part, flags=re.DOTALL)
        for n in re.findall(rb"/Count\s+(\d+)", pages)
    ]
    return max(counts)


@pytest.fixture(scope="module")
def analysis() -> dict:
    return analysed(*crowd(), *clicker())


def test_the_pdf_opens_and_its_pages_are_those_that_are_drawn(analysis):
    pdf = report_pdf.report_pdf(analysis, title="Sea")
    assert pdf.startswith(b"%PDF-")
    assert b"%%EOF" in pdf[-16:]
    pages = report_pdf.report_pages(analysis, title="Sea")
    assert pages_of(pdf) == len(pages) > 1
    for page in pages:
        with Image.open(io.BytesIO(page)) as picture:
            low, high = picture.convert("L").getextrema()
            assert (low < 100, high) == (True, 255)  # something is printed on white


def test_every_number_in_its_tables_is_the_documents(analysis):
    data = report_pdf._data(analysis, title="Sea", is_simulated=False)
    cells = [
        cell
        for section in data["sections"]
        for part in section["parts"]
        if part["kind"] == "table"
        for row in part["rows"]
        for cell in row[1:]
    ]
    found = {number for cell in cells for number in re.findall(r"[+−]?\d+(?:\.\d+)?%?", cell)}
    assert len(found) > 30
    assert found - as_told(analysis) == set()


def test_it_has_methods_plots_tables_screening_references_and_provenance(analysis):
    data = report_pdf._data(analysis, title="Sea", is_simulated=False)
    titles = [section["title"] for section in data["sections"]]
    for title in ("Methods", "Scale", "Preferences", "Tables", "Screening", "References"):
        assert title in titles
    plots = [p for s in data["sections"] for p in s["parts"] if p["kind"] == "plot"]
    assert len(plots) == len(["scale", "preferences", "shares", "images"])
    assert analysis["provenance"]["judgments_sha256"] in texts(queried(data, "par"))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_wherever_they_stand(name):
    rows = [row.replace("avif", "AVIF").replace("ann-0", "someone") for row in crowd(3, photos=2)]
    hostile = name.replace(",", "").replace('"', "'")
    analysis = analysed(*(row.replace("AVIF", hostile) for row in rows))
    data = report_pdf._data(analysis, title=name, is_simulated=False)
    assert report_pdf.report_pdf(analysis, title=name).startswith(b"%PDF-")
    # The title, and the cells of tables, hold the name letter by letter.
    cells = texts(queried(data, "table"))
    assert report_pdf._short(hostile) in cells
    assert name in texts(queried(data, "par"))


def test_simulated_judgments_are_marked_on_every_page(analysis):
    marked = report_pdf.report_pages(analysis, title="Sea", is_simulated=True)
    plain = report_pdf.report_pages(analysis, title="Sea")
    orange = [_has_orange(page) for page in marked]
    assert all(orange)
    assert not any(_has_orange(page) for page in plain)


def _has_orange(page: bytes) -> bool:
    """Whether the top of a page, where nothing else is coloured, has the colour of the mark."""
    with Image.open(io.BytesIO(page)) as picture:
        top = picture.convert("RGB").crop((0, 0, picture.width // 2, picture.height // 14))
    return any(r > b + 60 and r > 100 for _, (r, _, b) in top.getcolors(1 << 20))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["ann,photo,0.5,avif,jpeg,left,,"], "avif never lost to jpeg"),
        (["ann,photo,0.5,avif,jpeg,left,,", "bob,photo,0.5,avif,jpeg,left,,"], "avif never lost"),
        (
            ["ann,photo,0.5,avif,jpeg,left,,", "ann,photo,0.5,jpeg,webp,left,,"],
            "never compared",
        ),
    ],
)
def test_what_cannot_be_had_is_told_with_its_reason(rows, says):
    analysis = analysed(*rows)
    data = report_pdf._data(analysis, title="Sea", is_simulated=False)
    assert says in json.dumps(data, ensure_ascii=False)
    assert report_pdf.report_pdf(analysis, title="Sea").startswith(b"%PDF-")


def test_a_study_that_nobody_judged_has_a_report_that_says_so(analysis):
    nothing = analysis | {"strata": {"0.5": empty_stratum()}, "annotators": []}
    [page] = report_pdf.report_pages(nothing, title="Sea")
    assert page.startswith(b"\x89PNG")
    data = report_pdf._data(nothing, title="Sea", is_simulated=False)
    assert "No judgments here yet." in texts(queried(data, "par"))
