"""Pairs in files of bounded size."""

from collections.abc import Iterator

from annotation.datasets.bapps import PICTURES, blob_of
from annotation.datasets.pairs import Pair
from annotation.stimuli import shown_blob
from codecs_registry import blobs

MOST_PAIRS = 1000
MOST_BYTES = 256 * 2**20  # of pictures; one pair is never split


def shards(
    pairs: Iterator[Pair], *, most_pairs: int = MOST_PAIRS, most_bytes: int = MOST_BYTES
) -> Iterator[list[Pair]]:
    """Lists of consecutive pairs, whose pictures are not read but only measured: so the same pairs
    are in the same shard whichever of them is written."""
    shard: list[Pair] = []
    size = 0
    for pair in pairs:
        its_size = sum(blobs.size(shown_blob(pair.task, blob_of(pair, part))) for part in PICTURES)
        if shard and (len(shard) == most_pairs or size + its_size > most_bytes):
            yield shard
            shard, size = [], 0
        shard.append(pair)
        size += its_size
    if shard:
        yield shard
