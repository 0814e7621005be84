"""The names in links: unguessable, and signed, so that what nobody was given is refused unread."""

import secrets

from django.core import signing

TOKEN_BYTES = 18
UNSIGNED_LENGTH = 32  # of the first tokens, whose links were given out without a signature


def new_token() -> str:
    """An unguessable name for a link: 144 bits, as 24 characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class TokenConverter:
    """A token in an address: TOKEN.SIGNATURE, by SECRET_KEY and its fallbacks (HMAC-SHA-256).

    An address with another signature, or with none, matches no path, but for the first tokens'.
    """

    regex = r"[A-Za-z0-9_.-]{1,90}"

    def to_python(self, value: str) -> str:
        """Raises ValueError if it was not signed here."""
        if len(value) == UNSIGNED_LENGTH and "." not in value:
            return value
        try:
            return _signer().unsign(value)
        except signing.BadSignature as error:
            raise ValueError(value) from error

    def to_url(self, value: str) -> str:
        return value if len(value) == UNSIGNED_LENGTH else _signer().sign(value)


def _signer() -> signing.Signer:
    return signing.Signer(sep=".", salt="annotation.links")
