"""Sign-in through an organisation, beside a provider that answers over HTTP."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.urls import reverse

from projects import members
from projects.access import default_project
from projects.models import Identity, Membership
from projects.roles import Role

pytestmark = pytest.mark.django_db
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLIENT = "closer"


class Provider(ThreadingHTTPServer):
    """A small OpenID provider: everybody who comes is the person of the moment."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.person = {"sub": "1"}
        self.changes: dict = {}  # of the ID token
        self.told: dict = {}  # of the person, at userinfo
        self.key = KEY
        self.asked: dict = {}

    def id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, **self.person}
        claims |= {"nonce": self.asked["nonce"], **self.changes}
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "one"})


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        path, issuer = urlsplit(self.path), self.server.issuer
        match path.path:
            case "/.well-known/openid-configuration":
                ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
                found = {f"{name}_endpoint": f"{issuer}/{end}" for name, end in ends.items()}
                self.say({"issuer": issuer, "jwks_uri": f"{issuer}/keys", **found})
            case "/keys":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
                self.say({"keys": [public | {"kid": "one", "alg": "RS256", "use": "sig"}]})
            case "/authorize":
                asked = {name: values[0] for name, values in parse_qs(path.query).items()}
                self.server.asked = asked
                back = urlencode({"code": "once", "state": asked["state"]})
                self.send_response(302)
                self.send_header("Location", f"{asked['redirect_uri']}?{back}")
                self.end_headers()
            case "/userinfo":
                self.say(self.server.person | self.server.told)

    def do_POST(self) -> None:
        given = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        verifier = jwt.utils.base64url_encode(_sha256(given["code_verifier"][0])).decode()
        if given["code"] != ["once"] or verifier != self.server.asked["code_challenge"]:
            self.send_error(400)
        else:
            self.say({"access_token": "a", "id_token": self.server.id_token()})

    def say(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@pytest.fixture
def provider(settings):
    with Provider() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.OIDC_ISSUER = running.issuer
        settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = CLIENT, "a secret"
        settings.OIDC_MAKES_ACCOUNTS = True
        cache.clear()
        yield running
        running.shutdown()
        thread.join()


def sign_in(client, **query):
    """Follow the way to the provider and back; the last answer."""
    away = client.get(reverse("sign-in-elsewhere"), query)
    back = urlsplit(httpx.get(away.url).headers["Location"])
    return client.get(f"{back.path}?{back.query}")


def name_of(client) -> str:
    found = get_user_model().objects.filter(id=client.session.get("_auth_user_id", 0)).first()
    return found.get_username() if found else ""


def test_who_comes_first_gets_an_account_and_next_time_the_same(client, provider):
    provider.person = {"sub": "77", "preferred_username": "Ada Lovelace"}
    response = sign_in(client, next="/codecs")
    assert response.url == "/codecs"
    assert name_of(client) == "ada-lovelace"
    client.logout()
    provider.person |= {"preferred_username": "somebody else"}
    sign_in(client)
    assert name_of(client) == "ada-lovelace"
    assert not Membership.objects.exists(), "an account is in no project by itself"


def test_a_name_that_is_taken_is_not_taken_over(client, provider, django_user_model):
    django_user_model.objects.create_user("ada", email="ada@lab.org", password="hers")
    provider.person = {
        "sub": "9", "preferred_username": "ada", "email": "ada@lab.org", "email_verified": True
    }  # fmt: skip
    sign_in(client)
    assert name_of(client) == "ada-2"


@pytest.mark.parametrize(("verified", "name"), [(True, "ada"), (False, ""), ("true", "")])
def test_who_was_invited_by_a_verified_address_gets_what_was_made_for_them(
    client, provider, researcher, settings, verified, name
):
    settings.OIDC_MAKES_ACCOUNTS = False
    project = default_project()
    members.add_member(project, "ada", Role.VIEWER, by=researcher, email="Ada@lab.org")
    provider.person = {"sub": "5", "email": "ada@LAB.org", "email_verified": verified}
    sign_in(client)
    assert name_of(client) == name
    assert Identity.objects.filter(user__username="ada").exists() == bool(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example.org"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"nonce": "another"},
        {"exp": 1},
    ],
    ids=lambda changes: " and ".join(changes),
)
def test_a_token_that_is_not_for_us_now_signs_nobody_in(client, provider, changes):
    provider.changes = changes
    response = sign_in(client)
    assert response.url == reverse("login")
    assert not name_of(client)
    assert not get_user_model().objects.exists()
    assert "through your organisation failed" in client.get(response.url).content.decode()


def test_neither_does_another_signature_nor_none(client, provider, monkeypatch):
    provider.key = OTHER_KEY
    sign_in(client)
    assert not name_of(client)
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    unsigned = provider.id_token().split(".")[1]
    monkeypatch.setattr(provider, "id_token", lambda: f"{header}.{unsigned}.")
    sign_in(client)
    assert not name_of(client)


def test_what_is_told_of_somebody_else_is_not_believed(client, provider):
    provider.told = {"sub": "2"}
    sign_in(client)
    assert not name_of(client)


def test_a_way_back_that_nobody_began_is_refused(client, provider):
    response = client.get(reverse("signed-in-elsewhere"), {"code": "once", "state": "made up"})
    assert response.url == reverse("login")


@pytest.mark.parametrize("next_page", ["https://evil.example.org", "//evil.example.org"])
def test_nobody_is_led_elsewhere_afterwards(client, provider, next_page):
    assert sign_in(client, next=next_page).url == reverse("studies")


def test_a_provider_that_does_not_answer_is_said_kindly(client, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    response = client.get(reverse("sign-in-elsewhere"), follow=True)
    assert "does not answer" in response.content.decode()


def test_while_it_does_not_answer_everybody_else_goes_on(
    client, provider, settings, django_user_model
):
    sign_in(client)
    django_user_model.objects.create_user("bob", password="a long password")
    cache.clear()
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    assert client.get(reverse("projects")).status_code == 200, "who came through it before"
    given = {"username": "bob", "password": "a long password"}
    assert client.post(reverse("login"), given).url == reverse("studies")


def test_without_one_nothing_is_said_of_it(client):
    assert "organisation" not in client.get(reverse("login")).content.decode()
    assert client.get(reverse("sign-in-elsewhere")).status_code == 404
    assert client.get(reverse("signed-in-elsewhere")).status_code == 404
