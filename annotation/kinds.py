"""The kinds of question. Each is one class here and one template in templates/annotation/."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Protocol


class InvalidAnswer(Exception):
    """An answer that is none to the question asked."""


def is_alone_first(ranks: Sequence[int], position: int) -> bool:
    """Whether an answer puts what is at a position first, and it alone: right, of a gold task whose
    closest is there."""
    return ranks[position] == 1 and ranks.count(1) == 1


class Kind(Protocol):
    name: str
    label: str
    fewest: int
    most: int
    """How many codecs can be compared."""

    def questions(self, reconstructions: list) -> list[tuple]:
        """All that can be asked of one source image and stratum."""

    def gold(self, low: list, high: list) -> list[tuple[tuple, object]]:
        """What can be asked of one source image for which the answer is certain, each with the
        reconstruction that is closest. low, high : those of the same codecs, in the same order, at
        a low and at a much higher rate."""

    def positions(self, n: int) -> tuple[str, ...]:
        """The names of the places at which n reconstructions are shown."""

    def ranks(self, answer: object, n: int, *, allows_ties: bool) -> list[int]:
        """For each position its rank, 1 being closest to the original.

        Raises InvalidAnswer, saying what was expected.
        """


@dataclass(frozen=True)
class TwoAlternatives:
    """2AFC: the original between two reconstructions, "which is closer to the original?".

    The answer names a side, or "tie"; it is stored as ranks by position: left chosen is [1, 2].
    """

    name: ClassVar = "2afc"
    label: ClassVar = "Two alternatives (2AFC)"
    fewest: ClassVar = 2
    most: ClassVar = 1000  # pairs are made of them
    ANSWERS: ClassVar = {"left": [1, 2], "right": [2, 1]}
    TIE: ClassVar = "tie"

    def questions(self, reconstructions: list) -> list[tuple]:
        return list(combinations(reconstructions, 2))

    def gold(self, low: list, high: list) -> list[tuple[tuple, object]]:
        return [(pair, pair[1]) for pair in zip(low, high, strict=True)]

    def positions(self, n: int) -> tuple[str, ...]:
        return ("left", "right")

    def ranks(self, answer: object, n: int, *, allows_ties: bool) -> list[int]:
        answers = self.ANSWERS | ({self.TIE: [1, 1]} if allows_ties else {})
        if not isinstance(answer, str) or answer not in answers:
            raise InvalidAnswer(f"the answer is one of {', '.join(answers)}")
        return answers[answer]

    def answer(self, ranks: Sequence[int]) -> str:
        """What was answered, of the ranks that are stored."""
        left, right = ranks
        return self.TIE if left == right else "left" if left < right else "right"


@dataclass(frozen=True)
class Ranking:
    """Several reconstructions, ordered from the closest to the original to the farthest.

    The answer is a rank for each position, dense from 1; equal ranks are ties.
    """

    name: ClassVar = "ranking"
    label: ClassVar = "Ranking"
    fewest: ClassVar = 3
    most: ClassVar = 8  # more are hard to keep in mind

    def questions(self, reconstructions: list) -> list[tuple]:
        return [tuple(reconstructions)]

    def gold(self, low: list, high: list) -> list[tuple[tuple, object]]:
        return [((*low[:i], best, *low[i + 1 :]), best) for i, best in enumerate(high)]

    def positions(self, n: int) -> tuple[str, ...]:
        return tuple(str(place) for place in range(1, n + 1))

    def ranks(self, answer: object, n: int, *, allows_ties: bool) -> list[int]:
        is_list = isinstance(answer, list) and all(type(each) is int for each in answer)
        if not is_list or len(answer) != n:
            raise InvalidAnswer(f"the answer is a list of {n} ranks, one for each position")
        if set(answer) != set(range(1, max(answer) + 1)):
            raise InvalidAnswer("ranks go from 1 on without gaps, 1 being the closest")
        if len(set(answer)) < n and not allows_ties:
            raise InvalidAnswer("each position has a rank of its own")
        return answer


KINDS: dict[str, Kind] = {kind.name: kind for kind in (TwoAlternatives(), Ranking())}
