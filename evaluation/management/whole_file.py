"""The files that commands write where they are told to."""

from contextlib import suppress
from pathlib import Path

from django.core.management.base import CommandError


def write_whole(path: Path, content: bytes, *, what: str) -> None:
    """Write a file aside, and give it its name then: it is whole or not there. Raises CommandError,
    which says what ("The plot") cannot be written, and why."""
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise CommandError(f"{what} cannot be written: {error}") from None
