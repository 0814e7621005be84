"""What leaves a campaign as files: judgments, and the 2AFC dataset of them, in several formats.

A format (bapps.py, csv_file.py, ...) makes files of contents (contents.py), which are those of one
moment; a data card (card.py) and checksums come with them; all of it goes into a folder
(folders.py) or an archive (archives.py). Everything is streamed: memory grows with a campaign's
pictures, not with its judgments. docs/datasets.md describes it for those who use it.
"""

import json
from collections.abc import Iterator

from annotation.datasets.bapps import Bapps
from annotation.datasets.card import card_files
from annotation.datasets.contents import Contents, DataChanged, File, Format, Moment
from annotation.datasets.csv_file import CsvFile, judgments_csv
from annotation.datasets.folders import FolderInUse, new_folder, write_folder
from annotation.datasets.hugging_face import HuggingFace
from annotation.datasets.manifest import MANIFEST_COLUMNS, manifest_row, side_columns
from annotation.datasets.pairs import (
    VALIDATION_SHARE,
    Pair,
    judged_pairs,
    pairs,
    split_by_source,
)
from annotation.datasets.parquet_files import ParquetFiles
from annotation.datasets.web_dataset import WebDataset
from annotation.models import Campaign
from annotation.populations import BOTH
from annotation.records import complete_records

__all__ = [
    "FORMATS",
    "MANIFEST_COLUMNS",
    "VALIDATION_SHARE",
    "Contents",
    "DataChanged",
    "File",
    "FolderInUse",
    "Format",
    "Moment",
    "Pair",
    "bapps_files",
    "export_files",
    "judged_pairs",
    "judgments_csv",
    "judgments_jsonl",
    "manifest_row",
    "new_folder",
    "pairs",
    "side_columns",
    "split_by_source",
    "write_folder",
]

FORMATS: dict[str, Format] = {
    each.name: each for each in (CsvFile(), ParquetFiles(), Bapps(), WebDataset(), HuggingFace())
}


def export_files(form: Format, contents: Contents) -> Iterator[File]:
    """All files of an export, the data card last; checksums are for who writes them.

    Raises DataChanged at the end, where files may not fit together.
    """
    yield from form.files(contents)
    yield from card_files(form, contents)
    if not contents.moment.holds(contents.campaign):
        raise DataChanged("Judgments were withdrawn, or questions came, while it was made.")


def bapps_files(campaign: Campaign, *, provenance: dict) -> Iterator[tuple[str, bytes]]:
    """The files of a BAPPS folder, by people and by simulations, whole."""
    about = {"study": provenance.get("study"), "provenance": provenance}
    for file in export_files(FORMATS["bapps"], Contents(campaign, BOTH, about)):
        yield file.name, b"".join(file.chunks)


def judgments_jsonl(campaign: Campaign) -> Iterator[str]:
    """All that is stored of each judgment (docs/judgments.md), a JSON object a line."""
    for each in complete_records(campaign):
        yield json.dumps(each, ensure_ascii=False) + "\n"
