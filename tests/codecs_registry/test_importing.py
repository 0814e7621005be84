"""Importing: from a folder of photographs to source images, each once."""

import io
import os
import sys

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from codecs_registry import blobs, importing
from codecs_registry.models import Collection, SourceImage
from codecs_registry.pictures import identify, read_png
from tests import factories

pytestmark = pytest.mark.django_db


def save(folder, name: str, *, seed: int = 0, **options):
    path = folder / name
    Image.fromarray(factories.pixels(seed=seed)).save(path, **options)
    return path


def import_folder(folder, **options) -> tuple[str, str]:
    """Run the command; returns what it prints on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_images", str(folder), stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def rows() -> list[dict]:
    return list(SourceImage.objects.order_by("id").values())


def test_a_photograph_becomes_a_source_image_known_by_its_pixels(tmp_path):
    pixels = factories.pixels(48, 32, seed=1)
    save(tmp_path, "sea.png", seed=1)
    out, err = import_folder(tmp_path)
    [source] = SourceImage.objects.all()
    assert (source.name, source.width, source.height) == ("sea.png", 48, 32)
    assert source.sha256 == identify(pixels)
    content = blobs.read(source.png)
    assert len(content) == source.png_bytes
    assert (read_png(content) == pixels).all()
    assert out.splitlines()[0] == "1 new, 0 known already, 0 skipped"
    assert "name one with --collection" in out
    assert err == "sea.png\n"


def test_importing_twice_changes_nothing(tmp_path):
    for seed in range(3):
        save(tmp_path, f"{seed}.png", seed=seed)
    import_folder(tmp_path, collection="holiday")
    before, files = rows(), {row["png"]: blobs.read(row["png"]) for row in rows()}
    out, _ = import_folder(tmp_path, collection="holiday")
    assert rows() == before
    assert {name: blobs.read(name) for name in files} == files
    assert Collection.objects.get().sources.count() == 3
    assert out == "0 new, 3 known already, 0 skipped\n"


def test_one_picture_under_two_names_and_formats_is_one_source_image(tmp_path):
    save(tmp_path, "a.png")
    save(tmp_path, "b.TIFF")
    save(tmp_path, "c.webp", lossless=True)
    result = importing.import_files(
        ((path.name, path) for path in importing.find_pictures(tmp_path)), collection="one"
    )
    [source] = SourceImage.objects.all()
    assert source.name == "a.png"
    assert (result.added, result.known) == ([source], [source, source])
    assert result.sources == [source]
    assert list(Collection.objects.get().sources.all()) == [source]


def test_two_pictures_of_the_same_bytes_and_another_shape_are_two(tmp_path):
    for name, size in (("wide.png", (8, 2)), ("tall.png", (2, 8))):
        Image.new("RGB", size, (7, 7, 7)).save(tmp_path / name)
    import_folder(tmp_path)
    assert SourceImage.objects.count() == 2
    assert SourceImage.objects.values("sha256").distinct().count() == 1


def test_what_cannot_be_used_is_named_with_its_reason_and_the_rest_is_imported(tmp_path):
    good = save(tmp_path, "good.jpg")
    save(tmp_path, "other.jpg", seed=5)
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "notes.txt").write_text("hello")
    Image.new("1", (20_000, 6_000)).save(tmp_path / "huge.png")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="4 of 6 files were skipped") as failure:
        call_command("import_images", str(tmp_path), collection="c", stdout=out, stderr=err)
    assert failure.value.returncode != 0
    assert out.getvalue() == "2 new, 0 known already, 4 skipped\n"
    skipped = {
        line.split(": ", 1)[0].rsplit("/", 1)[1]: line.split(": ", 1)[1]
        for line in err.getvalue().splitlines()
        if line.startswith("skipped")
    }
    assert skipped.keys() == {"cut.jpg", "text.png", "notes.txt", "huge.png"}
    assert "damaged" in skipped["cut.jpg"]
    assert "no picture" in skipped["text.png"]
    assert "name does not end like a picture's" in skipped["notes.txt"]
    assert "over 100 megapixels" in skipped["huge.png"]
    names = set(Collection.objects.get().sources.values_list("name", flat=True))
    assert names == {"good.jpg", "other.jpg"}


def test_hidden_files_and_folders_within_are_no_pictures_of_a_folder(tmp_path):
    save(tmp_path, "a.png")
    (tmp_path / ".DS_Store").write_text("what systems leave behind")
    save(tmp_path, ".hidden.png", seed=2)
    (tmp_path / "inner").mkdir()
    save(tmp_path / "inner", "b.png", seed=3)
    import_folder(tmp_path)
    assert [source.name for source in SourceImage.objects.all()] == ["a.png"]


@pytest.mark.parametrize("name", ["empty", "missing", "file.png"])
def test_a_folder_that_is_empty_or_none_is_refused_in_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    save(tmp_path, "file.png")
    with pytest.raises(CommandError, match=r"holds no files|is not a folder") as failure:
        import_folder(tmp_path / name)
    assert name in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not SourceImage.objects.exists()


def test_a_collection_grows_and_a_picture_can_be_in_several(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    for folder, seeds in ((first, (1, 2)), (second, (2, 3))):
        folder.mkdir()
        for seed in seeds:
            save(folder, f"{seed}.png", seed=seed)
    import_folder(first, collection="a")
    import_folder(second, collection="a")
    import_folder(second, collection="b")
    sizes = {each.name: each.sources.count() for each in Collection.objects.all()}
    assert sizes == {"a": 3, "b": 2}
    assert SourceImage.objects.count() == 3


def test_a_folder_without_a_usable_picture_makes_no_collection(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(CommandError):
        import_folder(tmp_path, collection="a")
    assert not Collection.objects.exists()


def test_a_collections_name_that_is_too_long_is_refused_before_anything_is_imported(tmp_path):
    save(tmp_path, "a.png")
    with pytest.raises(CommandError, match="at most 100 characters"):
        import_folder(tmp_path, collection="x" * 101)
    assert not SourceImage.objects.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take only valid Unicode")
def test_a_file_whose_name_is_no_unicode_is_imported_under_a_readable_one(tmp_path):
    save(tmp_path, "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    import_folder(tmp_path)
    assert SourceImage.objects.get().name == "caf\N{REPLACEMENT CHARACTER}.png"


def test_a_long_name_is_cut_not_refused():
    name = "x" * 240 + ".png"
    file = io.BytesIO()
    Image.fromarray(factories.pixels()).save(file, "PNG")
    source, is_new = importing.import_file(name, file)
    assert is_new
    assert len(source.name) == 200


def test_what_was_done_to_reach_srgb_is_kept_with_the_source_image(tmp_path):
    Image.new("LA", (4, 4), (10, 20)).save(tmp_path / "a.png")
    import_folder(tmp_path)
    assert SourceImage.objects.get().conversions == [
        "grey to RGB",
        "alpha composited onto mid-grey",
    ]
