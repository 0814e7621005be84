"""Immutable files named by the SHA-256 of their content.

Because a name says what the file must hold, writing one twice changes nothing, and a file that a
crash left unreferenced is taken up by the next run that makes the same bytes.
"""

import contextlib
import hashlib
import os
import tempfile
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
        if path.exists():
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".writing-", delete=False
        ) as aside:
            try:
                aside.write(content.read())
                aside.flush()
                os.fsync(aside.fileno())
                Path(aside.name).chmod(0o644)
                Path(aside.name).replace(path)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
        return name

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


def put(content: bytes, extension: str) -> str:
    """Store bytes; returns the name under which `read` finds them. Raises StorageFailed."""
    digest = hashlib.sha256(content).hexdigest()
    with _failures_told():
        return storages["blobs"].save(f"{digest[:2]}/{digest}{extension}", ContentFile(content))


def read(name: str) -> bytes:
    """Raises FileNotFoundError if there is none of this name, and StorageFailed."""
    with _failures_told(), storages["blobs"].open(name) as file:
        return file.read()


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFailed(error.errno, error.strerror) from error


def exists(name: str) -> bool:
    return storages["blobs"].exists(name)


def size(name: str) -> int:
    """In bytes."""
    return storages["blobs"].size(name)
