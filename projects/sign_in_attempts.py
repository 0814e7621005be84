"""How often a wrong password may be tried.

Counted for each account from each address, so that nobody else can lock a person out; for each
address, for whoever tries many accounts; and for each account from wherever, far above what
mistakes come to, for whoever tries from many addresses. Counts are in the database, since web
processes are several. Names and addresses are kept as keyed hashes alone, and for WINDOW.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from projects.models import SignInFailures

WINDOW = timedelta(minutes=15)
MOST_OF_ACCOUNT_AT_ADDRESS, MOST_OF_ADDRESS, MOST_OF_ACCOUNT = 10, 100, 200


def begin(account: str, address: str, *, now: datetime | None = None) -> timedelta | None:
    """Count an attempt, before the password is looked at; returns how long it takes until the next
    is allowed if this one is not, else None.

    Counted first, since attempts that come at once would otherwise all be allowed.
    """
    now = now or timezone.now()
    SignInFailures.objects.filter(until__lte=now).delete()
    ends = []
    with connection.cursor() as cursor:
        for key, most in _keys(account, address):
            cursor.execute(
                """
                INSERT INTO projects_signinfailures AS held (key, count, until) VALUES (%s, 1, %s)
                ON CONFLICT (key) DO UPDATE SET count = LEAST(held.count + 1, 1000000)
                RETURNING count, until
                """,
                [key, now + WINDOW],
            )
            count, until = cursor.fetchone()
            if count > most:
                ends.append(until)
    return max(ends) - now if ends else None


def succeeded(account: str, address: str) -> None:
    """It was the right password: mistakes before it are forgotten, and it was none."""
    (both, _), *others = _keys(account, address)
    SignInFailures.objects.filter(key=both).delete()
    SignInFailures.objects.filter(key__in=[key for key, _ in others]).update(count=F("count") - 1)


def _keys(account: str, address: str) -> Iterator[tuple[str, int]]:
    """Under what an attempt counts, and how many are the most."""
    account = account.casefold()
    yield _key("both", account, address), MOST_OF_ACCOUNT_AT_ADDRESS
    yield _key("address", address), MOST_OF_ADDRESS
    yield _key("account", account), MOST_OF_ACCOUNT


def _key(kind: str, *of: str) -> str:
    # The key of the hash is the installation's secret: addresses are too few to hide otherwise.
    text = "\0".join(of)
    return salted_hmac(f"projects.sign_in_attempts.{kind}", text, algorithm="sha256").hexdigest()
