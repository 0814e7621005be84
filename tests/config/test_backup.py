"""Backups of a real database that people judge into meanwhile, restored elsewhere."""

import json
import stat
import threading
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection, connections

from annotation import exports, serving
from annotation.models import Export, Judgment
from annotation.populations import PEOPLE
from annotation.stimuli import stored_crops
from codecs_registry import blobs, clock
from codecs_registry.blob_fields import IS_NAME, names_query
from config import backups, postgres
from evaluation.models import ImportedJudgments
from projects.access import default_project
from tests import factories
from tests.at_once import committed_rows
from tests.other_installation import empty_installation, storage_in


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker, tmp_path):
    with committed_rows(django_db_blocker), storage_in(tmp_path / "stored"):
        yield


@pytest.fixture
def campaign():
    """One that people have judged for, with crops and imported judgments beside it."""
    made = factories.open_campaign(4, judgments_per_task=3)
    factories.judge_all(factories.annotator(made))
    stored_crops(made.tasks.first().source.png, [(0, 0, 8, 8)])
    ImportedJudgments.objects.create(
        name="elsewhere",
        project=default_project(),
        file=blobs.put(b"annotator,content\n", ".csv"),
        n_rows=1,
        n_used=1,
        n_malformed=0,
        size_bytes=1,
        population=PEOPLE,
    )
    return made


def rows(table: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')  # noqa: S608
        return cursor.fetchall()


def named() -> dict[str, bytes]:
    """Every blob that the database names, with what it holds."""
    with connection.cursor() as cursor:
        cursor.execute(names_query())
        return {name: blobs.read(name) for (name,) in cursor.fetchall()}


def all_tables() -> dict[str, list[tuple]]:
    return {name: rows(name) for name in connection.introspection.table_names()}


def test_what_is_restored_is_what_was_there(campaign, tmp_path):
    call_command("backup", tmp_path / "kept")
    tables, files = all_tables(), named()
    assert len(tables["annotation_judgment"]) == 4
    with empty_installation(tmp_path / "blobs"):
        call_command("restore", tmp_path / "kept")
        assert all_tables() == tables
        assert named() == files
        again = Judgment.objects.first()
        assert again.assignment.annotator.n_answered == 4, "what triggers count is not doubled"
        assert factories.judge_all(factories.annotator(again.assignment.task.campaign)) == 4


def test_judgments_given_meanwhile_are_wholly_in_or_wholly_out(campaign, tmp_path, monkeypatch):
    begun, dumped = threading.Event(), threading.Event()

    def judge_on() -> None:
        try:
            while not dumped.is_set():
                of = factories.open_campaign(6)
                who = factories.annotator(of)
                while held := serving.lease(who, now=clock.now()):
                    serving.judge(
                        held[0],
                        answer="left",
                        response_ms=1000,
                        viewing={},
                        now=clock.now(),
                    )
                begun.set()
        finally:
            connection.close()

    run = postgres.run

    def run_while_judged(name, *arguments, **more):
        before = Judgment.objects.count()
        run(name, *arguments, **more)
        while Judgment.objects.count() < before + 6:  # some came between the snapshot and now
            threading.Event().wait(0.01)

    monkeypatch.setattr(postgres, "run", run_while_judged)
    people = threading.Thread(target=judge_on)
    people.start()
    try:
        assert begun.wait(30)
        made = backups.make(tmp_path / "kept")
    finally:
        dumped.set()
        people.join()
    monkeypatch.undo()
    after = dict(Judgment.objects.values_list("id", "ranks"))
    n = made.manifest["tables"]["annotation_judgment"]["rows"]
    assert 4 <= n <= len(after) - 6
    with empty_installation(tmp_path / "blobs"):
        call_command("restore", tmp_path / "kept")
        kept = dict(Judgment.objects.values_list("id", "ranks"))
        assert kept == dict(sorted(after.items())[:n]), "the first n, and each of them whole"
        assert set(named()) == {name for name, _ in made.files()}


def test_no_text_of_the_database_names_a_blob_that_a_backup_would_not_take(campaign):
    known = set(named())
    assert known
    told = set()
    for table in connection.introspection.table_names():
        for (text,) in rows(table):
            told |= set(IS_NAME.findall(text))
    assert told == known


def test_a_second_backup_takes_only_what_is_new_and_both_can_be_restored(campaign, tmp_path):
    home = tmp_path / "kept"
    first = backups.make(home)
    judgments = Judgment.objects.count()
    factories.judge_all(factories.annotator(factories.open_campaign(1)))
    older = home / "2020-01-01T000000Z"
    first.folder.rename(older)  # both may be made within a second
    second = backups.make(home)
    assert second.manifest["blobs"]["new"] == len(named()) - first.manifest["blobs"]["files"] > 0
    for place, n in ((older, judgments), (home, judgments + 1)):
        with empty_installation(tmp_path / f"blobs-{n}"):
            call_command("restore", place)
            assert Judgment.objects.count() == n
    second.folder.rename(home / "2020-01-02T000000Z")
    call_command("backup", home, keep=1)
    assert not older.exists()
    call_command("backup", home, verify=True)


def test_a_migrated_database_that_nobody_used_is_filled_and_backed_up_again(campaign, tmp_path):
    call_command("backup", tmp_path / "kept")
    tables = all_tables()
    with empty_installation(tmp_path / "blobs"):
        with connection.cursor() as cursor:  # as `migrate` leaves them, in a hundredth of its time
            for table in ("django_migrations", "annotation_judgment", "projects_project"):
                cursor.execute(f"CREATE TABLE {table} (id bigint)")
            cursor.execute("INSERT INTO projects_project VALUES (1)")
        call_command("restore", tmp_path / "kept")
        call_command("backup", tmp_path / "again")
    with empty_installation(tmp_path / "blobs-again"):
        call_command("restore", tmp_path / "again")
        assert all_tables() == tables


def test_a_restore_refuses_to_write_over_anything(campaign, tmp_path):
    call_command("backup", tmp_path / "kept")
    with pytest.raises(CommandError, match=r"is in use .* name an empty"):
        call_command("restore", tmp_path / "kept")
    with empty_installation(tmp_path / "blobs"):
        blobs.put(b"another", ".csv")
        with pytest.raises(CommandError, match="storage has files that are not in the backup"):
            call_command("restore", tmp_path / "kept")
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE theirs (id bigint)")
        with pytest.raises(CommandError, match="tables that are not Closer's"):
            call_command("restore", tmp_path / "kept")
    with pytest.raises(CommandError, match="is no backup"):
        call_command("restore", tmp_path)


def test_a_restore_that_was_cut_short_is_begun_again(campaign, tmp_path, monkeypatch):
    call_command("backup", tmp_path / "kept")
    tables = all_tables()
    run = postgres.run

    def cut_short(name, *arguments, **more):
        raise postgres.ProgramFailed("the power was cut")

    with empty_installation(tmp_path / "blobs"):
        monkeypatch.setattr(postgres, "run", cut_short)
        with pytest.raises(CommandError, match="the power was cut"):
            call_command("restore", tmp_path / "kept")
        assert connection.introspection.table_names() == []
        monkeypatch.setattr(postgres, "run", run)
        call_command("restore", tmp_path / "kept")
        assert all_tables() == tables


def test_an_altered_backup_is_found_and_refused(campaign, tmp_path, capsys):
    home = tmp_path / "kept"
    made = backups.make(home, copies=True)
    name, _ = next(made.files())
    whole = made.file(name).read_bytes()
    made.file(name).write_bytes(whole[:-1] + b"?")
    with pytest.raises(CommandError, match="1 things are not as they were"):
        call_command("backup", home, verify=True)
    assert name in capsys.readouterr().err
    with empty_installation(tmp_path / "blobs"), pytest.raises(CommandError, match="altered"):
        call_command("restore", home)
    made.file(name).write_bytes(whole)
    with (made.folder / "database.dump").open("ab") as file:
        file.write(b"?")
    with pytest.raises(CommandError, match="1 things"):
        call_command("backup", home, verify=True)


def test_a_backup_is_made_even_of_a_storage_that_lacks_files_and_says_so(campaign, tmp_path):
    png = campaign.tasks.first().source.png
    path = Path(storages["blobs"].path(png))
    path.write_bytes(b"altered")
    with pytest.raises(CommandError, match=r"lacks 1 files .* verify_storage"):
        call_command("backup", tmp_path / "kept", copy=True)
    made = backups.find(tmp_path / "kept")
    assert made.missing == [png]
    assert png not in dict(made.files())


def test_what_the_storage_has_lost_since_an_earlier_backup_is_in_the_next(campaign, tmp_path):
    home = tmp_path / "kept"
    first = backups.make(home)
    first.folder.rename(home / "2020-01-01T000000Z")
    Path(storages["blobs"].path(campaign.tasks.first().source.png)).unlink()
    listed = first.manifest["blobs"]["sha256"]
    second = backups.make(home)
    assert second.missing == []
    assert second.manifest["blobs"]["sha256"] == listed, "the same files"


def test_an_installation_in_which_anything_was_done_is_not_filled(campaign, tmp_path):
    call_command("backup", tmp_path / "kept")
    with empty_installation(tmp_path / "blobs"):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE django_migrations (id bigint)")
            cursor.execute("CREATE TABLE annotation_judgment (id bigint)")
            cursor.execute("CREATE TABLE evaluation_importedjudgments AS SELECT 1 AS id")
        with pytest.raises(CommandError, match="rows in evaluation_importedjudgments"):
            call_command("restore", tmp_path / "kept")


def test_files_are_linked_and_nobody_else_may_read_a_backup(campaign, tmp_path):
    made = backups.make(tmp_path / "kept")
    name, _ = next(made.files())
    assert made.file(name).samefile(storages["blobs"].path(name))
    for path in (tmp_path / "kept", made.folder, made.folder / "database.dump"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_backup_cut_short_leaves_whole_files_and_no_backup(campaign, tmp_path, monkeypatch):
    home = tmp_path / "kept"
    taken = []

    def take(name, target, *, copies):
        if len(taken) == 3:
            raise OSError(28, "No space left on device")
        taken.append(name)
        take_really(name, target, copies=copies)

    take_really = backups._take
    monkeypatch.setattr(backups, "_take", take)
    with pytest.raises(CommandError, match="No space left"):
        call_command("backup", home)
    assert backups.all_in(home) == []
    assert [path.name for path in home.iterdir()] == ["blobs"]
    monkeypatch.setattr(backups, "_take", take_really)
    made = backups.make(home)
    assert made.manifest["blobs"]["new"] == len(named()) - 3


def test_what_a_backup_does_not_hold_is_said_when_it_is_restored(campaign, tmp_path, capsys):
    exports.request(campaign, "csv", PEOPLE, title="sea", about={})
    exports.make_next()
    call_command("backup", tmp_path / "kept")
    for export in Export.objects.all():
        exports.delete(export)
    with empty_installation(tmp_path / "blobs", key="another key of some length"):
        call_command("restore", tmp_path / "kept")
        assert Export.objects.get().state == Export.State.FAILED
        assert exports.retry(Export.objects.get())
    said = capsys.readouterr().out
    assert "1 exports have no archive" in said
    assert "SECRET_KEY is not the one of then" in said


def test_a_backup_of_a_newer_version_is_refused(campaign, tmp_path):
    made = backups.make(tmp_path / "kept")
    path = made.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["migrations"]["annotation"].append("0999_from_the_future")
    path.write_text(json.dumps(manifest))
    with empty_installation(tmp_path / "blobs"), pytest.raises(CommandError, match="newer"):
        call_command("restore", tmp_path / "kept")


def test_a_server_to_which_a_backup_cannot_be_restored_is_refused(campaign, tmp_path, monkeypatch):
    backups.make(tmp_path / "kept")
    with empty_installation(tmp_path / "blobs"):
        monkeypatch.setattr(connections["default"], "pg_version", 160004)
        with pytest.raises(CommandError, match="the server here is 16: use 18 or later"):
            call_command("restore", tmp_path / "kept")
        path = next((tmp_path / "kept").glob("*/manifest.json"))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"postgresql": 15}))
        with pytest.raises(CommandError, match=r"of PostgreSQL 15, and .* is 16: use 17"):
            call_command("restore", tmp_path / "kept")
        monkeypatch.undo()


def test_a_folder_with_other_things_and_the_storage_itself_are_no_place_for_backups(tmp_path):
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(CommandError, match="other things in it"):
        call_command("backup", tmp_path)
    with pytest.raises(CommandError, match="within the stored files"):
        call_command("backup", Path(storages["blobs"].path("")) / "kept")


def test_programs_older_than_the_server_are_refused(monkeypatch):
    monkeypatch.setattr(postgres, "_major_version", lambda path: 9)
    with pytest.raises(postgres.ProgramFailed, match=r"must not be older.* of version 9.*Install"):
        postgres.program("pg_dump")
