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
        assert (codec.unavailable() or codec.version()) in line


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
    codecs = ("avif", "jpeg", "jpeg2000", "webp")
    stdout, stderr = encode(photo, out=out, codecs=codecs, bpp=("0.5", "1.5"))
    assert stdout == f"{out}/manifest.csv\n"
    assert (out / "manifest.csv").read_text().splitlines()[0] == MANIFEST
    rows = manifest_of(out)
    assert len(rows) == len(codecs) * 2
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
    with pytest.raises(CommandError, match=r"named 'jpg'; known are .*, jpeg, jpeg2000,"):
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
    for name in files_of(out) - {"manifest.part.csv"}:
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


def test_a_run_that_was_cut_short_goes_on_and_makes_nothing_twice(photo, tmp_path, monkeypatch):
    out, wide = tmp_path / "out", tmp_path / "wide.png"
    Image.fromarray(np.zeros((1, 16_384, 3), np.uint8)).save(wide)
    with pytest.raises(CommandError, match="at most 16383 pixels a side"):
        encode(photo, wide, out=out, codecs=("webp",), bpp=("1", "2"))
    with (out / "manifest.part.csv").open("a") as part:
        part.write("sea.png,webp,a line that was cut sho")
    made = {name: (out / name).stat().st_mtime_ns for name in files_of(out)}

    encodes = []
    real = WebP.encode
    monkeypatch.setattr(
        WebP, "encode", lambda self, *given: encodes.append(given) or real(self, *given)
    )
    _, stderr = encode(photo, out=out, codecs=("webp",), bpp=("1", "2"))
    assert encodes == []
    assert "2 of 2 are there already" in stderr
    rows = manifest_of(out)
    assert [float(row["target_bpp"]) for row in rows] == [1, 2]
    for row in rows:
        assert (out / row["bitstream"]).stat().st_mtime_ns == made[row["bitstream"]]

    (out / rows[0]["decoded"]).unlink()
    encode(photo, out=out, codecs=("webp",), bpp=("1", "2", "3"))
    assert encodes, "what is gone, and what was not asked for before, is made"
    assert [float(row["target_bpp"]) for row in manifest_of(out)] == [1, 2, 3]
    assert "manifest.part.csv" not in files_of(out)


def test_what_a_folder_holds_of_earlier_runs_stays_in_its_manifest(photo, tmp_path):
    out = tmp_path / "out"
    encode(photo, out=out, bpp=("0.001",))
    stdout, _ = encode(photo, out=out, codecs=("webp",), arguments=["--json"])
    assert [row["codec"] for row in manifest_of(out)] == ["jpeg", "webp"]
    assert [row["codec"] for row in json.loads(stdout)["reconstructions"]] == ["webp"]
    assert "out of range" in (out / "missed.csv").read_text(), "nor is its miss forgotten"


def test_several_jobs_make_the_same_as_one(photo, tmp_path):
    arguments = {"codecs": ("jpeg", "webp"), "bpp": ("0.5", "1")}
    encode(photo, out=tmp_path / "one", arguments=["--jobs", "1"], **arguments)
    encode(photo, out=tmp_path / "two", arguments=["--jobs", "2"], **arguments)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    one, two = manifest_of(tmp_path / "one"), manifest_of(tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        for column in set(a) - {"encode_ms", "decode_ms"}:
            assert a[column] == b[column]
        for column in ("bitstream", "decoded"):
            made = (tmp_path / "one" / a[column]).read_bytes()
            assert made == (tmp_path / "two" / b[column]).read_bytes()


def test_jobs_below_one_are_refused(photo, tmp_path):
    with pytest.raises(CommandError, match="--jobs takes 1 or more"):
        encode(photo, out=tmp_path / "out", arguments=["--jobs", "0"])


def test_a_picture_that_needs_more_memory_than_there_is_is_refused_before_it_is_encoded(
    photo, tmp_path, settings
):
    settings.CLOSER_ENCODE_MEMORY_MB = 1
    with pytest.raises(CommandError, match=r"sea.png: to encode it by JPEG takes about 0.\d+ GB"):
        encode(photo, out=tmp_path / "out")
    assert "manifest.csv" not in files_of(tmp_path / "out")
