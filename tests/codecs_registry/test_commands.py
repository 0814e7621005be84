"""`manage.py codecs` and `manage.py encode`: what they print, write and refuse."""

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.webp import WebP
from codecs_registry.pictures import identify, read_picture, read_png
from tests import factories

# As design.md has them.
MANIFEST = (
    "source,codec,version,settings,target_bpp,actual_bpp,bitstream,decoded,encode_ms,decode_ms,"
    "sha256"
)


def run(name: str, *arguments, **options) -> tuple[str, str]:
    """Run a command; returns what it prints on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def encode(*images, out, codecs=("jpeg",), bpp=("1",), arguments=()) -> tuple[str, str]:
    named = [argument for name in codecs for argument in ("--codec", name)]
    rates = [argument for rate in bpp for argument in ("--bpp", rate)]
    return run("encode", *images, *named, *rates, "--out", out, *arguments)


def manifest_of(folder: Path) -> list[dict]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "sea.png"
    Image.fromarray(factories.pixels(192, 128)).save(path)
    return path


# --- codecs ---------------------------------------------------------------------------------------


def test_codecs_are_listed_with_their_versions():
    out, _ = run("codecs")
    for codec in all_codecs().values():
        [line] = [line for line in out.splitlines() if line.split()[0] == codec.name]
        assert codec.label in line
        assert codec.version() in line


def test_codecs_as_json_tell_name_label_availability_version_and_reason():
    document = json.loads(run("codecs", "--json")[0])
    by_name = {codec["name"]: codec for codec in document["codecs"]}
    assert by_name.keys() >= {"jpeg", "jpeg2000", "webp", "avif"}
    assert by_name["jpeg2000"] == {
        "name": "jpeg2000",
        "label": "JPEG 2000",
        "available": True,
        "version": get_codec("jpeg2000").version(),
        "reason": "",
    }


def test_a_codec_that_cannot_be_used_here_is_listed_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(WebP, "unavailable", lambda self: "it needs libwebp: pip install it")
    out, _ = run("codecs")
    [line] = [line for line in out.splitlines() if line.startswith("webp ")]
    assert line.endswith("not available: it needs libwebp: pip install it")
    [webp] = [c for c in json.loads(run("codecs", "--json")[0])["codecs"] if c["name"] == "webp"]
    assert webp["available"] is False
    assert webp["reason"] == "it needs libwebp: pip install it"


# --- encode ---------------------------------------------------------------------------------------


def test_encode_writes_bitstreams_decoded_pictures_and_a_manifest_that_tells_the_truth(
    photo, tmp_path
):
    out = tmp_path / "made" / "here"
    stdout, stderr = encode(photo, out=out, codecs=all_codecs(), bpp=("0.5", "1.0"))
    assert stdout == f"{out}/manifest.csv\n"
    assert (out / "manifest.csv").read_text().splitlines()[0] == MANIFEST
    rows = manifest_of(out)
    assert len(rows) == len(all_codecs()) * 2
    assert len(stderr.splitlines()) == len(rows), "a line of progress each"
    for row in rows:
        codec = get_codec(row["codec"])
        bitstream = (out / row["bitstream"]).read_bytes()
        bpp = 8 * len(bitstream) / (192 * 128)
        assert float(row["actual_bpp"]) == pytest.approx(bpp, abs=1e-6)
        assert float(row["target_bpp"]) == pytest.approx(bpp, rel=0.02)
        decoded = codec.decode(bitstream)
        assert np.array_equal(read_png((out / row["decoded"]).read_bytes()), decoded)
        assert row["source"] == "sea.png"
        assert row["version"] == codec.version()
        assert row["sha256"] == identify(read_picture(photo).pixels)
        assert isinstance(json.loads(row["settings"]), dict)
        assert min(float(row["encode_ms"]), float(row["decode_ms"])) > 0
        assert not Path(row["bitstream"]).is_absolute()
        assert not Path(row["decoded"]).is_absolute()
    named = {row[column] for row in rows for column in ("bitstream", "decoded")}
    assert files_of(out) == {"manifest.csv", *named}, "and nothing else is left"
    assert len(named) == 2 * len(rows)


def test_encode_as_json_prints_the_manifests_rows(photo, tmp_path):
    stdout, _ = encode(photo, out=tmp_path / "out", arguments=["--json"])
    [row] = json.loads(stdout)["reconstructions"]
    assert list(row) == MANIFEST.split(",")
    assert {name: str(value) for name, value in row.items()} == manifest_of(tmp_path / "out")[0]


def test_a_missed_target_is_told_and_written_beside_the_manifest(photo, tmp_path):
    _, stderr = encode(photo, out=tmp_path / "out", bpp=("0.001",))
    assert "MISSED: 0.001 bpp is out of range: the smallest file" in stderr
    [missed] = csv.DictReader((tmp_path / "out" / "missed.csv").read_text().splitlines())
    assert missed["bitstream"] == manifest_of(tmp_path / "out")[0]["bitstream"]
    assert "out of range" in missed["reason"]


def test_a_codec_or_rate_named_twice_is_made_once(photo, tmp_path):
    encode(photo, out=tmp_path / "out", codecs=("jpeg", "jpeg"), bpp=("1", "1.0"))
    assert len(manifest_of(tmp_path / "out")) == 1


def test_rates_that_differ_little_have_files_of_their_own(photo, tmp_path):
    encode(photo, out=tmp_path / "out", bpp=("1", "1.0000001"))
    rows = manifest_of(tmp_path / "out")
    assert len({row["bitstream"] for row in rows}) == 2


def test_pictures_of_one_name_have_files_of_their_own(photo, tmp_path):
    other = tmp_path / "other" / photo.name
    other.parent.mkdir()
    Image.fromarray(factories.pixels(192, 128, seed=9)).save(other)
    encode(photo, other, out=tmp_path / "out")
    first, second = manifest_of(tmp_path / "out")
    assert first["source"] == second["source"]
    assert first["bitstream"] != second["bitstream"]


def test_encoding_again_gives_the_same_files(photo, tmp_path):
    def digests():
        files = (tmp_path / "out").rglob("*.*")
        kept = [path for path in files if path.name != "manifest.csv"]
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in kept}

    encode(photo, out=tmp_path / "out", codecs=("avif", "jpeg"))
    before = digests()
    encode(photo, out=tmp_path / "out", codecs=("avif", "jpeg"))
    assert digests() == before


@pytest.mark.parametrize("bpp", ["0", "-1", "nan", "inf", "many"])
def test_a_rate_that_is_none_is_refused(photo, tmp_path, bpp):
    with pytest.raises(CommandError, match=r"--bpp") as failure:
        run("encode", photo, "--codec", "jpeg", f"--bpp={bpp}", "--out", tmp_path / "out")
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_codec_is_refused_with_those_that_there_are(photo, tmp_path):
    with pytest.raises(CommandError, match="no codec is named 'jpg'; known are avif, jpeg"):
        encode(photo, out=tmp_path / "out", codecs=("jpeg", "jpg"))
    assert not (tmp_path / "out").exists()


def test_a_codec_that_cannot_be_used_here_is_refused_with_the_reason(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(WebP, "unavailable", lambda self: "it needs libwebp")
    with pytest.raises(CommandError, match="WebP is not available here: it needs libwebp"):
        encode(photo, out=tmp_path / "out", codecs=("jpeg", "webp"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "damaged", "no picture"])
def test_a_bad_picture_is_named_before_anything_is_written(photo, tmp_path, kind):
    bad = tmp_path / "bad.png"
    if kind == "folder":
        bad.mkdir()
    elif kind == "damaged":
        bad.write_bytes(photo.read_bytes()[:500])
    elif kind == "no picture":
        bad.write_text("hello")
    with pytest.raises(CommandError) as failure:
        encode(photo, bad, out=tmp_path / "out")
    assert str(failure.value).startswith(f"{bad}: ")
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(photo, tmp_path):
    # A file in the way: permissions would not stop root, as whom these tests may run.
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(CommandError, match=str(tmp_path / "file")) as failure:
            encode(photo, out=out)
        assert "\n" not in str(failure.value)


def test_a_run_that_fails_half_way_leaves_no_manifest_and_no_half_file(photo, tmp_path):
    out = tmp_path / "out"
    encode(photo, out=out)
    wide = tmp_path / "wide.png"
    Image.fromarray(np.zeros((1, 16_384, 3), np.uint8)).save(wide)
    with pytest.raises(CommandError, match="at most 16383 pixels a side"):
        encode(photo, wide, out=out, codecs=("webp",))
    assert "manifest.csv" not in files_of(out), "a folder without one is unfinished"
    for name in files_of(out):
        assert Path(name).suffix in (".jpg", ".webp", ".png")
        read_picture(out / name)


def test_a_disk_that_fails_leaves_no_half_file(photo, tmp_path, monkeypatch):
    def fail(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(CommandError, match="No space left"):
        encode(photo, out=tmp_path / "out")
    assert files_of(tmp_path / "out") == set()
