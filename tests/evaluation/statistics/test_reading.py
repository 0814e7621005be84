import csv
import hashlib
import io
import itertools
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import (
    Comparisons,
    InvalidComparisons,
    bradley_terry,
    read_comparisons,
)
from evaluation.statistics.file_formats import FORMATS
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.reading import Judgments, read_judgments
from tests.real_data import real_data

AIC3 = "jpeg_ai_ptc/JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv"
TMO = "tmo/ex3_tmo_cmp_data.csv"

steady = settings(deadline=None)  # a busy machine is no failure
HEADERS = {name: ",".join((*each.required, *each.optional)) for name, each in FORMATS.items()}
HEADER = "annotator,content,stratum,left,right,chosen"
AIC3_HEADER = "worker,method,img_num,img_left,img_pivot,img_right,is_trap,response,response_time"
PWCMP_HEADER = "observer,session_id,scene,condition_A,condition_B,is_A_selected"
LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda label: label == label.strip() != ""
)

CHOSEN = st.sampled_from(["left", "right", "tie"])
ROWS = st.lists(
    st.tuples(LABELS, LABELS, LABELS, LABELS, LABELS, CHOSEN)
    .filter(lambda row: row[3] != row[4])
    .map(list),
    min_size=1,
    max_size=20,
)


def read(text: str, **options) -> Judgments:
    return read_judgments(io.StringIO(text), **options)


def written(rows) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


def rows_of(c: Comparisons) -> list[list[str]]:
    chosen = {1.0: "left", 0.0: "right", 0.5: "tie"}
    return [
        [
            c.annotators[c.annotator[i]],
            c.contents[c.content[i]],
            c.strata[c.stratum[i]],
            c.conditions[c.a[i]],
            c.conditions[c.b[i]],
            chosen[c.outcome[i]],
        ]
        for i in range(len(c.outcome))
    ]


def shared(name: str) -> Path:
    return real_data(f"judgments/{name}")


def dicts(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- comparison files -----------------------------------------------------------------------------


def test_a_comparison_file_keeps_who_judged_what_on_which_side():
    c = read(
        "chosen,right,left,stratum,content,annotator,note\n"
        "left,webp,jpeg,0.23,kodim01,ann,\n"
        "\n"
        " tie ,jpeg,webp,0.37,kodim02,bob,slow\n"
    ).comparisons
    assert rows_of(c) == [
        ["ann", "kodim01", "0.23", "jpeg", "webp", "left"],
        ["bob", "kodim02", "0.37", "webp", "jpeg", "tie"],
    ]
    assert c.n_annotators == 2
    assert c.weight.tolist() == [1, 1]


def test_a_comparison_file_may_tell_response_times_and_the_answers_to_gold_questions():
    c = read(
        HEADER + ",response_ms,gold\na,x,1,j,w,left,812,\na,x,1,j,w,right,,left\n"
        "a,x,1,j,w,tie, 90.5 ,tie\na,x,1,j,w,left,0,right\n"
    ).comparisons
    np.testing.assert_array_equal(c.response_ms, [812, np.nan, 90.5, 0])
    np.testing.assert_array_equal(c.expected, [np.nan, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_may_come_from_a_spreadsheet_on_disk_or_as_an_upload(tmp_path, newline):
    text = newline.join(["\ufeff" + HEADER, '"Ann, A.",kodim01,1.0,jpeg,webp,right', ""])
    path = tmp_path / "judgments.csv"
    path.write_bytes(text.encode())
    for source in (path, str(path), io.BytesIO(text.encode()), io.StringIO(text, newline="")):
        found = read_judgments(source)
        assert rows_of(found.comparisons) == [
            ["Ann, A.", "kodim01", "1.0", "jpeg", "webp", "right"]
        ]
        assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()


BAD_FILES = [
    ("", "line 1, column annotator: expected once"),
    (
        "annotator;content;stratum;left;right;chosen\n",
        "line 1: expected columns separated by commas",
    ),
    ("annotator,content,stratum,left,right\n", "line 1, column chosen: .* found 0 times"),
    (HEADER + ",left\n", "line 1, column left: .* found 2 times"),
    (HEADER + ",gold,gold\n", "line 1, column gold: .* found 2 times"),
    (HEADER + "\n", "line 2: expected a judgment"),
    (HEADER + '\na,x,1,j,w,left\n"a,x,1,j,w,left\n', "line 3: expected CSV"),
    (HEADER + '\na,x,1,j,w,left\n"a"b,x,1,j,w,left\n', "line 3: expected CSV"),
]
BAD_ROWS = [
    (HEADER + "\na,x,1,j,w\n", "line 2: expected 6 values as in the header, found 5"),
    (HEADER + "\na,x,1,j,w,left,9\n", "line 2: expected 6 values as in the header, found 7"),
    (HEADER + "\na,x,1,j,w,left\n\na,x,1,j,w,j\n", "line 4, column chosen: .* found 'j'"),
    (HEADER + '\n"a\nb",x,1,j,w,left\na,x,1,j,w,\n', "line 4, column chosen: .* found none"),
    (HEADER + "\na,x,1,j,w,Left\n", "line 2, column chosen: expected left, right or tie"),
    (HEADER + "\na,x,1,j, j,left\n", "line 2, column right: expected another condition"),
    (HEADER + "\na,x, ,j,w,left\n", "line 2, column stratum: expected a value, found none"),
    (HEADER + ",gold\na,x,1,j,w,left,w\n", "line 2, column gold: expected left.* found 'w'"),
    (HEADER + ",response_ms\na,x,1,j,w,left,-1\n", "line 2, column response_ms: .* found '-1'"),
    (HEADER + ",response_ms\na,x,1,j,w,left,1e999\n", "line 2, column response_ms: .* '1e999'"),
    (HEADER + ",response_ms\na,x,1,j,w,left,soon\n", "line 2, column response_ms: .* 'soon'"),
    (HEADER + ",simulated\na,x,1,j,w,left,no\n", "line 2, column simulated: expected true or"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_file_without_its_columns_or_rows_is_refused_with_the_line(text, message):
    with pytest.raises(InvalidComparisons, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [*BAD_FILES, *BAD_ROWS])
def test_a_strictly_read_file_is_refused_with_line_column_and_what_was_expected(text, message):
    with pytest.raises(InvalidComparisons, match=message):
        read_comparisons(io.StringIO(text))


@pytest.mark.parametrize(("text", "message"), BAD_ROWS)
def test_a_malformed_row_is_left_out_and_told_with_its_line(text, message):
    extra = text.split("\n", 1)[0].split(",")[6:]
    good = ["a", "x", "1", "j", "w", "left", *("true" if c == "simulated" else "" for c in extra)]
    found = read(text + ",".join(good) + "\n")
    assert rows_of(found.comparisons)[-1] == ["a", "x", "1", "j", "w", "left"]
    [malformed] = found.malformed
    with pytest.raises(InvalidComparisons, match=message):
        raise InvalidComparisons(str(malformed))
    assert found.n_rows == len(found.comparisons.outcome) + 1


def test_a_file_of_only_malformed_rows_is_refused_with_the_first_of_them():
    with pytest.raises(
        InvalidComparisons, match=r"line 2, column chosen: .*; none of 2 rows can be used"
    ):
        read(HEADER + "\na,x,1,j,w,j\na,x,1,j,w,k\n")


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path):
    data = f"{HEADER}\nJosé,x,1,j,w,left\n".encode("latin-1")
    path = tmp_path / "judgments.csv"
    path.write_bytes(data)
    with path.open(encoding="utf-8") as as_text:
        for source in (io.BytesIO(data), path, as_text):
            with pytest.raises(InvalidComparisons, match="line 2: expected text in UTF-8"):
                read_judgments(source)


def test_a_file_that_is_not_there_is_the_callers_matter(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_judgments(tmp_path / "judgments.csv")


SIMULATED = HEADER + ",simulated\nann,x,1,j,w,left,false\nbot,x,1,j,w,right,true\n"


def test_people_and_simulated_annotators_are_never_mixed():
    with pytest.raises(InvalidComparisons, match="people's and simulated ones"):
        read(SIMULATED)
    people, bots = read(SIMULATED, simulated=False), read(SIMULATED, simulated=True)
    assert people.comparisons.annotators == ("ann",)
    assert people.set_aside == {"simulated judgments": 1}
    assert bots.comparisons.annotators == ("bot",)
    assert bots.set_aside == {"people's judgments": 1}


def test_a_file_without_a_mark_holds_peoples_judgments():
    text = HEADER + "\na,x,1,j,w,left\n"
    assert len(read(text, simulated=False).comparisons.outcome) == 1
    with pytest.raises(InvalidComparisons, match="expected simulated judgments, found none"):
        read(text, simulated=True)


@steady
@given(ROWS)
def test_what_is_written_is_read_back(rows):
    text = written([HEADER.split(","), *rows])
    found = read(text)
    assert rows_of(found.comparisons) == rows_of(read_comparisons(io.StringIO(text))) == rows
    assert (found.format, found.n_rows, found.malformed) == ("comparisons", len(rows), ())
    assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()


@steady
@given(ROWS, st.data())
def test_malformed_rows_change_nothing_but_their_count(rows, data):
    bad = st.sampled_from([["a"], ["a", "x", "1", "j", "j", "tie"], ["a", "x", "1", "j", "w", "?"]])
    mixed = data.draw(st.lists(bad, max_size=5)) + rows
    order = data.draw(st.permutations(range(len(mixed))))
    kept = [mixed[i] for i in order if mixed[i] in rows]
    found = read(written([HEADER.split(","), *(mixed[i] for i in order)]))
    assert rows_of(found.comparisons) == kept
    assert found.n_rows == len(mixed) == len(kept) + len(found.malformed)


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(
        lambda header, text: f"{header}\n{text}".encode(),
        st.sampled_from(list(HEADERS.values())),
        st.text(alphabet='aj1>=_."\r\n\0,,,,, ', max_size=80),
    ),
    st.builds(
        lambda header, rows: written([header.split(","), *rows]).encode(),
        st.sampled_from(list(HEADERS.values())),
        st.lists(
            st.lists(
                st.sampled_from(
                    [
                        *("", "a", "b", "left", "1", "a > b", "PTC_1_0ref_00.png"),
                        *("PTC_1_A_2.png", "PTC", "nan", "true", "1e999", "notsure", "0"),
                        *("0.5", "A", "B", "4"),
                    ]
                ),
                min_size=5,
                max_size=9,
            ),
            max_size=6,
        ),
    ),
)


@steady
@given(HOSTILE, st.sampled_from(["auto", *FORMATS]), st.sampled_from([None, True, False]))
def test_garbage_is_refused_and_never_crashes(data, name, simulated):
    try:
        found = read_judgments(io.BytesIO(data), format=name, simulated=simulated)
    except InvalidComparisons:
        return
    assert len(found.comparisons.outcome) > 0 or len(found.shares.share) > 0
    assert found.n_rows == found.n_used + len(found.malformed) + sum(found.set_aside.values()) > 0


@pytest.mark.parametrize("text", ["\ud800", HEADER + "\n\ud800,x,1,j,w,left\n"])
def test_text_that_no_file_can_hold_is_refused(text):
    with pytest.raises(InvalidComparisons, match="UTF-8"):
        read(text)


# --- rankings -------------------------------------------------------------------------------------


def test_a_ranking_file_is_read_as_rankings_and_as_all_their_pairs():
    found = read(
        "annotator,content,stratum,ranking\nann,x,0.23,avif > webp = jpeg\nbob,x,0.23,webp>avif\n"
        "bob,y,0.23,webp\nbob,y,0.23,webp > webp\nbob,y,0.23,webp >\n"
    )
    assert found.format == "rankings"
    assert found.rankings.conditions == ("avif", "jpeg", "webp")
    assert found.rankings.rank.tolist() == [[1, 2, 2], [2, 0, 1]]
    assert rows_of(found.comparisons) == [
        ["ann", "x", "0.23", "avif", "jpeg", "left"],
        ["ann", "x", "0.23", "avif", "webp", "left"],
        ["ann", "x", "0.23", "jpeg", "webp", "tie"],
        ["bob", "x", "0.23", "avif", "webp", "right"],
    ]
    assert found.n_rows == 5
    assert [malformed.line for malformed in found.malformed] == [4, 5, 6]
    assert all(each.reason.startswith("column ranking: expected") for each in found.malformed)


NAMES = st.text("abcdefgh _-", min_size=1, max_size=5).filter(
    lambda label: label == label.strip() != ""
)
RANKINGS = st.lists(
    st.tuples(LABELS, LABELS, LABELS, st.lists(NAMES, min_size=2, max_size=5, unique=True)),
    min_size=1,
    max_size=8,
)


@steady
@given(RANKINGS, st.data())
def test_a_ranking_that_is_written_is_read_back(rankings, data):
    signs = st.sampled_from([" > ", " = ", ">", "="])
    rows = [
        [*labels, names[0] + "".join(data.draw(signs) + name for name in names[1:])]
        for *labels, names in rankings
    ]
    found = read(written([["annotator", "content", "stratum", "ranking"], *rows])).rankings
    expected = Rankings.from_rows(rows)
    np.testing.assert_array_equal(found.rank, expected.rank)
    for labels in ("annotators", "contents", "strata", "conditions"):
        assert getattr(found, labels) == getattr(expected, labels)


# --- JPEG AIC-3 -----------------------------------------------------------------------------------


def aic3_row(left: str, right: str, response: str, is_trap: int = 0) -> str:
    pictures = [f"PTC_00009_{each}.png" for each in (left, "0ref_00", right)]
    return f"7,PTC,9,{','.join(pictures)},{is_trap},{response},1500\n"


def test_aic3_names_the_more_distorted_side_so_the_other_one_is_closer():
    found = read(
        AIC3_HEADER
        + "\n"
        + aic3_row("JPEG-AI_06", "JPEG-2000_02", "left")
        + aic3_row("JPEG-AI_06", "JPEG-2000_02", "right")
        + aic3_row("JPEG-AI_06", "JPEG-2000_02", "notsure")
        + aic3_row("JPEG-AI_06", "JPEG-2000_02", "skip")
        + aic3_row("JPEG-AI_06", "JPEG-AI_06", "left")
        + aic3_row("0ref_00", "JPEG-AI_10", "left", is_trap=1)
        + aic3_row("JPEG-AI_10", "0ref_00", "left", is_trap=1)
    )
    assert found.format == "aic3"
    assert rows_of(found.comparisons) == [
        ["7", "9", "all", "JPEG-AI 06", "JPEG-2000 02", "right"],
        ["7", "9", "all", "JPEG-AI 06", "JPEG-2000 02", "left"],
        ["7", "9", "all", "JPEG-AI 06", "JPEG-2000 02", "tie"],
        ["7", "9", "all", "original", "JPEG-AI 10", "right"],
        ["7", "9", "all", "JPEG-AI 10", "original", "right"],
    ]
    np.testing.assert_array_equal(found.comparisons.expected, [np.nan] * 3 + [1.0, 0.0])
    assert found.comparisons.response_ms.tolist() == [1500] * 5
    assert (found.n_rows, found.malformed) == (7, ())
    assert found.set_aside == {"skipped": 1, "bias questions": 1}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("PTC,9", "BTC,9", "column method: expected PTC"),
        ("JPEG-AI_06", "sky", "column img_left: expected a picture such as"),
        ("0ref_00", "JPEG-AI_02", "column img_pivot: expected the original, found 'JPEG-AI 02'"),
        ("0,left", "1,left", "column is_trap: expected the original on one side"),
        ("0,left", "yes,left", "column is_trap: expected 0 or 1, found 'yes'"),
        ("0,left", "0,both", "column response: expected left, right, notsure or skip"),
    ],
)
def test_an_aic3_row_of_another_kind_is_malformed(old, new, reason):
    good = aic3_row("JPEG-AI_06", "JPEG-2000_02", "left")
    found = read(f"{AIC3_HEADER}\n{good}{good.replace(old, new)}")
    [malformed] = found.malformed
    assert malformed.line == 3
    assert malformed.reason.startswith(reason)


def test_the_aic3_study_is_read_whole():
    path = shared(AIC3)
    found, c = read_judgments(path), read_judgments(path).comparisons
    assert (found.format, found.n_rows, found.malformed) == ("aic3", 10_290, ())
    assert found.set_aside == {"bias questions": 490, "skipped": 95 - 11}  # 11 were both
    assert len(c.outcome) == 10_290 - 490 - 84
    assert c.n_annotators == 73
    assert c.contents == ("10", "2", "6", "7", "9")
    # An answer takes seconds, so the times, from 230 to 30,000, are in milliseconds.
    assert (c.response_ms.min(), c.response_ms.max()) == (230, 30_000)


def test_of_the_aic3_studys_traps_two_in_three_are_answered_right():
    """As the README of the test data says of all 980."""
    c = read_judgments(shared(AIC3)).comparisons
    is_gold = ~np.isnan(c.expected)
    n_right = np.count_nonzero(c.outcome[is_gold] == c.expected[is_gold])
    assert np.count_nonzero(is_gold) == 980 - 5  # five were skipped
    assert n_right / 980 == pytest.approx(0.686, abs=0.0005)


def test_less_distorted_pictures_win_in_the_aic3_study_as_counted_from_its_numeric_columns():
    """Counted by codec_* and dlevel_*, which reading does not use."""
    path = shared(AIC3)
    wins: Counter[tuple[int, int]] = Counter()
    for row in dicts(path):
        sides = ("left", "right")
        if row["is_trap"] == row["is_bias"] == "0" and row["response"] in sides:
            of_jpeg_ai = all(row[f"codec_{side}"] in ("0", "6") for side in sides)
            worse = row["response"]
            better = "left" if worse == "right" else "right"
            if of_jpeg_ai:
                wins[int(row[f"dlevel_{better}"]), int(row[f"dlevel_{worse}"])] += 1
    levels = {"original": 0} | {f"JPEG-AI {level:02d}": level for level in (2, 4, 6, 8, 10)}
    c = read_judgments(path).comparisons.without_gold()
    matrix, ties = c.win_matrix(), c.tie_matrix()
    at = {level: c.conditions.index(name) for name, level in levels.items()}
    for i, j in itertools.permutations(levels.values(), 2):
        assert matrix[at[i], at[j]] - ties[at[i], at[j]] / 2 == wins[i, j]
    less = sum(n for (winner, loser), n in wins.items() if winner < loser)
    assert less / wins.total() == pytest.approx(0.664, abs=0.0005)
    order = list(at.values())
    assert np.all(np.diff(bradley_terry(matrix[np.ix_(order, order)]).scores) < 0)


# --- pwcmp ----------------------------------------------------------------------------------------


def test_a_pwcmp_table_is_read_with_a_on_the_left():
    found = read(PWCMP_HEADER + "\nM01,1,window,ronan12,irawan05,0\nM01,2,window,ronan12,hdr,1\n")
    assert found.format == "pwcmp"
    assert rows_of(found.comparisons) == [
        ["M01", "window", "all", "ronan12", "irawan05", "right"],
        ["M01", "window", "all", "ronan12", "hdr", "left"],
    ]


def test_criteria_of_a_pwcmp_table_are_strata_because_they_are_different_questions():
    found = read(
        PWCMP_HEADER + ",criterion\nM01,1,window,a,b,0,sharp\nM01,1,window,a,b,1,natural\n"
        "M01,1,window,a,a,1,natural\nM01,1,window,a,b,0.5,natural\nM01,1,window,a,b,0,\n"
    )
    assert found.comparisons.strata == ("natural", "sharp")
    assert [str(each) for each in found.malformed] == [
        "line 4, column condition_B: expected another condition than left's 'a'",
        "line 5, column is_A_selected: expected 1 (A selected) or 0 (B selected), found '0.5'",
        "line 6, column criterion: expected a value, found none",
    ]


def test_the_tone_mapping_studys_wins_are_those_of_its_rows():
    path = shared(TMO)
    selected: defaultdict[str, int] = defaultdict(int)
    for row in dicts(path):
        selected[row["condition_A"] if row["is_A_selected"] == "1" else row["condition_B"]] += 1
    found = read_judgments(path)
    c = found.comparisons
    assert (found.format, found.n_rows, found.malformed) == ("pwcmp", 1213, ())
    assert (c.n_annotators, len(c.contents), c.strata) == (18, 5, ("perceptual",))
    assert dict(zip(c.conditions, c.win_matrix().sum(axis=1), strict=True)) == selected


# --- mucped23, CLIC, BAPPS and PieAPP -------------------------------------------------------------

MUCPED23 = "method_a,method_b,image,worse"
BAPPS = "content,p0_codec,p1_codec,judge,votes"
PIEAPP = "ref. image,distorted image A,distorted image B,raw preference for A"


def test_whoever_is_worse_in_mucped23_loses():
    found = read(f"{MUCPED23}\nj95,j20,pond,B\nj95,j20,tree,A\n")
    assert found.format == "mucped23"
    assert not found.names_annotators
    assert rows_of(found.comparisons) == [
        ["all", "pond", "all", "j95", "j20", "left"],
        ["all", "tree", "all", "j95", "j20", "right"],
    ]


def test_clic_has_no_header_and_a_condition_is_a_team_or_a_pictures_own_name():
    found = read("o/x.png,team-1/x.png,team-2/x.png,0\no/x.png,5f3a.png,9c1d.png,1\n")
    assert (found.format, found.n_rows) == ("clic", 2)
    assert rows_of(found.comparisons) == [
        ["all", "o/x.png", "all", "team-1", "team-2", "left"],
        ["all", "o/x.png", "all", "5f3a", "9c1d", "right"],
    ]
    assert rows_of(read("O,A,B,T\nx,a,b,1\n", format="clic").comparisons) == [
        ["all", "x", "all", "a", "b", "right"]
    ]


def test_votes_of_a_share_are_judgments_and_half_votes_are_ties():
    found = read(f"{BAPPS}\nx,j,w,0.8333333,3\n").comparisons
    weights = {(row[5], weight) for row, weight in zip(rows_of(found), found.weight, strict=True)}
    # Five halves of three votes are for p1, the right: two votes and a tie.
    assert weights == {("right", 2), ("tie", 1)}


def test_a_share_that_was_rounded_makes_no_tie_of_what_may_be_none():
    found = read(f"{BAPPS}\nx,j,w,0.67,3\nx,j,v,0.33,40\n").comparisons
    assert 0.5 not in found.outcome
    assert found.weight[found.outcome == 0].tolist() == [2, 13]


def test_shares_without_votes_are_no_judgments():
    found = read(f"{PIEAPP},processed preference for A\nr,a,b,0.75,0.7\nr,c,b,,0.4\nr,r,b,1,1\n")
    assert len(found.comparisons.outcome) == 0
    assert found.shares.share.tolist() == [0.75, 1.0]
    assert found.shares.conditions == ("a", "b", "original")
    assert (found.n_used, found.set_aside) == (2, {"pairs that nobody was asked": 1})


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        (MUCPED23, "a,b,x,C", "column worse: expected A or B"),
        (MUCPED23, "a,a,x,A", "column method_b: expected another condition"),
        ("x,a,b,1", "x,a,b,2", "column T: expected 0 (A is closer) or 1 (B is closer), found '2'"),
        (BAPPS, "x,a,b,1.5,2", "column judge: expected a share from 0 to 1, found '1.5'"),
        (BAPPS, "x,a,b,nan,2", "column judge: expected a share from 0 to 1, found 'nan'"),
        (BAPPS, "x,a,b,0.3,2", "column judge: expected a share that 2 votes can have"),
        (BAPPS, "x,a,b,0.5,0", "column votes: expected how many people voted"),
        (PIEAPP, "r,a,b,-1", "column raw preference for A: expected a share from 0 to 1"),
    ],
)
def test_a_row_that_such_a_format_does_not_know_is_malformed(header, row, reason):
    good = {MUCPED23: "a,b,x,A", BAPPS: "x,a,b,0.5,2", PIEAPP: "r,a,b,0.5"}.get(header, header)
    [malformed] = read(f"{header}\n{good}\n{row}\n").malformed
    assert malformed.line == 3
    assert malformed.reason.startswith(reason)


def test_a_processed_preference_of_pieapp_is_nobodys_answer():
    header = PIEAPP.replace("raw", "processed")
    with pytest.raises(InvalidComparisons, match="an estimate, and nobody's answer"):
        read(f"{header}\nr,a,b,0.5\n")


# --- formats and speed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("annotator,content,stratum,ranked", "ranking"),
        ("worker,method,img_num,img_left,img_right,is_trap,response", "img_pivot"),
        ("observer,scene,condition_A,condition_B,selected", "is_A_selected"),
    ],
)
def test_a_header_that_lacks_a_column_is_told_by_the_format_it_resembles(header, column):
    with pytest.raises(InvalidComparisons, match=f"line 1, column {column}: .* found 0 times"):
        read(header + "\n")


def test_a_format_that_is_asked_for_is_not_guessed():
    with pytest.raises(InvalidComparisons, match="line 1, column observer"):
        read(HEADER + "\na,x,1,j,w,left\n", format="pwcmp")
    with pytest.raises(ValueError, match=r"format: expected auto, comparisons, .* found 'csv'"):
        read(HEADER, format="csv")


def test_reading_takes_time_in_proportion_to_the_rows():
    rng = np.random.default_rng(1)

    def seconds(m: int) -> float:
        sides = rng.integers(12, size=m)
        lines = [
            f"annotator-{i % 1000},image-{i % 97}.png,0.23,codec-{side},codec-{side + 1},left,{i}"
            for i, side in enumerate(sides)
        ]
        data = "\n".join([HEADER + ",response_ms", *lines]).encode()
        start = time.perf_counter()
        assert len(read_judgments(io.BytesIO(data)).comparisons.outcome) == m
        return time.perf_counter() - start

    few, many = min(seconds(20_000) for _ in range(3)), seconds(200_000)
    # About 0.05 s and 0.5 s; whatever looks back over earlier rows takes a hundred times as long.
    assert many < 40 * few
    assert many < 10


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_file_separated_otherwise_is_refused_with_what_to_do(mark):
    text = HEADER.replace(",", mark) + "\n"
    with pytest.raises(InvalidComparisons, match="save the file as comma-separated values"):
        read_judgments(io.StringIO(text))
