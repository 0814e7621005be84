"""Exports as jobs: asked for once, made by one worker, gone on with after a crash, never half."""

import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import IntegrityError, OperationalError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import exports, records
from annotation.datasets import Contents, archives, arrow_tables
from annotation.datasets import contents as export_contents
from annotation.datasets import shards as shard_sizes
from annotation.datasets.archives import Archive, ArchiveInUse, Kept
from annotation.datasets.contents import File, Part
from annotation.models import Export
from annotation.people import withdraw
from annotation.populations import PEOPLE, SIMULATED
from codecs_registry import blobs, clock
from codecs_registry.leases import LEASE
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

State = Export.State


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path):
    settings.CLOSER_DATA = tmp_path


def judged(tasks: int = 4):
    campaign = factories.open_campaign(tasks)
    factories.judge_all(factories.annotator(campaign))
    return campaign


def ask(campaign, form: str = "bapps", population: str = PEOPLE) -> Export:
    return exports.request(campaign, form, population, title="sea", about={"study": "Sea"})


def made(export: Export) -> dict[str, bytes]:
    """The files of its archive, by their names, as the tarfile module finds them."""
    export.refresh_from_db()
    assert (export.state, export.error) == (State.READY, "")
    content = exports.archive_of(export).read_bytes()
    assert len(content) == export.size_bytes
    assert hashlib.sha256(content).hexdigest() == export.sha256
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive}
    for line in found[f"{export.name}/SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(found[f"{export.name}/{name}"]).hexdigest() == digest
    return found


# --- the whole way --------------------------------------------------------------------------------


def test_an_export_is_asked_for_made_and_whole():
    export = ask(judged())
    assert export.name == "sea-bapps-people"
    assert exports.make_next() == export
    files = made(export)
    assert sum(name.endswith(".png") for name in files) == 3 * 4
    assert "sea-bapps-people/README.md" in files
    export.refresh_from_db()
    assert export.done == export.total == 4
    assert [path.name for path in exports.folder().iterdir()] == [f"{export.id}.tar"]
    assert exports.make_next() is None


def test_what_is_asked_for_twice_is_made_once_and_afterwards_again():
    campaign = judged()
    first = ask(campaign)
    assert ask(campaign) == first
    assert ask(campaign, population=SIMULATED) != first
    assert exports.make_next() == first
    assert ask(campaign) != first, "there may be more judgments by now"


@pytest.mark.parametrize(("form", "population"), [("xls", PEOPLE), ("csv", "nobody")])
def test_a_format_or_population_that_there_is_not_is_refused_with_those_there_are(form, population):
    with pytest.raises(exports.UnknownExport, match=r"xls.*csv, parquet|nobody.*people, simulated"):
        ask(factories.campaign(), form, population)
    assert not Export.objects.exists()


def test_one_is_made_at_a_time():
    campaign = judged()
    ask(campaign)
    ask(campaign, "csv")
    assert exports.claim_next(worker="one", now=NOW)
    assert exports.claim_next(worker="two", now=NOW) is None
    assert not exports.is_owed(now=NOW)
    with pytest.raises(IntegrityError, match="export_one_at_a_time"), transaction.atomic():
        Export.objects.update(state=State.MAKING)


def test_the_same_data_gives_the_same_bytes():
    campaign = judged()
    first = ask(campaign)
    exports.make_next()
    content = exports.archive_of(first).read_bytes()
    second = ask(campaign)
    Export.objects.filter(id=second.id).update(requested_at=first.requested_at)
    exports.make_next()
    assert exports.archive_of(second).read_bytes() == content


# --- after a crash --------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of a process: nothing catches it."""


@pytest.fixture
def killed_after(monkeypatch):
    """kill(n): the worker ends while it reads the n-th picture; every note is written down."""
    monkeypatch.setattr(exports, "SECONDS_BETWEEN", 0)
    read = blobs.read

    def kill(n: int) -> list[str]:
        names: list[str] = []

        def counted(name: str) -> bytes:
            names.append(name)
            if len(names) == n:
                raise Killed
            return read(name)

        monkeypatch.setattr(blobs, "read", counted)
        return names

    return kill


def die(killed_after, pictures: int) -> None:
    killed_after(pictures)
    with pytest.raises(Killed):
        exports.make_next()
    Export.objects.update(lease_ends=clock.now() - LEASE)


@pytest.mark.parametrize("form", ["bapps", "huggingface"])
def test_killed_in_the_middle_it_goes_on_behind_the_last_whole_file(
    killed_after, form, monkeypatch
):
    monkeypatch.setattr(
        shard_sizes.shards, "__kwdefaults__", {"most_pairs": 2, "most_bytes": 10**9}
    )
    campaign = judged(6)
    export = ask(campaign, form)
    whole = {}
    if exports.make_next():
        whole = made(export)
    again = ask(campaign, form)
    die(killed_after, 14)
    again.refresh_from_db()
    assert again.state == State.MAKING
    assert not exports.archive_of(again).exists(), "what is half-written has another name"
    kept = again.kept["files"]
    assert kept > 0

    read = killed_after(10**9)
    assert exports.make_next() == again
    files = made(again)
    assert {k.split("/", 1)[1]: v for k, v in files.items() if "README" not in k} == {
        k.split("/", 1)[1]: v for k, v in whole.items() if "README" not in k
    }
    assert len(read) < 18, "what was whole is not read again"
    again.refresh_from_db()
    assert (again.attempts, again.done) == (2, again.total)


@pytest.mark.parametrize("form", ["csv", "csv of rankings", "parquet"])
def test_a_table_goes_on_behind_the_last_stretch_of_judgments(monkeypatch, form):
    monkeypatch.setattr(exports, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(export_contents, "ROWS_IN_A_PART", 3)
    form, _, is_ranking = form.partition(" of ")
    if is_ranking:
        codecs = ("avif", "jpeg", "webp")
        campaign = factories.study(sources=4, task="ranking", codecs=codecs).campaign
    else:
        campaign = factories.open_campaign(4, gold_share=0.3)
        factories.gold_task(campaign)
    for is_simulated in (False, True, False):
        answer = [2, 1, 3] if is_ranking else "left"
        who = factories.annotator(campaign, is_simulated=is_simulated)
        factories.judge_all(who, choose=lambda each, answer=answer: answer)
    first = ask(campaign, form)
    exports.make_next()
    whole = made(first)
    assert export_contents.Contents(campaign).count(["measure"])["people"] >= 6
    again = ask(campaign, form)
    begun: list[int] = []
    stretches = export_contents.Contents.stretches

    def killed_in_the_third(contents, purposes):
        for after, rows in stretches(contents, purposes):
            begun.append(after)
            if len(begun) == 3:
                raise Killed
            yield after, rows

    monkeypatch.setattr(export_contents.Contents, "stretches", killed_in_the_third)
    with pytest.raises(Killed):
        exports.make_next()
    Export.objects.update(lease_ends=clock.now() - LEASE)
    again.refresh_from_db()
    kept = again.kept
    assert (kept["files"], kept["parts"]) == ((0, 1) if form == "csv" else (1, 0))

    monkeypatch.setattr(export_contents.Contents, "stretches", stretches)
    read: list[int] = []
    in_pages = records.in_pages

    def counted(rows, **behind):
        for page in in_pages(rows, **behind):
            read.extend(each[0] for each in page)
            yield page

    monkeypatch.setattr(records, "in_pages", counted)
    monkeypatch.setattr(arrow_tables, "in_pages", counted)
    assert exports.make_next() == again
    files = made(again)
    assert {name: content for name, content in files.items() if "judgments" in name} == {
        name: content for name, content in whole.items() if "judgments" in name
    }
    assert min(read) > begun[1], "what was whole is not read again"
    again.refresh_from_db()
    assert again.done == again.total


def test_judgments_that_came_meanwhile_are_not_in_what_goes_on(killed_after):
    campaign = judged(6)
    ask(campaign)
    die(killed_after, 14)
    factories.judge_all(factories.annotator(campaign))
    killed_after(10**9)
    files = made(exports.make_next())
    rows = files["sea-bapps-people/manifest.csv"].decode().splitlines()[1:]
    assert {row.split(",")[-4] for row in rows} == {"1"}, "one vote a pair, as when it was begun"


def test_it_begins_anew_where_somebody_withdrew_meanwhile(killed_after):
    campaign = judged(6)
    leaver = factories.annotator(campaign)
    factories.judge_all(leaver)
    export = ask(campaign)
    die(killed_after, 14)
    withdraw(leaver, now=NOW)
    killed_after(10**9)
    exports.make_next()
    rows = made(export)["sea-bapps-people/manifest.csv"].decode().splitlines()[1:]
    assert {row.split(",")[-4] for row in rows} == {"1"}


def test_it_begins_anew_where_the_file_is_gone(killed_after):
    export = ask(judged(6))
    die(killed_after, 14)
    for path in exports.folder().iterdir():
        path.unlink()
    killed_after(10**9)
    exports.make_next()
    assert len(made(export)) == 6 * 4 + 4


def test_one_that_kills_its_worker_again_and_again_fails_and_can_be_tried_again(killed_after):
    export = ask(judged(6))
    for _ in range(exports.MAX_ATTEMPTS):
        die(killed_after, 1)
    assert exports.is_owed(now=clock.now()), "somebody has to say that it failed"
    assert exports.make_next() is None
    assert not exports.is_owed(now=clock.now())
    export.refresh_from_db()
    assert (export.state, export.error) == (
        State.FAILED,
        "Its worker died 5 times; it may need more memory.",
    )
    killed_after(10**9)
    assert exports.retry(export)
    exports.make_next()
    made(export)


def test_a_restarted_worker_need_not_wait_for_the_dead_ones_lease():
    ask(judged())
    exports.claim_next(worker=f"{socket.gethostname()}:999999999:1", now=clock.now())
    assert not exports.is_owed(now=clock.now())
    assert exports.WORK.release_dead(now=clock.now()) == 1
    assert exports.is_owed(now=clock.now())
    assert exports.make_next()


# --- failures -------------------------------------------------------------------------------------


def test_what_the_database_was_away_for_waits_and_is_made(monkeypatch):
    export = ask(judged())

    def away(*args):
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(archives.tar, "padding", away)
        with pytest.raises(OperationalError):
            exports.make_next()
    export.refresh_from_db()
    assert (export.state, export.error) == (State.WAITING, "")
    exports.make_next()
    export.refresh_from_db()
    assert export.state == State.READY


def test_a_full_disk_is_told_and_leaves_nothing(monkeypatch):
    export = ask(judged())

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.tar, "padding", full)
    exports.make_next()
    export.refresh_from_db()
    assert export.error == "The files could not be written: No space left on device."
    assert list(exports.folder().iterdir()) == []
    monkeypatch.undo()


def test_an_error_of_ours_is_kept_with_the_export_and_raised(monkeypatch):
    export = ask(judged())
    monkeypatch.setattr(exports, "export_files", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exports.make_next()
    export.refresh_from_db()
    assert (export.state, export.error) == (State.FAILED, "ZeroDivisionError: division by zero")


def test_one_that_is_being_made_already_is_not_tried_again():
    campaign = judged()
    failed = ask(campaign)
    Export.objects.update(state=State.FAILED)
    ask(campaign)
    assert not exports.retry(failed)
    assert not exports.retry(ask(campaign)), "it did not fail"


def test_what_is_deleted_goes_with_its_files_even_while_it_is_made(monkeypatch):
    monkeypatch.setattr(exports, "SECONDS_BETWEEN", 0)
    campaign = judged()
    export = ask(campaign)
    exports.make_next()
    exports.delete(export)
    assert list(exports.folder().iterdir()) == []

    export = ask(campaign)
    pairs = Contents.pairs

    def deleted_meanwhile(contents, **of):
        exports.delete(Export.objects.get(id=export.id))
        return pairs(contents, **of)

    monkeypatch.setattr(Contents, "pairs", deleted_meanwhile)
    exports.make_next()
    assert not Export.objects.exists()
    assert list(exports.folder().iterdir()) == []


# --- archives -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(
        st.lists(st.lists(st.binary(max_size=600), max_size=3), max_size=3), max_size=4
    ),
    ends=st.lists(st.integers(0, 30), max_size=3),
)
def test_wherever_an_archive_is_cut_off_it_becomes_the_same_in_the_end(contents, ends):
    """contents : chunks of parts of files.  ends : after how many chunks a worker is killed."""

    def files(until: int):
        left = iter(range(until))

        def chunks(part):
            for chunk in part:
                if next(left, None) is None:
                    raise Killed
                yield chunk

        for number, parts in enumerate(contents):
            of_file = (Part(chunks(part), len(part)) for part in parts)
            units = sum(map(len, parts))
            if len(parts) == 1:
                yield File(f"{number}", chunks(parts[0]), units)
            else:
                yield File.of_parts(f"{number}", of_file, units)

    def written(path, kept, until):
        with Archive(path, folder="x", kept=kept) as archive:
            try:
                archive.add(files(until), tell=lambda n: None)
                archive.end()
            except Killed:
                return archive.flush()
        return None

    with TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole.tar", Path(folder) / "cut.tar"
        assert written(whole, Kept(), 10**6) is None
        kept = Kept()
        for end in ends:
            kept = written(cut, kept, end) or Kept()
            if cut.exists():
                with cut.open("ab") as file:
                    file.write(b"half-written")
        written(cut, Kept.stored(json.loads(json.dumps(kept.as_dict()))), 10**6)
        assert cut.read_bytes() == whole.read_bytes()


def test_two_processes_never_write_one_archive(tmp_path):
    path = tmp_path / "x.tar"
    with Archive(path, folder="x", kept=Kept()), pytest.raises(ArchiveInUse):
        Archive(path, folder="x", kept=Kept())
    with Archive(path, folder="x", kept=Kept()):
        pass


@pytest.mark.parametrize("name", ["a", "n" * 150, "bilder/ä.png"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3 * 2**20])
def test_names_and_sizes_are_as_tar_reads_them(tmp_path, name, size):
    path = tmp_path / "x.tar"
    with Archive(path, folder="top", kept=Kept()) as archive:
        archive.add([File(name, [b"x" * size]), File("last", [b"z"])], tell=print)
        archive.end()
    with tarfile.open(path) as found:
        assert [(each.name, each.size) for each in found][:2] == [
            (f"top/{name}", size),
            ("top/last", 1),
        ]
    if shutil.which("tar"):
        listed = subprocess.run(
            [shutil.which("tar"), "-tf", path], capture_output=True, check=True
        ).stdout
        assert len(listed.splitlines()) == 3
