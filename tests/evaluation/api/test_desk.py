"""What the pages do, by programs: exports, imports, plans, links to share, people."""

import hashlib
import io
import json
import tarfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from annotation import exports, people, tasks
from annotation.models import Export
from evaluation import launching
from evaluation.api_models import KeptAnswer
from evaluation.models import ImportedJudgments, SharedLink, Study
from projects.models import AuditEntry, Membership, Project
from tests import factories

pytestmark = pytest.mark.django_db

SEA = {"name": "Sea", "images": "sea", "codecs": ["avif", "jpeg"], "bpp": ["0.37"]}
ANSWERS = b"""annotator,image,stratum,left,right,chosen
ann,harbour,0.37,avif,jpeg,left
bob,harbour,0.37,avif,jpeg,right
cy,harbour,0.37,avif,jpeg,nobody
"""


@pytest.fixture(autouse=True)
def woken(settings, tmp_path, monkeypatch) -> list[None]:
    """How often exporters were woken; none listens."""
    settings.CLOSER_DATA = tmp_path
    times: list[None] = []
    monkeypatch.setattr(tasks.make_exports, "apply_async", lambda **_: times.append(None))
    return times


@pytest.fixture
def study() -> Study:
    made = factories.study(sources=2)
    factories.judge_all(factories.annotator(made.campaign))
    return made


def upload(call, path: str, **form: object):
    headers = {"Authorization": f"Bearer {call.secret}"}
    file = SimpleUploadedFile("answers.csv", form.pop("content", ANSWERS))
    return call.client.post(f"/api/v1/{path}", {"file": file, **form}, headers=headers)


# --- exports --------------------------------------------------------------------------------------


def test_an_export_is_asked_for_watched_fetched_and_deleted(
    call, study, woken, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        asked = call("POST", "studies/sea/exports", {"format": "csv"}, **{"Idempotency-Key": "1"})
    assert asked.status_code == 202
    assert len(woken) == 1
    known = asked.json()
    assert (known["state"], known["population"], known["file"]) == ("waiting", "people", None)
    path = f"studies/sea/exports/{known['id']}"
    told = call("GET", f"{path}/file")
    assert told.status_code == 409
    tasks.make_exports()

    ready = call("GET", path).json()
    assert ready["state"] == "ready"
    assert ready["done"] == ready["total"] == 2
    assert call("GET", "studies/sea/exports").json()["items"] == [ready]
    fetched = call("GET", f"{path}/file")
    content = b"".join(fetched.streaming_content)
    assert fetched["Content-Type"] == "application/x-tar"
    assert hashlib.sha256(content).hexdigest() == ready["sha256"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert "sea-csv-people/judgments-people.csv" in archive.getnames()
    rest = call("GET", f"{path}/file", Range="bytes=100-", If_Range=fetched["ETag"])
    assert (rest.status_code, b"".join(rest.streaming_content)) == (206, content[100:])
    assert call("GET", f"{path}/file", **{"If-None-Match": fetched["ETag"]}).status_code == 304
    beyond = call("GET", f"{path}/file", Range=f"bytes={len(content)}-")
    assert beyond.status_code == 416
    assert beyond["Content-Range"] == f"bytes */{len(content)}"
    assert beyond["Content-Type"] == "application/problem+json"

    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404
    assert not list(exports.folder().iterdir())


def test_an_export_of_nothing_is_refused_and_one_that_failed_is_made_again(call, study):
    simulated = {"format": "csv", "population": "simulated"}
    assert call("POST", "studies/sea/exports", simulated).status_code == 409
    told = call("POST", "studies/sea/exports", {"format": "xls"}).json()
    assert set(told["errors"]) == {"format"}
    assert not Export.objects.exists()
    known = call("POST", "studies/sea/exports", {"format": "csv"}).json()
    path = f"studies/sea/exports/{known['id']}"
    assert call("POST", f"{path}/retry").status_code == 409
    Export.objects.update(state=Export.State.FAILED, error="The disk is full.")
    assert call("GET", path).json()["reason"] == "The disk is full."
    assert call("POST", f"{path}/retry").json()["state"] == "waiting"


def test_an_export_from_before_a_withdrawal_is_outdated(call, study):
    call("POST", "studies/sea/exports", {"format": "csv"})
    tasks.make_exports()
    assert not call("GET", "studies/sea/exports").json()["items"][0]["is_outdated"]
    people.withdraw(study.campaign.annotators.get(), now=factories.NOW.replace(year=2100))
    assert call("GET", "studies/sea/exports").json()["items"][0]["is_outdated"]


# --- imports --------------------------------------------------------------------------------------


def test_a_file_of_judgments_is_looked_at_imported_as_it_was_seen_and_analysed(call):
    columns = json.dumps({"content": "image"})
    refused = upload(call, "imports/dry-run").json()
    assert refused["found"] is None
    assert refused["missing"] == ["content"]
    seen = upload(call, "imports/dry-run", format="comparisons", columns=columns).json()
    assert seen["refusal"] == ""
    found = seen["found"]
    assert (found["rows"], found["used"], found["failing"]) == (3, 2, 1)
    assert found["malformed"][0]["line"] == 4
    said = "annotator ann found avif closer than jpeg on harbour at 0.37 bpp"
    assert found["read_aloud"][0] == said
    assert not ImportedJudgments.objects.exists()

    form = {"format": "comparisons", "columns": columns, "digest": seen["digest"]}
    assert upload(call, "imports", content=ANSWERS + b"\n\n", **form).status_code == 409
    assert not ImportedJudgments.objects.exists()
    made = upload(call, "imports", name="Elsewhere", **form)
    assert made.status_code == 201, made.content
    known = made.json()
    assert (known["name"], known["used"]) == ("Elsewhere", 2)
    assert known["columns"] == {"content": "image"}
    assert made["Location"].endswith(f"/api/v1/imports/{known['id']}")
    again = upload(call, "imports", **form)
    assert (again.status_code, again.json()["id"]) == (200, known["id"])
    assert call("GET", "imports").json()["items"] == [known]
    assert call("GET", "imports?study=sea").json()["items"] == []

    results = call("GET", f"imports/{known['id']}/results").json()
    assert results["strata"]["0.37"]["n_judgments"] == 2
    assert call("GET", f"imports/{known['id']}/file").content == ANSWERS
    assert call("DELETE", f"imports/{known['id']}").status_code == 204
    assert call("GET", f"imports/{known['id']}").status_code == 404


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"content": b""}, "file"),
        ({"content": b"\0\1"}, "file"),
        ({"columns": "["}, "columns"),
        ({"columns": "{}", "format": "xls"}, "format"),
        ({"columns": '{"nope": "image"}', "format": "comparisons"}, "columns"),
        ({"columns": '{"content": "image"}'}, "columns"),
        ({"study": "nowhere"}, "study"),
        ({"project": "no\0where"}, "project"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_at_the_field_in_question(call, form, field):
    told = upload(call, "imports", **form)
    assert told.status_code == 400, told.content
    assert set(told.json()["errors"]) == {field}
    assert not ImportedJudgments.objects.exists()


# --- plans ----------------------------------------------------------------------------------------


def test_a_plan_has_the_numbers_of_the_command(call, sea, tmp_path, capsys):
    file = tmp_path / "sea.toml"
    file.write_text('name = "Sea"\nimages = "sea"\ncodecs = ["avif", "jpeg"]\nbpp = [0.37]\n')
    asked = ["--json", "--annotators", "5", "--pay-per-hour", "12"]
    call_command("plan_study", str(file), *asked)
    expected = json.loads(capsys.readouterr().out)
    told = call("POST", "plan", SEA | {"assumptions": {"annotators": 5, "pay_per_hour": 12}})
    assert told.json() == expected
    assert told.json()["cost"] is not None
    assert not Study.objects.exists()


def test_what_is_wrong_with_a_plan_is_told_by_field(call, sea):
    wrong = {"annotators": 0, "preferred": "nan"}
    told = call("POST", "plan", SEA | {"assumptions": wrong})
    assert told.status_code == 400
    assert set(told.json()["errors"]) == {"assumptions.annotators", "assumptions.preferred"}
    told = call("POST", "plan", SEA | {"images": "nothing"})
    assert set(told.json()["errors"]) == {"images"}


# --- pilots ---------------------------------------------------------------------------------------


def test_the_results_of_a_pilot_are_apart_from_the_studys(call):
    study = factories.study(sources=2, when_ready="wait")
    address = "studies/sea/results?population=pilot"
    assert call("GET", address).status_code == 404
    assert call("GET", "studies/sea").json()["pilot_link"] is None
    assert call("POST", "studies/sea/move", {"move": "open as a pilot"}).status_code == 200
    study.refresh_from_db()
    factories.judge_all(factories.annotator(study.pilot))
    assert study.pilot.token in call("GET", "studies/sea").json()["pilot_link"]
    assert call("GET", address).json()["counts"]["judgments"] == 2
    assert len(call("GET", "studies/sea/judgments?population=pilot").json()["items"]) == 2
    assert call("GET", "studies/sea/judgments?population=people").json()["items"] == []
    launching.end_pilot(study)
    assert call("GET", address).json()["counts"]["judgments"] == 2


# --- links ----------------------------------------------------------------------------------------


def test_a_link_to_results_is_made_listed_and_revoked(call, study):
    nothing = {"population": "simulated"}
    assert call("POST", "studies/sea/links", nothing).status_code == 409
    made = call("POST", "studies/sea/links", {"population": "people"})
    assert made.status_code == 201
    link = made.json()
    assert (link["shows"], link["made_by"], link["revoked_at"]) == ("as of now", "researcher", None)
    address = link["address"].partition("localhost")[2]
    anybody = Client()
    assert anybody.get(address).status_code == 200
    newest = call("POST", "studies/sea/links", {"population": "people", "shows": "newest"}).json()
    assert not SharedLink.objects.get(id=newest["id"]).is_frozen
    assert call("GET", "studies/sea/links").json()["items"] == [newest, link]
    revoked = call("POST", f"studies/sea/links/{link['id']}/revoke").json()
    assert revoked["revoked_at"]
    assert anybody.get(address).status_code == 410
    assert call("POST", f"studies/sea/links/{link['id']}/revoke").json() == revoked


# --- people ---------------------------------------------------------------------------------------


def test_a_project_is_made_and_its_owner_says_who_takes_part(call, django_user_model):
    made = call("POST", "projects", {"name": "Waves"})
    assert made.status_code == 201
    assert (made.json()["slug"], made.json()["role"]) == ("waves", "owner")
    assert call("POST", "projects", {"name": "Waves"}).status_code == 409

    ada = call("POST", "projects/waves/members", {"username": "ada", "role": "viewer"})
    assert ada.status_code == 201
    assert (ada.json()["role"], ada.json()["is_new"]) == ("viewer", True)
    path = f"projects/waves/members/{ada.json()['id']}"
    link = call("POST", f"{path}/link").json()["password_link"]
    assert "/set-password/" in link
    assert not KeptAnswer.objects.filter(body__contains="set-password").exists()
    twice = call("POST", "projects/waves/members", {"username": "ada"})
    assert twice.status_code == 409
    django_user_model.objects.filter(username="ada").update(last_login=factories.NOW)
    assert call("POST", f"{path}/link").status_code == 409

    assert call("PATCH", path, {"role": "researcher"}).json()["role"] == "researcher"
    assert call("PATCH", path, {"role": "owner"}, **{"If-Match": '"x"'}).status_code == 412
    listed = call("GET", "projects/waves/members").json()["items"]
    assert {each["username"]: each["role"] for each in listed} == {
        "ada": "researcher",
        "researcher": "owner",
    }
    assert call("DELETE", path).status_code == 204
    assert call("DELETE", path).status_code == 404
    entries = AuditEntry.objects.filter(project__slug="waves")
    expected = ["removed a member", "changed a role", "added a member", "made the project"]
    assert [each.action for each in entries] == expected


def test_a_project_keeps_an_owner_and_everybody_may_leave(call, researcher, django_user_model):
    mine = f"projects/lab/members/{researcher.id}"
    assert call("PATCH", mine, {"role": "viewer"}).status_code == 409
    assert call("DELETE", mine).status_code == 409
    other = django_user_model.objects.create_user("other")
    lab = Project.objects.get(slug="lab")
    Membership.objects.create(project=lab, user=other, role="owner")
    Membership.objects.filter(user=researcher).update(role="viewer")
    assert call("DELETE", f"projects/lab/members/{other.id}").status_code == 403
    assert call("DELETE", mine).status_code == 204
    assert call("GET", "projects").json()["items"] == []


def test_only_an_administrator_lets_a_project_train_the_metric(call, researcher):
    call("POST", "projects", {"name": "Waves"})
    trains = {"trains_metric": True}
    assert call("PATCH", "projects/waves", trains).status_code == 403
    assert call("PATCH", "projects/lab", {"trains_metric": False}).json()["trains_metric"] is False
    researcher.is_superuser = True
    researcher.save()
    assert call("PATCH", "projects/waves", trains).json()["trains_metric"] is True


def test_a_token_of_one_project_makes_no_other(call, researcher):
    researcher.api_tokens.update(project=Project.objects.get(slug="lab"))
    assert call("POST", "projects", {"name": "Waves"}).status_code == 403
    assert not Project.objects.filter(slug="waves").exists()
