"""The researcher's pages: what they show in every state, and what they refuse."""

import csv
import io
import re
import zipfile
from html import unescape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from annotation.models import Campaign, Judgment
from codecs_registry import blobs, encoding
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.pictures import write_png
from codecs_registry.tasks import encode_owed
from evaluation import launching
from evaluation.models import Study
from evaluation.study_files import StudySpecification
from tests import factories
from tests.factories import preferring

pytestmark = pytest.mark.django_db

State = Reconstruction.State
AVIF_FIRST, JPEG_FIRST = preferring("avif", "jpeg"), preferring("jpeg", "avif")


@pytest.fixture(autouse=True)
def no_worker_listens(monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)


def text_of(response) -> str:
    """What a page says, without its markup."""
    html = re.sub(r"<(script|style|svg).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def page(client, name: str = "study", *arguments, status: int = 200, **options):
    response = client.get(reverse(name, args=arguments or ["sea"]), **options)
    assert response.status_code == status
    return response


def judge(study: Study, *choices, is_simulated: bool = False) -> None:
    for choose in choices:
        annotator = factories.annotator(study.campaign, is_simulated=is_simulated)
        factories.judge_all(annotator, choose=choose)


def messages_of(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- who may see them -----------------------------------------------------------------------------

PAGES = [
    ("get", "studies", []),
    ("get", "new-study", []),
    ("post", "new-study", []),
    ("post", "upload", []),
    ("get", "study", ["sea"]),
    ("post", "retry", ["sea"]),
    ("get", "stimuli", ["sea"]),
    ("get", "judgments-csv", ["sea"]),
    ("get", "dataset-zip", ["sea"]),
]


@pytest.mark.parametrize(("method", "name", "arguments"), PAGES)
@pytest.mark.parametrize("exists", [True, False])
def test_an_outsider_is_asked_to_sign_in_and_learns_nothing(
    client, method, name, arguments, exists
):
    if exists:
        factories.study()
    address = reverse(name, args=arguments)
    response = getattr(client, method)(address)
    assert response.status_code == 302
    assert response.url == f"{reverse('login')}?next={quote(address)}"
    assert response.content == b""


def test_an_outsider_changes_nothing(client):
    study = factories.study(ready=False)
    study.reconstructions.update(state=State.FAILED, error="no memory")
    client.post(reverse("retry", args=["sea"]))
    client.post(reverse("upload"), {"collection": "a", "photographs": uploaded("a.png")})
    assert study.encoding_progress()["failed"] == 4
    assert not Collection.objects.filter(name="a").exists()


@pytest.mark.parametrize(
    ("method", "name", "arguments"),
    [("post", "studies", []), ("post", "study", ["sea"]), ("get", "retry", ["sea"]),
     ("get", "upload", []), ("post", "stimuli", ["sea"]), ("post", "judgments-csv", ["sea"]),
     ("delete", "new-study", [])],
)  # fmt: skip
def test_a_method_that_a_page_does_not_have_is_refused(as_researcher, method, name, arguments):
    factories.study()
    response = getattr(as_researcher, method)(reverse(name, args=arguments))
    assert response.status_code == 405


@pytest.mark.parametrize("name", ["study", "stimuli", "judgments-csv", "dataset-zip"])
def test_a_study_that_there_is_not_is_not_found(as_researcher, name):
    page(as_researcher, name, "no-such-study", status=404)
    assert as_researcher.post(reverse("retry", args=["no-such-study"])).status_code == 404


def test_a_researcher_signs_in_and_out(client, researcher):
    wrong = client.post(reverse("login"), {"username": "researcher", "password": "guess"})
    assert "do not match an account" in text_of(wrong)
    right = client.post(reverse("login"), {"username": "researcher", "password": "a long password"})
    assert right.url == reverse("studies")
    assert client.get(reverse("studies")).status_code == 200
    client.post(reverse("logout"))
    assert client.get(reverse("studies")).status_code == 302


def test_the_web_process_says_to_anybody_that_it_answers(client):
    response = client.get(reverse("healthz"))
    assert (response.status_code, response.content) == (200, b"ok")


# --- the list -------------------------------------------------------------------------------------


def test_without_a_study_the_first_page_says_how_to_begin(as_researcher):
    response = as_researcher.get(reverse("studies"))
    assert "No study yet" in text_of(response)
    assert f'href="{reverse("new-study")}"' in response.content.decode()


def test_the_list_tells_states_rates_and_judgments_and_marks_simulated_ones(as_researcher):
    judge(factories.study("Sea", bpp=("0.37", "1.0")), AVIF_FIRST)
    judge(factories.study("Sky"), AVIF_FIRST, is_simulated=True)
    factories.study("Later", ready=False)
    shown = text_of(as_researcher.get(reverse("studies")))
    assert re.search(r"Sea open avif, jpeg 0\.37, 1\.0 4 ", shown)
    assert re.search(r"Sky open avif, jpeg 0\.37 0 \+ 2 simulated", shown)
    assert re.search(r"Later encoding 0/4 avif, jpeg 0\.37 0 ", shown)


def test_names_are_text_and_never_markup(as_researcher):
    factories.study("<script>alert(1)</script>")
    for response in (
        as_researcher.get(reverse("studies")),
        page(as_researcher, "study", "scriptalert1script"),
    ):
        assert "<script>alert" not in response.content.decode()
        assert "<script>alert(1)</script>" in text_of(response) or "&lt;script&gt;" in (
            response.content.decode()
        )


# --- a study's page -------------------------------------------------------------------------------


def test_a_study_that_is_encoded_shows_how_far_it_is_and_asks_again_by_itself(as_researcher):
    study = factories.study(ready=False)
    encoding.make_next()
    response = page(as_researcher)
    assert "1 of 4 reconstructions are ready" in text_of(response)
    assert f'hx-get="{reverse("watch", args=["sea"])}?' in response.content.decode()
    assert str(study.campaign.token) not in response.content.decode(), "nothing to judge yet"


def test_a_study_whose_stimuli_failed_names_each_with_its_reason_and_stops_asking(as_researcher):
    study = factories.study(ready=False)
    failed = study.reconstructions.select_related("source").first()
    study.reconstructions.update(state=State.FAILED, error="out of memory")
    Reconstruction.objects.filter(id=failed.id).update(error="too <wide> for it")
    response = page(as_researcher)
    assert "4 failed" in text_of(response)
    assert f"{failed}: too <wide> for it" in text_of(response)
    assert "out of memory (and 2 more for the same reason)" in text_of(response)
    assert "<wide>" not in response.content.decode()
    assert "hx-get" not in response.content.decode()


def test_what_failed_can_be_tried_again_from_the_page(as_researcher):
    study = factories.study(ready=False)
    study.reconstructions.filter(codec="jpeg").update(state=State.FAILED, error="no memory")
    response = as_researcher.post(reverse("retry", args=["sea"]))
    assert response.url == reverse("study", args=["sea"])
    assert study.encoding_progress()["waiting"] == 4
    while encoding.make_next() is not None:
        pass
    launching.advance(study.id)
    assert "No judgments yet" in text_of(page(as_researcher))


def test_an_open_study_without_judgments_shows_its_link_and_what_to_do(as_researcher):
    study = factories.study(judgments_per_task=5)
    response = page(as_researcher)
    shown = text_of(response)
    assert "No judgments yet" in shown
    assert "0 of 10 wanted" in shown
    link = reverse("welcome", args=[study.campaign.token])
    assert f'value="http://localhost{link}"' in response.content.decode()
    assert "<svg" not in response.content.decode()


def test_results_show_shares_intervals_scale_pairs_and_ceiling(as_researcher):
    judge(factories.study(), AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    response = page(as_researcher)
    shown = text_of(response)
    assert "6 of 6 wanted" in shown
    assert "6 judgments by 3 annotators on 2 source images." in shown
    assert "Human ceiling 33.3%" in shown
    # Wilson's interval of 4 in 6, and log(2) / 2.
    assert "avif +0.35 [" in shown
    assert "4 6 66.7% [30.0%, 90.3%]" in shown
    assert "jpeg \N{MINUS SIGN}0.35 [" in shown
    assert "2 6 33.3% [9.7%, 70.0%]" in shown
    assert "avif over jpeg 6 66.7% [30.0%, 90.3%] 0.688 0.688" in shown
    assert response.content.decode().count("<svg") == 7, "pace, widths, and five of results"
    assert "Simulated" not in shown


def test_where_a_value_cannot_be_had_the_page_says_why(as_researcher):
    judge(factories.study(bpp=("0.37",)), AVIF_FIRST)
    shown = text_of(page(as_researcher))
    assert "No scale yet: avif never lost to jpeg: the distance is infinite." in shown
    assert "Human ceiling no task has votes of two annotators" in shown
    assert "No bit rate has a scale yet" in shown


def test_a_bit_rate_without_judgments_is_shown_as_such(as_researcher):
    study = factories.study(bpp=("0.37", "1.0"), sources=1)
    who = factories.annotator(study.campaign)
    study.campaign.tasks.filter(target_bpp="1.0").update(places_left=0)
    factories.judge_all(who)
    assert "1.0 bpp No judgments here yet." in text_of(page(as_researcher))


def test_simulated_judgments_are_marked_impossible_to_miss(as_researcher):
    judge(factories.study(), AVIF_FIRST, AVIF_FIRST, JPEG_FIRST, is_simulated=True)
    shown = text_of(page(as_researcher))
    assert "Simulated judgments. Everything below was answered by simulated annotators" in shown
    assert "6 simulated judgments by 3 simulated annotators" in shown
    assert "Human ceiling" not in shown
    assert "analyse sea --simulated --json" in shown


def test_people_come_first_and_simulations_are_one_link_away(as_researcher):
    study = factories.study(judgments_per_task=5)
    judge(study, AVIF_FIRST, AVIF_FIRST)
    judge(study, JPEG_FIRST, is_simulated=True)
    of_people = text_of(page(as_researcher))
    assert "4 judgments by 2 annotators" in of_people
    assert "Show simulated judgments (2)" in of_people
    assert "Everything below was answered by simulated" not in of_people
    of_simulated = text_of(page(as_researcher, data={"judged_by": "simulated"}))
    assert "2 simulated judgments by 1 simulated annotator on 2 source images." in of_simulated
    assert "Show what people judged (4)" in of_simulated


@pytest.mark.parametrize("judged_by", ["x", "", "\0", "people'--", "simulated"])
def test_odd_questions_are_answered_with_the_page(as_researcher, judged_by):
    judge(factories.study(), AVIF_FIRST)
    page(as_researcher, data={"judged_by": judged_by})


def test_a_missed_target_is_shown_with_its_reason_wherever_it_is_shown(as_researcher):
    study = factories.study()
    missed = study.reconstructions.select_related("source").first()
    reason = "0.37 bpp is out of range: the smallest file of this codec is 0.5 bpp"
    Reconstruction.objects.filter(id=missed.id).update(actual_bpp=0.5, miss=reason)
    judge(study, AVIF_FIRST)
    shown = text_of(page(as_researcher))
    assert "1 of 4 stimuli missed their target bit rate" in shown
    assert f"{missed}: 0.500 bpp; {reason}" in shown
    stimuli = text_of(page(as_researcher, "stimuli"))
    assert f"missed: {reason}" in stimuli
    assert stimuli.count("within 2 %") == 3
    [row] = [row for row in dataset(as_researcher)[1] if reason in row["p0_miss"] + row["p1_miss"]]
    assert float(row["p0_bpp"] if row["p0_miss"] else row["p1_bpp"]) == 0.5


def test_a_closed_study_still_shows_its_results(as_researcher):
    study = factories.study()
    judge(study, AVIF_FIRST)
    Campaign.objects.update(state=Campaign.State.CLOSED)
    shown = text_of(page(as_researcher))
    assert "Sea closed" in shown
    assert "2 judgments by 1 annotator on 2 source images." in shown


def test_a_study_is_closed_and_opened_again(as_researcher):
    study = factories.study()
    for name, state in (("close", "closed"), ("open again", "open")):
        as_researcher.post(reverse("move", args=[study.slug]), {"move": name})
        study.campaign.refresh_from_db()
        assert study.campaign.state == state


def test_pages_are_not_kept_by_caches(as_researcher):
    factories.study()
    for name, arguments in (("studies", []), ("study", ["sea"]), ("new-study", [])):
        response = as_researcher.get(reverse(name, args=arguments))
        assert "no-store" in response.headers["Cache-Control"]


def test_stimuli_are_listed_in_every_state(as_researcher):
    study = factories.study(ready=False)
    encoding.make_next()
    study.reconstructions.filter(state=State.WAITING, codec="jpeg").update(
        state=State.FAILED, error="no memory"
    )
    shown = text_of(page(as_researcher, "stimuli"))
    assert "failed: no memory" in shown
    assert "waiting" in shown
    assert "cq-level" in shown or "table_scale" in shown, "the settings of what is ready"


# --- a new study ----------------------------------------------------------------------------------


def collection(name: str = "holiday") -> Collection:
    made = Collection.objects.create(name=name)
    made.sources.add(factories.source_image())
    return made


def ask(client, **fields):
    given = {
        "name": "Sea",
        "images": "holiday",
        "codecs": ["jpeg", "webp"],
        "bpp": "0.5, 1",
        "judgments_per_task": 3,
        "judgments_per_annotator": "",
        "instructions": "",
        "seed": 0,
    }
    given |= fields
    return client.post(
        reverse("new-study"), {key: value for key, value in given.items() if value is not None}
    )


def test_the_form_says_when_there_are_no_photographs_yet(as_researcher):
    assert "There are no photographs yet" in text_of(as_researcher.get(reverse("new-study")))
    collection()
    shown = as_researcher.get(reverse("new-study"))
    assert "There are no photographs yet" not in text_of(shown)
    assert 'value="holiday"' in shown.content.decode()


def test_a_study_is_launched_by_the_form_as_by_a_file(as_researcher, researcher):
    made = collection()
    response = ask(as_researcher, judgments_per_annotator=20, instructions="Look closely.", seed=4)
    assert response.url == reverse("study", args=["sea"])
    study = Study.objects.get()
    assert study.launched_by == researcher
    assert study.specification == StudySpecification.defaults() | {
        "name": "Sea",
        "images": [made.sources.get().sha256],
        "codecs": ["jpeg", "webp"],
        "bpp": ["0.5", "1.0"],
        "task": "2afc",
        "judgments_per_task": 3,
        "judgments_per_annotator": 20,
        "sampling": "balanced",
        "gold_share": 0.0,
        "repeat_share": 0.0,
        "allow_ties": False,
        "source_distance": 2,
        "seed": 4,
        "instructions": "Look closely.",
    }
    assert study.reconstructions.count() == 2 * 2


def test_the_same_study_asked_for_twice_is_one_and_the_page_says_so(as_researcher):
    collection()
    ask(as_researcher)
    response = ask(as_researcher)
    assert Study.objects.count() == 1
    assert "was there already" in text_of(as_researcher.get(response.url))


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("name", "", "This field is required."),
        ("name", "—", "This needs a letter"),
        ("name", "x" * 200, "This is longer than 100 characters."),
        ("images", "no such collection", "Select a valid choice"),
        ("images", "\0", ""),
        ("codecs", ["jpeg"], "This needs two or more different codecs"),
        ("codecs", ["jpeg", "jpeg9000"], "Select a valid choice"),
        ("codecs", None, "This field is required."),
        ("bpp", "many", "This must be a list of bits per pixel from 0.01 to 24."),
        ("bpp", "0.123456", "This takes at most four decimals."),
        ("bpp", " , ", "This needs at least one bit rate."),
        ("judgments_per_task", "0", "This must be a whole number from 1 to 1000."),
        ("judgments_per_task", "2.5", "Enter a whole number."),
        ("judgments_per_annotator", "-3", "This must be a whole number from 1 to"),
        ("seed", str(2**70), "This must be a whole number from 0 to"),
        ("seed", "", "This field is required."),
    ],
)
def test_what_is_wrong_is_told_at_its_field(as_researcher, field, value, problem):
    collection()
    response = ask(as_researcher, **{field: value})
    assert response.status_code == 422
    errors = response.context["form"].errors
    assert list(errors) == [field]
    assert problem in errors[field][0]
    fields = re.split(r'<div class="field">', response.content.decode())
    [shown] = [each for each in fields if f'name="{field}"' in each]
    assert problem in unescape(shown)
    assert not Study.objects.exists()


def test_a_name_that_is_taken_is_told_at_the_name(as_researcher):
    collection()
    ask(as_researcher)
    response = ask(as_researcher, bpp="2")
    assert response.status_code == 422
    assert "differs in bpp; choose another name" in response.context["form"].errors["name"][0]
    assert Study.objects.count() == 1


def test_what_was_typed_stays_in_the_form(as_researcher):
    collection()
    html = ask(as_researcher, bpp="many", instructions="Look closely.").content.decode()
    assert 'value="many"' in html
    assert "Look closely." in html


def test_a_collection_named_like_a_folder_is_a_collection_and_opens_no_folder(
    as_researcher, tmp_path
):
    (tmp_path / "secret.txt").write_text("not for researchers")
    collection(str(tmp_path))
    response = ask(as_researcher, images=str(tmp_path))
    assert response.status_code == 302
    assert Study.objects.get().sources.count() == 1


# --- photographs ----------------------------------------------------------------------------------


def uploaded(name: str, content: bytes | None = None, *, seed: int = 0) -> SimpleUploadedFile:
    return SimpleUploadedFile(
        name, write_png(factories.pixels(seed=seed)) if content is None else content
    )


def upload(client, *files, collection="holiday"):
    given = {"collection": collection, "photographs": list(files)}
    return client.post(reverse("upload"), given)


def test_uploaded_photographs_are_in_their_collection(as_researcher):
    response = upload(as_researcher, uploaded("a.png", seed=1), uploaded("b.png", seed=2))
    assert response.url == reverse("new-study") + "?collection=holiday"
    assert '<option value="holiday" selected>' in as_researcher.get(response.url).content.decode()
    assert messages_of(response) == ["2 photographs are in “holiday”."]
    names = Collection.objects.get().sources.values_list("name", flat=True)
    assert list(names) == ["a.png", "b.png"]


def test_of_good_and_bad_files_the_good_are_taken_and_the_bad_are_named(as_researcher):
    good = uploaded("good.png")
    response = upload(
        as_researcher,
        uploaded("text.png", b"hello"),
        uploaded("empty.png", b""),
        uploaded("cut.png", write_png(factories.pixels())[:400]),
        good,
        uploaded("notes.txt", b"hello"),
    )
    told = messages_of(response)
    assert len(told) == 5
    for name in ("text.png", "empty.png", "cut.png", "notes.txt"):
        assert [message for message in told if message.startswith(f"{name} was skipped: ")]
    assert told[-1] == "1 photographs are in “holiday”."
    assert SourceImage.objects.get().name == "good.png"


def test_a_large_photograph_goes_through_a_file_and_is_taken(as_researcher):
    noise = np.random.default_rng(1).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    assert len(file.getvalue()) > 2_621_440, "larger than Django keeps in memory"
    upload(as_researcher, uploaded("large.png", file.getvalue()))
    assert SourceImage.objects.get().width == 1000


@pytest.mark.parametrize(
    ("name", "files"), [("", ["a.png"]), ("holiday", []), ("x" * 101, ["a.png"])]
)
def test_an_upload_without_a_name_or_files_is_refused_with_a_message(as_researcher, name, files):
    response = upload(as_researcher, *map(uploaded, files), collection=name)
    assert response.url == reverse("new-study")
    assert len(messages_of(response)) == 1
    assert not SourceImage.objects.exists()


def test_an_uploaded_name_is_text_and_leads_nowhere(as_researcher):
    upload(as_researcher, uploaded("../../<b>x.png"))
    assert SourceImage.objects.get().name == "<b>x.png"


# --- downloads ------------------------------------------------------------------------------------


def dataset(client) -> tuple[zipfile.ZipFile, list[dict]]:
    response = page(client, "dataset-zip")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
    assert archive.testzip() is None
    manifest = archive.read("sea/manifest.csv").decode()
    return archive, list(csv.DictReader(io.StringIO(manifest)))


def test_the_judgments_that_are_downloaded_are_those_in_the_database(as_researcher):
    study = factories.study(bpp=("0.37", "1.0"), judgments_per_task=4)
    judge(study, AVIF_FIRST, JPEG_FIRST)
    judge(study, AVIF_FIRST, is_simulated=True)
    response = page(as_researcher, "judgments-csv")
    assert response.headers["Content-Type"].startswith("text/csv")
    assert 'filename="sea-judgments.csv"' in response.headers["Content-Disposition"]
    content = b"".join(response.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    expected = []
    for judgment in Judgment.objects.order_by("id"):
        assignment = judgment.assignment
        left, right = (Reconstruction.objects.get(id=each).codec for each in assignment.shown)
        simulated = assignment.annotator.is_simulated
        kind = "simulated" if simulated else "annotator"
        expected.append(
            {
                "annotator": f"{kind}-{assignment.annotator_id}",
                "content": assignment.task.source.name,
                "stratum": assignment.task.stratum,
                "left": left,
                "right": right,
                "chosen": "left" if judgment.ranks == [1, 2] else "right",
                "gold": "",
                "response_ms": str(judgment.response_ms),
                "submitted_at": judgment.judged_at.isoformat(),
                "repeat": "false",
                "simulated": "true" if simulated else "false",
            }
        )
    assert rows == expected
    assert len(rows) == 3 * 4


def test_the_dataset_that_is_downloaded_holds_every_judged_pair(as_researcher):
    study = factories.study(sources=3, judgments_per_task=4)
    judge(study, AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    judge(study, JPEG_FIRST, is_simulated=True)
    archive, rows = dataset(as_researcher)
    assert len(rows) == 3 * 2, "people's and simulations' votes apart"
    for row in rows:
        where = f"sea/2afc/{row['split']}/{row['subset']}"
        source = SourceImage.objects.get(sha256=row["sha256"])
        assert archive.read(f"{where}/ref/{row['file']}.png") == blobs.read(source.png)
        for side in ("p0", "p1"):
            made = study.reconstructions.get(source=source, codec=row[f"{side}_codec"])
            assert archive.read(f"{where}/{side}/{row['file']}.png") == blobs.read(made.decoded)
        judged = np.load(io.BytesIO(archive.read(f"{where}/judge/{row['file']}.npy")))
        simulated = row["simulated"] == "true"
        for_jpeg = 1.0 if simulated else 1 / 3
        expected = for_jpeg if row["p1_codec"] == "jpeg" else 1 - for_jpeg
        assert judged.dtype == np.float32
        assert judged.shape == (1,)
        assert judged[0] == pytest.approx(expected)
        assert row["subset"] == ("simulated-" if simulated else "") + "bpp-0.37"
    files = [name for name in archive.namelist() if name.startswith("sea/2afc/")]
    assert len(files) == 4 * len(rows)


@pytest.mark.parametrize("ready", [True, False])
def test_a_study_without_judgments_gives_empty_downloads(as_researcher, ready):
    factories.study(ready=ready)
    content = b"".join(page(as_researcher, "judgments-csv").streaming_content).decode()
    assert len(content.splitlines()) == 1
    archive, rows = dataset(as_researcher)
    assert rows == []
    names = {Path(name).name for name in archive.namelist()}
    assert names == {"manifest.csv", "dataset.json", "README.md"}


def test_a_page_that_is_not_there_says_what_to_do(as_researcher):
    response = as_researcher.get("/studies/nowhere/")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()
    assert "ask whoever gave it to you" in response.content.decode()


def test_a_form_without_its_token_is_refused_in_words(researcher):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(researcher)
    response = strict.post(reverse("new-study"), {"name": "x"})
    assert response.status_code == 403
    assert "reload it and try again" in response.content.decode()


def test_an_error_of_ours_is_told_without_a_stack_trace(as_researcher, monkeypatch):
    def fail(*args):
        raise RuntimeError("secret detail")

    factories.study()
    monkeypatch.setattr(Study, "strata", property(fail))
    as_researcher.raise_request_exception = False
    response = as_researcher.get(reverse("studies"))
    assert response.status_code == 500
    assert "Something went wrong here" in response.content.decode()
    assert "secret detail" not in response.content.decode()


@pytest.mark.parametrize(
    ("psnr", "words"), [(31, "There is no task whose answer"), (40, "4 tasks")]
)
def test_the_page_tells_whether_there_are_gold_tasks(as_researcher, psnr, words):
    study = factories.study(bpp=("0.23", "1.0"), ready=False, gold_share=0.1)
    study.reconstructions.all().delete()
    for source in study.sources.all():
        for codec in study.codecs:
            for bpp, decibels in (("0.23", 30), ("1.0", psnr)):
                study.reconstructions.add(
                    factories.reconstruction(source, codec, bpp=bpp, psnr=decibels)
                )
    launching.advance(study.id)
    assert words in text_of(page(as_researcher, "study"))
