"""Whatever a browser receives, served by the real endpoints, pixels apart tells neither a codec nor
a rate, and neither a gold task nor a repeat from any other.

`python -m benchmarks blindness` measures the same of 500 tasks, with times: docs/blindness.md.
"""

import io

import httpx
import numpy as np
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.urls import reverse
from PIL import Image

from annotation.models import Assignment, Campaign, Purpose
from benchmarks import blindness
from benchmarks.blindness import FROM_PIXELS, TIMES, associations, chunks_of
from codecs_registry.pictures import write_png, write_webp
from codecs_registry.tasks import encode_owed
from tests import factories

TASKS = 36  # by each of two annotators
SUSPECT = 0.001  # how rarely chance alone may do as much
SHOWN = {"WebP": {}, "PNG": {"has_webp": False}, "crop": {"crop": [64, 48]}}


@pytest.fixture
def client():
    """A browser; it is answered in this process, and so within the test's transaction."""
    served = httpx.WSGITransport(get_wsgi_application())
    signals = request_started, request_finished
    for each in signals:  # as Django's test client does: they would end the transaction
        each.disconnect(close_old_connections)
    with httpx.Client(transport=served, base_url="http://localhost") as opened:
        yield opened
    for each in signals:
        each.connect(close_old_connections)


@pytest.fixture(params=SHOWN)
def campaign(request, db, monkeypatch) -> Campaign:
    monkeypatch.setattr(encode_owed, "delay", lambda: None)
    images = blindness.make_stimuli(4, 96, 64)
    return blindness.make_campaign(request.param, images, **SHOWN[request.param])


def suspects(received: dict) -> set[tuple[str, str, str]]:
    return {
        (each.about, each.observable, each.label)
        for each in associations(received, permutations=1000)
        if each.p <= SUSPECT and each.observable not in TIMES
    }


def test_nothing_that_is_sent_tells_codec_rate_or_purpose(client, campaign):
    first, second = (blindness.receive(client, campaign, tasks=TASKS) for _ in range(2))
    # A leak shows in both halves. What chance does once in a thousand, it does not do twice.
    told = suspects(first) & suspects(second)
    assert {each for each in told if each[1] not in FROM_PIXELS} == set()

    served = Assignment.objects.values_list("purpose", flat=True)
    assert set(served) == {Purpose.MEASURE, Purpose.GOLD, Purpose.REPEAT}
    coded = ("copies", "coded picture, bytes", "rate")
    assert coded in told, "what does tell something is seen"


def coded_anew(pixels: np.ndarray, shown: str) -> bytes:
    """The same pixels in a file made of nothing else, as stored files and crops are made."""
    return write_png(pixels) if shown == "PNG" else write_webp(pixels)


def coded_picture(content: bytes) -> list[tuple[str, bytes]]:
    return [chunk for chunk in chunks_of(content) if chunk[0] not in ("VP8X", "paDd")]


def test_a_file_is_what_its_pixels_make_it_and_padding(client, campaign, request):
    shown = request.node.callspec.params["campaign"]
    annotator = factories.annotator(campaign)
    address = reverse("next-assignments", args=[annotator.token])
    for assignment in client.post(address).json()["assignments"]:
        for address in assignment["images"].values():
            sent = client.get(address).content
            pixels = np.asarray(Image.open(io.BytesIO(sent)).convert("RGB"))
            assert coded_picture(sent) == coded_picture(coded_anew(pixels, shown))
