"""Blobs in a bucket of S3 or of a server that speaks as it does (docs/object-storage.md)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

from codecs_registry import clock
from codecs_registry.blobs import StorageFailed

TRIED = "tried-writing"
CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 4},
    # Not all servers know S3's newer checksums, and names tell what files must hold.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404 and told.get("Code") != "NoSuchBucket":
            raise FileNotFoundError(str(error)) from None
        raise StorageFailed(f"object storage: {told.get('Message') or error}") from error
    except BotoCoreError as error:
        raise StorageFailed(f"object storage: {error}") from error


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def told(*arguments: Any, **named: Any) -> Any:
        with _failures_told():
            return method(*arguments, **named)

    return told


class ObjectStorage(S3Storage):
    """Does what `blobs.BlobStorage` does: a file appears whole or not at all, and holds for good
    what its name says. Nothing in the bucket is public: files are sent by the web server.

    bucket_name, location : where blobs lie, and under which prefix.   Keys are those of the
    environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or of the machine's role.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"client_config": CONFIG, "default_acl": None} | options)

    # A PUT is whole or not at all; it makes the file young, so that `delete_unused` leaves it.
    _save = _telling(S3Storage._save)
    exists = _telling(S3Storage.exists)
    size = _telling(S3Storage.size)
    delete = _telling(S3Storage.delete)

    @_telling
    def _open(self, name: str, mode: str = "rb") -> Any:
        """All of it at once: a reader that has begun does not fail on the way."""
        del mode  # blobs are never written through a file
        answer = self.bucket.Object(self._normalize_name(name)).get()
        return ContentFile(answer["Body"].read(), name=name)

    def mend(self, name: str, content: Any) -> None:
        """Put a file in the place of one that is altered or missing."""
        self._save(name, content)

    def stored(self) -> Iterator[str]:
        """The names of all files, in order."""
        prefix = f"{self.location}/" if self.location else ""
        with _failures_told():
            keys = [
                each.key.removeprefix(prefix) for each in self.bucket.objects.filter(Prefix=prefix)
            ]
        yield from sorted(key for key in keys if key[2:3] == "/")

    def leftovers(self) -> Iterator[Path]:
        """None: what a killed process had not sent to its end was never there."""
        return iter(())

    @_telling
    def delete_unused(self, name: str, *, older_than_s: float) -> bool:
        """Delete a file that nothing names; whether it was. It stays where somebody has stored the
        same bytes within so many seconds, and may be about to name it."""
        age = clock.now() - self.get_modified_time(name)
        if age.total_seconds() < older_than_s:
            return False
        self.delete(name)
        return True

    def try_writing(self) -> None:
        """Raises StorageFailed if nothing can be stored."""
        self._save(TRIED, ContentFile(b"\0" * 4096))
