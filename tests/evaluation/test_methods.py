"""The methods paragraph: what was done, in the document's numbers, with what it cites."""

import io
import re

import pytest

from evaluation.analysis import analyse_file
from evaluation.citations import CITATIONS
from evaluation.methods import methods
from evaluation.statistics import read_judgments
from evaluation.statistics.options import Options
from evaluation.statistics.summary import empty_stratum
from tests.evaluation.test_analyse_command import HEADER, clicker, crowd
from tests.numbers_of import as_told

RANKINGS = [
    f"{who},photo-{photo},0.5,{ranking}"
    for who, ranking in (("ann", "avif > webp > jpeg"), ("bob", "jpeg > avif = webp"))
    for photo in range(3)
]


def analysed(*rows: str, header: str = HEADER, **options) -> dict:
    judgments = read_judgments(io.StringIO("\n".join([header, *rows, ""])))
    how = Options(**{"n_boot": 50, **options})
    return analyse_file(judgments, name="judgments.csv", options=how)


def numbers_in(text: str) -> set[str]:
    """The numbers of a paragraph, those that are names left out: 2AFC, SHA-256, years of works,
    versions and digests."""
    text = re.sub(r"\([^()]*(19|20)\d\d[^()]*\)", "", text)
    text = text.split("All was computed by")[0].replace("2AFC", "")
    return set(re.findall(r"(?<![\w.])[−]?\d+(?:\.\d+)?", text))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(lambda: analysed(*crowd(), *clicker()), id="crowd"),
        pytest.param(lambda: analysed(*crowd(photos=9), screen="exclude"), id="nine images"),
        pytest.param(lambda: analysed(*crowd(), model="thurstone", confidence=0.9), id="thurstone"),
        pytest.param(
            lambda: analysed(*RANKINGS, header="annotator,content,stratum,ranking"), id="rankings"
        ),
        pytest.param(lambda: analysed("ann,photo,0.5,avif,jpeg,left,,"), id="one judgment"),
    ],
)
def test_every_number_of_the_paragraph_is_the_documents(document):
    analysis = document()
    told = as_told(analysis) | {str(len(analysis["annotators"]))}
    codecs = {each["condition"] for s in analysis["strata"].values() for each in s["win_share"]}
    screening = analysis["screening"]
    told |= {str(len(each)) for each in (codecs, screening["flagged"], screening["left_out"])}
    found = numbers_in(methods(analysis).text)
    assert found
    assert found <= told


def test_the_last_sentence_names_versions_resamples_seed_and_digest():
    analysis = analysed(*crowd(), seed=11)
    made = analysis["provenance"]
    last = methods(analysis).sentences[-1]
    for each in (
        f"Closer {made['closer']}",
        f"NumPy {made['libraries']['numpy']}",
        "50 resamples with seed 11",
        made["judgments_sha256"][:12],
    ):
        assert each in last


def test_the_bibtex_holds_each_work_that_is_cited_once_and_no_other():
    found = methods(analysed(*crowd(), *clicker()))
    keys = re.findall(r"^@\w+\{(\w+),$", found.bibtex, flags=re.MULTILINE)
    assert len(keys) == len(set(keys))
    cited = {key for key, each in CITATIONS.items() if each.short in found.text}
    assert set(keys) == cited
    assert found.bibtex.count("{") == found.bibtex.count("}")


@pytest.mark.parametrize(
    ("options", "cites", "says"),
    [
        ({"model": "bradley-terry"}, "bradley1952", "the Bradley-Terry model"),
        ({"model": "thurstone"}, "thurstone1927", "the Thurstone Case V model"),
        ({"model": "davidson"}, "davidson1970", "the Davidson model"),
        ({"model": "rao-kupper"}, "rao1967", "the Rao-Kupper model"),
        ({"clusters": "both"}, "cameron2011", "of one annotator and of one source image"),
        ({"clusters": "content"}, "liang1986", "among judgments of one source image"),
    ],
)
def test_what_is_said_and_cited_is_what_was_done(options, cites, says):
    ties = [f"ann-{k},photo-{k},0.5,avif,jpeg,tie,2000," for k in range(4)]
    found = methods(analysed(*crowd(), *ties, **options))
    assert cites in found.cited
    assert says in found.text


def test_wald_intervals_are_told_as_such():
    found = methods(analysed(*crowd(), clusters="neither"))
    assert "are Wald's, which take judgments as independent" in found.text
    assert not {"liang1986", "cameron2011"} & set(found.cited)


def test_annotators_reliabilities_are_cited_where_they_were_used():
    assert "chen2013" in methods(analysed(*crowd(photos=9))).cited
    assert "chen2013" not in methods(analysed(*crowd(photos=2))).cited


def test_rankings_are_told_and_cited():
    found = methods(analysed(*RANKINGS, header="annotator,content,stratum,ranking"))
    assert "2 annotators ranked reconstructions from the closest" in found.text
    assert {"plackett1975", "kendall1939"} <= set(found.cited)


def test_a_scale_that_cannot_be_had_is_told_with_its_reason():
    text = methods(analysed("ann,photo,0.5,avif,jpeg,left,,")).text
    assert (
        "There is no scale at 0.5 bpp: avif never lost to jpeg: the distance is infinite." in text
    )
    assert "1 annotator said in a two-alternative forced choice" in text


def test_who_was_left_out_is_counted():
    flagged = methods(analysed(*crowd(), *clicker())).text
    assert "flagged 1 of 7 annotators; no judgment was left out" in flagged
    excluded = methods(analysed(*crowd(), *clicker(), screen="exclude")).text
    assert "left out 1 of 7 annotators, with 12 judgments" in excluded
    assert "not screened" in methods(analysed(*crowd(), screen="none")).text


def test_simulated_judgments_are_told_first():
    text = methods(analysed(*crowd()), is_simulated=True).text
    assert text.startswith("The judgments are simulated")
    assert "human ceiling" not in text.lower()


def test_without_judgments_there_is_no_method_and_nothing_to_cite():
    found = methods({"strata": {"0.5": empty_stratum()}})
    assert found.text == "Nothing was judged yet, so there is no method to tell."
    assert found.bibtex == ""
