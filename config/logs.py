"""Logs: one line an event, for people or as JSON; with the request it belongs to, without people.

Nobody's link, address, query or e-mail address is in them: who reads a log must neither judge in
somebody's place nor learn who judged.
"""

import ipaddress
import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is answered, or that had the task sent which is worked on; else empty."""

SECRET = re.compile(r"/(judge|c|stimuli|results|set-password)/[^\s\"'?,]+")
QUERY = re.compile(r"\?[\w.%+~-]+=[^\s\"'<>]*")
E_MAIL = re.compile(r"[^\s@\"'<>(),:;]{1,320}(?:@|%40)[\w-]+(?:\.[\w-]+)+")
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
MAYBE_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?![\w:.])")
OWN = "(no page)"


def without_people(text: str) -> str:
    """A text in which links' secrets, queries, addresses and e-mail addresses are dots."""
    text = SECRET.sub(r"/\1/...", text)
    text = QUERY.sub("?...", text)
    text = E_MAIL.sub("...@...", text)
    text = IPV4.sub("(address)", text)
    return MAYBE_IPV6.sub(_unless_no_address, text)


def _unless_no_address(found: re.Match) -> str:
    try:  # times of day have colons, too
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return found[0]
    return "(address)"


class OfRequest(logging.Filter):
    """Notes with each event which request it belongs to, and names pages by their pattern: what
    stands in an address was typed by somebody."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        request = getattr(record, "request", None)
        if path := getattr(request, "path", ""):
            told = record.getMessage().replace(path, route_of(request))
            record.msg, record.args = told, ()
        return True


def route_of(request) -> str:
    """The pattern of a request's page: judge/<token:token>/, say."""
    match = getattr(request, "resolver_match", None)
    return match.route if match else OWN


class Lines(logging.Formatter):
    """For people: 2026-11-30 16:42:01,123 INFO closer.requests: ..."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}{of_request}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        known = getattr(record, "request_id", "")
        record.of_request = f" [{known}]" if known else ""
        return without_people(super().format(record))


class JsonLines(logging.Formatter):
    """For programs: an object a line, with time, level, logger, message, request_id where there is
    one, exception, and what `extra={"fields": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if known := getattr(record, "request_id", ""):
            event["request_id"] = known
        event |= getattr(record, "fields", {})
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        cleaned = {
            name: without_people(value) if isinstance(value, str) and name != "time" else value
            for name, value in event.items()
        }
        return json.dumps(cleaned, ensure_ascii=False, default=str)


FORMS = {"text": Lines, "json": JsonLines}


def configuration(level: str, form: str) -> dict:
    """logging's dictConfig: all events from this level on to stderr. form: of FORMS."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": FORMS[form]}},
        "filters": {"of request": {"()": OfRequest}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["of request"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {"django.server": {"level": "WARNING"}, "httpx": {"level": "WARNING"}},
    }
