"""Signing in: passwords cannot be tried without end, and nobody can lock another person out."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from projects import sign_in_attempts as attempts
from projects.models import SignInFailures

pytestmark = pytest.mark.django_db
HERE, THERE = "192.0.2.1", "2001:db8::1"


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_user("ada", password="right")


def tried(client, password: str, *, name: str = "ada", address: str = HERE):
    return client.post(
        reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address
    )


def test_after_many_wrong_passwords_even_the_right_one_must_wait(client, ada):
    for _ in range(attempts.MOST_OF_ACCOUNT_AT_ADDRESS - 1):
        attempts.begin("ada", HERE)
    assert tried(client, "wrong").status_code == 200
    refused = tried(client, "right")
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 15 * 60
    assert "Too many attempts. Try again in 15 minutes" in refused.content.decode()
    assert "_auth_user_id" not in client.session


def test_others_are_not_locked_out_by_it(client, ada):
    for _ in range(attempts.MOST_OF_ACCOUNT_AT_ADDRESS + 5):
        attempts.begin("ada", THERE)
    assert tried(client, "right", address=HERE).status_code == 302


def test_the_right_password_forgets_mistakes(client, ada):
    for _ in range(2):
        for _ in range(attempts.MOST_OF_ACCOUNT_AT_ADDRESS - 2):
            attempts.begin("ada", HERE)
        assert tried(client, "wrong").status_code == 200
        assert tried(client, "right").status_code == 302
        client.logout()


def test_one_address_cannot_try_many_accounts(client, ada):
    for number in range(attempts.MOST_OF_ADDRESS):
        assert attempts.begin(f"name-{number}", HERE) is None
    assert tried(client, "right").status_code == 429
    assert tried(client, "right", address=THERE).status_code == 302


def test_many_addresses_cannot_try_one_account(client, ada):
    for number in range(attempts.MOST_OF_ACCOUNT):
        attempts.begin("Ada", f"198.51.100.{number}")
    assert tried(client, "right").status_code == 429


def test_a_room_of_people_signs_in_from_one_address(client, ada):
    for _ in range(attempts.MOST_OF_ADDRESS + 10):
        attempts.begin("ada", HERE)
        attempts.succeeded("ada", HERE)
    assert tried(client, "right").status_code == 302


def test_it_ends_after_the_window_and_leaves_nothing():
    now = timezone.now()
    for _ in range(attempts.MOST_OF_ACCOUNT_AT_ADDRESS):
        assert attempts.begin("ada", HERE, now=now) is None
    half = now + attempts.WINDOW / 2
    assert attempts.begin("ada", HERE, now=half) == attempts.WINDOW / 2
    later = now + attempts.WINDOW + timedelta(seconds=1)
    assert attempts.begin("bob", THERE, now=later) is None
    assert SignInFailures.objects.count() == 3  # bob's


def test_no_name_and_no_address_is_kept(client, ada):
    tried(client, "wrong")
    for each in SignInFailures.objects.all():
        assert "ada" not in each.key
        assert HERE not in each.key
        assert len(each.key) == 64
