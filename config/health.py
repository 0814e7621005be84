"""Whether this installation can be used: what watches it asks here, without an account."""

import logging
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from codecs_registry import blobs
from config import broker

OK = "ok"
logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Says that this web process answers; asks nobody else."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Each part that pages and work need: "ok", or what is the matter. 503 if anything is."""
    parts = {name: _told(name, ask) for name, ask in PARTS.items()}
    is_ready = set(parts.values()) == {OK}
    return JsonResponse({"ready": is_ready, **parts}, status=200 if is_ready else 503)


def _told(name: str, ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (DatabaseError, OSError, *broker.Unreachable) as error:
        logger.warning("%s does not answer: %s", name, error)
        return f"does not answer ({type(error).__name__})"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


_is_migrated = False  # once it is so, it stays so for as long as this code runs


def _migrations() -> str:
    global _is_migrated
    if not _is_migrated:
        executor = MigrationExecutor(connection)
        owed = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if owed:
            return f"{len(owed)} are to be run: manage.py migrate"
        _is_migrated = True
    return OK


def _broker() -> str:
    broker.ping()
    return OK


def _storage() -> str:
    blobs.try_writing()
    return OK


PARTS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "storage": _storage,
}
