"""The pages on which a file of judgments is looked at, imported and analysed."""

import csv
import io
import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from codecs_registry import blobs
from evaluation import import_results, tasks
from evaluation.importing import KEPT, Reading, import_judgments
from evaluation.models import ImportedJudgments, ImportPreview, StoredAnalysis
from evaluation.stored_analyses import ASK_AGAIN
from projects.models import Membership, Project
from projects.roles import Role
from tests import factories

pytestmark = pytest.mark.django_db

HEADER = "annotator,content,stratum,left,right,chosen"
ROWS = ["ann,harbour,0.37,avif,jpeg,left", "bob,harbour,0.37,jpeg,avif,left"]
TEXT = "\n".join([HEADER, *ROWS, "cyd,harbour,0.37,avif,avif,left", ""])


@pytest.fixture(autouse=True)
def _storage(settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "blobs": settings.STORAGES["blobs"] | {"OPTIONS": {"location": tmp_path / "blobs"}}
    }


def upload(client, text: str, *, name: str = "lab.csv", **fields):
    file = SimpleUploadedFile(name, text.encode(), "text/csv")
    return client.post(reverse("new-import"), {"file": file, **fields})


def look(client, **asked):
    return client.get(f"{reverse('import-preview')}?{urlencode(asked)}")


def confirm(client, digest: str, *, follow: bool = False, **asked):
    address = f"{reverse('import-preview')}?{urlencode(asked)}"
    return client.post(address, {"digest": digest, "name": "Lab"}, follow=follow)


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_an_outsider_is_asked_to_sign_in_wherever_they_go(client):
    found = import_judgments(TEXT.encode(), file_name="a.csv", reading=Reading())
    names = ["import", "import-json", "import-report", "import-file", "remove-import"]
    addresses = [
        *(reverse(name) for name in ("imports", "new-import", "import-preview", "import-failing")),
        reverse("discard-import"),
        *(reverse(name, args=[found.id]) for name in names),
    ]
    for address in addresses:
        for response in (client.get(address), client.post(address)):
            assert response.status_code == 302
            assert response.url.startswith(reverse("login"))
    assert ImportedJudgments.objects.count() == 1


def test_a_file_is_looked_at_first_and_imported_when_confirmed(as_researcher, tmp_path):
    assert upload(as_researcher, TEXT).url == reverse("import-preview")
    response = look(as_researcher)
    shown = response.content.decode()
    assert "Annotator ann found avif closer than jpeg on harbour at 0.37 bpp." in shown
    assert "Annotator bob found jpeg closer than avif on harbour at 0.37 bpp." in shown
    assert response.context["found"].orientation in shown
    assert "column right: expected another condition" in shown
    assert not ImportedJudgments.objects.exists()
    assert not (tmp_path / "blobs").exists()

    confirmed = confirm(as_researcher, response.context["digest"])
    found = ImportedJudgments.objects.get()
    assert confirmed.url == found.get_absolute_url()
    assert (found.name, found.file_name, found.imported_by.username) == (
        "Lab",
        "lab.csv",
        "researcher",
    )
    assert blobs.read(found.file) == TEXT.encode()
    assert not ImportPreview.objects.exists(), "what was kept for looking is gone"


def test_nothing_but_what_was_looked_at_is_imported(as_researcher):
    upload(as_researcher, TEXT)
    digest = look(as_researcher).context["digest"]
    upload(as_researcher, TEXT.replace("ann", "eve"))
    response = confirm(as_researcher, digest)
    assert "nothing was imported" in said(response)
    assert response.url.startswith(reverse("import-preview"))
    # And the same file, read in another way than it was shown.
    digest = look(as_researcher).context["digest"]
    confirm(as_researcher, digest, judged_by="people")
    assert not ImportedJudgments.objects.exists()


def test_columns_with_other_names_are_told_by_selects(as_researcher):
    upload(as_researcher, TEXT.replace("annotator,content", "who,photo"))
    response = look(as_researcher)
    shown = response.content.decode()
    assert "This cannot be imported." in shown
    assert "found 0 times" in shown
    assert [name for name, _ in response.context["found"].missing] == ["annotator", "content"]
    columns = ["annotator", "content", "stratum", "left", "right", "chosen"]
    asked = {f"column-{i}": column for i, column in enumerate(columns)}
    asked |= {"format": "comparisons", "columns_of": "comparisons"}
    response = look(as_researcher, **asked)
    assert "found avif closer than jpeg on harbour" in response.content.decode()
    confirm(as_researcher, response.context["digest"], **asked)
    assert ImportedJudgments.objects.get().columns == {"annotator": "who", "content": "photo"}


def test_sides_that_a_file_confuses_are_set_right_by_selects(as_researcher):
    upload(as_researcher, TEXT)
    columns = ["annotator", "content", "stratum", "right", "left", "chosen"]
    asked = {f"column-{i}": column for i, column in enumerate(columns)}
    asked |= {"format": "comparisons", "columns_of": "comparisons"}
    response = look(as_researcher, **asked)
    assert "Annotator ann found jpeg closer than avif" in response.content.decode()
    # Selects of one format say nothing of another.
    response = look(as_researcher, **asked | {"format": "pwcmp"})
    assert response.context["reading"].columns == {}


@pytest.mark.parametrize("value", ["\0", "no-such", "😀", "a" * 3000])
def test_an_address_that_asks_for_what_there_is_not_is_read_as_if_it_did_not(as_researcher, value):
    upload(as_researcher, TEXT)
    names = ("format", "study", "judged_by", "columns_of", "column-0")
    response = look(as_researcher, **dict.fromkeys(names, value))
    assert response.status_code == 200
    assert "Import 2 rows" in response.content.decode()


def test_a_column_chosen_twice_is_told(as_researcher):
    upload(as_researcher, TEXT)
    asked = {"format": "comparisons", "columns_of": "comparisons"}
    asked |= {"column-0": "annotator", "column-1": "annotator"}
    assert "Chosen for several columns: annotator" in look(as_researcher, **asked).content.decode()


def test_all_rows_that_fail_can_be_downloaded_and_the_first_are_shown(as_researcher):
    bad = [f"p{i},harbour,0.37,avif,jpeg,maybe" for i in range(80)]
    upload(as_researcher, "\n".join([HEADER, *ROWS, *bad]))
    shown = look(as_researcher).content.decode()
    assert shown.count("found &#x27;maybe&#x27;") == 50
    assert "These are the first 50." in shown
    response = as_researcher.get(reverse("import-failing"))
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 80
    assert rows[0] == {
        "line": "4",
        "reason": "column chosen: expected left, right or tie, found 'maybe'",
    }


def test_what_was_imported_already_is_linked_instead(as_researcher):
    first = import_judgments(TEXT.encode(), file_name="a.csv", reading=Reading())
    upload(as_researcher, TEXT)
    response = look(as_researcher)
    assert f'href="{first.get_absolute_url()}"' in response.content.decode()
    assert "Import 2 rows" not in response.content.decode()
    confirmed = confirm(as_researcher, response.context["digest"])
    assert confirmed.url == first.get_absolute_url()
    assert "nothing was imported twice" in said(confirmed)
    assert ImportedJudgments.objects.count() == 1


def test_what_nobody_came_back_to_is_forgotten_and_another_file_replaces_the_first(
    as_researcher, django_user_model
):
    other = django_user_model.objects.create_user("other")
    old = ImportPreview.objects.create(user=other, file_name="old.csv", content=b"a")
    old_time = old.uploaded_at - KEPT - timedelta(seconds=1)
    ImportPreview.objects.filter(user=other).update(uploaded_at=old_time)
    upload(as_researcher, TEXT)
    upload(as_researcher, TEXT, name="second.csv")
    assert [each.file_name for each in ImportPreview.objects.all()] == ["second.csv"]
    as_researcher.post(reverse("discard-import"))
    assert not ImportPreview.objects.exists()
    assert as_researcher.get(reverse("import-preview")).url == reverse("new-import")


def test_nobody_sees_the_file_that_another_looks_at(as_researcher, client, django_user_model):
    other = django_user_model.objects.create_user("other")
    ImportPreview.objects.create(user=other, file_name="theirs.csv", content=TEXT.encode())
    assert look(as_researcher).status_code == 302
    assert as_researcher.get(reverse("import-failing")).status_code == 404


@pytest.mark.parametrize("content", ["", "\0", "a", "a;b\n1;2\n", '"', HEADER])
def test_a_file_that_is_none_is_refused_in_words(as_researcher, content):
    response = upload(as_researcher, content)
    if not content:
        assert response.status_code == 422
        return
    shown = look(as_researcher)
    assert shown.status_code == 200
    assert "This cannot be imported." in shown.content.decode()
    assert as_researcher.get(reverse("import-failing")).status_code == 404
    assert "Nothing was imported" in said(confirm(as_researcher, shown.context["digest"]))
    assert not ImportedJudgments.objects.exists()


def test_an_import_shows_the_results_that_the_command_prints(as_researcher, tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text(TEXT)
    out = io.StringIO()
    call_command("analyse", "--comparisons", str(path), "--json", stdout=out, stderr=io.StringIO())
    found = import_judgments(TEXT.encode(), file_name="lab.csv", reading=Reading())
    response = as_researcher.get(reverse("import-json", args=[found.id]))
    assert json.loads(b"".join(response.streaming_content)) == json.loads(out.getvalue())
    shown = as_researcher.get(found.get_absolute_url())
    assert shown.context["analysis"] == json.loads(out.getvalue())
    assert "Share of wins" in shown.content.decode()
    file = as_researcher.get(reverse("import-file", args=[found.id]))
    assert b"".join(file.streaming_content) == TEXT.encode()
    report = as_researcher.get(reverse("import-report", args=[found.id]))
    assert b"Share of wins" in b"".join(report.streaming_content)


def test_shares_of_an_unknown_number_of_votes_show_what_can_be_had_and_say_what_cannot(
    as_researcher,
):
    text = "content,p0_codec,p1_codec,judge\nx,jpeg,avif,0.75\ny,avif,jpeg,0.5\n"
    found = import_judgments(text.encode(), file_name="a.csv", reading=Reading())
    shown = as_researcher.get(found.get_absolute_url()).content.decode()
    assert "62.5%" in shown
    assert "add a column “votes”" in shown
    assert "Wilson" not in shown
    assert as_researcher.get(reverse("import-report", args=[found.id])).status_code == 404


def test_where_nobody_is_named_no_annotator_is_made_up(as_researcher):
    text = "x.png,a/x.png,b/x.png,0\ny.png,a/y.png,b/y.png,1\n"
    found = import_judgments(text.encode(), file_name="oracle.csv", reading=Reading())
    response = as_researcher.get(found.get_absolute_url())
    assert "2 judgments by an unknown number of annotators" in response.content.decode()
    assert response.context["analysis"]["annotators"] == []


def test_an_import_of_a_study_stands_beside_it_and_is_linked_from_its_page(as_researcher):
    study = factories.study()
    annotator = factories.annotator(study.campaign)
    factories.judge_all(annotator, choose=factories.preferring("avif", "jpeg"))
    name = study.sources.first().name
    text = f"{HEADER}\nann,{name},0.37,avif,jpeg,right\nann,sky,0.37,avif,jpeg,right\n"
    upload(as_researcher, text, study="sea")
    response = look(as_researcher)
    assert "is none of the study&#x27;s" in response.content.decode()
    confirm(as_researcher, response.context["digest"])
    found = study.imported_judgments.get()
    shown = as_researcher.get(found.get_absolute_url()).content.decode()
    assert "Beside the study’s own judgments" in shown
    page = as_researcher.get(reverse("study", args=["sea"]))
    assert found.get_absolute_url() in page.content.decode()
    assert (page.context["counts"].people, page.context["counts"].simulated) == (2, 0)


def test_results_of_many_rows_are_computed_by_a_worker_asked_once_and_kept(
    as_researcher, monkeypatch
):
    asked = []
    monkeypatch.setattr(import_results, "AT_ONCE", 1)
    monkeypatch.setattr(tasks.analyse, "apply_async", lambda sent, **_: asked.extend(sent))
    found = import_judgments(TEXT.encode(), file_name="a.csv", reading=Reading())
    for _ in range(2):
        shown = as_researcher.get(found.get_absolute_url()).content.decode()
        assert "Being analysed" in shown
        assert 'hx-trigger="every 2s"' in shown
        address = reverse("import-json", args=[found.id])
        assert as_researcher.get(address).url == found.get_absolute_url()
    stored = StoredAnalysis.objects.get()
    assert asked == [stored.id]
    later = found.imported_at + 2 * ASK_AGAIN
    import_results.ask(found, now=later)
    assert asked == [stored.id] * 2, "a message that was lost is sent again"

    tasks.analyse(stored.id)
    shown = as_researcher.get(found.get_absolute_url()).content.decode()
    assert "Share of wins" in shown
    assert "every 2s" not in shown
    # Another version of the code computes them anew.
    StoredAnalysis.objects.update(basis="0.0")
    assert import_results.kept(found) is None


def test_an_import_whose_study_no_longer_has_its_codecs_says_so(as_researcher):
    study = factories.study()
    text = f"{HEADER}\nann,{study.sources.first().name},0.37,avif,jpeg,right\n"
    found = import_judgments(text.encode(), file_name="a.csv", reading=Reading(study=study))
    study.codecs = ["webp"]
    study.save()
    shown = as_researcher.get(found.get_absolute_url()).content.decode()
    assert "It can no longer be read" in shown
    address = reverse("import-json", args=[found.id])
    assert as_researcher.get(address).url == found.get_absolute_url()


def test_simulated_judgments_are_marked_wherever_they_are_shown(as_researcher):
    text = f"{HEADER},simulated\nbot,x,1,j,w,left,true\n"
    found = import_judgments(text.encode(), file_name="a.csv", reading=Reading())
    assert "Simulated judgments." in as_researcher.get(found.get_absolute_url()).content.decode()
    assert "simulated" in as_researcher.get(reverse("imports")).content.decode()


def test_an_import_can_be_removed_and_made_again_and_the_log_tells(as_researcher, researcher):
    found = import_judgments(TEXT.encode(), file_name="a.csv", reading=Reading(), by=researcher)
    as_researcher.post(reverse("remove-import", args=[found.id]))
    assert not ImportedJudgments.objects.exists()
    import_judgments(TEXT.encode(), file_name="a.csv", reading=Reading())
    assert [(each.action, each.actor) for each in found.project.audit.order_by("id")] == [
        ("imported judgments", researcher),
        ("removed imported judgments", researcher),
        ("imported judgments", None),
    ]


def test_an_import_is_its_projects_own(as_researcher):
    other = Project.objects.create(name="Other", slug="other")
    theirs = import_judgments(TEXT.encode(), file_name="theirs.csv", reading=Reading(project=other))
    assert "theirs.csv" not in as_researcher.get(reverse("imports")).content.decode()
    assert as_researcher.get(theirs.get_absolute_url()).status_code == 404
    upload(as_researcher, TEXT)
    confirm(as_researcher, look(as_researcher).context["digest"])
    assert ImportedJudgments.objects.exclude(id=theirs.id).count() == 1


def test_a_file_is_not_imported_into_another_project_than_it_was_looked_at_in(
    as_researcher, researcher
):
    upload(as_researcher, TEXT)
    digest = look(as_researcher).context["digest"]
    other = Project.objects.create(name="Other", slug="other")
    Membership.objects.create(project=other, user=researcher, role=Role.RESEARCHER)
    as_researcher.post(reverse("choose-project"), {"project": other.slug})
    assert "nothing was imported" in said(confirm(as_researcher, digest))
    assert not ImportedJudgments.objects.exists()


def test_names_in_a_file_are_text_and_never_markup(as_researcher):
    text = f"{HEADER}\n<script>x</script>,<b>y</b>,1,<i>j</i>,w,left\n"
    upload(as_researcher, text, name="<script>.csv")
    response = look(as_researcher)
    confirm(as_researcher, response.context["digest"])
    shown = as_researcher.get(ImportedJudgments.objects.get().get_absolute_url())
    for page in (response, shown):
        assert "<script>x" not in page.content.decode()
        assert "<i>j" not in page.content.decode()


def test_the_first_page_leads_to_importing(as_researcher):
    assert reverse("new-import") in as_researcher.get(reverse("studies")).content.decode()
    assert reverse("new-import") in as_researcher.get(reverse("imports")).content.decode()
