"""Pairs as a folder that Hugging Face's `datasets` loads: Parquet files with the pictures in them,
and a data card whose head says which file belongs to which split.

https://huggingface.co/docs/datasets/repository_structure (configurations and splits in the head)
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from annotation.datasets import columns
from annotation.datasets.contents import Column, Contents, File, Format
from annotation.datasets.shards import shards
from annotation.populations import PEOPLE, SIMULATED

SPLIT_NAMES = {"train": "train", "val": "validation"}  # as `datasets` calls them


class HuggingFace(Format):
    name: ClassVar = "huggingface"
    label: ClassVar = "Hugging Face"
    what: ClassVar = (
        "Pairs with their pictures in Parquet files, in the layout of Hugging Face's datasets."
    )
    loader: ClassVar = (
        'dataset = datasets.load_dataset("FOLDER", "{who}", split="train")\n'
        'dataset[0]["ref"], dataset[0]["judge"]  # a picture, and the share that chose p1'
    )
    is_of_pairs: ClassVar = True

    def files(self, contents: Contents) -> Iterator[File]:
        from annotation.datasets import arrow_tables as arrow

        schema = arrow.picture_schema()
        for pairs in contents.subsets():
            for number, shard in enumerate(shards(pairs)):
                first = shard[0]
                population = SIMULATED if first.is_simulated else PEOPLE
                file = f"{SPLIT_NAMES[first.split]}-{first.subset}-{number:05d}.parquet"
                name = f"data/{population}/{file}"
                yield File(name, arrow.parquet(schema, arrow.picture_batches(contents, shard)))

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        pictures = [
            Column("ref", "image", "", "the original, as PNG"),
            Column("p0", "image", "", "one reconstruction"),
            Column("p1", "image", "", "the other"),
        ]
        return {"data/*/*.parquet": [*pictures, *columns.PAIRS]}

    def head(self, contents: Contents) -> dict:
        """What the head of the card says to `datasets`; a pattern that no file meets would be an
        error there."""
        splits = {
            population: [
                name for split, name in SPLIT_NAMES.items() if split in contents.splits(population)
            ]
            for population in contents.populations
        }
        return {
            "configs": [
                {
                    "config_name": population,
                    "data_files": [
                        {"split": name, "path": f"data/{population}/{name}-*.parquet"}
                        for name in names
                    ],
                }
                for population, names in splits.items()
                if names
            ]
        }
