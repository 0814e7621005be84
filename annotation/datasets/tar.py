"""The bytes of .tar files (GNU's format, whose header has one length whatever a file's size)."""

import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name: str, size: int, *, mtime: int = 0) -> bytes:
    """What stands before a file's bytes: several blocks where its name is long."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mtime = mtime
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What stands behind so many bytes of a file."""
    return bytes(-size % BLOCK)
