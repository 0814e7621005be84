"""Immutable files named by the SHA-256 of their content.

Because a name says what the file must hold, writing one twice changes nothing, and a file that a
crash left unreferenced is taken up by the next run that makes the same bytes.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages


class StorageFailed(OSError):
    """Nothing can be stored or read for now: no room, no rights, or a network that is cut off. What
    was to be stored is not at fault, and it may be over later."""


class BlobStorage(FileSystemStorage):
    """A folder in which a file appears whole or not at all, and is never overwritten."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name

    def _save(self, name: str, content) -> str:
        path = Path(self.path(name))
        # What is wanted again counts as new: `delete_unused` leaves it alone.
        with contextlib.suppress(FileNotFoundError):
            with contextlib.suppress(PermissionError):
                os.utime(path)
            if path.stat().st_size == content.size:  # else a disk has lost some of it
                return name
        self._write(path, content)
        return name

    def mend(self, name: str, content) -> None:
        """Put a file in the place of one that is altered or missing."""
        self._write(Path(self.path(name)), content)

    def stored(self) -> Iterator[str]:
        """The names of all files, in order."""
        for folder in sorted(Path(self.location).glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if not path.name.startswith("."):
                    yield f"{folder.name}/{path.name}"

    def leftovers(self) -> Iterator[Path]:
        """Files that a killed process had not written to their end."""
        yield from sorted(Path(self.location).glob("[0-9a-f][0-9a-f]/.*ing-*"))

    def delete_unused(self, name: str, *, older_than_s: float) -> bool:
        """Delete a file that nothing names; whether it was. It stays where somebody has stored the
        same bytes within so many seconds, and may be about to name it."""
        path = Path(self.path(name))
        if time.time() - path.stat().st_mtime < older_than_s:
            return False
        # Out of the way first: whoever stores the same bytes now writes them anew, and whoever has
        # found the file a moment ago has made it young.
        aside = path.with_name(f".deleting-{path.name}")
        path.replace(aside)
        if time.time() - aside.stat().st_mtime < older_than_s:
            aside.replace(path)
            return False
        aside.unlink()
        return True

    def _write(self, path: Path, content) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".writing-", delete=False
        ) as aside:
            try:
                for chunk in content.chunks():
                    aside.write(chunk)
                aside.flush()
                os.fsync(aside.fileno())
                Path(aside.name).chmod(0o644)
                Path(aside.name).replace(path)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise

    def try_writing(self) -> None:
        """Raises OSError if nothing can be stored."""
        folder = Path(self.location)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()


def try_writing() -> None:
    """Raises OSError if nothing can be stored."""
    storages["blobs"].try_writing()


def folder() -> Path | None:
    """Where blobs lie, if that is a folder that this machine sees."""
    try:
        return Path(storages["blobs"].path("")).resolve()
    except NotImplementedError:
        return None


def put(content: bytes, extension: str) -> str:
    """Store bytes; returns the name under which `read` finds them. Raises StorageFailed."""
    found = sha256(content)
    with _failures_told():
        return storages["blobs"].save(f"{found[:2]}/{found}{extension}", ContentFile(content))


def read(name: str) -> bytes:
    """Raises FileNotFoundError if there is none of this name, and StorageFailed."""
    with _failures_told(), storages["blobs"].open(name) as file:
        return file.read()


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, StorageFailed):
        raise
    except OSError as error:
        raise StorageFailed(error.errno, error.strerror) from error


def exists(name: str) -> bool:
    return storages["blobs"].exists(name)


def size(name: str) -> int:
    """In bytes."""
    return storages["blobs"].size(name)


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest(name: str) -> str:
    """The SHA-256 (hexadecimal) of what is stored under a name. Raises FileNotFoundError."""
    with storages["blobs"].open(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(name: str) -> bool:
    """Whether what is stored under a name is what the name says. Raises FileNotFoundError."""
    return digest(name) == digest_of(name)


def digest_of(name: str) -> str:
    """The SHA-256 (hexadecimal) that a name promises."""
    return Path(name).name.partition(".")[0]
