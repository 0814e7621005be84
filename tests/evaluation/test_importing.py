"""Judgments made elsewhere become results, and nobody's choice is turned round on the way."""

import csv
import io
import json

import numpy as np
import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from codecs_registry import blobs, clock
from evaluation import import_results, importing
from evaluation.importing import AlreadyImported, Reading, import_judgments
from evaluation.models import PEOPLE, ImportedJudgments, ImportPreview
from evaluation.statistics import InvalidComparisons
from evaluation.statistics.bapps import bapps_table
from evaluation.statistics.file_formats import FORMATS
from tests import factories
from tests.real_data import real_data

pytestmark = pytest.mark.django_db

HEADER = "annotator,content,stratum,left,right,chosen"
AIC3_HEADER = "worker,method,img_num,img_left,img_pivot,img_right,is_trap,response"


@pytest.fixture(autouse=True)
def _storage(settings, tmp_path):
    blobs_at = {"location": tmp_path / "blobs"}
    settings.STORAGES = settings.STORAGES | {
        "blobs": settings.STORAGES["blobs"] | {"OPTIONS": blobs_at}
    }


def imported(text: str, **reading) -> ImportedJudgments:
    return import_judgments(text.encode(), file_name="judgments.csv", reading=Reading(**reading))


def results(found: ImportedJudgments) -> dict:
    return import_results.compute(found, now=clock.now())["analysis"]


def share_of(condition: str, text: str, **reading) -> float:
    """Of the judgments of a file that is imported, how many a condition won."""
    [stratum] = results(imported(text, **reading))["strata"].values()
    return {each["condition"]: each["share"] for each in stratum["win_share"]}[condition]


# --- orientations: each file says of one side, as its format does, that it is good ----------------


def test_in_our_own_files_the_chosen_side_is_the_closer_one():
    assert share_of("good", f"{HEADER}\nann,x,1,good,bad,left\nbob,x,1,bad,good,right\n") == 1


def test_in_a_ranking_file_the_first_is_the_closest():
    header = "annotator,content,stratum,ranking"
    assert share_of("good", f"{header}\nann,x,1,good > fair > bad\n") == 1


def test_aic3_names_the_more_distorted_side():
    good, bad, original = "PTC_1_Good_01.png", "PTC_1_Bad_01.png", "PTC_1_0ref_00.png"
    rows = [f"7,PTC,1,{good},{original},{bad},0,right", f"8,PTC,1,{bad},{original},{good},0,left"]
    assert share_of("Good 01", "\n".join([AIC3_HEADER, *rows])) == 1


def test_pwcmp_tells_whether_a_was_selected():
    header = "observer,scene,condition_A,condition_B,is_A_selected"
    assert share_of("good", f"{header}\nann,x,good,bad,1\nann,y,bad,good,0\n") == 1


def test_mucped23_names_the_worse_side():
    assert share_of("good", "method_a,method_b,image,worse\ngood,bad,x,B\nbad,good,y,A\n") == 1


def test_clic_has_0_where_a_is_closer_and_no_header():
    rows = ["x.png,good/x.png,bad/x.png,0", "y.png,bad/y.png,good/y.png,1"]
    assert share_of("good", "\n".join(rows)) == 1


def test_bapps_holds_the_share_for_p1():
    header = "content,p0_codec,p1_codec,judge"
    assert share_of("good", f"{header}\nx,bad,good,1.0\ny,good,bad,0.0\n") == 1
    assert share_of("good", f"{header},votes\nx,bad,good,0.8,5\n") == 0.8


def test_a_bapps_folder_without_names_holds_the_share_for_p1(tmp_path):
    for subset, share in (("cnn", 0.8), ("traditional", 1.0)):
        judge = tmp_path / "2afc" / "val" / subset / "judge"
        judge.mkdir(parents=True)
        np.save(judge / "000000.npy", np.array([share], dtype=np.float32))
    found = results(imported(bapps_table(tmp_path).decode()))["strata"]
    shares = {
        stratum: {each["condition"]: each["share"] for each in values["win_share"]}
        for stratum, values in found.items()
    }
    assert shares == {
        "2afc/val/cnn": {"p0": pytest.approx(0.2), "p1": pytest.approx(0.8)},
        "2afc/val/traditional": {"p0": 0.0, "p1": 1.0},
    }


@pytest.mark.parametrize("column", ["raw preference for A", "preference for A"])
def test_pieapp_holds_the_share_for_a(column):
    header = f"ref. image, distorted image A, distorted image B, {column}"
    rows = ["ref_1.png, good.png, bad.png, 0.9", "ref_1.png, bad.png, good.png, 0.1"]
    assert share_of("good.png", "\n".join([header, *rows])) == pytest.approx(0.9)


# --- what is kept ---------------------------------------------------------------------------------


TEXT = f"{HEADER}\nann,x,1,j,w,left\nbob,x,1,j,w,j\n"


def test_the_file_is_kept_as_it_came_and_its_rows_are_counted(researcher):
    content = b"\xef\xbb\xbf" + TEXT.encode()
    found = import_judgments(content, file_name="a.csv", reading=Reading(), by=researcher)
    assert blobs.read(found.file) == content
    assert (found.format, found.population, found.imported_by) == (
        "comparisons",
        PEOPLE,
        researcher,
    )
    assert (found.n_rows, found.n_used, found.n_malformed, found.set_aside) == (2, 1, 1, {})
    assert found.sha256 == importing.read_again(found).sha256


def test_the_same_file_is_not_imported_twice_but_may_belong_elsewhere_too():
    first = imported(TEXT)
    with pytest.raises(AlreadyImported, match="imported already") as caught:
        imported(TEXT)
    assert caught.value.imported == first
    study = factories.study(codecs=("avif", "jpeg"))
    name = study.sources.first().name
    text = f"{HEADER}\nann,{name},0.37,avif,jpeg,left\n"
    imported(text)
    assert imported(text, study=study).study == study


def test_the_database_refuses_the_same_file_twice_too():
    first = imported(TEXT)
    first.pk = None
    with pytest.raises(IntegrityError, match="imported_judgments_once_a_study"):
        first.save(force_insert=True)


def test_of_a_file_that_holds_both_kinds_one_is_taken_and_each_once():
    text = f"{HEADER},simulated\nann,x,1,j,w,left,false\nbot,x,1,j,w,right,true\n"
    with pytest.raises(InvalidComparisons, match="say which to take"):
        imported(text)
    people, bots = imported(text, simulated=False), imported(text, simulated=True)
    assert (people.is_simulated, bots.is_simulated) == (False, True)
    assert [results(each)["annotators"][0]["annotator"] for each in (people, bots)] == [
        "ann",
        "bot",
    ]
    assert people.set_aside == {"simulated judgments": 1}


def test_a_file_with_other_names_for_its_columns_is_read_by_them_ever_after():
    text = "who,content,stratum,left,right,chosen,gold\nann,x,1,j,w,left,maybe\n"
    found = imported(text, format="comparisons", columns={"annotator": "who", "gold": ""})
    assert [each["annotator"] for each in results(found)["annotators"]] == ["ann"]
    assert importing.read_again(found).malformed == ()


# --- of a study -----------------------------------------------------------------------------------


def test_rows_that_name_what_a_study_does_not_have_fail_and_say_so():
    study = factories.study()
    name = study.sources.first().name
    rows = [
        f"ann,{name},0.37,avif,jpeg,left",
        f"ann,{name}@8,16,0.37,avif,jpeg,left".replace(f"{name}@8,16", f'"{name}@8,16"'),
        "ann,harbour,0.37,avif,jpeg,left",
        f"ann,{name},0.99,avif,jpeg,left",
        f"ann,{name},0.37,avif,webp,left",
    ]
    found = importing.dry_run("\n".join([HEADER, *rows]).encode(), Reading(study=study))
    assert found.judgments.n_used == 2
    assert [str(each) for each in found.judgments.malformed] == [
        "line 4, column content: 'harbour' is none of the study's",
        "line 5, column stratum: '0.99' is none of the study's",
        "line 6, column right: 'webp' is none of the study's",
    ]


def test_a_ranking_with_a_codec_that_a_study_does_not_have_fails():
    study = factories.study()
    name = study.sources.first().name
    rows = [f"ann,{name},0.37,avif > jpeg", f"ann,{name},0.37,avif > webp"]
    text = "\n".join(["annotator,content,stratum,ranking", *rows])
    [malformed] = importing.dry_run(text.encode(), Reading(study=study)).judgments.malformed
    assert str(malformed) == "line 3, column ranking: 'webp' is none of the study's"


def test_a_studys_own_judgments_are_never_mixed_with_imported_ones():
    study = factories.study()
    annotator = factories.annotator(study.campaign)
    factories.judge_all(annotator, choose=factories.preferring("avif", "jpeg"))
    before = importing_free_results(study)
    name = study.sources.first().name
    rows = [f"p{i},{name},0.37,avif,jpeg,right" for i in range(9)]
    found = imported("\n".join([HEADER, *rows]), study=study)
    assert importing_free_results(study) == before
    [row, _] = import_results.beside(before, results(found))
    assert (row["condition"], row["own"]["share"], row["imported"]["share"]) == ("avif", 1.0, 0.0)


def importing_free_results(study) -> dict:
    from evaluation.analysis import analyse_study

    return analyse_study(study, population=PEOPLE)


# --- the same as the command ----------------------------------------------------------------------


def analysed_by_command(path) -> dict:
    out = io.StringIO()
    call_command("analyse", "--comparisons", str(path), "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    "text",
    [
        TEXT + "cyd,y,1,w,j,tie\n",
        "method_a,method_b,image,worse\ngood,bad,x,B\nbad,good,y,A\n",
        "content,p0_codec,p1_codec,judge\nx,bad,good,0.75\n",
        "x.png,a/x.png,b/x.png,0\n",
    ],
)
def test_results_are_those_of_the_command_that_analyses_the_file(tmp_path, text):
    path = tmp_path / "judgments.csv"
    path.write_text(text)
    assert results(imported(text)) == analysed_by_command(path)


@pytest.mark.parametrize(
    ("name", "n_used", "best"),
    [
        ("tmo/ex3_tmo_cmp_data.csv", 1213, None),
        ("mucped23/answers.csv", 1066, "libjpeg-turbo-q95-yuv444"),
    ],
)
def test_real_files_are_imported_whole(name, n_used, best):
    path = real_data(f"judgments/{name}")
    found = import_judgments(path.read_bytes(), file_name=path.name, reading=Reading())
    assert (found.n_rows, found.n_used, found.n_malformed) == (n_used, n_used, 0)
    result = results(found)
    assert result == analysed_by_command(path)
    if best:  # of the worse sides, the finest encode is hardly ever one
        scale = next(iter(result["strata"].values()))["scale"]
        assert max(scale, key=lambda each: each["score"])["condition"] == best


def test_the_aic3_study_is_imported_with_what_is_set_aside_of_it():
    path = real_data("judgments/jpeg_ai_ptc/JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv")
    found = import_judgments(path.read_bytes(), file_name=path.name, reading=Reading())
    assert (found.format, found.n_rows, found.n_used) == ("aic3", 10_290, 9_716)
    assert found.set_aside == {"bias questions": 490, "skipped": 84}


# --- whole or not at all --------------------------------------------------------------------------

CELLS = st.sampled_from(
    [
        *("", "a", "b", "left", "right", "tie", "0", "1", "0.5", "0.75", "4", "A", "B", "a > b"),
        *("PTC", "PTC_1_0ref_00.png", "PTC_1_A_2.png", "notsure", "true", "false", "x\x00", "é"),
    ]
)
HEADERS = st.sampled_from(
    [
        *(",".join(each.required) for each in FORMATS.values()),
        *(",".join((*each.required, *each.optional)) for each in FORMATS.values()),
        "who,what",
    ]
)


def written(header: str, rows: list[list[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([next(csv.reader([header])), *rows])
    return file.getvalue().encode()


AIC3_ROW = "7,PTC,1,PTC_1_A_1.png,PTC_1_0ref_00.png,PTC_1_{}_1.png,0,{}"
GOOD = {  # by header: rows that are understood, or set aside
    HEADER: ["a,x,1,j,w,left", "b,x,1,w,j,tie"],
    f"{HEADER},simulated": ["a,x,1,j,w,left,true", "b,x,1,w,j,right,false"],
    "annotator,content,stratum,ranking": ["a,x,1,j > w = b", "b,x,2,b > w"],
    AIC3_HEADER: [AIC3_ROW.format(*each) for each in (("B", "left"), ("B", "skip"), ("A", "left"))],
    "observer,scene,condition_A,condition_B,is_A_selected": ["a,x,j,w,1", "b,x,w,j,0"],
    "method_a,method_b,image,worse": ["j,w,x,A", "w,j,x,B"],
    "x,j,w,0": ["x,j,w,0", "x,w,j,1"],
    "content,p0_codec,p1_codec,judge": ["x,j,w,0.5", "x,w,j,1"],
    "content,p0_codec,p1_codec,judge,votes": ["x,j,w,0.5,3", "x,w,j,1,2"],
    "ref. image,distorted image A,distorted image B,raw preference for A": ["r,j,w,0.7", "r,j,w,"],
}
RIGHT_BUT_FOR_SOME = st.sampled_from(sorted(GOOD)).flatmap(
    lambda header: st.lists(
        st.one_of(
            st.sampled_from(GOOD[header]).map(lambda row: row.split(",")),
            st.sampled_from(GOOD[header]).map(lambda row: row.split(",")),
            st.lists(CELLS, min_size=3, max_size=8),
        ),
        min_size=1,
        max_size=5,
    ).map(lambda rows: written(header, rows))
)
FILES = st.one_of(
    RIGHT_BUT_FOR_SOME,
    RIGHT_BUT_FOR_SOME,
    st.builds(written, HEADERS, st.lists(st.lists(CELLS, min_size=3, max_size=9), max_size=5)),
    st.binary(max_size=60),
)
READINGS = st.one_of(
    st.just(Reading()),
    st.just(Reading()),
    st.builds(
        Reading,
        format=st.sampled_from(["auto", *FORMATS]),
        simulated=st.sampled_from([None, True, False]),
    ),
)


@given(FILES, READINGS)
def test_any_file_is_imported_whole_or_refused_with_a_reason(content, reading):
    with transaction.atomic():
        looked = importing.dry_run(content, reading)
        assert not ImportedJudgments.objects.exists()
        if looked.judgments is None:
            with pytest.raises(InvalidComparisons) as refused:
                import_judgments(content, file_name="f.csv", reading=reading)
            assert looked.refusal == str(refused.value) != ""
            assert "\n" not in looked.refusal
            assert not ImportedJudgments.objects.exists()
        else:
            found = import_judgments(content, file_name="f.csv", reading=reading)
            assert blobs.read(found.file) == content
            assert found.n_rows == found.n_used + found.n_malformed + found.n_set_aside
            again = importing.read_again(found)
            for of in ("n_rows", "n_used", "malformed", "set_aside", "sha256", "format"):
                assert getattr(again, of) == getattr(looked.judgments, of)
        transaction.set_rollback(True)


def test_a_dry_run_stores_nothing(settings, tmp_path):
    importing.dry_run(TEXT.encode(), Reading())
    assert not ImportedJudgments.objects.exists()
    assert not ImportPreview.objects.exists()
    assert not (tmp_path / "blobs").exists()


def test_a_spreadsheet_that_was_not_saved_as_text_is_refused_kindly():
    with pytest.raises(InvalidComparisons, match="expected text"):
        import_judgments(b"PK\x03\x04\x00\x00", file_name="a.xlsx", reading=Reading())
