"""An export as one .tar file, written file by file, that goes on after a crash where the last whole
file, or part of one, ends.

A .tar has no directory at its end: so however many files it holds, nothing of them is kept in
memory, and cut off behind a file, or in one, it can be continued. Checksums are kept beside it
until they are its last file.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from annotation.datasets import tar
from annotation.datasets.contents import File, Part
from annotation.datasets.folders import SUMS, sum_line

COPY_BYTES = 2**20


class ArchiveInUse(Exception):
    """Another process writes it at this moment."""


@dataclass(frozen=True)
class Kept:
    """How much of an archive is whole: files, bytes, and bytes of checksums; and of the file behind
    those, how many parts, and at which byte it begins."""

    files: int = 0
    bytes: int = 0
    sums: int = 0
    parts: int = 0
    begin: int = 0

    @classmethod
    def stored(cls, given: dict[str, Any]) -> Self:
        return cls(**given)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Archive:
    """The archive at `path`, to be filled; a context manager. What is behind `kept` is cut off, and
    if there is less than that it begins anew. folder : in which its files lie.

    Raises ArchiveInUse.
    """

    def __init__(self, path: Path, *, folder: str, kept: Kept, mtime: int = 0) -> None:
        self._path, self._folder, self._mtime = path, folder, mtime
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._opened(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ArchiveInUse(str(path)) from None
        self._sums = self._opened(sums_of(path))
        if any(_size(file) < n for file, n in self._lengths(kept)):
            kept = Kept()
        for file, n in self._lengths(kept):
            file.truncate(n)
            file.seek(n)
        self.kept = kept

    @staticmethod
    def _opened(path: Path) -> BinaryIO:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")

    def _lengths(self, kept: Kept) -> list[tuple[BinaryIO, int]]:
        return [(self._file, kept.bytes), (self._sums, kept.sums)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._sums.close()

    def add(self, files: Iterable[File], *, tell: Callable[[int], None]) -> None:
        """Write files, all of which but those that are kept, and kept parts, are read. tell : as of
        Contents, of what is not read."""
        for number, file in enumerate(files):
            if number < self.kept.files:
                tell(file.units)
                continue
            parts = file.parts or [Part(file.chunks, file.units)]
            digest = self._write(file.name, parts, tell=tell)
            self._sums.write(sum_line(digest, file.name).encode())
            self.kept = Kept(number + 1, self._file.tell(), self._sums.tell())

    def end(self) -> None:
        """Write the checksums and what ends an archive."""
        self._sums.seek(0)
        self._write(SUMS, [Part(iter(lambda: self._sums.read(COPY_BYTES), b""))])
        self._file.write(tar.END)
        self.flush()

    def flush(self) -> Kept:
        """Have all that is written on the disk; returns what is kept then, whatever happens."""
        for file in (self._file, self._sums):
            file.flush()
            os.fsync(file.fileno())
        return self.kept

    def _write(
        self, name: str, parts: Iterable[Part], *, tell: Callable[[int], None] = lambda n: None
    ) -> str:
        """A file whose size is known once it is written: its header is written last."""
        inside = f"{self._folder}/{name}"
        header = tar.header(inside, 0, mtime=self._mtime)
        kept = self.kept
        if kept.parts:
            begin, digest = kept.begin, self._digest_from(kept.begin + len(header))
        else:
            begin, digest = self._file.tell(), hashlib.sha256()
            self._file.write(header)
        for number, part in enumerate(parts):
            if number < kept.parts:
                tell(part.units)
                continue
            for chunk in part.chunks:
                digest.update(chunk)
                self._file.write(chunk)
            end = self._file.tell()
            self.kept = replace(self.kept, bytes=end, parts=number + 1, begin=begin)
        size = self._file.tell() - begin - len(header)
        self._file.write(tar.padding(size))
        end = self._file.tell()
        self._file.seek(begin)
        self._file.write(tar.header(inside, size, mtime=self._mtime))
        self._file.seek(end)
        return digest.hexdigest()

    def _digest_from(self, begin: int) -> "hashlib._Hash":
        """Of what was written from here on by a worker that is no more."""
        digest = hashlib.sha256()
        self._file.seek(begin)
        while block := self._file.read(COPY_BYTES):
            digest.update(block)
        return digest


def sums_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sums")


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
