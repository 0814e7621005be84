"""A worker that is really killed while it makes an export.

Rows are committed, and deleted at the end: a test's usual transaction would hide them from it.
"""

import os
import signal
import subprocess
import sys
import tarfile

import pytest
from django.db import connection

from annotation import exports
from annotation.models import Export
from annotation.populations import PEOPLE
from codecs_registry import clock
from tests import factories
from tests.at_once import committed_rows

WORKER = """
import os, signal, sys
from pathlib import Path
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[2]
django.setup()
from annotation import exports
from codecs_registry import blobs
exports.folder = lambda: Path(sys.argv[1])
exports.SECONDS_BETWEEN = 0
read, seen = blobs.read, []
def counted(name):
    seen.append(name)
    if len(seen) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(name)
blobs.read = counted
exports.make_next()
"""


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


def test_a_worker_that_is_killed_is_followed_by_one_that_ends_its_work(tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "folder", lambda: tmp_path)
    campaign = factories.open_campaign(4)
    factories.judge_all(factories.annotator(campaign))
    export = exports.request(campaign, "bapps", PEOPLE, title="sea", about={})
    ended = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path), connection.settings_dict["NAME"]],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    export.refresh_from_db()
    assert export.state == Export.State.MAKING
    assert 0 < export.kept["files"] < 16
    assert not exports.archive_of(export).exists()
    assert exports.make_next() is None, "its lease runs"
    assert exports.WORK.release_dead(now=clock.now()) == 1
    assert exports.make_next() == export
    with tarfile.open(exports.archive_of(export)) as archive:
        assert len(archive.getnames()) == 4 * 4 + 4
