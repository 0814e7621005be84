"""Links to results: whoever has one reads, nobody else does, and a revoked one shows nothing."""

import json
import re

import pytest
from django.urls import reverse

from config.logs import SECRET
from evaluation import sharing
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE, SIMULATED, SharedLink
from tests import factories
from tests.evaluation.test_reports import judge, text_of
from tests.factories import preferring

pytestmark = pytest.mark.django_db

AVIF_FIRST, JPEG_FIRST = preferring("avif", "jpeg"), preferring("jpeg", "avif")


@pytest.fixture
def study():
    made = factories.study(sources=1, judgments_per_task=5)
    judge(made, AVIF_FIRST, AVIF_FIRST, JPEG_FIRST)
    return made


def frozen(study, **about) -> SharedLink:
    document = analyse_study(study, population=PEOPLE)
    return sharing.share(study, population=PEOPLE, document=document, **about)


def shown(client, link: SharedLink):
    return client.get(reverse("shared-results", args=[link.token]))


def test_whoever_has_the_link_reads_the_results_without_signing_in(client, study):
    response = shown(client, frozen(study))
    assert response.status_code == 200
    text = text_of(response.content.decode())
    assert "3 judgments by 3 annotators on 1 source image." in text
    assert "Bradley-Terry model" in text


def test_the_page_is_kept_out_of_search_engines_caches_and_referers(client, study):
    response = client.get(reverse("shared-plot", args=[frozen(study).token, "scale", "csv"]))
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


def test_the_page_leads_nowhere_that_needs_signing_in_and_changes_nothing(client, study):
    html = shown(client, frozen(study)).content.decode()
    main = html.split("<main", 1)[1]
    assert "/studies/" not in main
    assert "<form" not in main
    addresses = set(re.findall(r'(?:src|href)="(/results/[^"]+)"', main))
    for ending in ("scale.csv", ".webp"):
        address = next(each for each in addresses if each.endswith(ending))
        assert client.get(address).status_code == 200
    assert client.post(reverse("shared-results", args=[frozen(study).token])).status_code == 405


def test_the_page_tells_no_annotators_name(client, study):
    names = {each["annotator"] for each in analyse_study(study, population=PEOPLE)["annotators"]}
    html = shown(client, frozen(study)).content.decode()
    for name in names:
        assert name not in html
    assert "annotator 3" in html
    newest = shown(client, sharing.share(study, population=PEOPLE)).content.decode()
    assert not any(name in newest for name in names)


def test_numbering_anew_changes_names_only(study):
    document = analyse_study(study, population=PEOPLE)
    other = sharing.for_others(document)
    assert other["strata"] == document["strata"]
    assert [each["n"] for each in other["annotators"]] == [
        each["n"] for each in document["annotators"]
    ]
    flagged = document | {
        "screening": document["screening"] | {"flagged": [document["annotators"][1]["annotator"]]}
    }
    assert sharing.for_others(flagged)["screening"]["flagged"] == ["annotator 2"]


def test_a_frozen_link_shows_what_was_published_and_the_other_what_is_newest(client, study):
    old, new = frozen(study), sharing.share(study, population=PEOPLE)
    judge(study, JPEG_FIRST)
    assert "3 judgments by 3 annotators" in text_of(shown(client, old).content.decode())
    assert "4 judgments by 4 annotators" in text_of(shown(client, new).content.decode())


def test_what_is_frozen_keeps_the_order_of_its_strata():
    study = factories.study(bpp=("0.23", "1.0", "0.5"), sources=1)
    link = frozen(study)
    link.refresh_from_db()
    assert list(link.document["strata"]) == study.strata
    assert json.dumps(link.document) == link.document_text


def test_simulated_results_are_marked_on_the_shared_page(client, study):
    judge(study, JPEG_FIRST, is_simulated=True)
    document = analyse_study(study, population=SIMULATED)
    link = sharing.share(study, population=SIMULATED, document=document)
    text = text_of(shown(client, link).content.decode())
    assert "Simulated judgments. Everything below was answered by simulated annotators" in text


def test_small_pictures_are_of_the_studys_stimuli_and_of_no_other(client, study):
    link = frozen(study)
    other = factories.reconstruction(factories.source_image(), "avif")

    def status(kind: str, number: int) -> int:
        return client.get(reverse("shared-picture", args=[link.token, kind, number])).status_code

    assert status("original", study.sources.first().id) == 200
    assert status("reconstruction", study.reconstructions.first().id) == 200
    assert status("original", other.source.id) == 404
    assert status("reconstruction", other.id) == 404
    assert status("bitstream", study.reconstructions.first().id) == 404


# --- its end --------------------------------------------------------------------------------------


def test_a_revoked_link_shows_nothing_and_says_so(client, study, researcher):
    link = frozen(study)
    assert sharing.revoke(link, by=researcher)
    assert not sharing.revoke(link)
    for address in (
        reverse("shared-results", args=[link.token]),
        reverse("shared-plot", args=[link.token, "scale", "csv"]),
        reverse("shared-picture", args=[link.token, "original", study.sources.first().id]),
    ):
        response = client.get(address)
        assert response.status_code == 410
        text = text_of(response.content.decode())
        assert "This link was revoked" in text
        assert study.name not in text
        assert "avif" not in text
    link.refresh_from_db()
    assert link.revoked_by == researcher


def test_an_unknown_link_says_so_kindly(client):
    response = client.get(reverse("shared-results", args=["never-made"]))
    assert response.status_code == 404
    assert "There is no such link." in text_of(response.content.decode())


def test_a_link_cannot_be_guessed_and_is_not_logged(study):
    one, other = frozen(study), frozen(study)
    assert one.token != other.token
    assert len(one.token) >= 32  # 24 random bytes
    address = reverse("shared-results", args=[one.token])
    assert one.token not in SECRET.sub(r"/\1/...", f"Gone: {address}")


# --- the researcher's page ------------------------------------------------------------------------


def test_a_researcher_makes_sees_and_revokes_a_link(as_researcher, client, study, researcher):
    page = reverse("sharing", args=["sea"])
    assert "No link to these results was made yet." in text_of(
        as_researcher.get(page).content.decode()
    )
    as_researcher.post(reverse("share", args=["sea"]), {"population": "people", "shows": "frozen"})
    link = SharedLink.objects.get()
    assert (link.created_by, link.is_frozen) == (researcher, True)
    html = as_researcher.get(page).content.decode()
    assert reverse("shared-results", args=[link.token]) in html
    as_researcher.post(reverse("revoke-shared", args=["sea", link.id]))
    html = as_researcher.get(page).content.decode()
    assert "revoked" in text_of(html)
    assert link.token not in html
    assert shown(as_researcher, link).status_code == 410


def test_what_was_not_judged_cannot_be_shared(as_researcher, study):
    for population in ("simulated", "dogs", ""):
        asked = {"population": population, "shows": "newest"}
        response = as_researcher.post(reverse("share", args=["sea"]), asked, follow=True)
        assert "There are no judgments of this kind to share yet." in response.content.decode()
    assert not SharedLink.objects.exists()


def test_sharing_is_for_those_who_signed_in(client, study):
    link = frozen(study)
    for method, name, arguments in (
        ("get", "sharing", ["sea"]),
        ("post", "share", ["sea"]),
        ("post", "revoke-shared", ["sea", link.id]),
    ):
        response = getattr(client, method)(reverse(name, args=arguments))
        assert response.url.startswith(reverse("login"))
    link.refresh_from_db()
    assert link.revoked_at is None
    assert SharedLink.objects.count() == 1


def test_a_link_of_another_study_is_not_revoked(as_researcher, study):
    link = frozen(study)
    factories.study("Lake")
    address = reverse("revoke-shared", args=["lake", link.id])
    assert as_researcher.post(address).status_code == 404
    link.refresh_from_db()
    assert link.revoked_at is None
