"""Judgments and pairs as Arrow tables, and tables as Parquet files of which few rows are in memory.

Imported where it is used: PyArrow takes a moment, which pages do not need.
"""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import BigIntegerField, F, Func, TextField
from django.db.models.functions import Cast

from annotation.datasets.bapps import PICTURES, picture
from annotation.datasets.contents import Contents
from annotation.datasets.pairs import Pair
from annotation.kinds import KINDS, Ranking
from annotation.records import (
    COMPLETE_FIELDS,
    StratumNames,
    all_judgments,
    annotator_name,
    in_pages,
    ranking_text,
    sampling_name,
)

PAIRS_AT_ONCE = 1000
PICTURES_AT_ONCE = 50  # pairs whose pictures are in memory

TEXT, TIME = pa.string(), pa.timestamp("us", "UTC")
SHOWN = pa.struct(
    [
        ("codec", TEXT),
        ("version", TEXT),
        ("target_bpp", pa.float64()),
        ("actual_bpp", pa.float64()),
    ]
)
EVENT = pa.struct([("ms", pa.int64()), ("what", TEXT)])
NUMBERS = pa.map_(TEXT, pa.float64())
PICTURE = pa.struct([("bytes", pa.binary()), ("path", TEXT)])
PAIR_FIELDS = [
    *(("split", TEXT), ("subset", TEXT), ("file", TEXT), ("content", TEXT), ("sha256", TEXT)),
    *(("crop", pa.list_(pa.int32())), ("stratum", TEXT)),
    *(
        (f"{side}_{name}", kind)
        for side in ("p0", "p1")
        for name, kind in (
            *(("codec", TEXT), ("version", TEXT)),
            *(("bpp", pa.float64()), ("miss", TEXT)),
        )
    ),
    *(("votes", pa.int32()), ("votes_p1", pa.float64()), ("judge", pa.float32())),
    ("simulated", pa.bool_()),
]


# --- Parquet --------------------------------------------------------------------------------------


class _Taken(io.RawIOBase):
    """A file that hands over what was written to it."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._held.append(bytes(content))
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        held, self._held = self._held, []
        return b"".join(held)


def parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """A Parquet file with a row group for each batch, in pieces as they are made."""
    file = _Taken()
    with pq.ParquetWriter(pa.PythonFile(file, "w"), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield file.take()
    yield file.take()


# --- judgments ------------------------------------------------------------------------------------


def judgment_schema(kind: str) -> pa.Schema:
    is_ranking = kind == Ranking.name
    answer = [("ranking", TEXT)] if is_ranking else [(each, TEXT) for each in _PAIR_ANSWER]
    return pa.schema(
        [
            *(("judgment", pa.int64()), ("annotator", TEXT), ("purpose", TEXT)),
            *(("sampling", TEXT), ("task", pa.int64()), ("content", TEXT), ("sha256", TEXT)),
            *(("stratum", TEXT), ("target_bpp", pa.float64()), ("crop", pa.list_(pa.int32()))),
            *(("shown", pa.list_(SHOWN)), ("closest", pa.int16())),
            ("ranks", pa.list_(pa.int16())),
            *answer,
            *(("response_ms", pa.int64()), ("confidence", pa.int16()), ("remark", TEXT)),
            *(("viewing", NUMBERS), ("events", pa.list_(EVENT)), ("conditions", NUMBERS)),
            *(("leased_at", TIME), ("judged_at", TIME), ("simulated", pa.bool_())),
        ]
    )


_PAIR_ANSWER = ("left", "right", "chosen")


def judgment_batches(contents: Contents, *, after: int, rows: int) -> Iterator[pa.RecordBatch]:
    """So many judgments behind the one with the id `after`, practice and quiz too, a page at a
    time."""
    table = _Judgments(contents)
    found = all_judgments(
        contents.campaign, population=contents.population, until=contents.until
    ).annotate(**QUICKER)
    fields = [
        quicker_name(each) if quicker_name(each) in QUICKER else each for each in COMPLETE_FIELDS
    ]
    for page in in_pages(found.values_list(*fields), after=after):
        yield table.batch(page[:rows])
        contents.tell(min(len(page), rows))
        rows -= len(page)
        if rows <= 0:
            return


def quicker_name(field: str) -> str:
    return f"quicker_{field}"


def _microseconds(field: str) -> Func:
    """A time as PostgreSQL and Arrow count it, since 1970."""
    template = "(extract(epoch from %(expressions)s) * 1000000)::bigint"
    return Func(F(field), template=template, output_field=BigIntegerField())


# What Django would make Python objects of one by one, as it is stored: a third of the time.
QUICKER = {
    quicker_name(field): made
    for field, made in (
        (
            "assignment__annotator__conditions",
            Cast("assignment__annotator__conditions", TextField()),
        ),
        ("viewing", Cast("viewing", TextField())),
        ("events", Cast("events", TextField())),
        ("assignment__leased_at", _microseconds("assignment__leased_at")),
        ("judged_at", _microseconds("judged_at")),
    )
}


class _Judgments:
    """Makes record batches of rows of COMPLETE_FIELDS, of which some are QUICKER."""

    def __init__(self, contents: Contents) -> None:
        made = contents.reconstructions
        self.kind = contents.campaign.kind
        self.schema = judgment_schema(self.kind)
        self.contents = contents.content_names
        self.strata = StratumNames()
        self.position = {each.id: position for position, each in enumerate(made)}
        self.codecs = {each.id: each.codec for each in made}
        self.coded = {each.id: f"{each.codec}@{each.stratum}" for each in made}
        self.made = pa.array(
            [
                {
                    "codec": each.codec,
                    "version": each.codec_version,
                    "target_bpp": float(each.target_bpp),
                    "actual_bpp": each.actual_bpp,
                }
                for each in made
            ],
            SHOWN,
        )

    def batch(self, rows: list[tuple]) -> pa.RecordBatch:
        (
            ids,
            annotators,
            simulated,
            conditions,
            purposes,
            priorities,
            tasks,
            sources,
            hashes,
            targets,
            crops,
            closest,
            shown,
            leased,
            ranks,
            response,
            confidence,
            remarks,
            viewing,
            events,
            judged,
        ) = zip(*rows, strict=True)
        who = zip(annotators, simulated, strict=True)
        places = [
            each.index(right) if right else None for each, right in zip(shown, closest, strict=True)
        ]
        columns = [
            *(ids, [annotator_name(each, is_simulated=program) for each, program in who]),
            *(purposes, list(map(sampling_name, priorities)), tasks),
            *([self.contents[each] for each in sources], hashes),
            *([self.strata[each] for each in targets], list(map(float, targets)), crops),
            *(self._shown(shown), places, ranks),
            *self._answers(shown, ranks, closest),
            *(response, confidence, remarks, _numbers(viewing)),
            *([list(map(tuple, each)) for each in _parsed(events)], _numbers(conditions)),
            *(leased, judged, simulated),
        ]
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _shown(self, shown: tuple[list[int], ...]) -> pa.Array:
        ends = np.cumsum([0, *map(len, shown)], dtype=np.int32)
        positions = [self.position[each] for each in chain.from_iterable(shown)]
        return pa.ListArray.from_arrays(pa.array(ends), self.made.take(pa.array(positions)))

    def _answers(
        self,
        shown: tuple[list[int], ...],
        ranks: tuple[list[int], ...],
        closest: tuple[int | None, ...],
    ) -> list:
        names = [self.coded if right else self.codecs for right in closest]  # of gold: with rates
        codecs = [[of[one] for one in each] for of, each in zip(names, shown, strict=True)]
        if self.kind == Ranking.name:
            return [list(map(ranking_text, codecs, ranks))]
        left, right = zip(*codecs, strict=True)
        return [left, right, list(map(KINDS[self.kind].answer, ranks))]


def _parsed(texts: Iterable[str]) -> list:
    """JSON documents, parsed together."""
    return json.loads(f"[{','.join(texts)}]")


def _numbers(texts: Iterable[str]) -> list[list[tuple[str, float]]]:
    return [list(each.items()) for each in _parsed(texts)]


# --- pairs ----------------------------------------------------------------------------------------


def pair_schema() -> pa.Schema:
    return pa.schema(PAIR_FIELDS)


def picture_schema() -> pa.Schema:
    """With the pictures, as Hugging Face's `datasets` knows them again: by its own description of
    the columns in the file's metadata. It has no list, whose name there differs between versions 3
    and 4, so that the crop is text, as in manifests."""
    columns = [(name, TEXT if name == "crop" else kind) for name, kind in PAIR_FIELDS]
    dtypes = {TEXT: "string", pa.int32(): "int32", pa.bool_(): "bool"}
    dtypes |= {pa.float64(): "float64", pa.float32(): "float32"}
    features: dict[str, dict] = {part: {"_type": "Image"} for part in PICTURES}
    features |= {name: {"dtype": dtypes[kind], "_type": "Value"} for name, kind in columns}
    told = json.dumps({"info": {"features": features}})
    pictures = [(part, PICTURE) for part in PICTURES]
    return pa.schema([*pictures, *columns], metadata={"huggingface": told})


def pair_batches(contents: Contents, pairs: Iterator[Pair]) -> Iterator[pa.RecordBatch]:
    while some := list(islice(pairs, PAIRS_AT_ONCE)):
        yield pa.RecordBatch.from_pylist(
            [_row(each, contents) for each in some], schema=pair_schema()
        )


def picture_batches(contents: Contents, pairs: list[Pair]) -> Iterator[pa.RecordBatch]:
    rest = iter(pairs)
    while some := list(islice(rest, PICTURES_AT_ONCE)):
        rows = [
            {part: _picture(each, part) for part in PICTURES}
            | _row(each, contents)
            | {"crop": " ".join(map(str, each.task.crop or ()))}
            for each in some
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=picture_schema())


def _picture(pair: Pair, part: str) -> dict:
    name = f"{pair.split}-{pair.subset}-{pair.file}-{part}.png"
    return {"bytes": b"".join(picture(pair, part)), "path": name}


def _row(pair: Pair, contents: Contents) -> dict:
    return {
        "split": pair.split,
        "subset": pair.subset,
        "file": pair.file,
        "content": contents.content_names[pair.task.source_id],
        "sha256": pair.task.source.sha256,
        "crop": pair.task.crop,
        "stratum": pair.task.stratum,
        **{
            f"{side}_{name}": value
            for side, made in (("p0", pair.p0), ("p1", pair.p1))
            for name, value in (
                ("codec", made.codec),
                ("version", made.codec_version),
                ("bpp", made.actual_bpp),
                ("miss", made.miss),
            )
        },
        "votes": pair.votes,
        "votes_p1": pair.votes_p1,
        "judge": pair.judge[0],
        "simulated": pair.is_simulated,
    }
