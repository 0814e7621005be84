"""Results that are reckoned once: a file of bytes by key, which several processes may use at once
and which outlives a killed one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values of one table of a file. How they are stored is for who derives from it to say.

    table, column : the table's name, and its column as SQL declares it.
    """

    table: str
    column: str

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        with closing(self._open()) as database, database:
            database.execute(
                f"CREATE TABLE IF NOT EXISTS {self.table} (key TEXT PRIMARY KEY, {self.column})"
            )

    def read(self, keys: Iterable[str]) -> dict[str, T]:
        """Those that are there."""
        found = {}
        asked = f"SELECT * FROM {self.table} WHERE key = ?"  # noqa: S608
        with closing(self._open()) as database:
            for key in keys:
                if row := database.execute(asked, [key]).fetchone():
                    found[key] = self.decode(row[1])
        return found

    def write(self, found: Mapping[str, T]) -> None:
        """Keep values, in the place of what was there."""
        rows = [(key, self.encode(value)) for key, value in found.items()]
        with closing(self._open()) as database, database:
            database.executemany(
                f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?)",  # noqa: S608
                rows,
            )

    def encode(self, value: T) -> bytes | float:
        """A value as it is stored."""
        raise NotImplementedError

    def decode(self, stored: bytes | float) -> T:
        """A stored value as it was."""
        raise NotImplementedError

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=60)
