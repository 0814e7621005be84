"""Blobs in a bucket do all that blobs in a folder do, and are nobody's to see."""

import hashlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.web import free_port
from codecs_registry import blobs, clock, encoding
from codecs_registry.responses import stored_file
from config import backups, stored_files
from config.storage import blob_storage
from tests import factories

pytestmark = pytest.mark.django_db
BUCKET, KEY, SECRET = "blobs", "closer", "known-to-the-tests"


@dataclass(frozen=True)
class ObjectServer:
    url: str

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture(scope="session")
def object_server(tmp_path_factory) -> Iterator[ObjectServer]:
    folder = tmp_path_factory.mktemp("objects")
    keys = {"accessKey": KEY, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List"]
    identities = [{"name": "closer", "credentials": [keys], "actions": actions}]
    (folder / "identities.json").write_text(json.dumps({"identities": identities}))
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=8", "-master.volumeSizeLimitMB=64"),
        *(f"-{part}.port={free_port()}" for part in ("master", "volume", "filer")),
        *(f"-{part}.port.grpc={free_port()}" for part in ("master", "volume", "filer", "s3")),
        *("-filer", "-s3", f"-s3.port={port}", "-s3.iam=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        f"-s3.config={folder / 'identities.json'}",
    ]
    with (
        Path(folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        server = ObjectServer(f"http://127.0.0.1:{port}")
        try:
            _wait_until_it_stores(server, folder / "log")
            yield server
        finally:
            process.kill()  # nobody misses what it holds


def _wait_until_it_stores(server: ObjectServer, log: Path) -> None:
    client, until = server.client(), time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="tried", Body=b"x")
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.1)


@pytest.fixture
def prefix(object_server, settings) -> str:
    """Under which blobs lie for the length of a test."""
    found = f"lab/{uuid.uuid4()}"
    settings.STORAGES = settings.STORAGES | {"blobs": under(found, object_server)}
    return found


def under(prefix: str, server: ObjectServer, *, secret: str = SECRET) -> dict[str, Any]:
    where = f"s3://{BUCKET}/{prefix}"
    return blob_storage(where, endpoint=server.url, region="us-east-1", key=KEY, secret=secret)


@given(content=st.binary(max_size=200))
def test_what_is_put_is_read_back_under_the_name_of_its_content(prefix, content):
    name = blobs.put(content, ".bin")
    digest = hashlib.sha256(content).hexdigest()
    assert name == f"{digest[:2]}/{digest}.bin"
    assert (blobs.read(name), blobs.size(name)) == (content, len(content))
    assert blobs.exists(name)
    assert blobs.is_whole(name)


@pytest.mark.parametrize("asked", [blobs.read, blobs.size, blobs.digest, blobs.is_whole])
def test_what_is_not_there_is_no_file(prefix, asked):
    with pytest.raises(FileNotFoundError):
        asked(f"ab/{'ab' * 32}.bin")
    assert not blobs.exists(f"ab/{'ab' * 32}.bin")


def test_all_that_is_stored_is_listed_in_order_and_nothing_else(prefix, object_server):
    names = sorted(blobs.put(bytes([number]), ".bin") for number in range(20))
    object_server.client().put_object(Bucket=BUCKET, Key="ab/file", Body=b"not ours")
    blobs.try_writing()
    assert list(storages["blobs"].stored()) == names
    assert list(storages["blobs"].leftovers()) == []


def test_nobody_without_the_keys_reads_a_blob(prefix, object_server):
    name = blobs.put(b"a photograph", ".bin")
    assert httpx.get(f"{object_server.url}/{BUCKET}/{prefix}/{name}").status_code == 403


def test_a_file_that_nothing_names_is_deleted_once_it_is_old(prefix, monkeypatch):
    storage = storages["blobs"]
    name = blobs.put(b"wanted by nobody", ".bin")
    assert not storage.delete_unused(name, older_than_s=60)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(minutes=2))
    assert storage.delete_unused(name, older_than_s=60)
    assert not blobs.exists(name)


def test_what_is_stored_again_is_young_again(prefix):
    name = blobs.put(b"wanted again", ".bin")
    before = storages["blobs"].get_modified_time(name)
    while storages["blobs"].get_modified_time(name) == before:  # told in whole seconds
        assert blobs.put(b"wanted again", ".bin") == name
    assert storages["blobs"].get_modified_time(name) > before


@pytest.mark.parametrize("wrong", ["secret", "server"])
def test_a_storage_that_cannot_be_had_is_told_of_and_no_file_is_blamed(
    prefix, object_server, settings, wrong
):
    name = blobs.put(b"there", ".bin")
    changed = {
        "secret": under(prefix, object_server, secret="another"),
        "server": under(prefix, ObjectServer("http://127.0.0.1:9")),
    }[wrong]
    settings.STORAGES = settings.STORAGES | {"blobs": changed}
    for use in (lambda: blobs.put(b"x", ".bin"), lambda: blobs.read(name), blobs.try_writing):
        with pytest.raises(blobs.StorageFailed, match="object storage"):
            use()
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert "StorageFailed" in answer.json()["storage"]


def test_pictures_are_encoded_sent_checked_and_mended_in_a_bucket(prefix):
    source = factories.source_image()
    encoding.request([source], ["jpeg"], [Decimal("1.5")])
    while encoding.make_next() is not None:
        pass
    made = source.reconstructions.get()
    assert {made.bitstream, made.decoded, source.png} <= set(storages["blobs"].stored())
    sent = b"".join(stored_file(made.decoded, "image/png").streaming_content)
    assert sent == blobs.read(made.decoded)
    assert stored_files.check().broken == []

    storages["blobs"].mend(made.decoded, ContentFile(b"altered"))
    storages["blobs"].delete(made.bitstream)
    found = stored_files.check()
    told = {each.name: each.state for each in found.broken}
    assert told == {made.decoded: "altered", made.bitstream: "missing"}
    stored_files.repair(found)
    assert stored_files.check().broken == []


def test_a_backup_takes_files_out_of_the_bucket(prefix, tmp_path):
    source = factories.source_image()
    taken = tmp_path / "taken"
    backups._take(source.png, taken / "file", copies=False)
    assert (taken / "file").read_bytes() == blobs.read(source.png)
