"""Stored files are sent by the web server, or named to the proxy that sends them."""

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from codecs_registry import blobs
from codecs_registry.responses import BLOB, stored_file
from tests import factories

PLACE = "/blobs"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["original-png", "decoded-png", "bitstream"])
def test_a_file_has_the_same_headers_whoever_sends_it(as_researcher, settings, name):
    study = factories.study()
    made = study.reconstructions.first()
    address = reverse(name, args=[made.source_id if name == "original-png" else made.id])
    sent = as_researcher.get(address)
    settings.CLOSER_ACCEL_REDIRECT = PLACE
    named = as_researcher.get(address)
    stored = {"original-png": made.source.png, "decoded-png": made.decoded}
    blob = stored.get(name, made.bitstream)
    assert b"".join(sent.streaming_content) == blobs.read(blob)
    assert (named.status_code, named.content) == (200, b"")
    assert named["X-Accel-Redirect"] == f"{PLACE}/{blob}"
    assert named["Content-Type"] == sent["Content-Type"]
    assert named["Cache-Control"] == sent["Cache-Control"]
    assert named.get("Content-Disposition") == (
        sent["Content-Disposition"] if name == "bitstream" else None
    )


@pytest.mark.django_db
def test_who_may_not_have_a_file_is_told_no_name_of_it(client, settings, django_user_model):
    settings.CLOSER_ACCEL_REDIRECT = PLACE
    study = factories.study()
    address = reverse("decoded-png", args=[study.reconstructions.first().id])
    asked = client.get(address)
    assert asked.status_code == 302
    client.force_login(django_user_model.objects.create_user("stranger"))
    refused = client.get(address)
    assert "X-Accel-Redirect" not in asked
    assert "X-Accel-Redirect" not in refused


@pytest.mark.parametrize(
    "blob", ["../secret_key", "/etc/passwd", "ab/../../x", "", f"ab/{'0' * 64}/x", "ab/%2e%2e/x"]
)
def test_nothing_but_a_blob_is_named(settings, blob):
    settings.CLOSER_ACCEL_REDIRECT = PLACE
    with pytest.raises(ValueError, match="is no blob"):
        stored_file(blob, "image/png")


@given(content=st.binary(max_size=50), ending=st.sampled_from([".png", ".webp", ".csv", ""]))
def test_every_blob_that_is_stored_can_be_named(content, ending):
    assert BLOB.fullmatch(blobs.put(content, ending))
