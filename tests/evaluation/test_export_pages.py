"""The page of a study's data, and the command that writes a folder of it."""

import re
import subprocess
from html import unescape

import pytest
from django.core.management import CommandError, call_command
from django.test import TestCase
from django.urls import reverse

from annotation import exports, tasks
from annotation.datasets import FORMATS
from annotation.models import Export
from annotation.people import withdraw
from annotation.populations import BOTH, PEOPLE, SIMULATED
from tests import factories

pytestmark = pytest.mark.django_db

State = Export.State


@pytest.fixture(autouse=True)
def woken(settings, tmp_path, monkeypatch):
    """How often workers were woken; none listens."""
    settings.CLOSER_DATA = tmp_path
    times: list[None] = []
    monkeypatch.setattr(tasks.make_exports, "apply_async", lambda **_: times.append(None))
    return times


@pytest.fixture
def study():
    made = factories.study(judgments_per_task=3)
    factories.judge_all(factories.annotator(made.campaign))
    return made


def page_of(client, **options) -> str:
    response = client.get(reverse("data", args=["sea"]), **options)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.content.decode())))


def ask(client, form="csv", population=PEOPLE):
    given = {"format": form, "population": population}
    with TestCase.captureOnCommitCallbacks(execute=True):
        return client.post(reverse("export-request", args=["sea"]), given, follow=True)


def download(client, export, **headers):
    """The response, read to its end: `.body`."""
    response = client.get(reverse("export-file", args=["sea", export.id]), headers=headers)
    response.body = b"".join(response.streaming_content) if response.streaming else b""
    if file := getattr(response, "file_to_stream", None):
        file.close()  # alone: a response that is closed takes the test's connection with it
    return response


# --- the page -------------------------------------------------------------------------------------


def test_a_researcher_asks_for_an_export_watches_it_and_downloads_it(as_researcher, study, woken):
    assert "None yet" in page_of(as_researcher)
    said = ask(as_researcher, "bapps").content.decode()
    assert "waiting" in said
    assert 'hx-trigger="every 1s"' in said
    assert len(woken) == 1
    export = Export.objects.get()
    assert export.requested_by.username == "researcher"

    tasks.make_exports()
    said = page_of(as_researcher, headers={"HX-Request": "true"})
    assert "ready" in said
    assert "Make an export" not in said, "htmx gets the list alone"
    export.refresh_from_db()
    assert f"{export.sha256[:12]}…" in said
    response = download(as_researcher, export)
    assert int(response["Content-Length"]) == export.size_bytes
    assert 'filename="sea-bapps-people.tar"' in response["Content-Disposition"]
    assert response.body == exports.archive_of(export).read_bytes()
    assert (
        'hx-trigger="every 1s"'
        not in as_researcher.get(reverse("data", args=["sea"])).content.decode()
    ), "there is nothing to watch"


def test_the_card_says_who_made_the_study_and_who_exported_it(as_researcher, study, researcher):
    study.launched_by = researcher
    study.specification["licence"] = "CC0"
    study.save()
    ask(as_researcher)
    about = Export.objects.get().about
    assert (about["study"], about["made_by"], about["exported_by"], about["licence"]) == (
        *("Sea", "researcher", "researcher", "CC0"),
    )
    assert about["provenance"]["closer"]


def test_a_download_that_broke_off_goes_on(as_researcher, study):
    ask(as_researcher)
    tasks.make_exports()
    export = Export.objects.get()
    whole = exports.archive_of(export).read_bytes()
    etag = download(as_researcher, export)["ETag"]
    for asked, expected in (("100-199", whole[100:200]), ("100-", whole[100:]), ("-7", whole[-7:])):
        part = download(as_researcher, export, Range=f"bytes={asked}", If_Range=etag)
        assert part.status_code == 206
        assert part.body == expected
        assert int(part["Content-Length"]) == len(expected)
    last = len(whole) - 1
    part = download(as_researcher, export, Range=f"bytes=0-{len(whole) * 2}")
    assert part["Content-Range"] == f"bytes 0-{last}/{len(whole)}"
    assert part.body == whole
    beyond = download(as_researcher, export, Range=f"bytes={len(whole)}-")
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{len(whole)}")
    for headers in (
        {"Range": "bytes=5-9", "If_Range": '"another"'},
        {"Range": "bytes=1-2,4-5"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=-"},
    ):
        response = download(as_researcher, export, **headers)
        assert (response.status_code, response.body) == (200, whole)


def test_a_failed_export_says_why_and_is_tried_again(as_researcher, study, woken):
    ask(as_researcher)
    Export.objects.update(state=State.FAILED, error="The files could not be written: full.")
    assert "The files could not be written: full." in page_of(as_researcher)
    export = Export.objects.get()
    with TestCase.captureOnCommitCallbacks(execute=True):
        as_researcher.post(reverse("export-retry", args=["sea", export.id]))
    assert len(woken) == 2
    tasks.make_exports()
    export.refresh_from_db()
    assert export.state == State.READY


def test_an_export_is_deleted_with_its_file(as_researcher, study):
    ask(as_researcher)
    tasks.make_exports()
    export = Export.objects.get()
    response = as_researcher.post(reverse("export-delete", args=["sea", export.id]), follow=True)
    assert "sea-csv-people is deleted" in response.content.decode()
    assert not exports.archive_of(export).exists()
    assert download(as_researcher, export).status_code == 404


def test_one_from_before_a_withdrawal_says_so(as_researcher, study):
    ask(as_researcher)
    tasks.make_exports()
    assert "withdrew" not in page_of(as_researcher)
    export = Export.objects.get()
    leaver = study.campaign.annotators.get()
    withdraw(leaver, now=export.finished_at)
    assert "Somebody withdrew since" in page_of(as_researcher)


@pytest.mark.parametrize(
    ("form", "population", "reason"),
    [
        ("csv", SIMULATED, "Simulated annotators have not judged yet"),
        ("xls", PEOPLE, "'xls' is none of csv, parquet"),
        ("csv", "nobody", "'nobody' is none of people, simulated"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_a_reason(
    as_researcher, study, form, population, reason
):
    assert reason in unescape(ask(as_researcher, form, population).content.decode())
    assert not Export.objects.exists()


def test_a_study_that_programs_alone_judged_offers_theirs_and_marks_it(as_researcher):
    study = factories.study()
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    page = as_researcher.get(reverse("data", args=["sea"])).content.decode()
    assert 'value="simulated" checked' in page
    ask(as_researcher, population=SIMULATED)
    assert Export.objects.get().name == "sea-csv-simulated"
    assert '<span class="tag warning">simulated</span>' in page_after(as_researcher)


def page_after(client) -> str:
    return client.get(reverse("data", args=["sea"])).content.decode()


def test_the_exports_of_another_study_are_not_found_under_this_one(as_researcher, study):
    ask(as_researcher)
    tasks.make_exports()
    export = Export.objects.get()
    factories.study("Land")
    for name in ("export-retry", "export-delete"):
        address = reverse(name, args=["land", export.id])
        assert as_researcher.post(address).status_code == 404
    assert as_researcher.get(reverse("export-file", args=["land", export.id])).status_code == 404
    assert Export.objects.exists()


def test_an_outsider_is_asked_to_sign_in(client, study):
    made = exports.request(study.campaign, "csv", title="sea", about={})
    for method, name, arguments in (
        ("get", "data", []),
        ("post", "export-request", []),
        ("post", "export-retry", [made.id]),
        ("post", "export-delete", [made.id]),
        ("get", "export-file", [made.id]),
    ):
        response = getattr(client, method)(reverse(name, args=["sea", *arguments]))
        assert response.url.startswith(reverse("login"))
    assert Export.objects.count() == 1


def test_judgments_at_once_are_those_of_the_population_that_is_asked_for(as_researcher, study):
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    for population, kinds in ((PEOPLE, {"false"}), (BOTH, {"true", "false"})):
        address = reverse("judgments-csv", args=["sea"])
        response = as_researcher.get(address, {"population": population})
        lines = b"".join(response.streaming_content).decode().splitlines()
        assert {line.rsplit(",", 1)[1] for line in lines[1:]} == kinds


# --- messages that are lost -----------------------------------------------------------------------


def test_an_export_whose_message_was_lost_is_taken_up(study, woken):
    tasks.resume_exports()
    assert not woken
    exports.request(study.campaign, "csv", title="sea", about={})
    tasks.resume_exports()
    assert len(woken) == 1


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_writes_a_folder_that_sha256sum_finds_whole(study, form, tmp_path, capsys):
    call_command("export_dataset", "Sea", str(tmp_path / "out"), format=form)
    assert re.search(r"\d+ files in", capsys.readouterr().out)
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path / "out", check=False).returncode == 0


def test_the_command_says_where_judgments_are_if_not_here(study, tmp_path, capsys):
    call_command("export_dataset", "Sea", str(tmp_path / "out"), population=SIMULATED)
    said = capsys.readouterr().err
    assert "no judgments yet by simulated; --population people has 2" in said


def test_the_command_refuses_a_folder_in_use_and_a_study_that_there_is_not(study, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(CommandError, match="not empty"):
        call_command("export_dataset", "Sea", str(tmp_path))
    with pytest.raises(CommandError, match="There is no study 'x'"):
        call_command("export_dataset", "x", str(tmp_path / "out"))
    assert (tmp_path / "mine").read_text() == "x"
