"""The pages that show what machines see."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from evaluation.downstream.document import BadDocument, read_document
from evaluation.models import DownstreamEvaluation
from projects.access import default_project
from projects.models import AuditEntry, Membership
from projects.roles import Role
from tests.evaluation.downstream_documents import a_document, downstream_evaluation

pytestmark = pytest.mark.django_db


def upload(client, content: bytes, name: str = "Theirs"):
    file = SimpleUploadedFile("results.json", content, "application/json")
    return client.post(reverse("downstream-upload"), {"name": name, "file": file})


def test_the_list_is_reached_from_the_codecs_and_tells_how_to_begin(as_researcher):
    assert reverse("downstream") in as_researcher.get(reverse("codecs")).content.decode()
    shown = as_researcher.get(reverse("downstream")).content.decode()
    assert "manage.py evaluate_downstream" in shown
    assert 'aria-current="true">Codecs' in shown


def test_an_evaluation_has_its_tables_its_plot_and_its_file(as_researcher):
    kept = downstream_evaluation(default_project(), name="Nano")
    assert "Nano" in as_researcher.get(reverse("downstream")).content.decode()
    shown = as_researcher.get(kept.get_absolute_url()).content.decode()
    assert "Detection: mAP of boxes" in shown
    assert "Semantic segmentation: mean IoU" in shown
    assert "Uncompressed: 30.0 [25.0, 35.0] %" in shown
    assert "−11.4 [−9.0, −1.5]" in shown
    assert "<svg" in shown
    assert "yolox.onnx" in shown
    assert shown.index(">0.23 bpp</th>") < shown.index(">1.0 bpp</th>")
    # JPEG was not measured at 1.0 bpp.
    assert '<td class="number">–</td>' in shown
    sent = as_researcher.get(reverse("downstream-json", args=[kept.id])).getvalue()
    assert json.loads(sent) == a_document()


def test_results_of_another_machine_are_uploaded_once_and_removed(as_researcher):
    content = json.dumps(a_document()).encode()
    response = upload(as_researcher, content)
    kept = DownstreamEvaluation.objects.get()
    assert response.url == kept.get_absolute_url()
    assert upload(as_researcher, content, name="Again").url == kept.get_absolute_url()
    assert DownstreamEvaluation.objects.count() == 1
    as_researcher.post(reverse("downstream-remove", args=[kept.id]))
    assert not DownstreamEvaluation.objects.exists()
    told = AuditEntry.objects.filter(action__contains="downstream").values_list("action", flat=True)
    assert sorted(told) == ["kept a downstream evaluation", "removed a downstream evaluation"]


def test_who_may_only_look_is_shown_no_form(client, django_user_model):
    viewer = django_user_model.objects.create_user("viewer")
    Membership.objects.create(project=default_project(), user=viewer, role=Role.VIEWER)
    client.force_login(viewer)
    kept = downstream_evaluation(default_project())
    assert "Upload</button>" not in client.get(reverse("downstream")).content.decode()
    assert "Remove</button>" not in client.get(kept.get_absolute_url()).content.decode()
    assert upload(client, json.dumps(a_document(seed=1)).encode()).status_code == 403


def test_a_file_that_holds_no_results_is_refused_with_the_reason(as_researcher):
    response = upload(as_researcher, b'{"a": 1}')
    assert response.status_code == 422
    assert "These are no results" in response.content.decode()
    assert not DownstreamEvaluation.objects.exists()


def changed(**changes) -> bytes:
    return json.dumps(a_document(**changes)).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "does not say that it is"),
        (changed(n_images=-1), "n_images"),
        (changed(n_images="many"), "n_images"),
        (changed(confidence=2), "confidence"),
        (changed(measures=[]), "measures"),
        (changed(measures=["beauty"]), "measures"),
        (changed(uncompressed={}), "'box_ap' is missing"),
        (changed(uncompressed=[]), "another kind"),
        (changed(strata={"low": {"codecs": a_document()["strata"]["1.0"]["codecs"]}}), "bit rate"),
        (changed(strata={"0.23": {"codecs": [{"codec": 3}]}}), "expected text"),
        (changed(provenance={}), "is missing"),
        (changed().replace(b"26.4", b"NaN"), "NaN is no number"),
        (changed().replace(b"26.4", b'"a"'), "expected a number"),
        (changed().replace(b"26.4", b"1e999"), "expected a number"),
        (changed().replace(b"labels.json", rb"\u0000"), "expected text"),
    ],
)
def test_a_document_is_checked_to_its_numbers(content, said):
    with pytest.raises(BadDocument, match=said):
        read_document(content)


def test_an_evaluation_without_intervals_says_why(as_researcher):
    none = {"value": 30.0, "low": None, "high": None, "reason": "too few images"}
    kept = downstream_evaluation(
        default_project(), uncompressed={"box_ap": none, "mean_iou": none}, strata={}
    )
    shown = as_researcher.get(kept.get_absolute_url()).content.decode()
    assert "too few images" in shown
    assert "No codec was measured" in shown
    assert "<svg" not in shown
