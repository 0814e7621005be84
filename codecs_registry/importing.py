"""From files to source images."""

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from django.db import transaction

from codecs_registry import lossless
from codecs_registry.models import Collection, SourceImage
from codecs_registry.pictures import SUFFIXES, UnreadablePicture, identify
from codecs_registry.untrusted import read_untrusted
from projects.models import Project


@dataclass
class Import:
    """What an import came to: every picture that was named is in exactly one of the lists."""

    added: list[SourceImage] = field(default_factory=list)
    known: list[SourceImage] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sources(self) -> list[SourceImage]:
        """The pictures of the import, each once."""
        return list({source.id: source for source in (*self.added, *self.known)}.values())


def find_pictures(folder: Path) -> list[Path]:
    """The files of a folder, but for hidden ones, sorted by name.

    Raises NotADirectoryError if it is no folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def import_files(
    files: Iterable[tuple[str, Path | BinaryIO]],
    *,
    collection: str | None = None,
    project: Project | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Import:
    """Import pictures, each given as (name, file); one that cannot be read is named and skipped.

    project : whose the collection is; None: everybody's.

    Importing the same pixels again changes nothing but their membership in `collection`.
    """
    result = Import()
    for name, file in files:
        try:
            source, is_new = import_file(name, file)
        except UnreadablePicture as reason:
            result.skipped.append((name, str(reason)))
        else:
            (result.added if is_new else result.known).append(source)
        progress(name)
    if collection and result.sources:
        made, _ = Collection.objects.get_or_create(name=collection, project=project)
        made.sources.add(*result.sources)
    return result


def import_file(name: str, file: Path | BinaryIO) -> tuple[SourceImage, bool]:
    """Import one picture; returns it, and whether it is new. Raises UnreadablePicture."""
    if Path(name).suffix.lower() not in SUFFIXES:
        raise UnreadablePicture(
            f"its name does not end like a picture's ({', '.join(sorted(SUFFIXES))})"
        )
    picture = read_untrusted(file)
    height, width, _ = picture.pixels.shape
    identity = {"sha256": identify(picture.pixels), "width": width, "height": height}
    known = SourceImage.objects.filter(**identity).first()
    if known:
        return known, False
    files = lossless.store(picture.pixels)
    with transaction.atomic():
        return SourceImage.objects.get_or_create(
            **identity,
            defaults={
                "name": _readable(Path(name).name)[:200],
                "conversions": picture.conversions,
                **asdict(files),
            },
        )


def _readable(name: str) -> str:
    """A file's name as text that any database takes: names on disk may be any bytes."""
    return os.fsencode(name).decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
