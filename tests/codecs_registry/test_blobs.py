"""Blobs: a file appears whole under the name of its content, or not at all."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from django.core.files.storage import storages
from hypothesis import given
from hypothesis import strategies as st

from codecs_registry import blobs


def path_of(name: str) -> Path:
    return Path(storages["blobs"].path(name))


def files_like(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def fresh() -> tuple[bytes, Path]:
    """Content that no blob holds yet, and the path where it belongs."""
    content = os.urandom(64)
    digest = hashlib.sha256(content).hexdigest()
    return content, path_of(f"{digest[:2]}/{digest}.bin")


@given(content=st.binary(max_size=200))
def test_what_is_put_is_read_back_under_the_name_of_its_content(content):
    name = blobs.put(content, ".bin")
    digest = hashlib.sha256(content).hexdigest()
    assert name == f"{digest[:2]}/{digest}.bin"
    assert blobs.read(name) == content


def test_putting_the_same_content_again_does_not_write_the_file():
    content, path = fresh()
    blobs.put(content, ".bin")
    os.utime(path, (0, 0))
    before = path.stat()
    assert blobs.put(content, ".bin") == f"{path.parent.name}/{path.name}"
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > 0, "it counts as new: nobody takes it for one that is not wanted"


def test_a_file_that_was_cut_is_written_anew():
    content, path = fresh()
    blobs.put(content, ".bin")
    os.truncate(path, 10)
    blobs.put(content, ".bin")
    assert path.read_bytes() == content


def test_a_file_that_nothing_names_is_deleted_once_it_is_old(tmp_path):
    content, path = fresh()
    name = blobs.put(content, ".bin")
    storage = storages["blobs"]
    assert not storage.delete_unused(name, older_than_s=60)
    os.utime(path, (0, 0))
    blobs.put(content, ".bin")
    assert not storage.delete_unused(name, older_than_s=60), "somebody wants it again"
    os.utime(path, (0, 0))
    assert storage.delete_unused(name, older_than_s=60)
    assert not path.exists()


def test_a_file_that_is_wanted_again_while_it_is_deleted_stays(monkeypatch):
    content, path = fresh()
    name = blobs.put(content, ".bin")
    os.utime(path, (0, 0))
    replace = Path.replace

    def wanted_first(self, target):
        monkeypatch.undo()
        blobs.put(content, ".bin")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", wanted_first)
    assert not storages["blobs"].delete_unused(name, older_than_s=60)
    assert path.read_bytes() == content


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_while_writing_leaves_nothing_behind(monkeypatch, step):
    content, path = fresh()
    before = files_like(path.parent)
    seen = []

    def fail(*_):
        seen.append(path.exists())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail) if step == "fsync" else patch.setattr(
            Path, "replace", fail
        )
        with pytest.raises(OSError, match="No space left"):
            blobs.put(content, ".bin")
    assert seen == [False], "it was written aside"
    assert files_like(path.parent) == before
    blobs.put(content, ".bin")
    assert path.read_bytes() == content, "the next try is not in its way"


def test_a_file_is_never_seen_half_written_by_many_who_write_it_at_once():
    content = os.urandom(2_000_000)
    digest = hashlib.sha256(content).hexdigest()
    path = path_of(f"{digest[:2]}/{digest}.bin")
    sizes = set()
    writers = [threading.Thread(target=blobs.put, args=(content, ".bin")) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            sizes.add(path.stat().st_size)
    for writer in writers:
        writer.join()
    assert sizes <= {len(content)}
    assert path.read_bytes() == content
    assert not [name for name in files_like(path.parent) if name.startswith(".writing-")]
