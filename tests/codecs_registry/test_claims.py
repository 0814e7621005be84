"""Claims by workers that really run at once, each over a connection of its own.

Their rows are committed, and deleted at the end: a test's usual transaction would hide them from
the others.
"""

import time
from datetime import timedelta
from decimal import Decimal

import pytest

from codecs_registry import clock, encoding, leases
from codecs_registry.codecs.webp import WebP
from codecs_registry.leases import LEASE
from codecs_registry.models import Reconstruction
from tests import factories
from tests.at_once import at_once, committed_rows

State = Reconstruction.State
TARGETS = [Decimal(target) for target in ("0.5", "1", "2")]


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


def test_workers_that_claim_at_once_never_get_the_same():
    sources = [factories.source_image() for _ in range(10)]
    asked = encoding.request(sources, ["jpeg", "webp"], TARGETS)
    now = clock.now()

    def claim_all(number: int) -> list[int]:
        ids = []
        while claimed := encoding.claim_next(worker=f"worker-{number}", now=now):
            assert len({(each.source_id, each.codec) for each in claimed}) == 1
            ids += [each.id for each in claimed]
        return ids

    claimed = [claim for claims in at_once(claim_all, 6) for claim in claims]
    assert len(claimed) == len(set(claimed)), "nothing is claimed twice"
    assert set(claimed) == {each.id for each in asked}, "and nothing is forgotten"


def test_workers_that_take_over_a_dead_ones_work_at_once_never_get_the_same():
    encoding.request([factories.source_image()], ["jpeg"], TARGETS)
    now = clock.now()
    encoding.claim_next(worker="dead", now=now)
    late = now + LEASE
    taken = at_once(lambda number: encoding.claim_next(worker=f"{number}", now=late), 6)
    assert sorted(len(claims) for claims in taken) == [0, 0, 0, 0, 0, 3]


def test_two_who_ask_for_the_same_at_once_ask_for_it_once():
    sources = [factories.source_image() for _ in range(5)]
    asked = at_once(lambda _: {each.id for each in encoding.request(sources, ["jpeg"], TARGETS)}, 4)
    assert Reconstruction.objects.count() == 15
    assert all(ids == asked[0] for ids in asked)


def test_workers_that_work_at_once_make_everything_once():
    sources = [factories.source_image() for _ in range(4)]
    encoding.request(sources, ["jpeg", "webp"], TARGETS)
    made = at_once(lambda _: sum(iter(encoding.make_next, None)), 3)
    assert sum(made) == 4 * 2 * 3
    assert set(Reconstruction.objects.values_list("state", "attempts")) == {(State.READY, 1)}


def test_an_encode_that_takes_longer_than_a_lease_keeps_it(monkeypatch):
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=0.3))
    encoding.request([factories.source_image()], ["webp"], TARGETS[:1])
    taken_by_others = []

    def slowly(self, pixels, setting, encode=WebP.encode):
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            taken_by_others.extend(encoding.claim_next(worker="other", now=clock.now()))
            time.sleep(0.02)
        return encode(self, pixels, setting)

    monkeypatch.setattr(WebP, "encode", slowly)
    assert encoding.make_next() == 1
    assert taken_by_others == []
    made = Reconstruction.objects.get()
    assert (made.state, made.attempts) == (State.READY, 1)
