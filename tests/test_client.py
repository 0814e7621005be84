"""The client, against a server over HTTP with a database of its own connection: nothing stands in.

Rows are committed, and deleted at the end: the server would not see those of a test's usual
transaction.
"""

import contextlib
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.db import connection
from django.test.testcases import LiveServerThread
from PIL import Image

from annotation import exports
from closer import Client, Problem, Study, Unreachable
from codecs_registry import encoding
from codecs_registry.models import Collection
from evaluation import launching
from evaluation.api_models import Scope
from evaluation.api_tokens import make_token
from evaluation.models import Study as StoredStudy
from projects.access import default_project
from projects.models import Membership
from projects.roles import Role
from tests import factories
from tests.at_once import committed_rows


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    """The address of a web server."""
    thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
    thread.start()
    thread.is_ready.wait()
    assert thread.error is None
    yield f"http://127.0.0.1:{thread.port}"
    thread.terminate()


@pytest.fixture
def user():
    made = get_user_model().objects.create_user(f"ada-{uuid.uuid4()}")
    Membership.objects.create(project=default_project(), user=made, role=Role.RESEARCHER)
    return made


@pytest.fixture
def client(server, user) -> Iterator[Client]:
    with Client(server, make_token(user, "notebook", list(Scope))[1]) as made:
        yield made


@contextlib.contextmanager
def a_worker() -> Iterator[None]:
    """Encodes, opens and exports, as Celery's worker does, in a thread."""
    is_over = threading.Event()

    def work() -> None:
        try:
            while not is_over.is_set():
                if (encoding.make_next() or exports.make_next()) is None:
                    launching.advance_all()
                    time.sleep(0.05)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_notebook_takes_a_study_from_photographs_to_a_scale(client, tmp_path):
    for number in range(2):
        Image.fromarray(factories.pixels(seed=number)).save(tmp_path / f"harbour-{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    uploaded = client.upload("harbour", tmp_path)
    assert len(uploaded["added"]) == 2
    assert [each["name"] for each in uploaded["skipped"]] == ["broken.png"]

    asked = {"name": "Harbour", "images": "harbour", "codecs": ["jpeg", "webp"], "bpp": [2, 4]}
    study = Study.launch(client, asked, judgments_per_task=3)
    assert study.state == "encoding"
    with a_worker():
        study.wait_until_open(patience_s=60, every_s=0.1)
    assert study.state == "open"
    assert client.launch(asked, judgments_per_task=3).slug == study.slug
    assert study.progress()["wanted"] == 4 * 3

    stored = StoredStudy.objects.get(slug=study.slug)
    for _ in range(3):
        who = factories.annotator(stored.campaign)
        factories.judge_all(who, choose=factories.preferring("jpeg", "webp"))
    factories.judge_all(factories.annotator(stored.campaign, is_simulated=True))

    table = study.judgments(limit=5)  # several pages
    assert len(table) == 12
    assert list(table["id"]) == sorted(table["id"])
    better = table.apply(lambda row: row[row["chosen"]], axis=1)
    assert set(better) == {"jpeg"}
    assert str(table["submitted_at"].dt.tz) == "UTC"
    assert len(study.judgments("simulated")) == 4

    scale = study.scale()
    assert list(scale.columns[:5]) == ["stratum", "condition", "score", "low", "high"]
    for _, of_stratum in scale.groupby("stratum"):
        scores = of_stratum.set_index("condition")["score"]
        assert scores["jpeg"] > scores["webp"]
    assert study.results()["strata"].keys() == {"2.0", "4.0"}
    assert study.close().state == "closed"
    assert study.reopen().state == "open"
    assert [each.slug for each in client.studies(state="open")] == [study.slug]


def test_what_is_refused_is_raised_with_the_servers_words(client, server):
    with pytest.raises(Problem, match="nothing here") as raised:
        client.study("nowhere")
    assert raised.value.status == 404
    with pytest.raises(Problem, match="codecs: This ") as raised:
        client.launch(name="Sea", images="sea", codecs=["nope", "jpeg"])
    assert set(raised.value.errors) == {"codecs"}
    with (
        Client(server, "closer_wrong") as nobody,
        pytest.raises(Problem, match="not known") as raised,
    ):
        list(nobody.studies())
    assert raised.value.status == 401


def test_pages_are_fetched_when_they_are_come_to(client):
    study = factories.study(sources=2)
    who = factories.annotator(study.campaign)
    factories.judge_all(who)
    rows = client.study(study.slug).iter_judgments(limit=1)
    assert next(rows)["annotator"] == f"annotator-{who.id}"
    factories.judge_all(factories.annotator(study.campaign))
    assert len(list(rows)) == 3  # those that came meanwhile, too


@contextlib.contextmanager
def a_proxy_that_loses_answers(to: str, *, losing: int) -> Iterator[tuple[str, list[str]]]:
    """Hands requests on to a server, and hangs up instead of handing back so many answers.

    Yields its address, and the keys that it saw.
    """
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Idempotency-Key"])
            kept = ("Authorization", "Content-Type", "Idempotency-Key")
            headers = {name: self.headers[name] for name in kept}
            answer = httpx.post(f"{to}{self.path}", content=body, headers=headers)
            if len(seen) <= losing:
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_the_network_lost_is_sent_again_and_carried_out_once(client, user, server):
    study = factories.study()
    secret = make_token(user, "another", list(Scope))[1]
    with a_proxy_that_loses_answers(server, losing=2) as (address, seen):
        with Client(address, secret) as far:
            (invited,) = far.request(
                "POST", f"studies/{study.slug}/annotators", json={"labels": ["Bo"]}
            )["items"]
        assert len(seen) == 3
        assert len(set(seen)) == 1
    assert study.campaign.annotators.get().id == invited["id"]


def test_a_notebook_plans_exports_shares_and_takes_in(client, tmp_path, settings):
    settings.CLOSER_DATA = tmp_path / "data"
    stored = factories.study(sources=2)
    Collection.objects.create(name="sea", project=stored.project).sources.add(*stored.sources.all())
    factories.judge_all(factories.annotator(stored.campaign))
    study = client.study(stored.slug)

    asked = {"name": "Waves", "images": "sea", "codecs": ["avif", "jpeg"], "bpp": [0.37]}
    assert client.plan(asked, assumptions={"annotators": 7})["annotators"] == 7

    with a_worker():
        archive = study.export("csv", tmp_path / "fetched", patience_s=60, every_s=0.1)
    with tarfile.open(archive) as files:
        assert "sea-csv-people/SHA256SUMS" in files.getnames()
    (export,) = study.exports()
    content = archive.read_bytes()
    partial = archive.with_name(f"{archive.name}.partial")
    for begun in (content[:1000], content):  # goes on where it broke off
        archive.unlink()
        partial.write_bytes(begun)
        assert study.fetch(export, archive.parent).read_bytes() == content
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(OSError, match="SHA-256"):
        study.fetch(export, archive.parent)
    assert study.fetch(export, archive.parent).read_bytes() == content
    assert not partial.exists()

    link = study.share()
    shown = httpx.get(link["address"].replace(settings.CLOSER_URL, _server(client)))
    assert shown.status_code == 200
    assert study.revoke_link(link["id"])["revoked_at"]
    assert [each["id"] for each in study.links()] == [link["id"]]

    answers = tmp_path / "answers.csv"
    answers.write_text("who,content,stratum,left,right,chosen\nann,x,1,j,w,left\n")
    given = {"format": "comparisons", "columns": {"annotator": "who"}}
    seen = client.look_at(answers, **given)
    assert seen["found"]["used"] == 1
    imported = client.import_judgments(answers, digest=seen["digest"], **given)
    assert [each["id"] for each in client.imports()] == [imported["id"]]
    assert client.import_results(imported["id"])["strata"]["1"]["n_judgments"] == 1


def _server(client: Client) -> str:
    return str(client._http.base_url).partition("/api/")[0]


def test_a_notebook_makes_a_project_and_says_who_takes_part(client):
    slug = client.make_project("Waves")["slug"]
    made = client.add_member(slug, "bo", "viewer")
    assert made["is_new"]
    assert "/set-password/" in client.password_link(slug, made["id"])
    assert client.change_role(slug, made["id"], "researcher")["role"] == "researcher"
    client.remove_member(slug, made["id"])
    assert [each["role"] for each in client.members(slug)] == ["owner"]


def test_a_server_that_is_not_there_is_named():
    with Client("http://127.0.0.1:9", "closer_x", tries=1) as nobody, pytest.raises(Unreachable):
        nobody.codecs()
