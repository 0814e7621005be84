"""Whole numbers to bits and back, by a range coder, with tables of counts.

A value is coded by the table of its level of scale, on which encoder and decoder agree: the counts
of a rounded normal distribution. What is farther out than the table goes is coded as that it is,
and by how much in an exponential Golomb code. The range coder is constriction's (R. Bamler,
"Understanding Entropy Coding With Asymmetric Numeral Systems (ANS): a Statistician's Perspective",
arXiv:2201.01741). Its tables are made of counts whose sums float32 holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import constriction
import numpy as np
from numpy.typing import NDArray

from perceptual.codec.exact import FIRST_LOG2_SCALE, LEVELS, LEVELS_AN_OCTAVE

TOTAL = 2**22
"""Of the counts of a table."""
REACH = 5.0
"""How many standard deviations a table goes at least."""
LONGEST = 24
"""Bits of the largest distance beyond a table's end that is coded."""
Symbols = NDArray[np.int32]
Counts = NDArray[np.int32]

_EVEN = np.array([0.5, 0.5], np.float32)


class BadSymbols(ValueError):
    """Bits that no encoder made."""


def make_counts() -> list[Counts]:
    """For each level from 1 on, counts of 0, 1, 2, ... and last of what is farther out.

    They go with a model and are not made again: machines differ in the last bit of an exponential.
    """
    made = []
    for level in range(1, LEVELS):
        scale = 2.0 ** (FIRST_LOG2_SCALE + (level - 1) / LEVELS_AN_OCTAVE)
        reach = math.ceil(REACH * scale)
        half = [_normal(n - 0.5, n + 0.5, scale) for n in range(reach + 1)]
        counts = [max(1, round(share * TOTAL)) for share in half]
        farther = max(1, round(math.erfc((reach + 0.5) / scale / math.sqrt(2)) * TOTAL))
        counts[0] = TOTAL - 2 * sum(counts[1:]) - farther
        made.append(np.array([*counts, farther], np.int32))
    return made


def _normal(low: float, high: float, scale: float) -> float:
    if low < 0:
        return 1 - math.erfc(high / scale / math.sqrt(2))
    return 0.5 * (math.erfc(low / scale / math.sqrt(2)) - math.erfc(high / scale / math.sqrt(2)))


class Tables:
    """The range coder's models of each level.

    saved : (LEVELS, n) float32, how many bits each value from 1 on takes more than the next towards
        0, by level and size of the value; larger values count as the last. Of level 0, none.
    """

    def __init__(self, counts: Sequence[Counts]) -> None:
        if len(counts) != LEVELS - 1:
            raise ValueError(f"there must be {LEVELS - 1} tables, not {len(counts)}")
        self.reach = [len(each) - 2 for each in counts]
        self.models = []
        for each in counts:
            whole = np.concatenate([each[1:-1][::-1], each])
            if whole.min() < 1 or int(whole.sum()) != TOTAL:
                raise ValueError("a table's counts must be 1 or more and have the known sum")
            shares = (whole / TOTAL).astype(np.float32)
            self.models.append(constriction.stream.model.Categorical(shares, perfect=False))
        most = max(self.reach)
        self.saved = np.zeros((LEVELS, most + 1), np.float32)
        for level, each in enumerate(counts, 1):
            steps = -np.diff(np.log2(each[:-1].astype(np.float64)))
            self.saved[level] = steps[-1]
            self.saved[level, 1 : len(steps) + 1] = steps
        self.bit = constriction.stream.model.Categorical(_EVEN, perfect=False)


class Writer:
    """Collects values."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._coder = constriction.stream.queue.RangeEncoder()

    def write(self, values: Symbols, levels: NDArray[np.int64]) -> None:
        """Values, (n,), each of its level; of level 0 they must be 0, and take nothing."""
        for level, of_level in _by_level(levels):
            reach = self._tables.reach[level - 1]
            found = values[of_level]
            is_far = np.abs(found) > reach
            shown = np.where(is_far, 2 * reach + 1, found + reach).astype(np.int32)
            self._coder.encode(shown, self._tables.models[level - 1])
            for value in found[is_far]:
                self._write_far(int(value), reach)

    def _write_far(self, value: int, reach: int) -> None:
        beyond = abs(value) - reach
        length = beyond.bit_length()
        if length > LONGEST:
            raise ValueError(f"{value} is too large to be coded")
        bits = [int(value < 0), *[0] * (length - 1), *map(int, f"{beyond:b}")]
        self._coder.encode(np.array(bits, np.int32), self._tables.bit)

    def bytes(self) -> bytes:
        """All that was written, whole 32-bit words, little-endian."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes()


class Reader:
    """Gives back what was written, asked in the same order with the same levels."""

    def __init__(self, tables: Tables, data: bytes) -> None:
        if len(data) % 4:
            raise BadSymbols("the coded values are cut short")
        self._tables = tables
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def read(self, levels: NDArray[np.int64]) -> Symbols:
        """Values, (n,), of the levels. Raises BadSymbols for bits that no encoder made."""
        values = np.zeros(len(levels), np.int32)
        for level, of_level in _by_level(levels):
            reach = self._tables.reach[level - 1]
            try:
                shown = self._coder.decode(self._tables.models[level - 1], len(of_level))
            except Exception as error:  # constriction's own, of no public class
                raise BadSymbols(f"the coded values are broken: {error}") from None
            found = np.asarray(shown, np.int32) - reach
            for far in np.flatnonzero(found > reach):
                found[far] = self._read_far(reach)
            values[of_level] = found
        return values

    def _read_far(self, reach: int) -> int:
        is_negative, length = self._bit(), 1
        while not self._bit():
            length += 1
            if length > LONGEST:
                raise BadSymbols("the coded values are broken: one is too large")
        beyond = 1
        for _ in range(length - 1):
            beyond = 2 * beyond + self._bit()
        return -(beyond + reach) if is_negative else beyond + reach

    def _bit(self) -> int:
        try:
            return int(self._coder.decode(self._tables.bit, 1)[0])
        except Exception as error:  # as above
            raise BadSymbols(f"the coded values are broken: {error}") from None

    def finish(self) -> None:
        """Raise BadSymbols unless all was read."""
        if not self._coder.maybe_exhausted():
            raise BadSymbols("the coded values go on after their end")


def _by_level(levels: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """(level, places) of all levels from 1 on that occur, places in their order."""
    order = np.argsort(levels, kind="stable")
    ordered = levels[order]
    starts = np.searchsorted(ordered, np.arange(1, LEVELS + 1))
    return [
        (level, order[first:last])
        for level, (first, last) in enumerate(pairwise(starts), 1)
        if last > first
    ]
