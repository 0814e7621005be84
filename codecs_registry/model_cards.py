"""What the learned codec's file says of it, in words for its page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codecs_registry.codecs.base import CodecUnavailable
from codecs_registry.codecs.closer import Closer


@dataclass(frozen=True)
class ModelCard:
    """name : as its training gave it.   digest : SHA-256, in hexadecimal.
    steps : of its training; None if its card does not say.
    saliency_floor : how much places that are not salient counted; None if all counted alike.
    told : all else that is said of its training and of what came of it, by name.
    """

    name: str
    digest: str
    steps: int | None
    saliency_floor: float | None
    thrift: float
    told: list[tuple[str, Any]]


def card_of(codec: object) -> ModelCard | None:
    """The card of the model that codes here; None for a codec that has none, or lacks it."""
    if not isinstance(codec, Closer):
        return None
    try:
        card, digest = codec.told()
    except CodecUnavailable:
        return None
    return ModelCard(
        name=card.name,
        digest=digest,
        steps=card.trained_on.get("steps"),
        saliency_floor=card.saliency_floor,
        thrift=card.thrift,
        told=[*_flat("", card.trained_on), *_flat("", {"results": card.results})],
    )


def _flat(above: str, mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping, with the names that lead to it."""
    for name, value in mapping.items():
        path = f"{above} {name.replace('_', ' ')}".strip()
        if isinstance(value, Mapping):
            yield from _flat(path, value)
        elif value not in (None, "", []):
            yield path, value
