"""Who calls: a program with a token, or somebody who is signed in and looks around."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed

from evaluation.api_models import ApiToken
from evaluation.api_tokens import MARK, find_token


class TokenAuthentication(authentication.BaseAuthentication):
    """Authorization: Bearer closer_..."""

    def authenticate(self, request) -> tuple | None:
        words = authentication.get_authorization_header(request).split()
        if not words:
            return None
        if len(words) != 2 or words[0].lower() != b"bearer":
            raise AuthenticationFailed("Send the header Authorization: Bearer TOKEN.")
        token = find_token(words[1].decode(errors="replace"))
        if token is None:
            raise AuthenticationFailed("This token is not known, was revoked, or is over.")
        return token.user, token

    def authenticate_header(self, request) -> str:
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema) -> dict:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": f"{MARK}…",
            "description": "A token, made under “API tokens” of one’s account.",
        }


def token_of(request) -> ApiToken | None:
    """The token that a request came with; None for who is signed in."""
    return request.auth if isinstance(request.auth, ApiToken) else None
