"""The pictures of the questions that results name: the original and what two codecs made of it."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.records import content_names
from codecs_registry.models import Reconstruction, SourceImage, stratum_name
from evaluation.models import Study
from evaluation.statistics.comparisons import picture_of

KINDS = ("most_agreed", "least_agreed")


@dataclass(frozen=True)
class Shown:
    """A question of a document's "questions", its numbers as they are there, and its pictures,
    None where they are gone."""

    numbers: dict
    source: SourceImage | None
    a: Reconstruction | None
    b: Reconstruction | None

    @property
    def sides(self) -> list[tuple[str, int, Reconstruction | None]]:
        """Of each side: its codec, its answers, and its picture."""
        return [
            (self.numbers[side], self.numbers[f"votes_{side}"], getattr(self, side))
            for side in "ab"
        ]


def with_pictures(analysis: dict, study: Study | None) -> dict[str, dict[str, list[Shown]]]:
    """By stratum and kind ("most_agreed", "least_agreed"); without a study no pictures."""
    named = {
        picture_of(each["content"])
        for values in analysis["strata"].values()
        for kind in KINDS
        for each in values["questions"][kind]
    }
    sources, made = _pictures(study, named) if study else ({}, {})
    shown: dict[str, dict[str, list[Shown]]] = {}
    for stratum, values in analysis["strata"].items():
        for kind in KINDS:
            shown.setdefault(stratum, {})[kind] = [
                Shown(
                    each,
                    sources.get(picture := picture_of(each["content"])),
                    made.get((picture, each["a"], stratum)),
                    made.get((picture, each["b"], stratum)),
                )
                for each in values["questions"][kind]
            ]
    return shown


def _pictures(
    study: Study, named: set[str]
) -> tuple[dict[str, SourceImage], dict[tuple[str, str, str], Reconstruction]]:
    """The source images of these names, and what codecs made of them, by name, codec and
    stratum."""
    names = {id_: name for id_, name in content_names(study.campaign).items() if name in named}
    sources = {names[each.id]: each for each in study.sources.filter(id__in=names)}
    ready = study.reconstructions.filter(
        state=Reconstruction.State.READY, source_id__in=names
    ).order_by("id")
    made = {
        (names[each.source_id], each.codec, stratum_name(each.target_bpp)): each for each in ready
    }
    return sources, made
