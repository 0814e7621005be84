"""Every variable of the environment that an installation may set: type, default, meaning.

config/settings.py reads them here, and docs/settings.md is written from here
(`manage.py settings --markdown`), so that neither tells what the other does not. What is no value
of its type is noted, and all of it is told at once (`refuse`).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from config.logs import FORMS

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOOPBACK = ("127.0.0.0/8", "::1/128")


class Type(NamedTuple):
    """What a value is: in words, and how its text is read (ValueError: what is wrong with it)."""

    told: str
    read: Callable[[str], Any]


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it is no whole number from 0 on")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() in environ.Env.BOOLEAN_TRUE_STRINGS:
        return True
    if text.lower() in ("0", "false", "no", "off", "n"):
        return False
    raise ValueError("it is neither 1 nor 0 (nor true or false, yes or no, on or off)")


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _page_address(text: str) -> str:
    parts = _split(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no address such as https://closer.example.org")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("it names more than https://, a host and a port")
    return text.rstrip("/")


def _database(text: str) -> dict[str, Any]:
    parts = _split(text)
    if parts.scheme not in ("postgres", "postgresql", "pgsql", "psql"):
        raise ValueError("it must name a PostgreSQL database: postgres://user:password@host/name")
    if not parts.path.strip("/"):
        raise ValueError("it names no database behind the host: postgres://user:password@host/name")
    return environ.Env.db_url_config(text)


def _broker(text: str) -> str:
    parts = _split(text)
    if parts.scheme not in ("redis", "rediss", "redis+socket"):
        raise ValueError("it must name a Redis or Valkey server: redis://host:6379/0")
    if not (parts.hostname or (parts.scheme == "redis+socket" and parts.path)):
        raise ValueError("it names no host: redis://host:6379/0")
    return text


def _split(text: str):
    """urlsplit, which tells of a bad port only when somebody asks for it."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # whose message may hold a part of the password
        raise ValueError(
            "it cannot be read as an address (in a password : is written %3A, / is %2F, @ is %40)"
        ) from None
    return parts


def _rate(text: str) -> str:
    number, _, period = text.partition("/")
    if not number.isdigit() or period[:1] not in ("s", "m", "h", "d"):
        raise ValueError("it is no rate such as 600/min (or /s, /hour, /day)")
    return text


def _networks(text: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(each) for each in _names(text)]
    except ValueError as error:
        raise ValueError(f"{error}; 10.0.0.0/8, say, or 127.0.0.1") from None


def _form(text: str) -> str:
    if text not in FORMS:
        raise ValueError(f"it is none of {', '.join(FORMS)}")
    return text


def _place(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_-]+)+/?", text):
        raise ValueError("it is no path such as /blobs")
    return text


def _blobs(text: str) -> str | Path:
    if "://" not in text:
        return Path(text).resolve()
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9_./-]*)?", text):
        raise ValueError("it is neither a folder nor s3://bucket or s3://bucket/prefix")
    return text.rstrip("/")


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise ValueError(f"it is none of {', '.join(LEVELS)}")
    return text.upper()


TEXT = Type("text", str)
NUMBER = Type("whole number", _whole_number)
SWITCH = Type("`1` or `0`", _yes_or_no)
NAMES = Type("list, with commas between", _names)
ADDRESS = Type("http(s) address", _page_address)
DATABASE = Type("postgres:// address", _database)
BROKER = Type("redis:// address", _broker)
PATH = Type("path", lambda text: Path(text).resolve())
PLACE = Type("path of an address", _place)
BLOBS = Type("folder, or s3://bucket/prefix", _blobs)
RATE = Type("number/period", _rate)
NETWORKS = Type("networks, with commas between", _networks)
LEVEL = Type("level", _level)
FORM = Type("`text` or `json`", _form)


@dataclass(frozen=True)
class Variable:
    """default : the value where it is not set; None: settings.py says what takes its place.

    told_default : how the documents call it.   production : what is refused at a start that
    others reach (config/checks.py).   is_secret : never shown, never logged.
    """

    name: str
    type: Type
    default: Any
    told_default: str
    meaning: str
    production: str = ""
    is_secret: bool = False


CHAPTERS: dict[str, tuple[Variable, ...]] = {
    "Where it runs": (
        Variable(
            "CLOSER_URL", ADDRESS, None, "`https://localhost`",
            "where people reach it; https makes cookies secure, redirects and sends HSTS (a year)",
            production="https, unless its host is this machine or one of a private network",
        ),
        Variable(
            "CLOSER_PLAIN_HTTP", SWITCH, False, "`0`",
            "`1`: serve a public name over http all the same; who is on the way reads passwords",
        ),
        Variable(
            "ALLOWED_HOSTS", NAMES, [], "none",
            "names that it answers to besides `localhost` and that of `CLOSER_URL`",
            production="no `*`",
        ),
        Variable(
            "CLOSER_PROXIES", NUMBER, None, "`1` with https, else `0`",
            "how many proxies stand before the web server, each adding to `X-Forwarded-For`: "
            "limits on how often one address signs in or begins go by what the last of them say; "
            "`0`: by the connection's address",
        ),
        Variable(
            "CLOSER_ACCEL_REDIRECT", PLACE, "", "none: the web server sends them",
            "`/blobs`, say: have the proxy send stored pictures and files, which it finds by the "
            "header `X-Accel-Redirect` under this path; who may have them is asked here as before. "
            "Annotators' pictures are padded to one size as they are sent, by the web server",
        ),
        Variable(
            "CLOSER_BIND", TEXT, "127.0.0.1:8000", "`127.0.0.1:8000`",
            "address and port of a web server",
        ),
        Variable(
            "WEB_CONCURRENCY", NUMBER, 4, "`4`",
            "processes of a web server; each holds a connection to the database for each thread",
        ),
        Variable("CLOSER_WEB_THREADS", NUMBER, 8, "`8`", "threads of each of these"),
        Variable(
            "CLOSER_DATA", PATH, None, "`var/`",
            "folder of exports, trainings and the secret key (and of the embedded servers)",
        ),
        Variable(
            "CLOSER_BLOBS", BLOBS, None, "`blobs` in `CLOSER_DATA`",
            "where pictures and bitstreams lie: a folder, or a bucket of S3 or of a server that "
            "speaks as it does ([object storage](object-storage.md))",
        ),
        Variable(
            "CLOSER_S3_ENDPOINT", ADDRESS, "", "Amazon's",
            "of the server that has the bucket of `CLOSER_BLOBS`",
        ),
        Variable("CLOSER_S3_REGION", TEXT, "", "of the machine", "of the bucket"),
        Variable(
            "AWS_ACCESS_KEY_ID", TEXT, "", "of the machine's role",
            "whom the bucket's server knows, with the next",
        ),
        Variable(
            "AWS_SECRET_ACCESS_KEY", TEXT, "", "of the machine's role", "and by what",
            is_secret=True,
        ),
        Variable(
            "DATABASE_URL", DATABASE, None, "the embedded server",
            "`postgres://user:password@host/name`",
            production="no password that everybody tries first (`postgres`, `password`, `closer`, "
            "...), unless the host is this machine",
            is_secret=True,
        ),
        Variable(
            "CELERY_BROKER_URL", BROKER, None, "the embedded server",
            "`redis://host:6379/0`, Redis or Valkey; required with `DATABASE_URL`",
            is_secret=True,
        ),
    ),
    "Secrets and sign-in": (
        Variable(
            "SECRET_KEY", TEXT, "", "made once, kept in `CLOSER_DATA`",
            "signs sessions and links; required with `DATABASE_URL`",
            production="at least 50 characters, of which 5 differ; no sample from a document",
            is_secret=True,
        ),
        Variable(
            "SECRET_KEY_FALLBACKS", NAMES, [], "none",
            "former keys: links and sessions signed by them hold; without them, links lead nowhere",
            is_secret=True,
        ),
        Variable(
            "OIDC_ISSUER", TEXT, "", "none",
            "sign-in through an organisation (OpenID Connect), which leads back to "
            "`CLOSER_URL/sign-in/done`; the rest is found at the issuer",
            production="https",
        ),
        Variable("OIDC_CLIENT_ID", TEXT, "", "none", "required with `OIDC_ISSUER`"),
        Variable(
            "OIDC_CLIENT_SECRET", TEXT, "", "none", "required with `OIDC_ISSUER`", is_secret=True
        ),
        Variable(
            "OIDC_MAKES_ACCOUNTS", SWITCH, False, "`0`",
            "whether everybody whom it knows gets an account; else only those whom the owner of a "
            "project added by their address",
        ),
    ),
    "Work in the background": (
        Variable(
            "CLOSER_ENCODE_MEMORY_MB", NUMBER, 0, "`0`: three quarters of its memory",
            "what all encodes of one machine (of one container) may take together; a picture that "
            "needs more is refused with the reason, one that has to wait waits",
        ),
        Variable(
            "CLOSER_TRAIN_THREADS", NUMBER, 0, "`0`: half of the cores",
            "how many threads a training or a scoring may use",
        ),
        Variable(
            "CLOSER_HEARTBEAT", TEXT, "", "none",
            "file that a worker renews every two seconds and the scheduler whenever it sends "
            "something, so that a container's health check sees them live",
        ),
        Variable(
            "CLOSER_CODEC_TRAININGS", PATH, None, "`codec-training` in `CLOSER_DATA`",
            "folder of the [trainings](learned-codec.md#see-it-learn) that the pages show, a "
            "folder each",
        ),
        Variable(
            "CLOSER_CODEC_MODEL", PATH, None, "the one that comes with Closer",
            "file of another model for the [learned codec](learned-codec.md)",
        ),
        Variable(
            "CLOSER_SALIENCY_MODEL", PATH, None, "U²-Net-p",
            "ONNX file of another network for maps of saliency",
        ),
        Variable(
            "CLOSER_BACKBONES", PATH, None, "torch's own folder",
            "folder with ImageNet weights of [networks](metrics.md)",
        ),
        Variable(
            "CLOSER_CODECS", TEXT, "", "none",
            "files and folders of codecs declared in TOML ([add a codec](add-a-codec.md)) and of "
            "models of the [learned codec](learned-codec.md), separated by `:`",
        ),
        Variable(
            "CLOSER_COMMIT", TEXT, "", "git's, where there is a repository",
            "the commit of the code, which results name; the container image has it built in",
        ),
    ),
    "Privacy": (
        Variable(
            "CLOSER_KEEP_CONTACTS_DAYS", NUMBER, 365, "`365`",
            "so many days after a study's end, ids of crowd platforms and notes beside invitations "
            "are deleted ([privacy](privacy.md)); `0`: never",
        ),
    ),
    "Other programs": (
        Variable(
            "CLOSER_API_RATE", RATE, "600/min", "`600/min`",
            "requests to [the API](api.md) with one token",
        ),
        Variable(
            "CLOSER_WEBHOOK_PRIVATE", SWITCH, False, "`0`",
            "`1`: [webhooks](api.md#webhooks) may call addresses of the lab's own network",
        ),
    ),
    "Logs and metrics": (
        Variable(
            "LOG_LEVEL", LEVEL, "INFO", "`INFO`",
            "the least that is logged: " + ", ".join(f"`{each}`" for each in LEVELS),
        ),
        Variable(
            "CLOSER_LOG_FORMAT", FORM, "text", "`text`",
            "lines of the [logs](observability.md#logs) for people, or a JSON object each",
        ),
        Variable(
            "CLOSER_METRICS_TOKEN", TEXT, "", "none",
            "who sends it (`Authorization: Bearer ...`) reads [`/prometheus`](observability.md"
            "#metrics); nobody else then",
            production="at least 16 characters",
            is_secret=True,
        ),
        Variable(
            "CLOSER_METRICS_FROM", NETWORKS, [*map(ipaddress.ip_network, LOOPBACK)],
            f"`{','.join(LOOPBACK)}`",
            "without a token: networks from which `/prometheus` is read, by no proxy",
        ),
    ),
}  # fmt: skip
VARIABLES = {each.name: each for chapter in CHAPTERS.values() for each in chapter}


class Environment:
    """The values of variables, as they were set; an empty one counts as not set."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.problems: list[str] = []

    def is_set(self, name: str) -> bool:
        return bool(self._given.get(VARIABLES[name].name, "").strip())

    def read(self, name: str, default: Any = None) -> Any:
        """A variable's value. default : where it is not set, and has no default of its own.

        What is no value of its type is noted among `problems`, and counts as not set.
        """
        variable = VARIABLES[name]
        usual = default if variable.default is None else variable.default
        if not self.is_set(name):
            return usual
        text = self._given[name].strip()
        try:
            return variable.type.read(text)
        except ValueError as error:
            told = "" if variable.is_secret else f"{text!r}: "
            self.problems.append(f"{name}: {told}{error}.")
            return usual

    def refuse(self) -> None:
        """Raise ImproperlyConfigured with a line for each problem, if there are any."""
        if self.problems:
            raise ImproperlyConfigured("\n".join(self.problems))


def as_markdown() -> str:
    """All variables as docs/settings.md lists them."""
    lines = []
    for title, chapter in CHAPTERS.items():
        lines += ["", f"## {title}", "| variable | is | default | what |", "|---|---|---|---|"]
        for each in chapter:
            told = each.meaning
            if each.production:
                told += f". **Production demands**: {each.production}"
            kind = each.type.told + (", secret" if each.is_secret else "")
            lines.append(f"| `{each.name}` | {kind} | {each.told_default} | {told} |")
    return "\n".join(lines).strip() + "\n"
