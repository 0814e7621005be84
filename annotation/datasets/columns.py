"""What the columns of tables hold: for data cards."""

from annotation.datasets.contents import Column
from annotation.kinds import Ranking

_WHO = Column("annotator", "text", "", "pseudonym, the same throughout the study")
_CONTENT = Column("content", "text", "", "the photograph's name, unique in the study")
_SHA256 = Column("sha256", "text", "", "of the photograph's decoded sRGB samples")
_STRATUM = Column("stratum", "text", "bits per pixel", "the target rate, an exact decimal")
_CROP = "left, top, width, height of the part that was shown; empty: all of it"
_RESPONSE = Column(
    "response_ms", "whole number", "ms", "from the frame that showed all pictures to the answer"
)
_SIMULATED = Column("simulated", "truth", "", "whether a program judged, and no person")
_PAIR_ANSWER = (
    Column("left", "text", "", "the codec that was shown on the left"),
    Column("right", "text", "", "the codec that was shown on the right"),
    Column("chosen", "text", "", "left, right or tie: which was said to be closer to the original"),
)
_RANKING = Column("ranking", "text", "", "codecs from closest to farthest: avif > jpeg = webp")

PAIRS = (
    Column("split", "text", "", "train or val"),
    Column("subset", "text", "", "the stratum, and simulated- before it where programs judged"),
    Column("file", "text", "", "the pair's number in its subset"),
    _CONTENT,
    _SHA256,
    Column("crop", "text", "pixels", _CROP),
    _STRATUM,
    *(
        each
        for side in ("p0", "p1")
        for each in (
            Column(f"{side}_codec", "text", "", f"the codec that made {side}"),
            Column(f"{side}_version", "text", "", "its version"),
            Column(f"{side}_bpp", "number", "bits per pixel", "the rate that it took"),
            Column(f"{side}_miss", "text", "", "why that is off the target; empty: it is on it"),
        )
    ),
    Column("votes", "whole number", "votes", "how many annotators judged the pair"),
    Column("votes_p1", "number", "votes", "of them for p1; a tie is half a vote"),
    Column("judge", "number", "share", "votes_p1 / votes"),
    _SIMULATED,
)


def comparisons(kind: str) -> list[Column]:
    """Of a file of comparisons, or of rankings."""
    gold = Column("gold", "text", "", "the right answer of a gold task; empty: it is none")
    answer = (_RANKING,) if kind == Ranking.name else (*_PAIR_ANSWER, gold)
    return [
        *(_WHO, _CONTENT, _STRATUM, *answer, _RESPONSE),
        Column("submitted_at", "text", "ISO 8601", "when the server stored it"),
        Column("repeat", "truth", "", "whether the annotator had judged it before"),
        _SIMULATED,
    ]


def complete(kind: str) -> list[Column]:
    """Of a table of all that is stored of judgments."""
    return [
        Column("judgment", "int64", "", "its number; later ones have higher numbers"),
        _WHO,
        Column("purpose", "text", "", "measure, gold, repeat, practice or quiz"),
        Column("sampling", "text", "", "active: active sampling had asked for it; or balanced"),
        Column("task", "int64", "", "the question's number"),
        *(_CONTENT, _SHA256, _STRATUM),
        Column("target_bpp", "float64", "bits per pixel", "the same, as a number"),
        Column("crop", "list of int32", "pixels", _CROP),
        Column(
            *("shown", "list of struct", "bits per pixel"),
            "codec, version, target_bpp, actual_bpp by position, from the left",
        ),
        Column("closest", "int16", "", "of a gold task: the position of the right one, from 0"),
        Column("ranks", "list of int16", "", "by position; 1 is closest, equal ranks are ties"),
        *((_RANKING,) if kind == Ranking.name else _PAIR_ANSWER),
        _RESPONSE,
        Column("confidence", "int16", "", "1 a guess, 2 fairly sure, 3 certain; empty: not asked"),
        Column("remark", "text", "", "what was written with the answer"),
        Column("viewing", "map of float64", "", "viewing conditions, by name"),
        Column("events", "list of struct", "ms", "what was looked at: ms since painted, what"),
        Column("conditions", "map of float64", "", "the annotator's screen, as measured"),
        Column("leased_at", "timestamp", "UTC", "when the question was given out"),
        Column("judged_at", "timestamp", "UTC", "when the server stored the answer"),
        _SIMULATED,
    ]
