"""`manage.py import_comparisons`: the same as the page, for a terminal and for programs."""

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from evaluation.models import ImportedJudgments
from tests import factories

pytestmark = pytest.mark.django_db

TEXT = "who,content,stratum,left,right,chosen\nann,x,1,j,w,left\nann,x,1,j,w,maybe\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text(TEXT)
    return path


def run(*arguments) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_comparisons", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_dry_run_says_what_it_would_do_and_does_nothing(file):
    out, err = run(file, "--column", "annotator=who", "--dry-run")
    assert "annotator ann found j closer than w on x" in out
    assert "1 of 2 rows are understood, 1 fail" in out
    assert "Nothing was imported" in out
    assert "line 3, column chosen: expected left, right or tie" in err
    assert not ImportedJudgments.objects.exists()


def test_an_import_is_told_with_its_page_and_its_columns_are_remembered(file):
    out, _ = run(file, "--column", "annotator=who", "--name", "Lab", "--json")
    found = ImportedJudgments.objects.get()
    document = json.loads(out)
    assert document["imported"]["page"] == found.get_absolute_url()
    assert (found.name, found.columns, found.imported_by) == ("Lab", {"annotator": "who"}, None)
    assert (document["used"], len(document["malformed"])) == (1, 1)
    with pytest.raises(CommandError, match=f"imported already.*{found.get_absolute_url()}"):
        run(file, "--column", "annotator=who")


def test_a_bapps_folder_is_imported_by_its_shares(tmp_path):
    judge = tmp_path / "bapps" / "2afc" / "val" / "cnn" / "judge"
    judge.mkdir(parents=True)
    np.save(judge / "000000.npy", np.array([0.6], dtype=np.float32))
    document = json.loads(run(tmp_path / "bapps", "--json")[0])
    assert document["read_aloud"] == [
        "40.0% of the votes found p0 closer than p1 on 2afc/val/cnn/000000 at 2afc/val/cnn"
    ]
    assert any("not of how many" in each for each in document["cannot_be_had"])
    (judge / "000001.npy").write_bytes(b"")
    with pytest.raises(CommandError, match=r"000001\.npy: expected one share"):
        run(tmp_path / "bapps")


def test_what_cannot_be_imported_is_refused_in_one_line(file, tmp_path):
    factories.study()
    for arguments, message in (
        ([file], "column annotator: expected once"),
        ([file, "--column", "who"], "as in|content=image"),
        ([tmp_path / "absent.csv"], "No such file"),
        ([tmp_path], "expected manifest.csv"),
        ([file, "--study", "sky"], "There is no study 'sky'"),
        ([file, "--study", "sea", "--column", "annotator=who"], "none of 2 rows can be used"),
        ([file, "--column", "annotator=who", "--simulated"], "found none"),
    ):
        with pytest.raises(CommandError, match=message) as caught:
            run(*arguments)
        assert "\n" not in str(caught.value)
    assert not ImportedJudgments.objects.exists()
