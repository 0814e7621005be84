"""What every answer tells browsers to refuse, whichever page it is and whoever asks."""

import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db
SECURE = {
    "SECURE_HSTS_SECONDS": 31_536_000,
    "SECURE_SSL_REDIRECT": True,
    "SESSION_COOKIE_SECURE": True,
    "CSRF_COOKIE_SECURE": True,
}
FOR_RESEARCHERS = [
    "studies", "new-study", "images", "codecs", "metrics", "projects", "downstream",
    "codec-trainings", "rate-distortion",
]  # fmt: skip
FOR_ANYBODY = ["login", "healthz"]


def holds(response) -> None:
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy or "frame-ancestors" not in policy
    assert "object-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Server" not in response
    assert "X-Powered-By" not in response


@pytest.mark.parametrize("name", FOR_RESEARCHERS)
def test_pages_of_researchers(as_researcher, name):
    response = as_researcher.get(reverse(name))
    assert response.status_code == 200
    holds(response)
    assert "no-store" in response["Cache-Control"] or "private" in response["Cache-Control"]


@pytest.mark.parametrize("name", FOR_ANYBODY)
def test_pages_of_anybody(client, name):
    holds(client.get(reverse(name)))


@pytest.mark.parametrize(
    ("address", "status"),
    [("/no/such/page", 404), ("/judge/none/questions", 404), ("/api/v1/studies", 401)],
)
def test_refusals(client, address, status):
    response = client.get(address)
    assert response.status_code == status
    holds(response)


def test_whoever_is_not_signed_in_is_sent_to_the_sign_in_page(client):
    response = client.get(reverse("studies"))
    assert response.status_code == 302
    holds(response)


def test_behind_https_nothing_goes_over_http(settings, django_user_model):
    for name, value in SECURE.items():
        setattr(settings, name, value)
    client = Client()
    django_user_model.objects.create_user("ada", password="right")
    redirected = client.get(reverse("login"))
    assert redirected.status_code == 301
    assert redirected["Location"].startswith("https://")
    page = client.get(reverse("login"), secure=True)
    assert page["Strict-Transport-Security"].startswith("max-age=31536000")
    signed_in = client.post(reverse("login"), {"username": "ada", "password": "right"}, secure=True)
    assert signed_in.status_code == 302
    session = signed_in.cookies["sessionid"]
    assert session["secure"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert signed_in.cookies["csrftoken"]["secure"]


def test_a_form_from_elsewhere_is_refused(django_user_model):
    client = Client(enforce_csrf_checks=True)
    django_user_model.objects.create_user("ada", password="right")
    refused = client.post(reverse("login"), {"username": "ada", "password": "right"})
    assert refused.status_code == 403
    holds(refused)
    assert "sessionid" not in refused.cookies


def test_a_session_does_not_keep_its_name_when_somebody_signs_in(client, django_user_model):
    django_user_model.objects.create_user("ada", password="right")
    client.session["mark"] = 1
    session = client.session
    session.save()
    client.cookies["sessionid"] = session.session_key
    client.post(reverse("login"), {"username": "ada", "password": "right"})
    assert client.cookies["sessionid"].value != session.session_key
