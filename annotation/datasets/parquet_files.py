"""Judgments, and the pairs that they are votes on, as typed Parquet tables."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from annotation.datasets import columns
from annotation.datasets.contents import Column, Contents, File, Format
from annotation.models import Purpose


class ParquetFiles(Format):
    name: ClassVar = "parquet"
    label: ClassVar = "Parquet"
    what: ClassVar = (
        "All that is stored of each judgment, in typed columns, practice and viewing conditions "
        "too; and a table of pairs with their votes."
    )
    loader: ClassVar = (
        'judgments = pandas.read_parquet("FOLDER/judgments-{who}")\n'
        'pairs = pandas.read_parquet("FOLDER/pairs-{who}.parquet")'
    )

    def units(self, contents: Contents) -> int:
        return _rows(contents) + contents.n_pairs

    def files(self, contents: Contents) -> Iterator[File]:
        from annotation.datasets import arrow_tables as arrow

        schema = arrow.judgment_schema(contents.campaign.kind)
        for number, (after, rows) in enumerate(contents.stretches(tuple(Purpose))):
            batches = arrow.judgment_batches(contents, after=after, rows=rows)
            name = f"{self._folder(contents)}/{number:05d}.parquet"
            yield File(name, arrow.parquet(schema, batches), rows)
        pairs = (pair for subset in contents.subsets() for pair in subset)
        table = arrow.parquet(arrow.pair_schema(), arrow.pair_batches(contents, pairs))
        yield File(self._pairs(contents), table)

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        return {
            f"{self._folder(contents)}/*.parquet": columns.complete(contents.campaign.kind),
            self._pairs(contents): list(columns.PAIRS),
        }

    def _folder(self, contents: Contents) -> str:
        return f"judgments-{contents.file_name}"

    def _pairs(self, contents: Contents) -> str:
        return f"pairs-{contents.file_name}.parquet"


def _rows(contents: Contents) -> int:
    return sum(contents.count(Purpose).values())
