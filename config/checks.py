"""Settings that can be read and are unsafe all the same: whoever serves, works or migrates with
them refuses to start, with a line for each.

Django runs these before `migrate` and most other commands; `refuse_unsafe` does so for web servers
and workers, which Django leaves unchecked.
"""

import ipaddress
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured

TAG = "closer"
CANNOT_START = 3  # gunicorn gives up on it instead of trying again and again
SHORTEST_KEY = 50
LEAST_CHARACTERS = 5
SHORTEST_TOKEN = 16
SAMPLES = ("django-insecure", "changeme", "change-me", "change_me", "secret", "...", "a long r")
TRIED_FIRST = {
    *("", "admin", "changeme", "change-me", "closer", "database", "default", "example", "pass"),
    *("password", "postgres", "postgresql", "root", "secret", "test", "123456", "12345678"),
}
OWN_NETWORK = (".local", ".lan", ".internal", ".home.arpa", ".test", ".localhost")


@register(TAG)
def settings_are_safe(**_: object) -> list[CheckMessage]:
    return [
        Error(told, hint=hint, id=f"{TAG}.{number}") for number, told, hint in _unsafe_settings()
    ]


def refuse_unsafe(**_: object) -> None:
    """End this process, with a line for each setting that is unsafe or of no use, if there are
    any; else its folder is there."""
    try:
        django.setup()
        lines = [f"{each.msg} {each.hint}" for each in run_checks(tags=[TAG])] or _lack_of_folder()
    except ImproperlyConfigured as error:
        lines = [str(error)]
    if lines:
        sys.stderr.write("\n".join(["Closer does not start with these settings:", *lines, ""]))
        sys.exit(CANNOT_START)


def _lack_of_folder() -> list[str]:
    folder = settings.CLOSER_DATA
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        told = f"{folder} cannot be written ({error.strerror})"
        return [f"CLOSER_DATA: {told}. Make it, as a folder of the user who runs this."]
    return []


def _unsafe_settings() -> Iterator[tuple[str, str, str]]:
    """Number, what is unsafe, how to mend it."""
    url = urlsplit(settings.CLOSER_URL)
    if settings.DEBUG:
        yield "E001", "DEBUG is on: errors would show settings to strangers.", "Leave it off."
    if weakness := _weakness(settings.SECRET_KEY):
        yield (
            "E002",
            f"SECRET_KEY {weakness}: who guesses it signs in as anybody.",
            "Set it to what this prints: "
            "python -c 'import secrets; print(secrets.token_urlsafe(64))'",
        )
    for former in settings.SECRET_KEY_FALLBACKS:
        if weakness := _weakness(former):
            yield (
                "E003",
                f"One of SECRET_KEY_FALLBACKS {weakness}: it is as good as SECRET_KEY to who "
                "guesses it.",
                "Leave it out; links that it signed lead nowhere then.",
            )
    if url.scheme == "http" and not is_own_network(url.hostname) and not settings.CLOSER_PLAIN_HTTP:
        yield (
            "E004",
            f"CLOSER_URL is http, and {url.hostname} a public name: passwords and links would be "
            "read on their way.",
            "Put a proxy with a certificate in front and say https, or set CLOSER_PLAIN_HTTP=1 if "
            "nobody else is on that network.",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield (
            "E005",
            "ALLOWED_HOSTS has *: links could be made to lead to anybody's host.",
            "List the names that people use.",
        )
    cookies = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    bare = [name for name in cookies if url.scheme == "https" and not getattr(settings, name)]
    if bare:
        yield (
            "E007",
            f"{' and '.join(bare)} off: cookies would be sent over http, too.",
            "Leave these to CLOSER_URL.",
        )
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.postgresql":
        yield (
            "E008",
            f"The database is {database['ENGINE']}: what keeps judgments safe needs PostgreSQL.",
            "Set DATABASE_URL to postgres://user:password@host/name.",
        )
    elif not _is_here(database) and database.get("PASSWORD", "").lower() in TRIED_FIRST:
        yield (
            "E009",
            "The database's password in DATABASE_URL is one that everybody tries first, or none.",
            "Give the database's user another, and write it there.",
        )
    issuer = urlsplit(settings.OIDC_ISSUER)
    if settings.OIDC_ISSUER and issuer.scheme != "https" and not is_own_network(issuer.hostname):
        yield (
            "E010",
            "OIDC_ISSUER is not https: whoever is on the way could sign in as anybody.",
            "Name its https address.",
        )
    token = settings.CLOSER_METRICS_TOKEN
    if token and len(token) < SHORTEST_TOKEN:
        yield (
            "E011",
            f"CLOSER_METRICS_TOKEN has {len(token)} characters, and needs {SHORTEST_TOKEN}.",
            "Set it to what this prints: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    options = settings.STORAGES["blobs"]["OPTIONS"]
    if "bucket_name" in options and settings.CLOSER_ACCEL_REDIRECT:
        yield (
            "E012",
            "CLOSER_ACCEL_REDIRECT has the proxy send files, which CLOSER_BLOBS has in a bucket.",
            "Leave it out: the web server sends them.",
        )
    endpoint = urlsplit(options.get("endpoint_url") or "")
    if endpoint.scheme == "http" and not is_own_network(endpoint.hostname):
        yield (
            "E013",
            f"CLOSER_S3_ENDPOINT is http, and {endpoint.hostname} a public name: pictures and "
            "models would be read, and could be changed, on their way.",
            "Name its https address.",
        )


def _weakness(key: str) -> str:
    """Why a key is easily guessed; empty if it is not."""
    if any(key.lower().startswith(each) for each in SAMPLES):
        return "is the sample of a document"
    if len(key) < SHORTEST_KEY:
        return f"has {len(key)} characters, and needs {SHORTEST_KEY}"
    if len(set(key)) < LEAST_CHARACTERS:
        return "is the same few characters again and again"
    return ""


def is_own_network(host: str | None) -> bool:
    """Whether a host is this machine or, by its name or address, one of a private network."""
    host = (host or "").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(OWN_NETWORK)
    return address.is_private or address.is_loopback or address.is_link_local


def _is_here(database: dict) -> bool:
    """Whether a database is reached by a socket of this machine, or by its loopback."""
    host = database["HOST"] or database.get("OPTIONS", {}).get("host", "")
    return not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
