"""A second installation on the same server: a database and a storage that are empty."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from django.core.files.storage import storages
from django.db import connection
from django.test import override_settings


@contextlib.contextmanager
def empty_installation(folder: Path, *, key: str | None = None) -> Iterator[None]:
    """Whatever is done within happens there. key : its SECRET_KEY, if it is another one."""
    here, there = connection.settings_dict["NAME"], f"{connection.settings_dict['NAME']}_other"
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{there}" WITH (FORCE)')
        cursor.execute(f'CREATE DATABASE "{there}"')
    try:
        with storage_in(folder), override_settings(**({"SECRET_KEY": key} if key else {})):
            _connect(there)
            yield
    finally:
        _connect(here)
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{there}" WITH (FORCE)')


@contextlib.contextmanager
def storage_in(folder: Path) -> Iterator[None]:
    """Blobs are kept in a folder of their own."""
    options = {"location": folder}
    blobs = {"BACKEND": "codecs_registry.blobs.BlobStorage", "OPTIONS": options}
    with override_settings(STORAGES=storages.backends | {"blobs": blobs}):
        yield


def _connect(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
