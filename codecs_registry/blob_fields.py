"""Where the database names files: what a backup copies and a check of the storage looks at.

A column that names blobs is a BlobField; JSON with names somewhere in it is a JSONWithBlobs.
"""

import re
from collections.abc import Iterator

from django.apps import apps
from django.db import models

NAME = r"[0-9a-f]{2}/[0-9a-f]{64}(?:\.[A-Za-z0-9_.-]+)?"
"""How blobs are named (a regular expression, the same to Python and to PostgreSQL)."""
IS_NAME = re.compile(NAME)


class BlobField(models.CharField):
    """The name of a blob. To migrations it is what it is to the database: a text."""

    def __init__(self, **options) -> None:
        super().__init__(**{"max_length": 200, **options})

    def deconstruct(self):
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, options


class JSONWithBlobs(models.JSONField):
    """JSON in which blobs are named, at any depth, as whole strings."""

    def deconstruct(self):
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.JSONField", args, options


def naming_fields() -> Iterator[BlobField | JSONWithBlobs]:
    """Every column of the database that names blobs."""
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, BlobField | JSONWithBlobs):
                yield field


def names_query() -> str:
    """SQL that selects each blob that the database names, once, in order of the characters."""
    found = " UNION ".join(_names_in(field) for field in naming_fields())
    return f'SELECT name FROM ({found}) found (name) ORDER BY name COLLATE "C"'  # noqa: S608


def _names_in(field: BlobField | JSONWithBlobs) -> str:
    table, column = field.model._meta.db_table, field.column
    if isinstance(field, BlobField):
        return f'SELECT "{column}" FROM "{table}" WHERE "{column}" <> \'\''  # noqa: S608
    # What stands between quotes, and is a blob's name from the first to the last character.
    found = f"""regexp_matches("{column}"::text, '"({NAME})"', 'g')"""
    return f'SELECT ({found})[1] FROM "{table}"'  # noqa: S608
