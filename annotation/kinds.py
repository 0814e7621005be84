"""The kinds of question. Each is one class here and one template in templates/annotation/."""

from dataclasses import dataclass
from itertools import combinations


class InvalidAnswer(Exception):
    """An answer that is none to the question asked."""


@dataclass(frozen=True)
class TwoAlternatives:
    """2AFC: the original between two reconstructions, "which is closer to the original?".

    The answer names a side; it is stored as ranks by position: left chosen is [1, 2].
    """

    name = "2afc"
    label = "Two alternatives (2AFC)"
    positions = ("left", "right")

    @staticmethod
    def questions(reconstructions: list) -> list[tuple]:
        """All that can be asked of one source image and stratum: every pair once."""
        return list(combinations(reconstructions, 2))

    @classmethod
    def ranks(cls, closest: str) -> list[int]:
        """Raises InvalidAnswer unless `closest` is a position."""
        if closest not in cls.positions:
            raise InvalidAnswer(f"the answer is one of {', '.join(cls.positions)}")
        return [1 if position == closest else 2 for position in cls.positions]


KINDS = {kind.name: kind for kind in (TwoAlternatives,)}
