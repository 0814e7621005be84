"""Sign-in through an organisation's provider: OpenID Connect, its addresses by discovery.

The library does the authorization code flow (with PKCE, state and nonce) and checks the ID token's
signature. Here is what it leaves open: whom the token was issued by and for (OpenID Connect Core
1.0, section 3.1.3.7), and which account is theirs. An account is known by issuer and `sub` alone,
since addresses and names change hands.
"""

import logging

import jwt
import requests
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import slugify
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from projects.models import Identity

TIMEOUT_S = 10
KEPT_S = 3600  # what discovery found
DOWN_S = 30  # until a provider that did not answer is asked again
ENDPOINTS = {
    "OIDC_OP_AUTHORIZATION_ENDPOINT": "authorization_endpoint",
    "OIDC_OP_TOKEN_ENDPOINT": "token_endpoint",
    "OIDC_OP_USER_ENDPOINT": "userinfo_endpoint",
    "OIDC_OP_JWKS_ENDPOINT": "jwks_uri",
}
logger = logging.getLogger(__name__)


class ProviderUnavailable(Exception):
    """The provider cannot be asked, or says of itself what cannot be used."""


def discover() -> dict:
    """The provider's metadata (OpenID Connect Discovery 1.0, section 4).

    Raises ProviderUnavailable.
    """
    issuer = settings.OIDC_ISSUER
    key, down = f"oidc-metadata/{issuer}", f"oidc-down/{issuer}"
    if (known := cache.get(key)) is not None:
        return known
    if problem := cache.get(down):
        raise ProviderUnavailable(problem)
    try:
        response = requests.get(
            f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S
        )
        response.raise_for_status()
        found = response.json()
        if found["issuer"] != issuer or not all(found[each] for each in ENDPOINTS.values()):
            raise ProviderUnavailable(f"the provider says that it is {found['issuer']!r}")
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        cache.set(down, problem := f"the provider cannot be asked: {error}", DOWN_S)
        raise ProviderUnavailable(problem) from error
    cache.set(key, found, KEPT_S)
    return found


class _Configured:
    """The library's settings, those of the provider by discovery."""

    @staticmethod
    def get_settings(attr: str, *default: object) -> object:
        if attr in ENDPOINTS:
            return discover()[ENDPOINTS[attr]]
        return OIDCAuthenticationBackend.get_settings(attr, *default)


class OrganisationBackend(_Configured, OIDCAuthenticationBackend):
    """Finds or makes the account of somebody whom the provider vouches for."""

    def __init__(self) -> None:
        # Django makes one of every backend for every request of who is signed in, so nothing is
        # asked of the provider here, as the library's own would.
        self.UserModel = get_user_model()
        self.OIDC_RP_CLIENT_ID = settings.OIDC_RP_CLIENT_ID
        self.OIDC_RP_CLIENT_SECRET = settings.OIDC_RP_CLIENT_SECRET
        self.OIDC_RP_SIGN_ALGO = settings.OIDC_RP_SIGN_ALGO
        self.OIDC_RP_IDP_SIGN_KEY = None

    def __getattr__(self, name: str) -> object:
        if name in ENDPOINTS:
            return self.get_settings(name)
        raise AttributeError(name)

    def authenticate(self, request: HttpRequest | None, **given):
        if not settings.OIDC_ISSUER or request is None or "nonce" not in given:
            return None
        try:
            return super().authenticate(request, **given)
        except (jwt.InvalidTokenError, requests.RequestException, SuspiciousOperation) as error:
            logger.warning("sign-in through the provider failed: %s", error)
            return None

    def verify_token(self, token: str, **given) -> dict:
        """The ID token's claims. Raises SuspiciousOperation if it was issued by or for another."""
        claims = super().verify_token(token, **given)
        audience = claims.get("aud")
        audience = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != settings.OIDC_ISSUER:
            raise SuspiciousOperation("the token is another issuer's")
        if settings.OIDC_RP_CLIENT_ID not in audience:
            raise SuspiciousOperation("the token is for somebody else")
        if len(audience) > 1 and claims.get("azp") != settings.OIDC_RP_CLIENT_ID:
            raise SuspiciousOperation("the token was given to somebody else")
        return claims

    def get_userinfo(self, access_token: str, id_token: str, payload: dict) -> dict:
        """Raises SuspiciousOperation if it is about another than the token (section 5.3.2)."""
        told = super().get_userinfo(access_token, id_token, payload)
        if not told.get("sub") or told["sub"] != payload.get("sub"):
            raise SuspiciousOperation("the provider told of somebody else")
        return told

    def verify_claims(self, claims: dict) -> bool:
        return True  # get_userinfo has seen to the only one that is needed

    def filter_users_by_claims(self, claims: dict):
        """Whose account it is; else that of whoever was invited by this address and never came."""
        known = self.UserModel.objects.filter(
            identity__issuer=settings.OIDC_ISSUER, identity__subject=claims["sub"]
        )
        if known or not (claims.get("email") and claims.get("email_verified") is True):
            return known
        invited = self.UserModel.objects.filter(
            email__iexact=claims["email"], identity=None, last_login=None
        )
        return [each for each in invited if not each.has_usable_password()]

    def create_user(self, claims: dict):
        """Raises SuspiciousOperation where accounts are made by invitation alone."""
        if not settings.OIDC_MAKES_ACCOUNTS:
            raise SuspiciousOperation("nobody invited them, and OIDC_MAKES_ACCOUNTS is off")
        wanted = claims.get("preferred_username") or claims.get("email", "").partition("@")[0]
        stem = slugify(wanted)[:100] or "member"
        for number in range(1, 1000):
            name = stem if number == 1 else f"{stem}-{number}"
            try:
                with transaction.atomic():
                    user = self.UserModel.objects.create_user(name, email=claims.get("email", ""))
                    return self.update_user(user, claims)
            except IntegrityError:  # the name is taken
                continue
        raise SuspiciousOperation("no name is free")

    def update_user(self, user, claims: dict):
        Identity.objects.get_or_create(
            user=user, defaults={"issuer": settings.OIDC_ISSUER, "subject": claims["sub"]}
        )
        return user


class SignInElsewhere(_Configured, OIDCAuthenticationRequestView):
    """Leads to the provider."""

    def __init__(self, *args, **kwargs) -> None:
        super(OIDCAuthenticationRequestView, self).__init__(*args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404
        self.OIDC_RP_CLIENT_ID = settings.OIDC_RP_CLIENT_ID
        try:
            self.OIDC_OP_AUTH_ENDPOINT = self.get_settings("OIDC_OP_AUTHORIZATION_ENDPOINT")
        except ProviderUnavailable as error:
            logger.warning("%s", error)
            messages.error(request, "Your organisation’s sign-in does not answer. Try again later.")
            return SignedInElsewhere.refused()
        return super().get(request)


class SignedInElsewhere(_Configured, OIDCAuthenticationCallbackView):
    """Where the provider leads back to."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404
        try:
            return super().get(request)
        except (SuspiciousOperation, ProviderUnavailable) as error:
            logger.warning("sign-in through the provider failed: %s", error)
            return self.login_failure()

    def login_failure(self) -> HttpResponse:
        messages.error(
            self.request,
            "Signing in through your organisation failed. If it goes on, ask the owner of a "
            "project to add you by the address that your organisation knows.",
        )
        return self.refused()

    @staticmethod
    def refused() -> HttpResponse:
        return redirect(settings.LOGIN_URL)
