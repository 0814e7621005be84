"""Whatever a host's own clock says, it goes by the database's."""

from datetime import timedelta

import pytest
from django.db import connection

from codecs_registry import clock

pytestmark = pytest.mark.django_db


def by_the_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def test_it_is_the_time_of_the_database():
    before = by_the_database()
    between = clock.now()
    after = by_the_database()
    close = timedelta(milliseconds=50)  # half of what the question took
    assert before - close < between < after + close


@pytest.mark.parametrize("ahead_s", [-600.0, 3600.0])
def test_a_host_that_counts_otherwise_learns_it_when_it_connects(monkeypatch, ahead_s):
    counted = clock._count
    monkeypatch.setattr(clock, "_ahead_s", None)
    monkeypatch.setattr(clock, "_count", lambda: counted() + ahead_s)
    clock.learn(connection)
    assert abs(clock.now() - by_the_database()) < timedelta(seconds=1)


def test_it_connects_if_nothing_did(monkeypatch):
    connected = connection.ensure_connection

    def connect():
        if clock._ahead_s is None:
            monkeypatch.undo()
            clock.learn(connection)
        connected()

    monkeypatch.setattr(clock, "_ahead_s", None)
    monkeypatch.setattr(connection, "ensure_connection", connect)
    assert abs(clock.now() - by_the_database()) < timedelta(seconds=1)
