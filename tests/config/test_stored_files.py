"""A storage that lost files, which real codecs make again."""

import json
import os
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from annotation.models import StoredCrop
from annotation.stimuli import stored_crops
from codecs_registry import blobs, encoding
from codecs_registry.models import Encode, Reconstruction, SourceImage
from config import stored_files
from evaluation.metric_models import DifferenceMap
from evaluation.metric_versions import bundled
from tests import factories
from tests.other_installation import storage_in

pytestmark = pytest.mark.django_db
CODECS = ("avif", "jpeg", "jpeg2000", "jpegli", "jpegxl", "mozjpeg", "webp")


@pytest.fixture(autouse=True)
def storage(tmp_path):
    with storage_in(tmp_path / "stored"):
        yield


@pytest.fixture
def made() -> Reconstruction:
    """A reconstruction by a real codec, and a part of it."""
    return make("jpeg")


def make(codec: str) -> Reconstruction:
    source = factories.source_image()
    encoding.request([source], [codec], [Decimal("1.5")])
    while encoding.make_next() is not None:
        pass
    made = source.reconstructions.get()
    assert made.state == Reconstruction.State.READY
    return made


def path_of(name: str) -> Path:
    return Path(storages["blobs"].path(name))


def lose(*names: str) -> dict[str, bytes]:
    """Take files away; returns what they held."""
    held = {name: blobs.read(name) for name in names}
    for name in held:
        path_of(name).unlink()
    return held


def verify(**options) -> tuple[dict, str]:
    """What the command finds, and how it ended: "" if all is well."""
    out = StringIO()
    ended = ""
    try:
        call_command("verify_storage", json=True, stdout=out, stderr=StringIO(), **options)
    except CommandError as error:
        ended = str(error)
    return json.loads(out.getvalue()), ended


def test_a_whole_storage_is_found_whole(made):
    found, ended = verify()
    assert ended == ""
    assert found["files"] >= 4
    assert (found["broken"], found["orphans"]["n"]) == ([], 0)


def test_what_is_missing_and_what_is_altered_is_named_with_what_wants_it(made):
    lose(made.bitstream)
    path_of(made.decoded).write_bytes(b"noise")
    found, ended = verify()
    assert {each["name"]: each["state"] for each in found["broken"]} == {
        made.bitstream: "missing",
        made.decoded: "altered",
    }
    assert any(str(made) in row for each in found["broken"] for row in each["wanted_by"])
    assert ended == "2 files are lost; --repair makes again what can be made again"
    quick, _ = verify(quick=True)
    assert [each["name"] for each in quick["broken"]] == [made.bitstream]


@pytest.mark.parametrize("codec", CODECS)
def test_all_that_a_codec_made_is_made_again_byte_for_byte_of_the_source_image(codec):
    made = make(codec)
    bitstreams = Encode.objects.values_list("bitstream", flat=True)
    held = lose(*{*bitstreams, made.decoded, made.webp})
    _, ended = verify(repair=True)
    assert ended == ""
    assert {name: blobs.read(name) for name in held} == held


def test_a_part_is_cut_again_and_a_picture_is_had_from_its_other_format(made):
    [part] = stored_crops(made.decoded, [(4, 4, 16, 16)])
    source = made.source
    held = lose(part.png, part.webp, source.png)
    found, ended = verify(repair=True)
    assert ended == ""
    assert {name: blobs.read(name) for name in held} == held
    said = {each["name"]: each["mended_by"] for each in found["broken"]}
    assert said[source.png] == "made again of the same pixels as WebP"
    assert "made again of the whole picture, cut" in (said[part.png], said[part.webp])


def test_what_came_from_outside_is_lost_but_for_a_backup(made, tmp_path):
    held = lose(made.source.png, made.source.webp)
    path_of(made.bitstream).write_bytes(b"noise")
    found, ended = verify(repair=True)
    assert ended == "3 files are lost"
    reasons = {each["name"]: each["reasons"] for each in found["broken"]}
    assert reasons[made.source.png] == [
        f"the same pixels as WebP: {made.source.webp} is missing, too"
    ]
    assert reasons[made.bitstream] == [
        f"its source image, encoded: {made.source.png} is missing, too"
    ]
    kept = tmp_path / "kept" / "blobs" / made.source.png
    kept.parent.mkdir(parents=True)
    kept.write_bytes(held[made.source.png])
    assert verify(repair=True, backup=tmp_path / "kept")[1] == ""
    assert {name: blobs.read(name) for name in held} == held
    with pytest.raises(CommandError, match="no folder of backups"):
        call_command("verify_storage", backup=tmp_path)


def test_another_version_of_a_codec_is_not_trusted(made):
    Encode.objects.update(codec_version="libjpeg 1")
    Reconstruction.objects.update(codec_version="libjpeg 1")
    lose(made.bitstream)
    found, ended = verify(repair=True)
    assert ended == "1 files are lost"
    assert "it was made by libjpeg 1, and here is" in found["broken"][0]["reasons"][0]


def test_other_bytes_are_never_put_in_a_files_place(made):
    lose(made.bitstream)
    other = factories.source_image()  # as if another photograph had been noted
    Encode.objects.filter(bitstream=made.bitstream).update(source=other)
    found, ended = verify(repair=True)
    assert ended == "1 files are lost"
    assert "other bytes came out" in found["broken"][0]["reasons"][0]
    assert not blobs.exists(made.bitstream)


def test_maps_are_asked_for_again_and_the_metric_that_comes_with_closer_is_written_again(made):
    version = bundled()
    picture = blobs.put(b"a map", ".png")
    drawn = DifferenceMap.objects.create(
        version=version, reconstruction=made, picture=picture, largest=1.0, distance=1.0
    )
    path_of(picture).write_bytes(b"noise")
    held = lose(version.file)
    _, ended = verify(repair=True)
    assert ended == ""
    assert blobs.read(version.file) == held[version.file]
    drawn.refresh_from_db()
    assert drawn.picture == ""
    assert not blobs.exists(picture)


def test_a_file_that_is_named_within_json_is_looked_at(made):
    version = bundled()
    pictures = {"reference": made.source.png, "p0": made.decoded, "p1": blobs.put(b"?", ".png")}
    version.hardest = [{"content": "sea", "pictures": pictures}]
    version.save()
    lose(pictures["p1"])
    found, _ = verify()
    [broken] = found["broken"]
    assert (broken["name"], broken["state"]) == (pictures["p1"], "missing")
    assert broken["wanted_by"] == [f"hardest of {version}"]


def test_what_nothing_names_is_deleted_once_it_is_old(made):
    old, young = blobs.put(b"an old one", ".csv"), blobs.put(b"a young one", ".csv")
    half = path_of(old).with_name(".writing-abc")
    half.write_bytes(b"half")
    for path in (path_of(old), half, path_of(made.decoded)):
        os.utime(path, (0, 0))
    found, ended = verify()
    assert (found["orphans"]["n"], found["half_written"], found["deleted"], ended) == (2, 1, 0, "")
    found, ended = verify(delete_orphans=True)
    assert (found["deleted"], ended) == (2, "")
    assert [blobs.exists(name) for name in (old, young, made.decoded)] == [False, True, True]
    assert not half.exists()


def test_what_is_named_meanwhile_is_no_orphan(made):
    name = blobs.put(b"soon wanted", ".png")
    found = stored_files.check()
    assert found.orphans == [name]
    StoredCrop.objects.create(of=made.decoded, crop=[0, 0, 1, 1], png=name, png_bytes=1)
    stored_files.delete_orphans(found, older_than_s=0)
    assert blobs.exists(name)


def test_the_command_says_all_of_it_in_words(made, capsys):
    lose(made.source.png, made.source.webp)
    with pytest.raises(CommandError, match="2 files are lost"):
        call_command("verify_storage", repair=True)
    said = capsys.readouterr().out
    assert f"{made.source.png}: missing\n  png of {made.source}\n" in said
    assert re.search(r"cannot be made again: the same pixels as WebP: .* is missing, too", said)
    assert "2 not as they were, 0 of these mended" in said
    assert SourceImage.objects.count() == 1
