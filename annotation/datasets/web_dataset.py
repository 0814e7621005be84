"""Pairs as shards for WebDataset: .tar files in which the files of one pair follow each other and
share what stands before the first dot of their names.

https://github.com/webdataset/webdataset
"""

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar

from annotation.datasets import columns, tar
from annotation.datasets.bapps import PICTURES, judge_npy, picture
from annotation.datasets.contents import Column, Contents, File, Format
from annotation.datasets.manifest import manifest_row
from annotation.datasets.pairs import Pair
from annotation.datasets.shards import shards


class WebDataset(Format):
    name: ClassVar = "webdataset"
    label: ClassVar = "WebDataset"
    what: ClassVar = "Pairs with their pictures in .tar shards, to be read one after the other."
    loader: ClassVar = (
        'shards = sorted(map(str, Path("FOLDER/train").glob("*.tar")))\n'
        'dataset = webdataset.WebDataset(shards, shardshuffle=100).decode("torchrgb")\n'
        'dataset = dataset.to_tuple("ref.png", "p0.png", "p1.png", "judge.npy")'
    )
    is_of_pairs: ClassVar = True

    def files(self, contents: Contents) -> Iterator[File]:
        for pairs in contents.subsets():
            for number, shard in enumerate(shards(pairs)):
                first = shard[0]
                name = f"{first.split}/{first.subset}-{number:06d}.tar"
                yield File(name, _shard(shard, contents))

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        return {"*.json in the shards": list(columns.PAIRS)}


def _shard(pairs: list[Pair], contents: Contents) -> Iterator[bytes]:
    for pair in pairs:
        # What stands before the first dot is the key, so that it has none.
        key = f"{pair.split}-{pair.subset.replace('.', '_')}-{pair.file}"
        told = manifest_row(pair, contents.content_names[pair.task.source_id])
        told |= {"judge": float(told["judge"]), "votes_p1": pair.votes_p1}
        for part in PICTURES:
            yield from _member(f"{key}.{part}.png", b"".join(picture(pair, part)))
        yield from _member(f"{key}.judge.npy", judge_npy(pair))
        yield from _member(f"{key}.json", json.dumps(told, ensure_ascii=False).encode())
    yield tar.END


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield tar.header(name, len(content))
    yield content
    yield tar.padding(len(content))
