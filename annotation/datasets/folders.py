"""An export as a folder, which appears when it is whole."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

SUMS = "SHA256SUMS"


class FolderInUse(Exception):
    """The folder to export into holds something already."""


def write_folder(files: Iterable[tuple], folder: Path) -> int:
    """Write files, each (name, bytes or chunks of bytes, ...), and SHA256SUMS into a new folder;
    returns how many. Raises FolderInUse (see new_folder)."""
    count = 0
    with new_folder(folder) as aside, (aside / SUMS).open("w", encoding="utf-8") as sums:
        for name, content, *_ in files:
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with path.open("wb") as file:
                for chunk in [content] if isinstance(content, bytes) else content:
                    digest.update(chunk)
                    file.write(chunk)
            sums.write(sum_line(digest.hexdigest(), name))
            count += 1
    return count + 1


def sum_line(digest: str, name: str) -> str:
    """A line that `sha256sum -c` understands; no name has a line break or a backslash."""
    return f"{digest}  {name}\n"


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is renamed to this one at the end: a run that is interrupted leaves
    no folder that looks complete. Raises FolderInUse if the folder holds anything already."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUse(f"{folder} is there already and is not empty; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.partial-"))
    try:
        yield aside
        aside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
